// Hosts that come, go and die.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startCluster, until } from '../lib/cluster.mjs';
import { ask, basic, clientOf } from '../lib/http.mjs';
import { freePort } from '../lib/network.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { startWorker } from '../lib/server.mjs';
import { traced, traces } from './scripts.mjs';

const SCRIPTS = { 'endpoints/traced.js': traced };
/** A run may take a minute: what is answered much earlier was not answered by its deadline. */
const PATIENT = { limits: { wallMs: 60_000 }, budget: { timeMs: 60_000 } };

/** The platform's failure, of a run that may have happened. */
function isLost(answer) {
  assert.ok(['KinveyInternalErrorRetry', 'BLInternalError'].includes(answer.body.error), `${answer.status} ${answer.text}`);
  assert.ok([503, 550].includes(answer.status), answer.text);
}

describe('hosts', { concurrency: false, timeout: 180_000 }, () => {
  // Each test has a database of its own there.
  let postgres;
  let cluster;
  let app;
  let client;
  const begin = async (options, settings = PATIENT) => {
    cluster = await startCluster({ ...options, postgres });
    app = await cluster.app(SCRIPTS, settings);
    client = clientOf(app);
  };
  const began = (count = 1) => until(`${count} runs`, async () => (await traces(client, { what: 'began' })).length >= count);
  before(async () => { postgres = await startPostgres(); });
  after(() => postgres?.stop());
  beforeEach(() => { cluster = undefined; });
  afterEach(() => cluster?.stop());

  it('a worker that is killed: its runs are answered as lost, and not run again', async () => {
    await begin({ workers: 1 });
    const answers = ['a', 'b', 'c'].map((id) => client.master.run('traced', { id, waitMs: 50_000 }));
    await began(3);
    const asked = Date.now();
    await cluster.workers[0].kill();
    await cluster.addWorker();
    for (const answer of await Promise.all(answers)) isLost(answer);
    // By the lease's end, 3 s, and far from the deadline.
    assert.ok(Date.now() - asked < 20_000, 'the lost are answered long before their deadline');
    const after = await client.master.run('traced', { id: 'after' });
    assert.equal(after.status, 200, after.text);
    await pause(500);
    const counts = (await traces(client, { what: 'began' })).map(({ id }) => id).sort();
    assert.deepEqual(counts, ['a', 'after', 'b', 'c']);
  });

  it('a worker that was only asleep: its late answers are dropped, and it goes on', async () => {
    await begin({ workers: 1 });
    const answer = client.master.run('traced', { id: 'a', waitMs: 6000 });
    await began();
    cluster.workers[0].freeze();
    isLost(await answer);
    cluster.workers[0].thaw();
    await until('it works again', async () => (await client.master.run('traced', { id: 'b' })).status === 200);
    assert.ok(cluster.workers[0].lives());
    await pause(500);
    assert.equal((await traces(client, { what: 'began', id: 'a' })).length, 1);
    await until('an empty queue', async () => {
      const { queue } = await cluster.status();
      return queue.pending === 0 && queue.waiting === 0;
    });
  });

  it('a client that hangs up: its run ends on the worker, too', async () => {
    await begin({ workers: 1 });
    const leaving = new AbortController();
    const left = fetch(`${app.url}/rpc/${app.key}/custom/traced`, {
      method: 'POST',
      headers: { authorization: basic(app.key, app.masterSecret), 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'a', waitMs: 50_000 }),
      signal: leaving.signal,
    });
    await began();
    leaving.abort();
    await assert.rejects(left);
    await until('none under way', async () => {
      const { hosts, queue } = await cluster.status();
      return queue.pending === 0 && hosts.every(({ running }) => running === 0);
    });
    assert.equal((await client.master.run('traced', { id: 'b' })).status, 200);
    assert.deepEqual((await traces(client, { what: 'done' })).map(({ id }) => id), ['b']);
  });

  it('a worker that is asked to end: finishes what it was given, and takes no more', async () => {
    await begin({ workers: 1 });
    const answers = ['a', 'b', 'c'].map((id) => client.master.run('traced', { id, waitMs: 3000 }));
    await began(3);
    const ended = cluster.workers[0].stop();
    await cluster.addWorker();
    const late = client.master.run('traced', { id: 'late' });
    assert.equal(await ended, 0);
    for (const answer of await Promise.all([...answers, late])) assert.equal(answer.status, 200, answer.text);
    assert.equal((await traces(client, { what: 'began' })).length, 4);
    await until('it has left', async () => (await cluster.status()).hosts.filter(({ kind }) => kind === 'worker').length === 1);
  });

  it('an API host that is asked to end answers what is under way', async () => {
    await begin({ workers: 1 });
    const answer = client.master.run('traced', { id: 'a', waitMs: 3000 });
    await began();
    await cluster.apis[0].stop();
    assert.equal((await answer).status, 200);
  });

  it('a worker that joins takes part', async () => {
    await begin({ workers: 0 });
    const answers = ['a', 'b'].map((id) => client.master.run('traced', { id }));
    await cluster.addWorker();
    for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200, answer.text);
  });

  it('no worker at all: requests are answered by their deadline, and never run afterwards', async () => {
    await begin({ apis: 2, workers: 0 }, { budget: { timeMs: 3000 } });
    const asked = Date.now();
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => clientOf(app.at(i % 2)).master.run('traced', { id: `${i}` })));
    assert.ok(Date.now() - asked < 3000 + 2000, `answered after ${Date.now() - asked} ms of 3,000`);
    for (const answer of answers) {
      assert.equal(answer.status, 503, answer.text);
      assert.equal(answer.body.error, 'KinveyInternalErrorRetry');
    }
    await cluster.addWorker();
    const after = await client.master.run('traced', { id: 'after' });
    assert.equal(after.status, 200, after.text);
    await pause(500);
    assert.deepEqual((await traces(client, { what: 'began' })).map(({ id }) => id), ['after']);
  });

  it('no worker at all: an app may have so much waiting, on all hosts together, and no more', async () => {
    await begin({ apis: 2, workers: 0 }, { budget: { timeMs: 4000 }, quota: { concurrency: 2, queue: 3 } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => clientOf(app.at(i % 2)).master.run('traced', { id: `${i}` })));
    const full = answers.filter(({ status }) => status === 429);
    for (const answer of full) {
      assert.equal(answer.body.error, 'TooManyRequests');
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
    }
    const waited = answers.filter(({ status }) => status === 503);
    assert.equal(full.length + waited.length, 20, answers.map(({ status }) => status).join());
    assert.ok(waited.length >= 1 && waited.length <= 5, `${waited.length} were taken in, of 5 that may be`);
    // What has ended counts no more.
    await cluster.addWorker();
    await until('it is served again', async () => (await client.master.run('traced', { id: 'after' })).status === 200);
  });

  it('are shown by lode status, as long as they live', async () => {
    await begin({ apis: 2, workers: 2 });
    const { hosts, queue } = await cluster.status();
    assert.deepEqual(hosts.map(({ kind }) => kind).sort(), ['api', 'api', 'worker', 'worker']);
    for (const host of hosts) {
      assert.equal(typeof host.name, 'string');
      assert.match(host.version, /^\d+\.\d+\.\d+/);
      assert.ok(host.leaseMs > 0 && host.leaseMs <= 3000, `${host.leaseMs}`);
      assert.equal(typeof host.sinceMs, 'number');
      if (host.kind === 'worker') assert.equal(typeof host.children, 'number');
    }
    for (const figure of ['waiting', 'pending', 'bytes']) assert.equal(queue[figure], 0, figure);
    const names = cluster.workers.map(({ name }) => name);
    assert.deepEqual(hosts.filter(({ kind }) => kind === 'worker').map(({ name }) => name).sort(), [...names].sort());
    await cluster.workers[0].kill();
    await cluster.apis[1].kill();
    await until('the dead are gone', async () => (await cluster.status()).hosts.length === 2);
    const left = (await cluster.status()).hosts;
    assert.deepEqual(left.filter(({ kind }) => kind === 'worker').map(({ name }) => name), [names[1]]);
  });

  it('lode status shows what waits and what is under way', async () => {
    await begin({ workers: 0 });
    const waiting = client.master.run('traced', { id: 'a', waitMs: 4000 });
    await until('one that waits', async () => (await cluster.status()).queue.waiting === 1);
    assert.ok((await cluster.status()).queue.bytes > 0);
    assert.ok((await cluster.status()).queue.oldestMs >= 0);
    await cluster.addWorker();
    await until('one under way', async () => {
      const { queue } = await cluster.status();
      return queue.waiting === 0 && queue.pending === 1;
    });
    assert.equal((await waiting).status, 200);
    await until('none', async () => (await cluster.status()).queue.pending === 0);
  });

  it('a worker tells how it is', async () => {
    await begin({ workers: 0 });
    const address = `127.0.0.1:${await freePort()}`;
    const worker = await startWorker({ queue: cluster.queue, store: cluster.store, args: ['--listen', address] });
    cluster.workers.push(worker);
    assert.equal((await client.master.run('traced', { id: 'a' })).status, 200);
    assert.equal((await ask(`http://${address}/healthz`)).status, 200);
    const { status, text } = await ask(`http://${address}/metrics`);
    assert.equal(status, 200);
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    assert.deepEqual(names, [...new Set(names)], 'a figure has a name of its own');
    assert.equal(text.match(/^# EOF$/gm)?.length, 1, 'it ends once');
    for (const name of ['lode_queue_wait_seconds_count','lode_queue_wait_p95_seconds', 'lode_queue_waiting', 'lode_queue_lost_total', 'lode_queue_expired_total', 'lode_queue_reconnects_total']) {
      assert.ok(new RegExp(`^${name} \\d`, 'm').test(text), `${name} is missing`);
    }
  });
});
