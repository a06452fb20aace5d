// What Redis costs beside the embedded queue, and what a second worker is worth. Writes ../results/hosts.json and prints
// tables. Everything shares this machine's processors, so the second question is asked of runs that take far more of
// them than all the rest: then workers are the bottleneck, each pinned to a processor of its own.
import { execFileSync } from 'node:child_process';
import { startCluster } from '../../tests/lib/cluster.mjs';
import { startServer } from '../../tests/lib/server.mjs';
import { basic } from '../../tests/lib/http.mjs';
import { load } from '../http/load.mjs';
import { tree } from '../lib/memory.mjs';
import { loadAverage, options, run, table, write } from '../lib/results.mjs';
import { median, ordered } from '../lib/stats.mjs';

const how = options({ file: 'hosts.json', ms: 4000, rounds: 5, quick: { ms: 500, rounds: 1 } });
const { ms: MS, rounds: ROUNDS } = how;

const SCRIPTS = {
  'endpoints/nothing.js': 'function onRequest(request, response, modules) { response.complete(200, {}); }',
  // About 20 ms of processor time.
  'endpoints/busy.js': `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    function onRequest(request, response, modules) { response.complete(200, { n: fib(25) }); }`,
};
// What one app may have is not what is measured.
const SETTINGS = { quota: { concurrency: 500 }, limits: { cpuMs: 2000 } };

function target(url, app, endpoint) {
  return {
    origin: url,
    request: {
      path: `/rpc/${app.key}/custom/${endpoint}`,
      method: 'POST',
      headers: {
        authorization: basic(app.key, app.masterSecret),
        'content-type': 'application/json',
        'x-kinvey-api-version': '4',
      },
      body: '{}',
    },
    expect: 200,
  };
}

async function overhead() {
  const cluster = await startCluster({ workers: 1 });
  const alone = await startServer({ store: cluster.postgres.database() });
  try {
    const shared = await cluster.app(SCRIPTS, SETTINGS);
    const own = await alone.app('app');
    await own.settings(SETTINGS);
    await own.deploy(SCRIPTS);
    const systems = {
      embedded: target(alone.url, own, 'nothing'),
      redis: target(cluster.apis[0].url, shared, 'nothing'),
    };
    const rows = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const [system, of] of ordered(Object.entries(systems), round)) {
        for (const connections of [1, 32]) {
          const { per_s, p50_us, p99_us } = await load({ ...of, connections, ms: MS, warmUp: MS / 4 });
          rows.push({ system, connections, per_s, p50_us, p99_us });
        }
      }
    }
    return [1, 32].flatMap((connections) => Object.keys(systems).map((system) => {
      const of = rows.filter((row) => row.system === system && row.connections === connections);
      const middle = (name) => median(of.map((row) => row[name]));
      return { system, connections, per_s: middle('per_s'), p50_us: middle('p50_us'), p99_us: middle('p99_us') };
    }));
  } finally {
    await alone.stop();
    await cluster.stop();
  }
}

const pin = (host, processor) => {
  for (const pid of tree(host.pid)) execFileSync('taskset', ['-a', '-c', '-p', `${processor}`, `${pid}`], { stdio: 'ignore' });
};

async function workers() {
  const cluster = await startCluster({ workers: 1, workerArgs: ['--children', '1'] });
  try {
    const app = await cluster.app(SCRIPTS, SETTINGS);
    const of = target(cluster.apis[0].url, app, 'busy');
    const measure = () => load({ ...of, connections: 32, ms: MS, warmUp: MS / 2 });
    const rows = [];
    for (let round = 0; round < ROUNDS; round++) {
      pin(cluster.workers[0], 0);
      const one = await measure();
      pin(await cluster.addWorker(), 1);
      const two = await measure();
      await cluster.workers.pop().stop();
      rows.push({ one: one.per_s, two: two.per_s, p50_us: [one.p50_us, two.p50_us], ratio: two.per_s / one.per_s });
    }
    return { rounds: rows, ratio: median(rows.map((row) => row.ratio)) };
  } finally {
    await cluster.stop();
  }
}

run(async () => {
  const before = loadAverage();
  const result = { overhead: await overhead(), second_worker: await workers() };
  write(how, { ...result, load_average: { before, after: loadAverage() } });
  console.log(table(result.overhead, { queue: 'system', connections: 'connections', '/s': 'per_s', 'p50 µs': 'p50_us', 'p99 µs': 'p99_us' }));
  console.log(`\n${table(result.second_worker.rounds, { 'one worker, /s': 'one', 'two, /s': 'two', ratio: 'ratio' })}`);
  console.log(`a second worker: ${result.second_worker.ratio.toFixed(2)} times`);
});
