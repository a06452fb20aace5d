// Hosts that die, are cut off and join while requests go on: what was promised is checked from a journal that is kept
// outside of them. Hosts are network namespaces on this machine; it takes about two minutes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { tasks, until } from '../lib/cluster.mjs';
import { impossible, makeNetwork } from '../lib/network.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { startRedis } from '../lib/redis.mjs';
import { lode, startServer, startWorker } from '../lib/server.mjs';
import { openJournal } from './journal.mjs';
import { BUDGET_MS, scripts, startLoad } from './load.mjs';
import { judge, table } from './verdict.mjs';

/** Longer than a host's lease, 3 s. */
const CUT_MS = 5000;

// Ended from outside, it leaves no namespace and no process either: what cleans up does so at `exit`.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

describe('chaos', { skip: impossible() ?? false, timeout: 300_000 }, () => {
  it('no answer, no acknowledged save and no task is lost, and nothing happens twice', async () => {
    const cleanup = [];
    try {
      await scenario((what) => cleanup.push(what));
    } finally {
      for (const what of cleanup.reverse()) await what();
    }
  });
});

async function scenario(later) {
  const network = makeNetwork();
  later(() => network.remove());
  const [a, b, w1, w2, w3, c] = ['a', 'b', 'w1', 'w2', 'w3', 'c'].map((name) => network.host(name));
  // One host, two addresses: a worker that cannot reach Redis can still reach the database.
  const redisAt = network.address2(c);
  const redis = await startRedis({ namespace: c.namespace, host: redisAt });
  later(() => redis.stop());
  const postgres = await startPostgres({ host: c });
  later(() => postgres.stop());
  const store = postgres.database();
  const queue = redis.url;
  const journal = await openJournal(network.address);
  later(() => journal.close());

  const egress = ['--allow-networks', `${network.address}/32`];
  const api = async ({ namespace, address }) => {
    const server = await startServer({ queue, store, namespace, host: address, args: egress });
    later(() => server.kill());
    return server;
  };
  const worker = async ({ namespace }) => {
    const joined = await startWorker({ queue, store, namespace, args: egress });
    later(() => joined.kill());
    return joined;
  };
  const hosts = { a: await api(a), b: await api(b) };
  const workers = [await worker(w1), await worker(w2)];

  const app = await hosts.a.app('chaos');
  await app.settings({
    allow: [journal.url],
    budget: { timeMs: BUDGET_MS },
    // All at once on one worker, they are to stay below the 32 requests that an app may have under way there.
    quota: { concurrency: 24, queue: 5000 },
  });
  await app.deploy(scripts(journal.url));

  const event = (name) => journal.write('event', { name });
  const killed = [];
  event('begin');
  const load = startLoad({ app, hosts: { a: hosts.a.url, b: hosts.b.url }, journal });
  await pause(5000);

  event('a worker is killed');
  await workers[0].kill();
  await pause(4000);
  workers[0] = await worker(w1);
  event('a worker joins in its place');
  await pause(3000);

  event('a worker is cut off from Redis');
  w2.cutFrom(redisAt);
  await pause(CUT_MS);
  w2.mendTo(redisAt);
  event('it is back');
  await pause(4000);

  event('Redis is killed');
  await redis.kill();
  await pause(2000);
  await redis.start();
  event('Redis is back, and empty');
  await pause(5000);

  event('a worker is cut off from everything');
  w1.cut();
  await pause(CUT_MS);
  w1.mend();
  event('it is back, too');
  await pause(4000);

  event('an API host is killed');
  killed.push({ host: 'b', at: journal.now() });
  await hosts.b.kill();
  load.leave('b');
  await pause(4000);

  workers.push(await worker(w3));
  event('a worker joins');
  await pause(4000);
  await load.end();
  event('the load has ended');

  // First: what a task does while it is waited for is not to be missing from what is read before.
  const tasks = await settled(hosts.a, app);
  const rows = (collection) => postgres.ask(store,
    `SELECT e.doc->>'rid', e.doc->>'kind', e.doc->>'id', e.doc->>'run' FROM entities e JOIN collections c ON e.collection = c.id
     WHERE c.app = '${app.key}' AND c.name = '${collection}'`);
  const verdict = judge({
    lines: journal.lines(),
    killed,
    budgetMs: BUDGET_MS,
    saved: new Set(rows('orders').map(([rid]) => rid)),
    kept: rows('effects').map(([, kind, id, run]) => ({ kind, id, run })),
    tasks,
  });
  console.log(`\n${table(verdict)}\n`);
  if (verdict.broken.length > 0) {
    const logs = Object.entries({ ...hosts, ...workers }).map(([name, host]) => `--- ${name}\n${host.log().slice(-4000)}`);
    console.log(logs.join('\n'));
  }
  assert.deepEqual(verdict.broken.slice(0, 40), [], `${verdict.broken.length} promises were broken`);
  // All of it was worth something: each kind of request was done after each event.
  for (const row of verdict.rows.slice(0, -1)) {
    if (row.name !== 'Redis is killed') assert.ok(row.ok > 0, `nothing was done after: ${row.name}`);
  }
  assert.ok(hosts.a.lives());
  for (const one of workers) assert.ok(one.lives());

  // Nothing is left over, and the dead are forgotten.
  const status = await until('an empty queue and four hosts', async () => {
    const told = await lode(['status', '--queue', queue, '--json']);
    assert.equal(told.code, 0, told.stderr);
    const { queue: left, hosts: there } = JSON.parse(told.stdout);
    return left.waiting === 0 && left.pending === 0 && there.length === 4 ? there : undefined;
  });
  assert.deepEqual(status.filter(({ kind }) => kind === 'worker').map(({ name }) => name).sort(), workers.map(({ name }) => name).sort());
}

/** Waits until no asynchronous task has anything to do any more: all of them. */
async function settled(server, app) {
  for (let tries = 0; tries < 120; tries++) {
    const open = [...await tasks(server, app, 'waiting'), ...await tasks(server, app, 'running')];
    if (open.length === 0) break;
    await pause(1000);
  }
  return (await Promise.all(['waiting', 'running', 'dead', 'done'].map((state) => tasks(server, app, state)))).flat();
}
