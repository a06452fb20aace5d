// An app on many hosts is one app: whoever is asked, and whoever runs its scripts.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { startCluster, until } from '../lib/cluster.mjs';
import { ask, clientOf } from '../lib/http.mjs';
import { endpoint, hook } from './scripts.mjs';

const answers = (what) => ({ 'endpoints/which.js': endpoint(`response.body = { which: '${what}' }; response.complete(200);`) });

describe('apps on many hosts', { concurrency: false }, () => {
  let cluster;
  before(async () => { cluster = await startCluster({ apis: 2, workers: 2 }); });
  after(() => cluster?.stop());

  it('hooks run around a save', async () => {
    const app = await cluster.app({
      'collections/orders/onPreSave.js': hook('onPreSave', 'request.body.total = request.body.price * 2; response.continue();'),
      'collections/orders/onPostSave.js': hook('onPostSave', 'response.body.post = true; response.continue();'),
    });
    for (const i of [0, 1]) {
      const client = clientOf(app.at(i));
      const saved = await client.master.save('orders', { price: 21 });
      assert.equal(saved.status, 201, saved.text);
      assert.equal(saved.body.total, 42);
      assert.equal(saved.body.post, true);
      const found = await client.master.get('orders', `/${saved.body._id}`);
      assert.equal(found.body.total, 42);
    }
  });

  it('a script\'s failure is the script\'s, with its own file and line', async () => {
    const app = await cluster.app({ 'endpoints/throws.js': endpoint('null.name;') });
    const answer = await clientOf(app.at(1)).master.run('throws');
    assert.equal(answer.status, 550, answer.text);
    assert.equal(answer.body.error, 'BLRuntimeError');
    assert.match(answer.body.stack, /endpoints\/throws\.js:1/);
  });

  it('a script calls its own backend', async () => {
    const app = await cluster.app({
      'endpoints/inner.js': endpoint('response.body = { inner: true }; response.complete(200);'),
      'endpoints/outer.js': endpoint(`
        var context = modules.backendContext;
        modules.request.post({
          uri: context.getApiHost() + '/rpc/' + request.appKey + '/custom/inner',
          headers: { Authorization: 'Basic ' + modules.utils.base64.encode(context.getAppKey() + ':' + context.getMasterSecret()) },
          json: {},
        }, function (error, res, body) {
          response.body = error ? { error: error.message } : { status: res.statusCode, body: body };
          response.complete(200);
        });`),
    });
    for (const i of [0, 1]) {
      const answer = await clientOf(app.at(i)).master.run('outer');
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { status: 200, body: { inner: true } });
    }
  });

  it('the calls that a script makes at once have one budget between them', async () => {
    const app = await cluster.app({
      'endpoints/inner.js': endpoint('response.complete(200);'),
      'endpoints/fanout.js': endpoint(`
        var context = modules.backendContext, statuses = [];
        for (var i = 0; i < 8; i++) modules.request.post({
          uri: context.getApiHost() + '/rpc/' + request.appKey + '/custom/inner',
          headers: { Authorization: 'Basic ' + modules.utils.base64.encode(context.getAppKey() + ':' + context.getMasterSecret()) },
          json: {},
        }, function (error, res) {
          statuses.push(error ? error.message : res.statusCode);
          if (statuses.length === 8) { response.body = statuses.sort(); response.complete(200); }
        });`),
    }, { budget: { runs: 4 } });
    const answer = await clientOf(app.at(1)).master.run('fanout');
    assert.deepEqual(answer.body, [200, 200, 200, 550, 550, 550, 550, 550], answer.text);
  });

  it('what one host has deployed, all run', async () => {
    const app = await cluster.app(answers('first'));
    const clients = [0, 1].map((i) => clientOf(app.at(i)));
    const which = async () => Promise.all(clients.flatMap((client) => [client.master.run('which'), client.master.run('which')]));
    const allSay = (what) => until(`${what} everywhere`, async () => (await which()).every(({ body }) => body.which === what));
    for (const answer of await which()) assert.deepEqual(answer.body, { which: 'first' }, answer.text);
    await app.at(1).deploy(answers('second'));
    await allSay('second');
    await app.at(0).deploy(answers('third'));
    await allSay('third');
    await app.at(1).rollback();
    await allSay('second');
  });

  it('no request fails while an app is deployed', async () => {
    const app = await cluster.app(answers('0'));
    const clients = [0, 1].map((i) => clientOf(app.at(i)));
    let over = false;
    const failures = [];
    const asking = clients.flatMap((client) => Array.from({ length: 4 }, async () => {
      while (!over) {
        const answer = await client.master.run('which');
        if (answer.status !== 200) failures.push(answer.text);
      }
    }));
    for (let n = 1; n <= 6; n++) await app.at(n % 2).deploy(answers(String(n)));
    over = true;
    await Promise.all(asking);
    assert.deepEqual(failures, []);
  });

  it('settings of one host are settings of all', async () => {
    const app = await cluster.app({ 'endpoints/loop.js': endpoint('setTimeout(function () { response.complete(200); }, 5000);') });
    await app.at(0).settings({ limits: { wallMs: 200 } });
    await until('the wall limit on the other host', async () => {
      const answer = await clientOf(app.at(1)).master.run('loop');
      return answer.status === 550 && answer.body.error === 'BLTimeoutError';
    });
  });

  it('logs of runs are where their request was', async () => {
    const app = await cluster.app({ 'endpoints/says.js': endpoint('modules.logger.info("heard"); response.complete(200);') });
    await clientOf(app.at(1)).master.run('says');
    await until('the line', async () => (await app.at(1).logs()).some(({ text }) => text.includes('heard')));
  });

  it('an API host that joins has what there is', async () => {
    const app = await cluster.app(answers('known'));
    const joined = await cluster.addApi();
    const answer = await clientOf(joined.known(app)).master.run('which');
    assert.deepEqual(answer.body, { which: 'known' }, answer.text);
  });

  it('counts what it does, each figure under a name of its own', async () => {
    const server = cluster.apis[0];
    const { body: text, status } = await ask(`${server.url}/admin/metrics`, { authorization: `Bearer ${server.adminToken()}` });
    assert.equal(status, 200, text);
    assert.ok(/^lode_queue_waiting \d/m.test(text), 'lode_queue_waiting is missing');
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    assert.deepEqual(names, [...new Set(names)]);
    assert.equal((await ask(`${server.url}/admin/metrics`)).status, 401);
  });
});

describe('what a worker builds', { concurrency: false, timeout: 180_000 }, () => {
  let cluster;
  let app;
  let client;
  /** A task of the first deployment: its lane, and what a worker is told. */
  let stale;
  let number = 0;
  before(async () => {
    cluster = await startCluster({ workers: 0 });
    app = await cluster.app(answers('first'));
    client = clientOf(app);
    const first = client.master.run('which');
    stale = await until('a task', async () => {
      for (let n = 0; n < 8; n++) {
        const lane = `{lode}:tasks:${n}`;
        const [entry] = await cluster.redis.call('XRANGE', lane, '-', '+');
        if (entry !== undefined) return { lane, payload: entry[1][entry[1].indexOf('p') + 1] };
      }
      return undefined;
    });
    await cluster.addWorker();
    assert.deepEqual((await first).body, { which: 'first' });
  });
  after(() => cluster?.stop());

  const snapshots = () => {
    const [worker] = cluster.workers;
    return `${worker.data}/snapshots-${worker.pid}`;
  };

  /** Has ten tasks of the first deployment run: what the worker answers to each. */
  async function ask() {
    const { lane, payload } = stale;
    const host = `late${number++}`;
    for (let n = 0; n < 10; n++) {
      await cluster.redis.call('XADD', lane, '*', 'h', host, 'n', n, 'a', app.key, 'd', Date.now() + 20_000, 'p', payload);
    }
    const entries = await until('ten answers', async () => {
      const all = await cluster.redis.call('HVALS', `{lode}:replies:${host}`);
      return all.length === 10 ? all : undefined;
    });
    // `<number> answer <payload>`
    return entries.map((entry) => JSON.parse(entry.slice(entry.indexOf('{'))));
  }

  it('late tasks of an older deployment build nothing', async () => {
    await app.deploy(answers('second'));
    await until('the second', async () => (await client.master.run('which')).body.which === 'second');
    const before = readdirSync(snapshots());
    for (const { ended, overload } of await ask()) assert.deepEqual([ended, overload], ['Rejected', ['NotDeployed', 0]]);
    assert.deepEqual(readdirSync(snapshots()), before);
    assert.deepEqual((await client.master.run('which')).body, { which: 'second' });
  });

  it('what cannot be built is not run, not built for each task, and built when it can be', async () => {
    const failures = () => cluster.workers[0].log().split('a deployment cannot be run').length - 1;
    rmSync(snapshots(), { recursive: true });
    const begun = Date.now();
    await app.deploy(answers('third'));
    for (let n = 0; n < 10; n++) {
      const answer = await client.master.run('which');
      assert.equal(answer.body.error, 'BLInternalError', answer.text);
    }
    for (const { ended, overload } of await ask()) assert.deepEqual([ended, overload], ['Rejected', ['NotDeployed', 0]]);
    // At first, and every five seconds.
    const most = 1 + Math.floor((Date.now() - begun) / 5000);
    assert.ok(failures() >= 1 && failures() <= most, `${failures()} builds, of ${most} at most`);
    mkdirSync(snapshots());
    await until('the third', async () => (await client.master.run('which')).body.which === 'third');
  });
});
