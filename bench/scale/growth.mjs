// How cost grows: with the apps that are asked in turn, with the size of an app's script, and with what is asked at once.
import { version, workerd } from '../http/systems.mjs';
import { load } from '../http/load.mjs';
import { body, source } from '../http/workload.mjs';
import { diskMb, memory } from '../lib/memory.mjs';
import { loadAverage, options, run, table, wanted, write } from '../lib/results.mjs';
import { medians, ordered, round } from '../lib/stats.mjs';
import { SETTINGS, each, endpointOf, moduleOf, startLode } from './apps.mjs';
import { HEADERS } from './systems.mjs';

const APPS = [1, 10, 100, 1000];
const SIZES = [1024, 10 * 1024, 100 * 1024, 1024 * 1024];
const CONNECTIONS = [1, 4, 16, 64, 256];

const FIGURES = ['per_s', 'p50_us', 'p99_us', 'pss_mb'];
const say = (text, figures) => process.stderr.write(`${text}: ${JSON.stringify(figures)}\n`);

/** Rows of `{...of, figures}`, one for each different `of`: medians of the rounds. */
function collect() {
  const cells = new Map();
  return {
    add(of, figures) {
      const key = JSON.stringify(of);
      cells.set(key, [...cells.get(key) ?? [], figures]);
      say(key, figures);
    },
    rows: (figures) => [...cells].map(([of, rounds]) => ({ ...JSON.parse(of), ...medians(rounds, figures), rounds })),
  };
}

async function byApps({ ms, rounds }) {
  const server = await startLode();
  const apps = [];
  await each(0, APPS.at(-1), async (i) => {
    apps[i] = await server.deploy({ 'endpoints/presave.js': endpointOf(source, `app ${i}`) }, SETTINGS);
  });
  const found = collect();
  for (let number = 0; number < rounds; number++) {
    for (const count of ordered(APPS, number)) {
      const request = (i) => apps[i % count].endpoint('presave', body);
      // The warm-up asks each app at least once only if it is long enough; first runs are part of what many apps cost.
      const figures = await load({ origin: server.origin, request, expect: 200, connections: 16, ms, warmUp: ms / 2 });
      found.add({ system: 'Lode', apps: count }, { ...figures, ...memory(server.pid) });
    }
  }
  await server.stop();
  return found.rows(FIGURES);
}

/** JavaScript of about so many bytes: functions that differ, for neither comments nor text cost what code does. */
function scriptOf(bytes) {
  const functions = [];
  for (let i = 0, length = 0; length < bytes; i++) {
    const text = `function f${i}(a, b) { const c = { a: a + ${i}, b: [b, ${i % 7}] }; return c.b.map((x) => x * c.a).join('-'); }`;
    functions.push(text);
    length += text.length + 1;
  }
  return `${functions.join('\n')}
function onRequest(request, response, modules) { response.complete(200, { result: f0(1, 2) }); }`;
}

async function bySize({ ms, rounds }) {
  const found = collect();
  for (let number = 0; number < rounds; number++) {
    for (const size of ordered(SIZES, number)) {
      const server = await startLode();
      const text = scriptOf(size);
      // The first deployment of a server warms it up.
      await server.deploy({ 'endpoints/run.js': scriptOf(1) });
      const empty = diskMb(server.data);
      const began = performance.now();
      const app = await server.deploy({ 'endpoints/run.js': text }, SETTINGS);
      const deploy_ms = round(performance.now() - began, 1);
      const idle = { idle_pss_mb: memory(server.pid).pss_mb, disk_mb: round(diskMb(server.data) - empty) };
      const figures = await load({ origin: server.origin, request: app.endpoint('run'), expect: 200, connections: 1, ms: ms / 2, warmUp: ms / 8 });
      found.add({ system: 'Lode', bytes: Buffer.byteLength(text) }, { ...figures, deploy_ms, ...idle, pss_mb: memory(server.pid).pss_mb });
      await server.stop();
    }
  }
  return found.rows([...FIGURES, 'deploy_ms', 'idle_pss_mb', 'disk_mb']);
}

async function byConnections({ ms, rounds, only }) {
  const server = await startLode();
  const app = await server.deploy({ 'endpoints/presave.js': endpointOf(source) }, SETTINGS);
  const systems = [{ ...server, name: 'Lode', request: app.endpoint('presave', body) }];
  const skipped = [];
  const request = { path: '/', method: 'POST', headers: HEADERS, body };
  try {
    if (wanted('workerd', only)) systems.push({ ...await workerd('workerd', undefined, [{ name: 'main', source: moduleOf(source) }], request), request });
  } catch (error) {
    process.stderr.write(`skipped workerd: ${error.message}\n`);
    skipped.push({ system: 'workerd', why: error.message.split('\n')[0] });
  }
  const found = collect();
  for (let number = 0; number < rounds; number++) {
    for (const connections of CONNECTIONS) {
      for (const system of ordered(systems, number)) {
        const figures = await load({ origin: system.origin, request: system.request, expect: 200, connections, ms, warmUp: ms / 4 });
        found.add({ system: system.name, connections }, { ...figures, ...memory(system.pid) });
      }
    }
  }
  for (const system of systems) await system.stop();
  return { results: found.rows(FIGURES), skipped };
}

run(async () => {
  const how = options({ file: 'growth.json', ms: 3000, rounds: 3, quick: { ms: 500, rounds: 1 } });
  const before = loadAverage();
  const apps = await byApps(how);
  const size = await bySize(how);
  const connections = await byConnections(how);
  write(how, {
    versions: { workerd: version('workerd') },
    load_average: { before, after: loadAverage() },
    apps: { workload: 'presave as an endpoint of each app, asked in turn, 16 connections', results: apps },
    size: { workload: 'an endpoint that calls one of many functions, 1 connection', results: size },
    connections: { workload: 'presave as an endpoint', ...connections },
  });
  const figures = { '/s': 'per_s', 'p50 µs': 'p50_us', 'p99 µs': 'p99_us', 'PSS MB': 'pss_mb' };
  console.log(table(apps, { 'with apps': 'apps', ...figures }));
  console.log(`\n${table(size, { 'with bytes of source': 'bytes', 'deploy ms': 'deploy_ms', 'idle PSS MB': 'idle_pss_mb', 'disk MB': 'disk_mb', ...figures })}`);
  console.log(`\n${table(connections.results, { 'with connections': 'system', connections: 'connections', ...figures })}`);
});
