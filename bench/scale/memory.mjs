// What apps cost that are deployed and not asked: memory with 1, 100, 1,000 and 10,000 of them, each with the presave
// script and a line of its own. Nothing runs meanwhile, so other work on the machine changes little, and one round is
// usual. A system is left at the first number that takes more than BOUND_MB or PATIENCE_MS: what comes after that would
// be an extrapolation, which is no measurement.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { end, tie } from '../../tests/lib/files.mjs';
import { lode as command } from '../../tests/lib/server.mjs';
import { version, workerd } from '../http/systems.mjs';
import { source } from '../http/workload.mjs';
import { diskMb, memory, sharedMb, watch } from '../lib/memory.mjs';
import { loadAverage, options, run, table, wanted, write } from '../lib/results.mjs';
import { medians, ordered, round } from '../lib/stats.mjs';
import { each, endpointOf, moduleOf, startLode } from './apps.mjs';

const BOUND_MB = 6144;
// Deployments are durable one by one: 10,000 of them take minutes on a machine that does other things too.
const PATIENCE_MS = 600_000;
// What a system frees after its last deployment, it frees within that.
const SETTLE_MS = 2000;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Fails with `no` when the tree of a process outgrows the bound, or time runs out, before `done`. */
async function bounded(pid, done) {
  let unwatch = () => {};
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await Promise.race([done, new Promise((_, reject) => {
      unwatch = watch(pid, BOUND_MB, () => reject(new Error(`takes over ${BOUND_MB / 1024} GB`)));
      patience.addEventListener('abort', () => reject(new Error(`takes over ${PATIENCE_MS / 60_000} minutes`)));
    })]);
  } finally {
    unwatch();
  }
}

/** One server that is given more and more. */
async function serve(counts, tell) {
  const before = sharedMb();
  const server = await startLode();
  try {
    let deployed = 0;
    for (const count of counts) {
      await bounded(server.pid, each(deployed, count, (i) => server.deploy({ 'endpoints/presave.js': endpointOf(source, `app ${i}`) })));
      deployed = count;
      await pause(SETTLE_MS);
      tell(count, { ...memory(server.pid), shared_mb: round(sharedMb() - before, 1), disk_mb: diskMb(server.data) });
    }
  } finally {
    await server.stop();
  }
}

/** What the worker itself says: the Work Master's memory without the HTTP server's and the store's. */
async function cold(counts, tell) {
  for (const count of counts) {
    const done = await command(['bench', 'cold', '--apps', `${count}`, '--runs', `${Math.min(count, 500)}`, '--json']);
    if (done.code !== 0) throw new Error(done.stderr);
    const { residentBytesPerIdleApp: each } = JSON.parse(done.stdout);
    tell(count, { pss_mb: round((each * count) / 2 ** 20, 3), bytes_per_app: each });
  }
}

async function workers(counts, tell) {
  for (const count of counts) {
    const apps = Array.from({ length: count }, (_, i) => ({ name: `app${i}`, source: moduleOf(source, `app ${i}`) }));
    let child;
    const main = { name: 'main', source: 'export default { fetch: () => new Response("") };' };
    const start = workerd('workerd', undefined, [main, ...apps], {}, { patience: PATIENCE_MS, watching: (started) => { child = started; } });
    start.catch(() => {});
    try {
      while (child === undefined) await pause(1);
      const system = await bounded(child.pid, start);
      await pause(SETTLE_MS);
      tell(count, memory(system.pid));
    } finally {
      if (child !== undefined) await end(child, 'SIGKILL');
    }
  }
}

async function isolates(counts, tell) {
  const child = tie(fork(fileURLToPath(new URL('hosts/isolates.mjs', import.meta.url)), { execArgv: ['--no-node-snapshot'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { log = (log + text).slice(-2000); });
  const ended = new Promise((_, reject) => { child.once('exit', (code, signal) => reject(new Error(`ends (${signal ?? code}) ${log.split('\n').find((line) => /error|fatal/i.test(line)) ?? ''}`.trim()))); });
  ended.catch(() => {});
  try {
    for (const count of counts) {
      const there = new Promise((resolve) => { child.once('message', resolve); });
      child.send({ source, count });
      await bounded(child.pid, Promise.race([there, ended]));
      await pause(SETTLE_MS);
      tell(count, memory(child.pid));
    }
  } finally {
    await end(child, 'SIGKILL');
  }
}

const SYSTEMS = {
  'Lode, lode serve': { measure: serve, note: 'all of it: HTTP, SQLite, Work Master, children; what waits is on disk. `shared_mb` is of the whole machine' },
  'Lode, the Work Master\'s share': { measure: cold, note: 'lode bench cold: what the process grew by, a small hook' },
  workerd: { measure: workers, note: 'one process, a worker per app in one configuration, all loaded at its start' },
  'isolated-vm': { measure: isolates, note: 'one Node process, an isolate and a context per app' },
};

run(async () => {
  const how = options({ file: 'memory.json', rounds: 1, quick: { ms: 0, rounds: 1 } });
  const counts = how.quick ? [1, 100, 1000] : [1, 100, 1000, 10_000];
  const before = loadAverage();
  const cells = new Map();
  const stopped = new Map();
  const names = Object.keys(SYSTEMS).filter((name) => wanted(name, how.only));
  for (let number = 0; number < how.rounds; number++) {
    for (const name of ordered(names, number)) {
      let done = 0;
      const tell = (count, figures) => {
        done++;
        const key = `${name} ${count}`;
        cells.set(key, [...cells.get(key) ?? [], figures]);
        process.stderr.write(`round ${number + 1}: ${name}, ${count} apps: ${JSON.stringify(figures)}\n`);
      };
      try {
        await SYSTEMS[name].measure(counts, tell);
      } catch (error) {
        const why = error.message.split('\n')[0];
        process.stderr.write(`${name} with ${counts[done]} apps: ${error.message}\n`);
        stopped.set(name, { apps: counts[done], why });
      }
    }
  }
  const results = names.flatMap((system) => {
    const rows = counts.filter((apps) => cells.has(`${system} ${apps}`)).map((apps) => {
      const rounds = cells.get(`${system} ${apps}`);
      return { system, apps, outcome: 'holds them', ...medians(rounds, ['pss_mb', 'rss_mb', 'shared_mb', 'disk_mb', 'bytes_per_app']), rounds, note: SYSTEMS[system].note };
    });
    // Of the growth since one app: what the program takes by itself is not an app's.
    for (const row of rows.slice(1)) {
        row.kb_per_app = row.bytes_per_app === undefined
        ? round(((row.pss_mb - rows[0].pss_mb) * 1024) / (row.apps - 1)) : round(row.bytes_per_app / 1024);
    }
    const left = stopped.get(system);
    return left === undefined ? rows : [...rows, { system, apps: left.apps, outcome: left.why, note: SYSTEMS[system].note }];
  });
  write(how, {
    workload: 'the presave script in each app, none of which runs',
    bound_mb: BOUND_MB,
    patience_s: PATIENCE_MS / 1000,
    versions: { workerd: version('workerd'), 'isolated-vm': version('isolated-vm', '../peers') },
    load_average: { before, after: loadAverage() },
    results,
  });
  console.log(table(results, { system: 'system', apps: 'apps', outcome: 'outcome', 'PSS MB': 'pss_mb', 'disk MB': 'disk_mb', 'KB per app': 'kb_per_app' }));
});
