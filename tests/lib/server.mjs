// `lode serve` and `lode worker` with data directories of their own, and the command line to them.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, folderOf, remove, temporaryDirectory, tie } from './files.mjs';
import { inside } from './network.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The program under test. */
export const LODE = path.resolve(ROOT, process.env.LODE_BIN ?? 'target/release/lode');

/** Nothing of the caller's own server is to be asked. */
function environment(more) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('LODE_') || name === 'LODE_LOG');
  return { ...Object.fromEntries(kept), ...more };
}

/** Runs a command of the program: `{code, stdout, stderr}`. */
export function lode(args, { input = '', env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = tie(spawn(LODE, args, { env: environment(env), stdio: ['pipe', 'pipe', 'pipe'] }));
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { out[name] += text; });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...out }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

async function succeed(args, options) {
  const done = await lode(args, options);
  if (done.code !== 0) throw new Error(`lode ${args[0]} ${args[1] ?? ''}: exit code ${done.code}\n${done.stderr}`);
  return done.stdout;
}

/** Starts the program; resolves with what `said` finds in its standard output. */
async function start(args, said, { env = {}, namespace }) {
  if (!existsSync(LODE)) throw new Error(`${LODE} is missing: run make build, or set LODE_BIN`);
  const [command, ...rest] = inside(namespace, [LODE, ...args]);
  const child = tie(spawn(command, rest, { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] }));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
  const found = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more) => {
      text += more;
      const match = said.exec(text);
      if (match !== null) resolve(match[1]);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`lode ${args[0]} ended (${signal ?? code}):\n${log}`)));
  });
  const process = {
    pid: child.pid,
    /** What it has said on standard error. */
    log: () => log,
    /** Whether it is still there. */
    lives: () => child.exitCode === null && child.signalCode === null,
    /** How it ended: its exit code, or the signal that ended it. */
    ended: () => child.exitCode ?? child.signalCode,
    /** It does nothing more, and no connection of it is closed, until `thaw`. */
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
  };
  return { child, found, process };
}

/** Where and how a program of ours finds the others. */
function wiring({ store, queue, env = {} }) {
  return {
    ...(store === undefined ? {} : { LODE_STORE: store }),
    ...(queue === undefined ? {} : { LODE_QUEUE: queue }),
    ...env,
  };
}

/**
 * Starts a worker of a queue. `namespace`: its network namespace (network.mjs). `env`: more of its environment.
 */
export async function startWorker({ queue, store, env, args = [], namespace, data = temporaryDirectory('data') }) {
  const all = ['worker', '--data', data, ...args];
  const { child, found, process } = await start(all, /worker (\S+) joined\n/, { env: wiring({ store, queue, env }), namespace });
  return {
    ...process,
    name: found,
    data,
    /** Asks it to end, which it does when it has done what it was given: its exit code. */
    async stop() {
      await end(child, 'SIGTERM');
      remove(data);
      return process.ended();
    },
    /** Ends it as a power cut would. */
    async kill() {
      await end(child, 'SIGKILL');
      remove(data);
    },
  };
}

/**
 * Starts a server. `store`: the URL of a database, SQLite in the data directory if absent. `queue`: the URL of the
 * Redis between it and its workers, none if absent. `namespace`, `host`: its network namespace, and its address there.
 */
export async function startServer({
  store, queue, env, args = [], namespace, host = '127.0.0.1', data = temporaryDirectory('data'),
} = {}) {
  const all = ['serve', '--listen', `${host}:0`, '--data', data, ...args];
  const started = await start(all, /listens on (\S+)\n/, { env: wiring({ store, queue, env }), namespace });
  const { child, process } = started;
  const url = started.found.replace(/\/$/, '');
  const at = ['--server', url, '--data', data];
  return {
    ...process,
    url,
    data,
    /** A command of the program to it. */
    run: (command, options) => lode([...command, ...at], options),
    adminToken: () => readFileSync(path.join(data, 'admin-token'), 'utf8').trim(),
    /** Enables a disabled user, as the owner. */
    async restore(app, user) {
      const authorization = `Basic ${Buffer.from(`${app.key}:${app.masterSecret}`).toString('base64')}`;
      const answer = await fetch(`${url}/user/${app.key}/${user}/_restore`, { method: 'POST', headers: { authorization } });
      if (answer.status !== 204) throw new Error(`restoring ${user}: ${answer.status} ${await answer.text()}`);
    },
    /** Makes an app and gives a handle to it. */
    async app(name, options = []) {
      return this.known(JSON.parse(await succeed(['app', 'create', name, '--json', ...options, ...at])));
    },
    /** A handle, at this server, to an app that another made. */
    known(made) {
      return {
        ...made,
        url,
        /** Deploys a folder's path or `{path: text}`. */
        async deploy(files) {
          const folder = typeof files === 'string' ? files : folderOf(files);
          try {
            return await succeed(['deploy', folder, '--app', made.key, ...at]);
          } finally {
            if (folder !== files) remove(folder);
          }
        },
        /** The same, for what is to be refused. */
        async tryDeploy(files) {
          const folder = folderOf(files);
          const done = await lode(['deploy', folder, '--app', made.key, ...at]);
          remove(folder);
          return done;
        },
        rollback: (number) => succeed(['rollback', '--app', made.key, ...(number === undefined ? [] : [`${number}`]), ...at]),
        settings: (settings) => succeed(['app', 'settings', made.key, '--set', '-', ...at], { input: JSON.stringify(settings) }),
        /** The last lines that its scripts logged. */
        async logs() {
          const text = await succeed(['logs', '--app', made.key, '--json', ...at]);
          return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
        },
      };
    },
    /** Asks it to end, and waits until it has. */
    async stop() {
      await end(child, 'SIGTERM');
      remove(data);
    },
    /** Ends it as a power cut would; its data stay. */
    kill: () => end(child, 'SIGKILL'),
  };
}
