// The peers as processes that serve HTTP on loopback. Each is `{name, note, origin, pid, child, lives, stop}`.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { end, remove, temporaryDirectory, tie } from '../../tests/lib/files.mjs';
import { freePort } from '../../tests/lib/network.mjs';
import { body } from './workload.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => here(`node_modules/.bin/${name}`);

/** The installed version of a package of this folder (or of another's), or null. */
export function version(name, folder = '.') {
  const file = new URL(`${folder}/node_modules/${name}/package.json`, import.meta.url);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null;
}

/**
 * Starts what `start(folder, port)` gives as `{file, args, env}` and waits for the first answer to `first`, a request:
 * `started_ms` is how long that took from the spawn on. Asks every 2 ms, later at each hundredth of the time that has
 * passed: asking takes processor time of what is starting, and more precision is worth nothing.
 * `watching` is given the process at once, for whoever wants to end it before.
 */
export async function startPeer({ name, note, first, start, patience = 60_000, watching = () => {} }) {
  const port = await freePort();
  const folder = temporaryDirectory('peer');
  const { file, args, env } = start(folder, port);
  const spawned = performance.now();
  const child = tie(spawn(file, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } }));
  let log = '';
  child.once('error', (error) => { log += error.message; });
  child.stderr.setEncoding('utf8').on('data', (text) => { log = (log + text).slice(-20_000); });
  const lives = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  const stop = async () => {
    if (child.pid !== undefined) await end(child, 'SIGKILL');
    remove(folder);
  };
  watching(child);
  const origin = `http://127.0.0.1:${port}`;
  for (;;) {
    try {
      const { path: at = '/', ...asked } = first;
      const answer = await fetch(origin + at, asked);
      await answer.arrayBuffer();
      break;
    } catch (error) {
      if (!lives() || performance.now() - spawned > patience) {
        await stop();
        throw new Error(`${name} does not answer: ${error.cause ?? error}\n${log}`);
      }
      await pause(Math.max(2, (performance.now() - spawned) / 100));
    }
  }
  return { name, note, origin, pid: child.pid, child, lives, stop, log: () => log, started_ms: performance.now() - spawned };
}

// The first worker takes the requests; the others are bound to it by their names.
const worker = ({ name, bindings = [] }) => `const ${name} :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "${name}.mjs")],
  compatibilityDate = "2026-01-01",
  bindings = [${bindings.map((bound) => `(name = "${bound}", service = "${bound}")`).join(', ')}],
);
`;

/** workerd with `workers`, `[{name, source, bindings}]`, all of one process. Names are letters and digits. */
export const workerd = (name, note, workers, first, more = {}) => startPeer({
  name,
  note,
  first,
  start(folder, port) {
    for (const { name: file, source } of workers) writeFileSync(path.join(folder, `${file}.mjs`), source);
    writeFileSync(path.join(folder, 'config.capnp'), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [${workers.map(({ name: service }) => `(name = "${service}", worker = .${service})`).join(', ')}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "${workers[0].name}")],
);
${workers.map(worker).join('')}`);
    return { file: bin('workerd'), args: ['serve', path.join(folder, 'config.capnp')] };
  },
  ...more,
});

/** A worker that passes a request to the one that the path names. */
export const router = (names) => ({
  name: 'router',
  bindings: names,
  source: `export default {
  fetch: (request, env) => env[new URL(request.url).pathname.slice(1)].fetch(request),
};`,
});

const DENO = (folder) => ({ DENO_DIR: folder, DENO_NO_UPDATE_CHECK: '1', DENO_JOBS: '2' });

/** `deno serve` of a module's text. */
export const denoServe = (name, note, text, first, more = []) => startPeer({
  name,
  note,
  first,
  start(folder, port) {
    writeFileSync(path.join(folder, 'worker.mjs'), text);
    const args = ['serve', '--no-config', '--no-lock', ...more, '--host', '127.0.0.1', '--port', `${port}`, path.join(folder, 'worker.mjs')];
    return { file: bin('deno'), args, env: DENO(folder) };
  },
});

/** `deno run` of a program that is told its port by PORT. */
export const denoRun = (name, note, file, first, env = {}) => startPeer({
  name,
  note,
  first,
  start: (folder, port) => ({
    file: bin('deno'),
    args: ['run', '--no-config', '--no-lock', '--unstable-worker-options', '--allow-net=127.0.0.1', '--allow-env', '--allow-read', file],
    env: { ...DENO(folder), PORT: `${port}`, ...env },
  }),
});

/** A Node program that is told its port by PORT. */
export const nodeRun = (name, note, file, first, { env = {}, flags = [], ...more } = {}) => startPeer({
  name,
  note,
  first,
  start: (folder, port) => ({ file: process.execPath, args: [...flags, file], env: { PORT: `${port}`, NODE_ENV: 'production', ...env } }),
  ...more,
});

export const PARSE_HEADERS = {
  'x-parse-application-id': 'bench', 'x-parse-rest-api-key': 'bench-rest', 'content-type': 'application/json',
};

/** Parse Server on a database of PostgreSQL, in so many processes. */
export const parseServer = (name, note, database, workers = 1) => nodeRun(name, note, here('parse.mjs'), {
  path: '/parse/functions/good', method: 'POST', headers: PARSE_HEADERS, body,
}, { env: { DATABASE: database, WORKERS: `${workers}` } });
