// API hosts and workers on this machine, with a Redis and a PostgreSQL between them.
import { setTimeout as pause } from 'node:timers/promises';
import { ask } from './http.mjs';
import { startPostgres } from './postgres.mjs';
import { startRedis } from './redis.mjs';
import { lode, startServer, startWorker } from './server.mjs';

/**
 * Starts all of it. `redis`: its options (redis.mjs). `queue`: the URL of the queue, made of the Redis. `env`: of the
 * program. `postgres`: one that is there already, and stays.
 */
export async function startCluster({
  apis = 1, workers = 1, redis: options, queue: queueOf = (redis) => redis.url, env: envOf = () => ({}), args = [], workerArgs = [],
  postgres: shared,
} = {}) {
  const redis = await startRedis(options);
  const postgres = shared ?? await startPostgres();
  const store = postgres.database();
  const queue = queueOf(redis);
  const env = envOf(redis);
  const cluster = {
    redis,
    postgres,
    store,
    queue,
    apis: [],
    workers: [],
    async addApi() {
      const api = await startServer({ queue, store, env, args });
      cluster.apis.push(api);
      return api;
    },
    async addWorker() {
      const worker = await startWorker({ queue, store, env, args: workerArgs });
      cluster.workers.push(worker);
      return worker;
    },
    /** What `lode status` says. */
    async status() {
      const told = await lode(['status', '--json'], { env: { LODE_QUEUE: queue, ...env } });
      if (told.code !== 0) throw new Error(`lode status: exit code ${told.code}\n${told.stderr}`);
      return JSON.parse(told.stdout);
    },
    /** The last of what everybody has said. */
    logs: () => [...cluster.apis, ...cluster.workers].map((host, i) => `--- ${i}\n${host.log().slice(-3000)}`).join('\n'),
    /** An app of the first API host, deployed. `at(i)`: the same app at another. */
    async app(files, settings, create = []) {
      const app = await cluster.apis[0].app('app', create);
      if (settings !== undefined) await app.settings(settings);
      await app.deploy(files);
      return { ...app, at: (i) => cluster.apis[i].known(app) };
    },
    async stop() {
      for (const host of [...cluster.workers, ...cluster.apis]) await host.kill();
      if (shared === undefined) await postgres.stop();
      await redis.stop();
    },
  };
  for (let i = 0; i < apis; i++) await cluster.addApi();
  for (let i = 0; i < workers; i++) await cluster.addWorker();
  return cluster;
}

/** Waits until `found` gives something, and gives that. A minute at most: a machine that needs more has other troubles. */
export async function until(what, found) {
  let last;
  for (const begun = Date.now(); Date.now() - begun < 60_000;) {
    try {
      const value = await found();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await pause(100);
  }
  throw new Error(`never seen: ${what}${last === undefined ? '' : ` (${last.message})`}`);
}

/** The asynchronous tasks of an app, as its owner's operator sees them. */
export async function tasks(server, app, state) {
  const url = `${server.url}/admin/apps/${app.key}/tasks${state === undefined ? '' : `?state=${state}`}`;
  const { status, body, text } = await ask(url, { authorization: `Bearer ${server.adminToken()}` });
  if (status !== 200) throw new Error(`${url}: ${status} ${text}`);
  return body;
}
