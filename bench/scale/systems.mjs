// The systems with the apps good, loop, memory, never and late, each app by itself as far as the system can: what is
// asked of one is `requestOf(app)`.
import { fileURLToPath } from 'node:url';
import { HOSTILITY } from '../http/hostility.mjs';
import { PARSE_HEADERS, denoRun, denoServe, nodeRun, parseServer, router, workerd } from '../http/systems.mjs';
import { body, source } from '../http/workload.mjs';
import { SETTINGS, endpointOf, moduleOf, startLode } from './apps.mjs';

export const HEADERS = { 'content-type': 'application/json' };
const byPath = (prefix = '/', headers = HEADERS) => (app) => ({ path: prefix + app, method: 'POST', headers, body });
const FIRST = byPath()('good');
export const host = (name) => fileURLToPath(new URL(`hosts/${name}.mjs`, import.meta.url));
const apps = [['good', source], ...Object.entries(HOSTILITY).map(([kind, text]) => [kind, `function handler() {${text}}`])];

async function lode() {
  const server = await startLode();
  const requests = {};
  for (const [name, text] of apps) {
    const hostile = `function onRequest(request, response, modules) {${HOSTILITY[name]}}`;
    const app = await server.deploy({ 'endpoints/run.js': name === 'good' ? endpointOf(text) : hostile }, name === 'good' ? SETTINGS : undefined);
    requests[name] = app.endpoint('run', body);
  }
  return { ...server, note: 'an app each, default limits; a fresh sandbox per run', requestOf: (app) => requests[app] };
}

// A module for all: `deno serve` runs one.
const TOGETHER = `const apps = {
${apps.map(([name, text]) => `  ${name}: (() => {${text}\nreturn handler; })(),`).join('\n')}
};
export default {
  async fetch(request) {
    return Response.json((await apps[new URL(request.url).pathname.slice(1)](await request.json())) ?? null);
  },
};`;

const withPaths = (start) => async (name) => ({ ...await start(name), requestOf: byPath() });
const nodeFlags = ['--no-node-snapshot'];

/** `{name: start}`. `postgres`: a server for who needs one. */
export function systemsOf(postgres) {
  // The same each time, for tables are made once in a database's life.
  let database;
  const parse = (name) => parseServer(name, 'cloud functions of one process', database ??= postgres.database());
  return {
    Lode: lode,
    workerd: withPaths((name) => workerd(name, 'a worker each, in one process: workerd has no limits of its own', [
      router(apps.map(([app]) => app)), ...apps.map(([app, text]) => ({ name: app, source: moduleOf(text) })),
    ], FIRST)),
    'deno serve': withPaths((name) => denoServe(name, 'all in one world', TOGETHER, FIRST)),
    'Deno, a Worker per app': withPaths((name) => denoRun(name, 'a thread per app, ended when it does not answer for 1 s', host('deno'), FIRST)),
    'Parse Server': async (name) => ({ ...await parse(name), requestOf: byPath('/parse/functions/', PARSE_HEADERS) }),
    'Node vm': withPaths((name) => nodeRun(name, 'a context per run, timeout 100 ms; no limit of memory', host('node'), FIRST, { env: { SANDBOX: 'node-vm' } })),
    'isolated-vm': withPaths((name) => nodeRun(name, 'an isolate per app, 64 MB, timeout 100 ms; a context per run', host('node'), FIRST, {
      env: { SANDBOX: 'isolated-vm' }, flags: nodeFlags,
    })),
  };
}
