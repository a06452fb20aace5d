// Asynchronous runs and scheduled endpoints: at least once.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startCluster, tasks, until } from '../lib/cluster.mjs';
import { clientOf } from '../lib/http.mjs';
import { beat, endpoint, traced, traces } from './scripts.mjs';

const SCRIPTS = {
  'endpoints/traced.js': traced,
  'endpoints/beat.js': beat,
  'endpoints/throws.js': endpoint(`modules.collectionAccess.collection('traces').insert({ what: 'began', id: request.body.id }, function () {
    response.error('refused by the script');
  });`),
};
/** Longer than an API host leaves what is due alone, 0.5 s. */
const LOOK_MS = 700;
const ASYNC = { prefer: 'respond-async' };
const keyed = (key) => ({ headers: { ...ASYNC, 'idempotency-key': key } });

describe('asynchronous tasks', { concurrency: false, timeout: 600_000 }, () => {
  let cluster;
  before(async () => { cluster = await startCluster({ apis: 2, workers: 1 }); });
  after(() => cluster?.stop());

  /** A new app, and its clients at both hosts. */
  async function fresh(settings) {
    const app = await cluster.app(SCRIPTS, settings);
    return { app, clients: [0, 1].map((i) => clientOf(app.at(i))) };
  }

  function accepted(answer) {
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.headers.get('preference-applied'), 'respond-async');
    assert.equal(typeof answer.body.taskId, 'string');
    return answer.body.taskId;
  }

  const done = (client, id) => until(`${id} is done`, async () => (await traces(client, { what: 'done', id })).length > 0);
  const stateOf = async (app, id) => {
    for (const state of ['waiting', 'running', 'dead', 'done']) {
      if ((await tasks(cluster.apis[0], app, state)).some((task) => task.id === id)) return state;
    }
    return undefined;
  };

  it('one is accepted, and runs once', async () => {
    const { app, clients: [client] } = await fresh();
    const taskId = accepted(await client.master.run('traced', { id: 'a' }, { headers: ASYNC }));
    await done(client, 'a');
    await until('its state', async () => await stateOf(app, taskId) === 'done');
    await pause(LOOK_MS);
    const all = await traces(client);
    assert.deepEqual(all.map(({ what }) => what).sort(), ['began', 'done']);
    assert.deepEqual(new Set(all.map((trace) => trace.taskId)), new Set([taskId]), 'the script sees its taskId');
  });

  it('without the preference it is answered as ever', async () => {
    const { clients: [client] } = await fresh();
    const answer = await client.master.run('traced', { id: 'a' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('preference-applied'), null);
  });

  it('a user may, too; nobody may not; what is not there is not accepted', async () => {
    const { clients: [client] } = await fresh();
    const user = await client.user('una');
    accepted(await user.run('traced', { id: 'a' }, { headers: ASYNC }));
    await done(client, 'a');
    assert.equal((await client.nobody.run('traced', { id: 'b' }, { headers: ASYNC })).status, 401);
    assert.equal((await client.master.run('missing', {}, { headers: ASYNC })).status, 404);
  });

  it('the same Idempotency-Key is the same task, on every host', async () => {
    const { clients } = await fresh();
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => clients[i % 2].master.run('traced', { id: 'a' }, keyed('key 1'))));
    assert.equal(new Set(answers.map(accepted)).size, 1);
    await done(clients[0], 'a');
    const later = accepted(await clients[1].master.run('traced', { id: 'a' }, keyed('key 1')));
    assert.equal(later, answers[0].body.taskId);
    const other = accepted(await clients[1].master.run('traced', { id: 'b' }, keyed('key 2')));
    assert.notEqual(other, later);
    await done(clients[0], 'b');
    await pause(LOOK_MS);
    assert.equal((await traces(clients[0], { what: 'began', id: 'a' })).length, 1);
  });

  it('the same Idempotency-Key of another app is another task', async () => {
    const [one, two] = [await fresh(), await fresh()];
    const first = accepted(await one.clients[0].master.run('traced', { id: 'a' }, keyed('key')));
    const second = accepted(await two.clients[0].master.run('traced', { id: 'a' }, keyed('key')));
    assert.notEqual(first, second);
    await done(one.clients[0], 'a');
    await done(two.clients[0], 'a');
  });

  it('one whose script fails has run: it is not tried again', async () => {
    const { app, clients: [client] } = await fresh();
    const taskId = accepted(await client.master.run('throws', { id: 'a' }, { headers: ASYNC }));
    await until('it has ended', async () => ['done', 'dead'].includes(await stateOf(app, taskId)));
    // A second try would come after a second.
    await pause(1000 + LOOK_MS);
    assert.equal((await traces(client, { what: 'began' })).length, 1);
  });

  it('one is accepted while no worker is there, and runs when one is', async () => {
    const { clients: [client] } = await fresh();
    await Promise.all(cluster.workers.splice(0).map((worker) => worker.kill()));
    accepted(await client.master.run('traced', { id: 'a' }, { headers: ASYNC }));
    await pause(1000);
    await cluster.addWorker();
    await done(client, 'a');
    await pause(LOOK_MS);
    assert.equal((await traces(client, { what: 'began' })).length, 1);
  });

  it('one outlives Redis, and the host that accepted it', async () => {
    const { app, clients: [client] } = await fresh();
    await Promise.all(cluster.workers.splice(0).map((worker) => worker.kill()));
    const extra = await cluster.addApi();
    accepted(await clientOf(extra.known(app)).master.run('traced', { id: 'a' }, { headers: ASYNC }));
    await extra.kill();
    await cluster.redis.restart();
    await cluster.addWorker();
    await done(client, 'a');
  });

  it('one whose worker dies is tried again, as the same task', async () => {
    const { app, clients: [client] } = await fresh({ limits: { wallMs: 30_000 } });
    const taskId = accepted(await client.master.run('traced', { id: 'a', waitMs: 4000 }, { headers: ASYNC }));
    await until('it began', async () => (await traces(client, { what: 'began' })).length === 1);
    await Promise.all(cluster.workers.splice(0).map((worker) => worker.kill()));
    await cluster.addWorker();
    await done(client, 'a');
    await until('its state', async () => await stateOf(app, taskId) === 'done');
    const all = await traces(client);
    assert.deepEqual(all.map(({ what }) => what).sort(), ['began', 'began', 'done']);
    assert.deepEqual(new Set(all.map((trace) => trace.taskId)), new Set([taskId]));
  });

  it('one that never gets through is put aside, listed, tried again and purged', async () => {
    const { app, clients: [client] } = await fresh({ limits: { wallMs: 60_000 } });
    const taskId = accepted(await client.master.run('traced', { id: 'a', waitMs: 10_000 }, { headers: ASYNC }));
    // Each worker that takes it dies.
    const began = async () => (await traces(client, { what: 'began' })).length;
    for (let tries = 1; ; tries++) {
      await until('it began, or is put aside', async () => await began() >= tries || await stateOf(app, taskId) === 'dead');
      if (await began() < tries) break;
      assert.ok(tries <= 5, 'it is tried five times at most');
      await Promise.all(cluster.workers.splice(0).map((worker) => worker.kill()));
      await cluster.addWorker();
    }
    assert.equal((await traces(client, { what: 'began' })).length, 5);
    const listed = await cluster.apis[1].run(['queue', 'ls', '--app', app.key]);
    assert.equal(listed.code, 0, listed.stderr);
    assert.ok(listed.stdout.includes(taskId), listed.stdout);
    assert.match(listed.stdout, /dead/);

    const retried = await cluster.apis[1].run(['queue', 'retry', '--app', app.key, taskId]);
    assert.equal(retried.code, 0, retried.stderr);
    await until('a sixth run', async () => (await traces(client, { what: 'began' })).length === 6);
    await done(client, 'a');
    await until('its state', async () => await stateOf(app, taskId) === 'done');
  });

  it('one that is purged is gone', async () => {
    const { app, clients: [client] } = await fresh();
    await Promise.all(cluster.workers.splice(0).map((worker) => worker.kill()));
    const taskId = accepted(await client.master.run('traced', { id: 'a' }, { headers: ASYNC }));
    const purged = await cluster.apis[0].run(['queue', 'purge', '--app', app.key, taskId]);
    assert.equal(purged.code, 0, purged.stderr);
    assert.equal(await stateOf(app, taskId), undefined);
    await cluster.addWorker();
    await pause(3000);
    assert.deepEqual(await traces(client), []);
  });

  it('a scheduled endpoint runs once per beat, whatever number of API hosts there is', async () => {
    const { app, clients: [client] } = await fresh();
    const begun = Date.now();
    await app.settings({ schedules: [{ endpoint: 'beat', everyMs: 1000 }] });
    await until('three beats', async () => (await traces(client, { what: 'beat' })).length >= 3);
    await pause(1000 + LOOK_MS);
    await app.settings({ schedules: [] });
    const most = Math.floor((Date.now() - begun) / 1000) + 1;
    const beats = (await traces(client, { what: 'beat' })).length;
    assert.ok(beats <= most, `${beats} runs in ${most} beats`);
  });

  it('a schedule goes on when the host that kept it is killed', async () => {
    const { app, clients: [client] } = await fresh();
    await app.settings({ schedules: [{ endpoint: 'beat', everyMs: 1000 }] });
    const beats = async () => (await traces(client, { what: 'beat' })).length;
    await until('two beats', async () => await beats() >= 2);
    const other = clientOf(app.at(1));
    await cluster.apis[0].kill();
    const before = (await traces(other, { what: 'beat' })).length;
    await until('two more', async () => (await traces(other, { what: 'beat' })).length >= before + 2);
    cluster.apis.splice(0, 1);
    await cluster.addApi();
  });
});
