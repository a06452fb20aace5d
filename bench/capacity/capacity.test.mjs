// The simulation against what queueing theory knows exactly. `node --test bench/capacity/*.test.mjs`
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { coldness, mean, popularity, quantile, random, sampler, simulate } from './model.mjs';
import { capped, cellCapacity, compare, plan, simulateCell } from './plan.mjs';

const costs = JSON.parse(readFileSync(new URL('costs.json', import.meta.url), 'utf8'));
const program = fileURLToPath(new URL('plan.mjs', import.meta.url));

const near = (found, wanted, part, what) => assert.ok(
  Math.abs(found / wanted - 1) <= part, `${what}: ${found} is more than ${part * 100} % off ${wanted}`,
);

/** One station with Poisson arrivals at the given load; times in seconds, mean service 1 ms. */
function station(servers, load, cost, count = 400_000, hosts = 1) {
  const serve = sampler(cost, random(7));
  return simulate({
    rate: load * servers * hosts * 1000, count, seed: 3,
    stations: { only: { hosts, servers } }, route: () => [['only', serve()]],
  });
}

/** The share of arrivals that wait in M/M/c (Erlang's C). */
function erlangC(servers, load) {
  const offered = servers * load;
  let blocked = 1;
  for (let n = 1; n <= servers; n++) blocked = offered * blocked / (n + offered * blocked);
  return blocked / (1 - load * (1 - blocked));
}

for (const [servers, load] of [[1, 0.5], [1, 0.8], [2, 0.7], [8, 0.85], [32, 0.9]]) {
  test(`M/M/${servers} at ${load}: waits and utilisation are as Erlang says`, () => {
    const { stations: { only } } = station(servers, load, { mean: 1, dist: 'exponential' }, 1_500_000);
    const waiting = erlangC(servers, load);
    near(only.wait.mean, waiting * 0.001 / (servers * (1 - load)), 0.06, 'mean wait');
    near(only.utilisation, load, 0.01, 'utilisation');
    // The wait's tail: P(W > t) = C e^(-c (1-load) t / service).
    const p99 = Math.log(waiting / 0.01) * 0.001 / (servers * (1 - load));
    if (p99 > 0) near(only.wait.p99, p99, 0.1, 'p99 of the wait');
  });
}

for (const load of [0.3, 0.6, 0.8]) {
  test(`M/D/1 at ${load}: the mean wait is Pollaczek and Khinchine's`, () => {
    const { stations: { only } } = station(1, load, { mean: 1, cv: 0 });
    near(only.wait.mean, load * 0.001 / (2 * (1 - load)), 0.04, 'mean wait');
  });
}

test('M/G/1 with a lognormal service: the mean wait grows with its variance', () => {
  const cv = 1.5;
  const { stations: { only } } = station(1, 0.6, { mean: 1, cv }, 800_000);
  near(only.wait.mean, 0.6 * 0.001 * (1 + cv ** 2) / (2 * 0.4), 0.06, 'mean wait');
});

test('Little: what is inside is what comes in times how long it stays', () => {
  const fixed = () => [['a', 0.002], [null, 0.01], ['b', 0.003], ['a', 0.001]];
  const { stations, latency } = simulate({
    rate: 500, count: 200_000, seed: 5, stations: { a: { hosts: 2, servers: 1 }, b: { servers: 2 } }, route: fixed,
  });
  near(stations.a.inside, stations.a.perSecond * (stations.a.wait.mean + 0.0015), 0.01, 'station a');
  near(stations.b.inside, stations.b.perSecond * (stations.b.wait.mean + 0.003), 0.01, 'station b');
  const waits = 2 * stations.a.wait.mean + stations.b.wait.mean;
  near(latency.mean, 0.016 + waits, 0.01, 'latency');
});

test('hosts that take turns wait less than hosts of a Poisson process each, and more than one queue', () => {
  const cost = { mean: 1, dist: 'exponential' };
  const turns = station(1, 0.7, cost, 300_000, 4).stations.only.wait.mean;
  assert.ok(turns < 0.7 * 0.001 / 0.3 && turns > erlangC(4, 0.7) * 0.001 / (4 * 0.3), `${turns}`);
});

test('the same seed gives the same result, another seed another one', () => {
  const cell = { costs, rate: 1000, allRate: 1000, groups: popularity(10_000, 1), api: 1, workers: 2, cores: 2, count: 5000 };
  assert.deepEqual(simulateCell({ ...cell, seed: 1 }), simulateCell({ ...cell, seed: 1 }));
  assert.notDeepEqual(simulateCell({ ...cell, seed: 1 }), simulateCell({ ...cell, seed: 2 }));
});

test('samplers have the mean and the quantiles that they are given', () => {
  const of = (cost) => {
    const sample = sampler(cost, random(11));
    return Array.from({ length: 200_000 }, sample).sort((a, b) => a - b);
  };
  const average = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  near(average(of({ mean: 2, cv: 0.5 })), 0.002, 0.01, 'lognormal');
  near(average(of({ mean: 2, dist: 'exponential' })), 0.002, 0.01, 'exponential');
  const both = of({ p50: 0.354, p99: 0.841 });
  near(quantile(both, 0.5), 0.354e-3, 0.01, 'p50');
  near(quantile(both, 0.99), 0.841e-3, 0.03, 'p99');
  near(average(both) * 1e3, mean({ p50: 0.354, p99: 0.841 }), 0.01, 'its mean');
});

test('shares of apps follow Zipf and add up, whatever the cells', () => {
  const groups = popularity(100_000, 1);
  near(groups.reduce((sum, g) => sum + g.apps * g.share, 0), 1, 1e-9, 'all');
  near(groups.reduce((sum, g) => sum + g.apps, 0), 100_000, 1e-9, 'apps');
  let harmonic = 0;
  for (let i = 1; i <= 100_000; i++) harmonic += 1 / i;
  near(groups[0].share, 1 / harmonic, 1e-3, 'the largest');
  const cell = popularity(100_000, 1, 10).reduce((sum, g) => sum + g.apps * g.share, 0);
  near(cell, groups[0].share + (1 - groups[0].share) / 10, 1e-6, 'the cell with the largest');
  const even = popularity(1000, 0);
  near(even[0].share, 1e-3, 1e-9, 'no skew');
});

test('quotas cut the large apps and leave the sum', () => {
  const groups = capped(popularity(10_000, 1.2), 0.001);
  near(groups.reduce((sum, g) => sum + g.apps * g.share, 0), 1, 1e-6, 'all');
  assert.ok(Math.max(...groups.map((g) => g.share)) <= 0.001);
  assert.throws(() => capped(popularity(10, 1), 0.01), /so few apps/);
});

test('cold runs are as a real least-recently-used cache has them', () => {
  const [apps, room, tasks] = [2000, 300, 300_000];
  const groups = popularity(apps, 0.9);
  const uniform = random(13);
  const ends = [];
  for (const g of groups) for (let i = 0; i < g.apps; i++) ends.push((ends.at(-1) ?? 0) + g.share);
  const held = new Map();
  let misses = 0;
  for (let i = 0; i < tasks; i++) {
    const at = uniform();
    let [low, high] = [0, apps - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] < at) low = middle + 1; else high = middle;
    }
    if (!held.delete(low) && i > tasks / 10) misses++;
    held.set(low, true);
    if (held.size > room) held.delete(held.keys().next().value);
  }
  const cold = coldness(groups, { rate: 1000, room, lifetime: 1e6 });
  const predicted = groups.reduce((sum, g, i) => sum + g.apps * g.share * cold[i].cold, 0);
  near(predicted, misses / (tasks * 0.9), 0.03, 'misses');
  const all = coldness(groups, { rate: 1000, room: apps, lifetime: 1e6 });
  assert.ok(all.every(({ cold: none }) => none === 0));
});

test('a young worker builds nearly every app it sees, an old one hardly any', () => {
  const groups = popularity(1000, 0);
  const build = (lifetime) => coldness(groups, { rate: 10, room: 1000, lifetime })[0].build;
  assert.ok(build(1) > 0.99);
  near(build(1e7), 1 / (0.001 * 10 * 1e7), 0.01, 'one build of each');
});

const options = { rate: 3000, apps: 10_000, p99: 20, cores: 2, spare: 0, appRate: Infinity, zipf: 1, count: 20_000, seed: 1 };

test('a plan meets what was asked, and one worker fewer does not', () => {
  const found = plan(costs, options);
  assert.ok(found.possible && found.cells === 1);
  assert.ok(found.hottestCell.latencyMs.p99 <= options.p99);
  const fewer = simulateCell({
    costs, rate: 3000, allRate: 3000, groups: popularity(10_000, 1), cores: 2, count: 20_000, seed: 1,
    api: found.hosts.api, workers: found.hosts.workers - 1,
  });
  assert.ok(fewer.latency.p99 * 1e3 > options.p99 || fewer.stations.worker.utilisation >= 0.85);
});

test('more requests need no fewer hosts; a spare host is one more per tier', () => {
  const hosts = [500, 2000, 4000].map((rate) => plan(costs, { ...options, rate }).hosts);
  assert.ok(hosts[0].workers <= hosts[1].workers && hosts[1].workers <= hosts[2].workers);
  const spare = plan(costs, { ...options, spare: 1 }).hosts;
  const none = plan(costs, options).hosts;
  assert.deepEqual([spare.api, spare.workers], [none.api + 1, none.workers + 1]);
});

test('beyond one Redis there are cells, an app is in one of them, and what cannot be is said', () => {
  const capacity = cellCapacity(costs);
  const many = plan(costs, { ...options, rate: 10 * capacity, apps: 100_000, appRate: 500, p99: 50 });
  assert.ok(many.possible && many.hosts.redis >= 10 && many.hosts.redis <= 15, JSON.stringify(many.hosts));
  assert.match(plan(costs, { ...options, rate: 1e6, apps: 1e6 }).why, /largest app/);
  assert.match(plan(costs, { ...options, p99: 0.5 }).why, /without waiting it is/);
});

test('measured rows stand beside predicted ones', () => {
  const [row] = compare(costs, options, [{ rate: 400, hosts: { api: 1, workers: 1 }, p50: 5, p99: 10 }]);
  assert.equal(row.p50Ratio, Number((row.predictedP50 / 5).toPrecision(3)));
  const folder = mkdtempSync(path.join(tmpdir(), 'capacity-'));
  try {
    const file = path.join(folder, 'measured.json');
    writeFileSync(file, JSON.stringify([{ rate: 400, hosts: 1, p50: 5, p99: 10 }]));
    const text = execFileSync(process.execPath, [program, '--compare', file, '--json', '--requests', '5000'], { encoding: 'utf8' });
    assert.equal(JSON.parse(text)[0].workers, 1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every cost says where it comes from, and the output lists what is assumed', () => {
  const walk = (value) => {
    if (typeof value !== 'object' || value === null) return;
    if ('mean' in value || 'value' in value || 'p50' in value) assert.ok(value.source?.length > 10, JSON.stringify(value));
    else Object.values(value).forEach(walk);
  };
  walk(costs);
  const text = execFileSync(process.execPath, [program, '--rate', '100', '--requests', '3000', '--json'], { encoding: 'utf8' });
  const { assumptions, hosts, asked } = JSON.parse(text);
  assert.ok(assumptions.some((line) => line.startsWith('postgres.commitMs')) && hosts.redis === 1 && asked.rate === 100);
  assert.throws(() => execFileSync(process.execPath, [program, '--rate', 'x'], { stdio: 'pipe' }), /is no number/);
});
