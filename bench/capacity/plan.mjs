#!/usr/bin/env node
// How many hosts serve N requests per second of M apps at a p99 of X ms. README.md says how to ask and what is assumed.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { coldness, mean, popularity, random, sampler, simulate } from './model.mjs';

const CONNECTIONS = 32; // of each host to PostgreSQL (crates/store/src/postgres/mod.rs)
const MOST_CONNECTIONS = 2000; // beyond which the processes alone burden a server

/** Shares, none above `most`: what is cut off the large apps goes to the others in proportion. */
export function capped(groups, most) {
  const total = (factor) => groups.reduce((sum, g) => sum + g.apps * Math.min(most, g.share * factor), 0);
  if (!(groups[0].share > most)) return groups;
  let [low, high] = [1, 1e9];
  if (total(high) < 1 - 1e-6) throw new Error('so few apps cannot send that many requests within their quota');
  for (let i = 0; i < 100; i++) {
    const middle = Math.sqrt(low * high);
    if (total(middle) < 1) low = middle; else high = middle;
  }
  return groups.map((g) => ({ ...g, share: Math.min(most, g.share * high) }));
}

/**
 * One cell: `rate` requests per second of `groups` of apps (shares of `allRate`), on `api` and `workers` hosts of
 * `cores`, one Redis and one PostgreSQL.
 */
export function simulateCell({ costs, rate, allRate, groups, api, workers, cores, count, seed }) {
  const uniform = random(seed ^ 0x5bd1e995);
  const sample = (cost) => sampler(cost, uniform);
  const [apiCpu, apiQueue] = [sample(costs.api.cpuMs), sample(costs.api.queueCpuMs)];
  const [taskCpu, taskQueue] = [sample(costs.worker.taskCpuMs), sample(costs.worker.queueCpuMs)];
  const [coldRun, build] = [sample(costs.cold.runMs), sample(costs.cold.buildMs)];
  const [enqueue, settle] = [sample(costs.redis.enqueueMs), sample(costs.redis.settleMs)];
  const [pgCpu, commit, hop] = [sample(costs.postgres.cpuMs), sample(costs.postgres.commitMs), sample(costs.network.hopMs)];
  const hooks = costs.hooks.map((hook) => sample(hook.cpuMs));
  const cold = coldness(groups, {
    rate: allRate * hooks.length / workers,
    room: costs.worker.snapshotsPerChild.value * cores,
    lifetime: costs.worker.lifetimeHours.value * 3600,
  });
  // Which app a request is of: its group, by the groups' parts of this cell's requests.
  const part = groups.reduce((sum, g) => sum + g.apps * g.share, 0);
  let sum = 0;
  const bounds = groups.map((g) => (sum += g.apps * g.share / part));
  const pick = () => {
    const at = uniform();
    let [low, high] = [0, bounds.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bounds[middle] < at) low = middle + 1; else high = middle;
    }
    return low;
  };
  const route = () => {
    const app = cold[pick()];
    const slice = apiCpu() / (hooks.length + 2);
    const steps = [['api', slice]];
    hooks.forEach((hook, index) => {
      let run = taskCpu() + taskQueue() + hook();
      if (uniform() < app.build) run += build();
      else if (uniform() < app.cold) run += coldRun();
      const queueing = apiQueue();
      steps.push(['api', queueing / 2], [null, hop()], ['redis', enqueue()], [null, hop()], ['worker', run],
        [null, hop()], ['redis', settle()], [null, hop()], ['api', queueing / 2 + slice]);
      if (index === 0) steps.push([null, hop()], ['postgres', pgCpu()], [null, commit() + hop()], ['api', slice]);
    });
    return steps;
  };
  const result = simulate({
    rate, count, seed, route,
    stations: {
      api: { hosts: api, servers: cores },
      // Workers take when they have room, so all of a cell's cores are one station.
      worker: { hosts: 1, servers: workers * cores },
      redis: { hosts: 1, servers: 1 },
      postgres: { hosts: 1, servers: costs.postgres.cores.value },
    },
  });
  const shares = (which) => groups.reduce((s, g, i) => s + g.apps * g.share / part * cold[i][which], 0);
  return { ...result, coldShare: shares('cold'), buildShare: shares('build') };
}

const redisSeconds = (costs) => costs.hooks.length * (mean(costs.redis.enqueueMs) + mean(costs.redis.settleMs)) / 1e3;

/** Requests per second that one cell's Redis and PostgreSQL serve. */
export function cellCapacity(costs) {
  return Math.min(
    costs.redis.mostUtilisation.value / redisSeconds(costs),
    costs.postgres.writesPerSecond.value,
    0.7 * costs.postgres.cores.value / (mean(costs.postgres.cpuMs) / 1e3),
  );
}

/** The fewest API hosts and workers of one cell that meet the p99 (ms), or null if its Redis or PostgreSQL is too slow. */
function sizeCell(costs, options, cell) {
  const { cores, p99, count, seed } = options;
  const tries = (api, workers) => simulateCell({ costs, ...cell, api, workers, cores, count, seed });
  const perHost = cores * 0.75;
  const apiMs = mean(costs.api.cpuMs) + costs.hooks.length * mean(costs.api.queueCpuMs);
  const taskMs = mean(costs.worker.taskCpuMs) + mean(costs.worker.queueCpuMs);
  const workMs = costs.hooks.reduce((sum, hook) => sum + mean(hook.cpuMs) + taskMs, 0);
  let api = Math.max(1, Math.ceil(cell.rate * apiMs / 1e3 / perHost));
  let workers = Math.max(1, Math.ceil(cell.rate * workMs / 1e3 / perHost));
  const good = (result) => result.latency.p99 * 1e3 <= p99
    && result.stations.api.utilisation < 0.85 && result.stations.worker.utilisation < 0.85;
  let result = tries(api, workers);
  for (let i = 0; i < 80 && !good(result); i++) {
    const wait = (name) => result.stations[name].wait.p99;
    const [most, idlest] = [Math.max(wait('api'), wait('worker')), Math.max(wait('redis'), wait('postgres'))];
    if (most < 1e-4 || (idlest > most && most < 1e-3)) return null; // more hosts would change nothing
    if (wait('worker') >= wait('api')) workers += Math.ceil(workers * 0.08); else api += Math.ceil(api * 0.08);
    result = tries(api, workers);
  }
  if (!good(result)) return null;
  for (const which of ['workers', 'api']) {
    for (;;) {
      const [a, w] = which === 'api' ? [api - 1, workers] : [api, workers - 1];
      if (a < 1 || w < 1) break;
      const fewer = tries(a, w);
      if (!good(fewer)) break;
      [api, workers, result] = [a, w, fewer];
    }
  }
  return { api, workers, result };
}

/** The plan. `options`: rate, apps, p99 (ms), cores, spare, appRate (or Infinity), zipf, count, seed. */
export function plan(costs, options) {
  const { rate, apps, spare, appRate, zipf } = options;
  const capacity = cellCapacity(costs);
  const groups = capped(popularity(apps, zipf), appRate / rate);
  const largest = groups[0].share * rate;
  if (largest > capacity) {
    const why = `the largest app sends ${round(largest)} requests/s, and an app lives in one cell, which serves `
      + `${round(capacity)}: --app-rate says what an app may send`;
    return { possible: false, why };
  }
  const alone = simulateCell({
    costs, rate: 1, allRate: 1, groups: [{ apps: 1, share: 1 }], api: 1, workers: 1, cores: 64, count: 10_000, seed: options.seed,
  });
  const tooSlow = `no number of hosts gives a p99 of ${options.p99} ms: without waiting it is ${round(alone.latency.p99 * 1e3)} ms`;
  if (alone.latency.p99 * 1e3 > options.p99) return { possible: false, why: tooSlow };
  // Even cells but for the largest app, with room for it in one of them.
  let cells = Math.max(1, Math.ceil((rate - largest) / Math.max(capacity - largest, capacity * 0.05)));
  for (let tries = 0; tries < 12; tries++, cells = Math.ceil(cells * 1.15) + (cells < 7 ? 1 : 0)) {
    const inCell = groups.map((g, i) => ({ apps: i === 0 ? 1 : g.apps / cells, share: g.share }));
    const share = inCell.reduce((sum, g) => sum + g.apps * g.share, 0);
    if (share * rate > capacity * 1.0001) continue;
    const hottest = sizeCell(costs, options, { rate: share * rate, allRate: rate, groups: inCell });
    if (hottest === null) continue;
    let other = hottest;
    if (cells > 1) {
      const rest = inCell.slice(1);
      const restShare = rest.reduce((sum, g) => sum + g.apps * g.share, 0);
      other = rest.length === 0 ? hottest
        : sizeCell(costs, options, { rate: restShare * rate, allRate: rate, groups: rest }) ?? hottest;
    }
    const hosts = (name) => hottest[name] + spare + (cells - 1) * (other[name] + spare);
    return {
      possible: true,
      hosts: { api: hosts('api'), workers: hosts('workers'), redis: cells, postgres: cells },
      cells,
      connectionsPerPostgres: CONNECTIONS * (hottest.api + hottest.workers + 2 * spare),
      hottestCell: cellReport(hottest, share * rate),
    };
  }
  return { possible: false, why: `${tooSlow}, and ${cells} cells wait or are cold too often` };
}

const round = (value) => Number(value.toPrecision(3));
const ms = (summary) => Object.fromEntries(Object.entries(summary).map(([name, s]) => [name, round(s * 1e3)]));
const cellReport = ({ api, workers, result }, rate) => ({
  rate: round(rate), api, workers,
  latencyMs: ms(result.latency),
  coldRuns: round(result.coldShare), builds: round(result.buildShare),
  stations: Object.fromEntries(Object.entries(result.stations).map(([name, s]) => (
    [name, { utilisation: round(s.utilisation), waitMs: ms(s.wait) }]))),
});

/** Measured rows `{rate, hosts, p50, p99}` (ms; hosts: workers, or `{api, workers}`) beside what the model says. */
export function compare(costs, options, rows) {
  return rows.map((row) => {
    const hosts = typeof row.hosts === 'object' ? row.hosts : { api: 1, workers: row.hosts };
    const { latency, stations } = simulateCell({
      costs, rate: row.rate, allRate: row.rate, groups: popularity(options.apps, options.zipf), ...hosts,
      cores: row.cores ?? options.cores, count: options.count, seed: options.seed,
    });
    const predicted = ms(latency);
    return {
      rate: row.rate, ...hosts, p50: row.p50, predictedP50: predicted.p50, p50Ratio: round(predicted.p50 / row.p50),
      p99: row.p99, predictedP99: predicted.p99, p99Ratio: round(predicted.p99 / row.p99),
      workerUtilisation: round(stations.worker.utilisation),
    };
  });
}

/** What the numbers rest on, in words. */
export function assumptions(costs, options) {
  const list = [
    'Requests are a Poisson process, all of one workload; nobody retries, and nothing fails.',
    'A cell is one Redis, one PostgreSQL primary and its own API servers and workers; apps are spread over cells. Lode is one cell today: several are several installations behind a proxy that knows which app is where.',
    'Cells are even but for the largest app; the hottest is simulated, and one without it for the others.',
    'API hosts take turns. Workers take tasks when they have room, so a cell\'s cores serve one queue; fairness between apps changes who waits, not how long on average.',
    'An app\'s tasks go to any worker of its cell: each has to build and hold its snapshot.',
    `Hosts have ${options.cores} cores. Each tier of a cell has ${options.spare} host(s) to spare, which the latencies do not count on. Standbys of Redis and PostgreSQL come on top.`,
    options.appRate === Infinity ? 'No app has a quota of rate.' : `No app sends more than ${options.appRate} requests/s (its quota); the others send what is missing.`,
  ];
  const walk = (value, path) => {
    if (typeof value !== 'object' || value === null) return;
    if (typeof value.source === 'string' && value.source.startsWith('ASSUMED')) {
      const said = Object.entries(value).filter(([key]) => key !== 'source').map(([key, v]) => `${key} ${v}`).join(', ');
      list.push(`${path.join('.')} = ${said}: ${value.source.replace(/^ASSUMED: /, '')}`);
    }
    for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key]);
  };
  walk(costs, []);
  return list;
}

function main() {
  const number = (name, text) => {
    const value = Number(text);
    if (text === '' || !Number.isFinite(value) || value < 0) throw new Error(`--${name} ${text} is no number`);
    return value;
  };
  const flags = {
    rate: '1000', apps: '10000', p99: '50', cores: '2', spare: '1', 'app-rate': '', zipf: '', seed: '1', requests: '40000',
    costs: '', compare: '', api: '', workers: '',
  };
  const { values } = parseArgs({ options: {
    ...Object.fromEntries(Object.entries(flags).map(([name, value]) => [name, { type: 'string', default: value }])),
    json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
  } });
  if (values.help) {
    console.log('plan.mjs [--rate N] [--apps M] [--p99 MS] [--cores C] [--spare N] [--app-rate N] [--zipf S] [--costs FILE]\n         [--api A --workers W | --compare FILE] [--requests N] [--seed N] [--json]');
    return;
  }
  const costs = JSON.parse(readFileSync(values.costs || fileURLToPath(new URL('costs.json', import.meta.url)), 'utf8'));
  const of = (name, otherwise) => (values[name] === '' ? otherwise : number(name, values[name]));
  const options = {
    rate: of('rate'), apps: of('apps'), p99: of('p99'), cores: of('cores'), spare: of('spare'), seed: of('seed'),
    count: of('requests'), appRate: of('app-rate', Infinity), zipf: of('zipf', costs.apps.zipf.value),
  };
  for (const name of ['rate', 'apps', 'cores', 'count']) if (!(options[name] > 0)) throw new Error(`${name} must be more than 0`);
  if (values.compare) {
    const rows = compare(costs, options, JSON.parse(readFileSync(values.compare, 'utf8')));
    if (values.json) console.log(JSON.stringify(rows, null, 2)); else console.table(rows);
    return;
  }
  let answer;
  if (values.api && values.workers) {
    const fixed = { api: of('api'), workers: of('workers') };
    const groups = capped(popularity(options.apps, options.zipf), options.appRate / options.rate);
    const result = simulateCell({ costs, ...options, allRate: options.rate, groups, ...fixed });
    answer = { cell: cellReport({ ...fixed, result }, options.rate) };
  } else answer = plan(costs, options);
  const asked = { ...options, appRate: Number.isFinite(options.appRate) ? options.appRate : null };
  const output = { asked, ...answer, assumptions: assumptions(costs, options) };
  if (values.json) return void console.log(JSON.stringify(output, null, 2));
  console.log(`${options.rate} requests/s of ${options.apps} apps, p99 of ${options.p99} ms, ${options.cores} cores per host`);
  if (answer.why) console.log(`\nnot possible: ${answer.why}`);
  if (answer.hosts) console.table([answer.hosts]);
  const cell = answer.hottestCell ?? answer.cell;
  if (cell) {
    const which = answer.cells > 1 ? `the hottest of ${answer.cells} cells` : 'the cell';
    console.log(`${which}: ${cell.rate} requests/s on ${cell.api} API hosts and ${cell.workers} workers`
      + `${answer.hosts ? ', before spares' : ''}; ${round(cell.coldRuns * 100)} % of the runs cold, `
      + `${round(cell.builds * 100)} % build first`);
    console.table([cell.latencyMs]);
    console.table(Object.fromEntries(Object.entries(cell.stations).map(([name, s]) => (
      [name, { utilisation: s.utilisation, 'mean wait ms': s.waitMs.mean, 'p99 wait ms': s.waitMs.p99 }]))));
  }
  if (answer.connectionsPerPostgres > MOST_CONNECTIONS) {
    console.log(`each PostgreSQL has ${answer.connectionsPerPostgres} connections: fewer and larger hosts, or more cells`);
  }
  console.log(`assumed:\n${output.assumptions.map((line) => `- ${line}`).join('\n')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 2;
  }
}
