// Saves per second of an order with a pre-save hook that runs the presave workload and an empty post-save hook: Lode on
// SQLite and on PostgreSQL, and Parse Server on the same PostgreSQL. Each save is durable when it is answered
// (SQLite: synchronous=FULL; PostgreSQL: fsync and synchronous_commit on), and made by a user with a session.
import { ask, clientOf } from '../../tests/lib/http.mjs';
import { startPostgres } from '../../tests/lib/postgres.mjs';
import { startServer } from '../../tests/lib/server.mjs';
import { loadAverage, run } from '../lib/results.mjs';
import { measure, options, print, ratios, startAll, write } from './report.mjs';
import { PARSE_HEADERS, parseServer, version } from './systems.mjs';
import { body, check, hooks } from './workload.mjs';

async function lode(name, store) {
  const server = await startServer({ store });
  const app = await server.app('bench');
  // What one app may have under way by default is less than the load: a quota is not what is measured.
  await app.settings({ quota: { concurrency: 128 } });
  await app.deploy(hooks);
  const client = clientOf(app);
  const user = await client.user('buyer');
  const saved = await user.save('orders', body);
  check(name, saved.body);
  return {
    name,
    note: 'one process that serves, two children; a fresh sandbox per hook',
    origin: server.url,
    pid: server.pid,
    request: {
      path: `/appdata/${app.key}/orders`,
      method: 'POST',
      headers: { authorization: `Kinvey ${user.token}`, 'content-type': 'application/json', 'x-kinvey-api-version': '4' },
      body,
    },
    expect: 201,
    async count() {
      return (await client.master.get('orders', '/_count')).body.count - 1;
    },
    stop: () => server.stop(),
  };
}

async function parse(name, database, workers) {
  const { origin, pid, stop } = await parseServer(name, undefined, database, workers);
  const headers = PARSE_HEADERS;
  const master = { ...headers, 'x-parse-master-key': 'bench-master' };
  const signed = await ask(`${origin}/parse/users`, { method: 'POST', headers, body: { username: 'buyer', password: 'buyer-password' } });
  if (signed.status !== 201) throw new Error(`Parse Server: sign-up: ${signed.text}`);
  // The first one makes the class and its columns.
  const first = await ask(`${origin}/parse/classes/Order`, { method: 'POST', headers: master, body });
  if (first.status !== 201) throw new Error(`Parse Server: ${first.text}`);
  const stored = await ask(`${origin}/parse/classes/Order/${first.body.objectId}`, { headers: master });
  check(name, stored.body);
  return {
    name,
    note: 'all of Cloud Code shares one context per process',
    origin,
    pid,
    request: {
      path: '/parse/classes/Order',
      method: 'POST',
      headers: { ...headers, 'x-parse-session-token': signed.body.sessionToken },
      body,
    },
    expect: 201,
    async count() {
      // Without a condition it answers PostgreSQL's estimate.
      const where = encodeURIComponent('{"objectId":{"$ne":"none"}}');
      const counted = await ask(`${origin}/parse/classes/Order?count=1&limit=0&where=${where}`, { headers: master });
      return counted.body.count - 1;
    },
    stop,
  };
}

async function main() {
  const how = options();
  const before = loadAverage();
  const postgres = await startPostgres({ settings: ['fsync=on', 'synchronous_commit=on', 'shared_buffers=256MB'], tcp: true });
  const makers = {
    'Lode, SQLite': (name) => lode(name, undefined),
    'Lode, PostgreSQL': (name) => lode(name, postgres.database()),
    'Parse Server, PostgreSQL': (name) => parse(name, postgres.database(), 1),
    'Parse Server, PostgreSQL, 2 processes': (name) => parse(name, postgres.database(), 2),
  };
  const { systems, skipped } = await startAll(makers, how.only);
  const results = await measure(systems, how);
  for (const system of systems) {
    const count = await system.count();
    if (count !== system.sent) throw new Error(`${system.name} has ${count} orders of ${system.sent} that it has acknowledged`);
    await system.stop();
  }
  await postgres.stop();
  const found = ratios(results, (name) => name.startsWith('Lode'));
  write(how, 'saves', {
    workload: 'presave as pre-save hook, an empty post-save hook',
    parse_server: version('parse-server'),
    load_average: { before, after: loadAverage() },
    results,
    ratios: found,
    skipped,
  });
  print('saves', results, found);
}

run(main);
