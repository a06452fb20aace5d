// An endpoint that runs the presave workload on an order and answers the result: Lode, with a fresh sandbox for each
// request, and warm `workerd` and `deno serve`, which keep one world for all.
import { ask, basic, clientOf } from '../../tests/lib/http.mjs';
import { startServer } from '../../tests/lib/server.mjs';
import { loadAverage, run } from '../lib/results.mjs';
import { measure, options, print, ratios, startAll, write } from './report.mjs';
import { denoServe, version, workerd } from './systems.mjs';
import { body, check, source } from './workload.mjs';

const SCRIPT = `${source}
function onRequest(request, response, modules) {
  response.body = handler(request.body);
  response.complete(200);
}`;

// The same as the peers' own interface has it.
const MODULE = `${source}
export default {
  async fetch(request) {
    return Response.json(handler(await request.json()));
  },
};`;

async function lode(name, who) {
  const server = await startServer();
  const app = await server.app('bench');
  await app.settings({ quota: { concurrency: 128 } });
  await app.deploy({ 'endpoints/presave.js': SCRIPT });
  const client = clientOf(app);
  const user = await client.user('buyer');
  const authorization = who === 'user' ? `Kinvey ${user.token}` : basic(app.key, app.masterSecret);
  return {
    name,
    note: who === 'user' ? 'a fresh sandbox per request; a user\'s session is looked up' : 'a fresh sandbox per request; the owner\'s secret',
    origin: server.url,
    pid: server.pid,
    path: `/rpc/${app.key}/custom/presave`,
    headers: { authorization, 'content-type': 'application/json' },
    stop: () => server.stop(),
  };
}

const FIRST = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
const served = (system) => ({ ...system, path: '/', headers: FIRST.headers });

const workerdPeer = async (name) => served(await workerd(name, 'one isolate for all requests', [{ name: 'main', source: MODULE }], FIRST));

const deno = async (name, more, note) => served(await denoServe(name, note, MODULE, FIRST, more));

async function main() {
  const how = options();
  const before = loadAverage();
  const makers = {
    'Lode, as a user': (name) => lode(name, 'user'),
    'Lode, as the owner': (name) => lode(name, 'owner'),
    workerd: workerdPeer,
    'deno serve': (name) => deno(name, [], 'one world for all requests'),
    'deno serve --parallel': (name) => deno(name, ['--parallel'], 'one world per processor for all requests'),
  };
  const { systems, skipped } = await startAll(makers, how.only);
  for (const system of systems) {
    const { path: at, headers, origin, name } = system;
    const answer = await ask(origin + at, { method: 'POST', headers, body });
    check(name, answer.body.order);
    Object.assign(system, { request: { path: at, method: 'POST', headers, body }, expect: 200 });
  }
  const results = await measure(systems, how);
  for (const system of systems) await system.stop();
  const found = ratios(results, (name) => name.startsWith('Lode'));
  write(how, 'endpoint', {
    workload: 'presave as an endpoint',
    workerd: version('workerd'),
    deno: version('deno'),
    load_average: { before, after: loadAverage() },
    results,
    ratios: found,
    skipped,
  });
  print('endpoint', results, found);
}

run(main);
