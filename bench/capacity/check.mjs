// The simulation beside a real run: an API server, workers, and Redis with PostgreSQL, each in a network namespace of its
// own, are sent saves at random moments; the answers' times are compared with what the model says of as many. Writes
// ../results/capacity.json and prints a table. Needs root. What the run can measure of the costs by itself (a hop, a
// commit) takes the place of what costs.json assumes; all hosts share this machine's processors, which is not in the
// model, so that only rates far below what they can do are asked for.
import net from 'node:net';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { basic } from '../../tests/lib/http.mjs';
import { impossible, makeNetwork } from '../../tests/lib/network.mjs';
import { startPostgres } from '../../tests/lib/postgres.mjs';
import { startRedis } from '../../tests/lib/redis.mjs';
import { startServer, startWorker } from '../../tests/lib/server.mjs';
import { connect, now, timed } from '../http/load.mjs';
import { body, hooks } from '../http/workload.mjs';
import { cpuMs } from '../lib/memory.mjs';
import { circumstances, loadAverage, options, run, table, write } from '../lib/results.mjs';
import { latencies, median, round } from '../lib/stats.mjs';
import { random } from './model.mjs';
import { compare } from './plan.mjs';

const how = options({ file: 'capacity.json', ms: 20_000, rounds: 1, quick: { ms: 2000, rounds: 1 } });
/** Saves per second, and beside how many workers. */
const CELLS = [[50, 1], [50, 2], [100, 2], [200, 2], [300, 2]];
const WARM_UP_MS = 3000;
/** Moments differ from run to run of the model, and so do these; the seed only makes two runs of this alike. */
const uniform = random(7);

/** Sends saves as a Poisson process of `rate` per second for `ms`: each one's time in ns. */
async function send(target, rate, ms) {
  const pool = connect(target.origin);
  const sent = [];
  const begun = performance.now();
  for (let due = 0; ;) {
    due += -Math.log(1 - uniform()) / rate * 1000;
    if (due >= ms) break;
    const early = begun + due - performance.now();
    if (early > 0) await pause(early);
    sent.push(timed(pool, target));
  }
  const took = await Promise.all(sent);
  await pool.destroy();
  return took;
}

/** Half of a round trip with next to no work at its end, in ms: PINGs to Redis. */
async function hop(host) {
  const socket = net.connect(6379, host).setNoDelay(true);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const took = [];
  for (let i = 0; i < 2000; i++) {
    const sent = now();
    socket.write('PING\r\n');
    await new Promise((resolve) => { socket.once('data', resolve); });
    took.push(now() - sent);
  }
  socket.destroy();
  return median(took) / 2 / 1e6;
}

/** What a commit waits for, in ms. */
function commit(postgres, store) {
  postgres.ask(store, 'CREATE TABLE commits (n int)');
  const begun = now();
  postgres.ask(store, 'DO $$ BEGIN FOR i IN 1..500 LOOP INSERT INTO commits VALUES (i); COMMIT; END LOOP; END $$');
  return (now() - begun) / 500 / 1e6;
}

/** Costs by which hosts take the processor time per save that a run saw: two hooks, each through the queue. */
function costsOf(known, cpu) {
  const costs = structuredClone(known);
  const hooks = costs.hooks.reduce((sum, hook) => sum + hook.cpuMs.mean, 0);
  costs.api.cpuMs.mean = cpu.api - 2 * costs.api.queueCpuMs.mean;
  costs.worker.taskCpuMs.mean = (cpu.workers - hooks) / 2 - costs.worker.queueCpuMs.mean;
  costs.redis.enqueueMs.mean = cpu.redis / 4;
  costs.redis.settleMs.mean = cpu.redis / 4;
  return costs;
}

async function main() {
  const why = impossible();
  if (why !== undefined) throw new Error(why);
  const before = loadAverage();
  const network = makeNetwork();
  const [a, w1, w2, c] = ['a', 'w1', 'w2', 'c'].map((name) => network.host(name));
  const redis = await startRedis({ namespace: c.namespace, host: c.address });
  // As it is meant to run: a commit is on disk.
  const postgres = await startPostgres({ host: c, settings: [] });
  const store = postgres.database();
  const queue = redis.url;
  const measured = { hopMs: round(await hop(c.address), 3), commitMs: round(commit(postgres, postgres.database()), 3) };
  const server = await startServer({ queue, store, namespace: a.namespace, host: a.address });
  const workers = [await startWorker({ queue, store, namespace: w1.namespace })];
  const app = await server.app('capacity');
  await app.settings({ quota: { concurrency: 128 } });
  await app.deploy(hooks);
  const target = {
    origin: server.url,
    request: {
      path: `/appdata/${app.key}/orders`,
      method: 'POST',
      headers: {
        authorization: basic(app.key, app.masterSecret), 'content-type': 'application/json', 'x-kinvey-api-version': '4',
      },
      body,
    },
    expect: 201,
  };

  const rows = [];
  for (const [rate, count] of CELLS) {
    while (workers.length < count) workers.push(await startWorker({ queue, store, namespace: w2.namespace }));
    await send(target, rate, WARM_UP_MS);
    const roots = { api: [server.pid], workers: workers.map(({ pid }) => pid), redis: [redis.pid] };
    const spent = () => Object.fromEntries(Object.entries(roots).map(([name, pids]) => [name, pids.reduce((sum, pid) => sum + cpuMs(pid), 0)]));
    const begun = spent();
    const took = await send(target, rate, how.ms);
    const ended = spent();
    const { p50_us, p99_us } = latencies(took);
    const cpu = Object.fromEntries(Object.keys(roots).map((name) => [name, round((ended[name] - begun[name]) / took.length, 3)]));
    rows.push({ rate, hosts: { api: 1, workers: count }, saves: took.length, p50: round(p50_us / 1000), p99: round(p99_us / 1000), cpuMs: cpu });
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
  }
  for (const host of [...workers, server]) await host.kill();
  await postgres.stop();
  await redis.stop();
  network.remove();

  const known = JSON.parse(readFileSync(new URL('costs.json', import.meta.url), 'utf8'));
  known.network.hopMs.mean = measured.hopMs;
  known.postgres.commitMs.mean = measured.commitMs;
  const model = { apps: 1, zipf: 1, cores: 2, count: 40_000, seed: 1 };
  const all = rows.map((row) => {
    const [byKnown] = compare(known, model, [row]);
    const [own] = compare(costsOf(known, row.cpuMs), model, [row]);
    return {
      ...row,
      predicted: { p50: byKnown.predictedP50, p99: byKnown.predictedP99 },
      predictedByOwnCosts: { p50: own.predictedP50, p99: own.predictedP99 },
    };
  });
  write(how, { ...circumstances(before), measured, rows: all });
  const flat = all.map(({ predicted, predictedByOwnCosts: own, hosts, cpuMs: cpu, ...row }) => ({
    ...row, ...cpu, hosts: hosts.workers, model50: predicted.p50, model99: predicted.p99, own50: own.p50, own99: own.p99,
  }));
  console.log(table(flat, {
    'saves/s': 'rate', workers: 'hosts', 'p50 ms': 'p50', model: 'model50', 'by own costs': 'own50',
    'p99 ms': 'p99', 'model ': 'model99', 'by own costs ': 'own99', 'API ms/save': 'api', 'workers ms/save': 'workers', 'Redis ms/save': 'redis',
  }));
}

run(main);
