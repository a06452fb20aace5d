// An endpoint that runs the presave workload on an order and answers the result: Lode, with a fresh sandbox for each
// request, and warm `workerd` and `deno serve`, which keep one world for all.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory, tie, end } from '../../tests/lib/files.mjs';
import { ask, basic, clientOf } from '../../tests/lib/http.mjs';
import { freePort } from '../../tests/lib/network.mjs';
import { startServer } from '../../tests/lib/server.mjs';
import { measure, options, print, ratios, write } from './report.mjs';
import { body, check, source } from './workload.mjs';

const SCRIPT = `${source}
function onRequest(request, response, modules) {
  response.body = handler(request.body);
  response.complete(200);
}`;

// The same as the peers' own interface has it.
const MODULE = `${source}
export default {
  async fetch(request) {
    return Response.json(handler(await request.json()));
  },
};`;

async function lode(name, who) {
  const server = await startServer();
  const app = await server.app('bench');
  await app.settings({ quota: { concurrency: 128 } });
  await app.deploy({ 'endpoints/presave.js': SCRIPT });
  const client = clientOf(app);
  const user = await client.user('buyer');
  const authorization = who === 'user' ? `Kinvey ${user.token}` : basic(app.key, app.masterSecret);
  return {
    name,
    note: who === 'user' ? 'a fresh sandbox per request; a user\'s session is looked up' : 'a fresh sandbox per request; the owner\'s secret',
    origin: server.url,
    pid: server.pid,
    path: `/rpc/${app.key}/custom/presave`,
    headers: { authorization, 'content-type': 'application/json' },
    stop: () => server.stop(),
  };
}

const bin = (name) => fileURLToPath(new URL(`node_modules/.bin/${name}`, import.meta.url));

async function peer(name, note, start) {
  const port = await freePort();
  const folder = temporaryDirectory('peer');
  const { file, args } = start(folder, port);
  const child = tie(spawn(file, args, {
    cwd: folder, stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, DENO_DIR: folder, DENO_NO_UPDATE_CHECK: '1', DENO_JOBS: '2' },
  }));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
  const origin = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    try {
      await ask(origin, { method: 'POST', body });
      break;
    } catch (error) {
      if (child.exitCode !== null || tries === 300) throw new Error(`${name} does not answer: ${error.cause ?? error}\n${log}`);
      await pause(100);
    }
  }
  return { name, note, origin, pid: child.pid, path: '/', headers: { 'content-type': 'application/json' }, stop: () => end(child, 'SIGKILL') };
}

const workerd = (name) => peer(name, 'one isolate for all requests', (folder, port) => {
  writeFileSync(path.join(folder, 'worker.mjs'), MODULE);
  writeFileSync(path.join(folder, 'config.capnp'), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-01-01",
);
`);
  return { file: bin('workerd'), args: ['serve', path.join(folder, 'config.capnp')] };
});

const deno = (name, more, note) => peer(name, note, (folder, port) => {
  writeFileSync(path.join(folder, 'worker.mjs'), MODULE);
  return {
    file: bin('deno'),
    args: ['serve', '--no-config', '--no-lock', ...more, '--host', '127.0.0.1', '--port', String(port), path.join(folder, 'worker.mjs')],
  };
});

const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;

async function main() {
  const { ms, rounds, only, out } = options();
  const before = loadavg();
  const makers = {
    'Lode, as a user': (name) => lode(name, 'user'),
    'Lode, as the owner': (name) => lode(name, 'owner'),
    workerd,
    'deno serve': (name) => deno(name, [], 'one world for all requests'),
    'deno serve --parallel': (name) => deno(name, ['--parallel'], 'one world per processor for all requests'),
  };
  const systems = [];
  for (const [name, make] of Object.entries(makers)) {
    if (only !== undefined && !only.some((part) => name.includes(part))) continue;
    const system = await make(name);
    const { path: at, headers, origin } = system;
    const answer = await ask(origin + at, { method: 'POST', headers, body });
    check(name, answer.body.order);
    systems.push({ ...system, request: { path: at, method: 'POST', headers, body }, expect: 200 });
  }
  const results = await measure(systems, { ms, rounds });
  for (const system of systems) await system.stop();
  const found = ratios(results, (name) => name.startsWith('Lode'));
  write(out, 'endpoint', {
    workload: 'presave as an endpoint',
    workerd: version('workerd'),
    deno: version('deno'),
    load_average: { before, after: loadavg() },
    ms_per_cell: ms,
    rounds,
    results,
    ratios: found,
  });
  print('endpoint', results, found);
}

main().then(() => process.exit(0), (error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
