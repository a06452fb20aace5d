// How long one waits for something that does not run yet: the program, from its spawn to the first answer of an endpoint
// that it had before; and an app, whose first request comes to a program that runs.
import { denoRun, nodeRun, router, version, workerd } from '../http/systems.mjs';
import { check, body, source } from '../http/workload.mjs';
import { startPostgres } from '../../tests/lib/postgres.mjs';
import { startServer } from '../../tests/lib/server.mjs';
import { temporaryDirectory } from '../../tests/lib/files.mjs';
import { loadAverage, options, run, table, wanted, write } from '../lib/results.mjs';
import { median, ordered, quantile, round } from '../lib/stats.mjs';
import { SETTINGS, endpointOf, moduleOf, startLode } from './apps.mjs';
import { HEADERS, host, systemsOf } from './systems.mjs';

/** Asks and gives the ms until the whole answer is there. */
async function timed(origin, { path, ...request }) {
  const sent = performance.now();
  const answer = await fetch(origin + path, request);
  const got = await answer.json();
  const ms = performance.now() - sent;
  check(origin, (got.result ?? got).order);
  return ms;
}

/** The program starts anew on data that hold one app. */
async function lodeProgram() {
  const data = temporaryDirectory('data');
  const first = await startLode({ data });
  const app = await first.deploy({ 'endpoints/presave.js': endpointOf(source) });
  await first.kill();
  return async () => {
    const spawned = performance.now();
    const server = await startServer({ data });
    await timed(server.url, app.endpoint('presave', body));
    const ms = performance.now() - spawned;
    await server.kill();
    return ms;
  };
}

const NOTES = {
  Lode: 'its data hold the app; the answer is of a run in a locked-down child',
  'Parse Server': 'its database has its tables already',
};

async function programs({ rounds, only }, postgres) {
  const { Lode, 'deno serve': denoServe, workerd: workerdAll, 'Parse Server': parse, 'isolated-vm': isolated } = systemsOf(postgres);
  const others = { workerd: workerdAll, 'deno serve': denoServe, 'Parse Server': parse, 'isolated-vm': isolated };
  const start = {};
  if (wanted('Lode', only) && Lode !== undefined) start.Lode = await lodeProgram();
  for (const [name, open] of Object.entries(others)) {
    if (!wanted(name, only)) continue;
    start[name] = async () => {
      const system = await open(name);
      await system.stop();
      return system.started_ms;
    };
  }
  const times = new Map();
  const skipped = [];
  // The first time reads the program from disk, which later ones find in memory: it is not counted.
  for (let number = -1; number < rounds; number++) {
    for (const name of ordered(Object.keys(start), number)) {
      if (skipped.some(({ system }) => system === name)) continue;
      try {
        const ms = await start[name]();
        if (number >= 0) times.set(name, [...times.get(name) ?? [], ms]);
        process.stderr.write(`start ${number + 1}: ${name}: ${round(ms, 1)} ms\n`);
      } catch (error) {
        process.stderr.write(`skipped ${name}: ${error.message}\n`);
        skipped.push({ system: name, why: error.message.split('\n')[0] });
      }
    }
  }
  const results = [...times].map(([system, all]) => ({ system, ms: round(median(all), 1), min_ms: round(Math.min(...all), 1), rounds: all.map((ms) => round(ms, 1)), note: NOTES[system] }));
  return { results, skipped };
}

const requestOf = (i) => ({ path: `/app${i}`, method: 'POST', headers: HEADERS, body });

// Each starts with all its apps, the one of number 0 to warm up what they share.
const APPS = {
  Lode: {
    note: 'deployed before, so its snapshot is built; the first run maps it into a child. Includes who asks and what was recorded',
    async start(name, count) {
      const server = await startLode();
      const apps = [];
      for (let i = 0; i < count; i++) apps.push(await server.deploy({ 'endpoints/presave.js': endpointOf(source, `app ${i}`) }, SETTINGS));
      return { ...server, requestOf: (i) => apps[i].endpoint('presave', body) };
    },
  },
  workerd: {
    note: 'all workers are loaded when it starts: the first request only runs code that is there, in memory that is taken',
    start: (name, count) => {
      const apps = Array.from({ length: count }, (_, i) => ({ name: `app${i}`, source: moduleOf(source, `app ${i}`) }));
      return workerd(name, undefined, [router(apps.map((app) => app.name)), ...apps], requestOf(0));
    },
  },
  'Deno, a Worker per app': {
    note: 'a Worker is made at the first request: a thread and an isolate, the module is compiled',
    start: (name) => denoRun(name, undefined, host('deno'), requestOf(0)),
  },
  'isolated-vm': {
    note: 'an isolate is made at the first request, and the script compiled in it',
    start: (name) => nodeRun(name, undefined, host('node'), requestOf(0), { env: { SANDBOX: 'isolated-vm' }, flags: ['--no-node-snapshot'] }),
  },
};

async function apps({ rounds, only, quick }) {
  const count = quick ? 20 : 100;
  const cells = new Map();
  const skipped = [];
  for (let number = 0; number < rounds; number++) {
    for (const name of ordered(Object.keys(APPS).filter((each) => wanted(each, only)), number)) {
      if (skipped.some(({ system }) => system === name)) continue;
      try {
        const system = await APPS[name].start(name, count + 1);
        // What all apps share is warm: compiled code of the host, connections.
        for (let i = 0; i < 50; i++) await timed(system.origin, (system.requestOf ?? requestOf)(0));
        const times = { first: [], second: [] };
        for (let i = 1; i <= count; i++) {
          for (const which of ['first', 'second']) times[which].push(await timed(system.origin, (system.requestOf ?? requestOf)(i)));
        }
        await system.stop();
        const at = (list, q) => round(quantile(list.toSorted((a, b) => a - b), q) * 1000, 0);
        const row = { first_p50_us: at(times.first, 0.5), first_p99_us: at(times.first, 0.99), second_p50_us: at(times.second, 0.5) };
        cells.set(name, [...cells.get(name) ?? [], row]);
        process.stderr.write(`apps ${number + 1}: ${name}: ${JSON.stringify(row)}\n`);
      } catch (error) {
        process.stderr.write(`skipped ${name}: ${error.message}\n`);
        skipped.push({ system: name, why: error.message.split('\n')[0] });
      }
    }
  }
  const results = [...cells].map(([system, all]) => {
    const of = (figure) => median(all.map((row) => row[figure]));
    return { system, first_p50_us: of('first_p50_us'), first_p99_us: of('first_p99_us'), second_p50_us: of('second_p50_us'), rounds: all, note: APPS[system].note };
  });
  return { apps: count, results, skipped };
}

run(async () => {
  const how = options({ file: 'coldstart.json', ms: 0, rounds: 5, quick: { ms: 0, rounds: 2 } });
  const before = loadAverage();
  const postgres = await startPostgres({ tcp: true });
  const program = await programs(how, postgres);
  await postgres.stop();
  const app = await apps({ ...how, rounds: Math.min(how.rounds, how.quick ? 1 : 3) });
  write(how, {
    workload: 'presave as an endpoint',
    versions: { workerd: version('workerd'), deno: version('deno'), 'parse-server': version('parse-server'), 'isolated-vm': version('isolated-vm', '../peers') },
    load_average: { before, after: loadAverage() },
    program,
    app,
  });
  console.log(table(program.results, { 'program, from its spawn to its first answer': 'system', 'ms': 'ms', 'least ms': 'min_ms' }));
  console.log(`\n${table(app.results, { 'app': 'system', 'first request, p50 µs': 'first_p50_us', 'p99 µs': 'first_p99_us', 'second, p50 µs': 'second_p50_us' })}`);
});
