// What can become of Redis, and how it is reached.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startCluster, until } from '../lib/cluster.mjs';
import { clientOf } from '../lib/http.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { startRedis } from '../lib/redis.mjs';
import { lode } from '../lib/server.mjs';
import { temporaryDirectory } from '../lib/files.mjs';
import { endpoint } from './scripts.mjs';

const BUDGET_MS = 5000;
const SCRIPTS = { 'endpoints/fine.js': endpoint('setTimeout(function () { response.body = { fine: true }; response.complete(200); }, 20);') };

describe('Redis under load', { concurrency: false, timeout: 180_000 }, () => {
  let cluster;
  let app;
  before(async () => {
    cluster = await startCluster({ apis: 2, workers: 2 });
    app = await cluster.app(SCRIPTS, { budget: { timeMs: BUDGET_MS }, quota: { concurrency: 100 } });
  });
  after(() => cluster?.stop());

  /** Requests go on while something happens; each is answered by its deadline, and soon all succeed again. */
  async function besides(something) {
    let over = false;
    const problems = [];
    let fine = 0;
    const loops = [0, 1].flatMap((i) => Array.from({ length: 8 }, async () => {
      const client = clientOf(app.at(i));
      while (!over) {
        const asked = Date.now();
        const answer = await client.master.run('fine').catch((error) => ({ status: 0, text: `${error.cause ?? error}` }));
        const took = Date.now() - asked;
        if (took > BUDGET_MS + 2000) problems.push(`answered after ${took} ms`);
        if (answer.status === 200) fine++;
        else if (![429, 503, 550].includes(answer.status) || answer.body.error === 'BLRuntimeError') problems.push(`${answer.status} ${answer.text}`);
        if (answer.status !== 200) await pause(50);
      }
    }));
    await pause(500);
    await something();
    try {
      await until('it is served again, on each host', async () => {
        for (const i of [0, 1]) {
          for (let n = 0; n < 10; n++) if ((await clientOf(app.at(i)).master.run('fine')).status !== 200) return false;
        }
        return true;
      });
    } finally {
      over = true;
      await Promise.all(loops);
    }
    assert.deepEqual(problems.slice(0, 10), [], `${problems.length} problems\n${cluster.logs()}`);
    assert.ok(fine > 0);
    for (const host of [...cluster.apis, ...cluster.workers]) assert.ok(host.lives());
    await until('nothing is left over', async () => {
      const { queue } = await cluster.status();
      return queue.waiting === 0 && queue.pending === 0 && queue.bytes === 0;
    });
  }

  it('is flushed: streams and groups are gone', () => besides(async () => {
    for (let n = 0; n < 5; n++) {
      await cluster.redis.call('FLUSHALL');
      await pause(300);
    }
  }));

  it('forgets its scripts', () => besides(() => cluster.redis.call('SCRIPT', 'FLUSH')));

  it('closes all connections', () => besides(async () => {
    await cluster.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }));

  it('is killed, and starts again empty', () => besides(() => cluster.redis.restart()));

  it('is gone for longer than a lease', () => besides(async () => {
    await cluster.redis.kill();
    await pause(4000);
    await cluster.redis.start();
  }));

  it('says nothing for longer than a lease', () => besides(async () => {
    cluster.redis.freeze();
    await pause(4000);
    cluster.redis.thaw();
  }));

  it('is out of memory: nothing is taken in, nothing is dropped', () => besides(async () => {
    await cluster.redis.call('CONFIG', 'SET', 'maxmemory', '1');
    await pause(1000);
    await cluster.redis.call('CONFIG', 'SET', 'maxmemory', '0');
  }));
});

describe('reaching Redis', { concurrency: false, timeout: 120_000 }, () => {
  let postgres;
  before(async () => { postgres = await startPostgres(); });
  after(() => postgres?.stop());

  async function works(options) {
    const cluster = await startCluster({ apis: 1, workers: 1, postgres, ...options });
    try {
      const app = await cluster.app(SCRIPTS);
      const answer = await clientOf(app).master.run('fine');
      assert.deepEqual(answer.body, { fine: true }, answer.text);
      assert.equal((await cluster.status()).hosts.length, 2);
      // It still does after the connections broke.
      await cluster.redis.restart();
      await until('it is served again', async () => (await clientOf(app).master.run('fine')).status === 200);
    } finally {
      await cluster.stop();
    }
  }

  const ACL = ['user admin on >s3cret-of-the-admin ~* &* +@all', 'user lode on >s3cret&of?lode ~{lode}:* resetchannels &{lode}:replies:* -@all +@pubsub +@read +@write +@stream +@scripting +@connection +@transaction +@keyspace +time +info -@dangerous'];

  it('with a password', () => works({ redis: { password: 'a password/with:odd@characters' } }));

  it('as a user who may touch nothing else', () => works({ redis: { acl: ACL }, queue: (redis) => redis.urlAs('lode', 's3cret&of?lode') }));

  it('over TLS', () => works({ redis: { tls: true, acl: ACL }, queue: (redis) => redis.urlAs('lode', 's3cret&of?lode'), env: trusting }));

  it('another database than the first', () => works({ queue: (redis) => redis.url.replace(/\/0$/, '/3') }));

  it('is refused, in words and without the password, if it is not the right one', async () => {
    const redis = await startRedis({ acl: ACL });
    for (const command of [['serve', '--listen', '127.0.0.1:0'], ['worker']]) {
      const env = { LODE_QUEUE: redis.urlAs('lode', 'wrong-password'), LODE_STORE: postgres.database() };
      const told = await lode([...command, '--data', temporaryDirectory('data')], { env });
      assert.notEqual(told.code, 0);
      assert.match(told.stderr, /queue|redis/i);
      assert.doesNotMatch(told.stderr + told.stdout, /wrong-password/);
    }
    await redis.stop();
  });

  it('is refused without a store that all hosts can share', async () => {
    const redis = await startRedis();
    for (const command of [['serve', '--listen', '127.0.0.1:0'], ['worker']]) {
      for (const env of [{}, { LODE_STORE: `sqlite:${temporaryDirectory('data')}` }]) {
        const told = await lode([...command, '--data', temporaryDirectory('data')], { env: { LODE_QUEUE: redis.url, ...env } });
        assert.equal(told.code, 2, told.stderr);
        assert.match(told.stderr, /one store for all/);
      }
    }
    await redis.stop();
  });

  it('is refused if nobody trusts its certificate', async () => {
    const redis = await startRedis({ tls: true });
    const told = await lode(['worker', '--data', temporaryDirectory('data')], { env: { LODE_QUEUE: redis.url, LODE_STORE: postgres.database() } });
    assert.notEqual(told.code, 0);
    assert.match(told.stderr, /certificate/i);
    await redis.stop();
  });
});

/** Trusts the test's own authority. */
function trusting(redis) {
  return { LODE_QUEUE_CA: redis.certificates.authority };
}
