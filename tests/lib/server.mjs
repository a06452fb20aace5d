// `lode serve` on loopback with a data directory of its own, and the command line to it.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, folderOf, remove, temporaryDirectory, tie } from './files.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The program under test. */
export const LODE = path.resolve(ROOT, process.env.LODE_BIN ?? 'target/release/lode');

/** Nothing of the caller's own server is to be asked. */
function environment(more) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('LODE_') || name === 'LODE_LOG');
  return { ...Object.fromEntries(kept), ...more };
}

/** Runs a command of the program: `{code, stdout, stderr}`. */
export function lode(args, { input = '' } = {}) {
  return new Promise((resolve, reject) => {
    const child = tie(spawn(LODE, args, { env: environment(), stdio: ['pipe', 'pipe', 'pipe'] }));
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

/** Waits for the line that says where the server listens. */
function listening(child, log) {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more) => {
      text += more;
      const found = /listens on (\S+)\n/.exec(text);
      if (found !== null) resolve(found[1].replace(/\/$/, ''));
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`lode serve ended (${signal ?? code}):\n${log()}`)));
  });
}

/** Starts a server. `store`: the URL of a database, SQLite in the data directory if absent. */
export async function startServer({ store, args = [], data = temporaryDirectory('data') } = {}) {
  if (!existsSync(LODE)) throw new Error(`${LODE} is missing: run make build, or set LODE_BIN`);
  let log = '';
  const all = ['serve', '--listen', '127.0.0.1:0', '--data', data, ...args];
  const env = environment(store === undefined ? {} : { LODE_STORE: store });
  const child = tie(spawn(LODE, all, { env, stdio: ['ignore', 'pipe', 'pipe'] }));
  child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
  const url = await listening(child, () => log);
  const at = ['--server', url, '--data', data];
  return {
    url,
    data,
    pid: child.pid,
    /** What it has said on standard error. */
    log: () => log,
    /** Whether it is still there. */
    lives: () => child.exitCode === null && child.signalCode === null,
    adminToken: () => readFileSync(path.join(data, 'admin-token'), 'utf8').trim(),
    /** Enables a disabled user, as the owner. */
    async restore(app, user) {
      const authorization = `Basic ${Buffer.from(`${app.key}:${app.masterSecret}`).toString('base64')}`;
      const answer = await fetch(`${url}/user/${app.key}/${user}/_restore`, { method: 'POST', headers: { authorization } });
      if (answer.status !== 204) throw new Error(`restoring ${user}: ${answer.status} ${await answer.text()}`);
    },
    /** Makes an app and gives a handle to it. */
    async app(name) {
      const made = JSON.parse(await succeed(['app', 'create', name, '--json', ...at]));
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
