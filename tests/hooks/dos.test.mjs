// What a script can do to the platform, through HTTP: the four slides of the talk ("Denial of service"), and what
// scripts that call their own backend could add. Each app stands alone: a neighbour's requests succeed meanwhile.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { basic, clientOf } from '../lib/http.mjs';
import { startServer } from '../lib/server.mjs';

const endpoint = (body) => `function onRequest(request, response, modules) { ${body} }`;
const hook = (name, body) => `function ${name}(request, response, modules) { ${body} }`;

/** An own-backend call with the run's master token, for scripts that need one. */
const CALL = `
  function call(modules, method, path, body, done) {
    var context = modules.backendContext;
    var credentials = context.getAppKey() + ':' + context.getMasterSecret();
    modules.request.request({
      method: method,
      uri: context.getApiHost() + path,
      headers: { Authorization: 'Basic ' + modules.utils.base64.encode(credentials) },
      json: body,
    }, done);
  }`;

const scripts = (silent) => ({
  // Slide one: it never ends.
  'endpoints/loop.js': endpoint('while (true) {}'),
  'collections/loop/onPreSave.js': hook('onPreSave', 'while (true) {}'),
  'collections/looppost/onPostSave.js': hook('onPostSave', 'while (true) {}'),
  'endpoints/regex.js': endpoint('/^(a+)+$/.test("a".repeat(64) + "b"); response.complete();'),
  'endpoints/promises.js': endpoint('(function again() { Promise.resolve().then(again); })();'),
  'endpoints/memory.js': endpoint('var all = []; while (true) all.push(new Array(100000).fill(all.length));'),
  // Slide two: it starts something and never completes.
  'collections/returns/onPreSave.js': hook('onPreSave', ''),
  'collections/promise/onPreSave.js': hook('onPreSave', 'new Promise(function () {}).then(function () { response.continue(); });'),
  'collections/timer/onPreSave.js': hook('onPreSave', 'setTimeout(function () { response.continue(); }, 100000);'),
  'collections/hostcall/onPreSave.js': hook('onPreSave', `
    modules.collectionAccess.collection('returns').find({}, function (error, found) { /* and then nothing */ });`),
  'collections/silent/onPreSave.js': hook('onPreSave', `
    modules.request.get('${silent}', function (error) { response.continue(); });`),
  'endpoints/returns.js': endpoint(''),
  // Slide three: it throws after everything is over.
  'endpoints/late.js': endpoint(`
    setTimeout(function () { throw new Error('too late'); }, 100000);
    response.body = { done: true };
    response.complete(200);`),
  'collections/late/onPreSave.js': hook('onPreSave', `
    setTimeout(function () { throw new Error('too late'); }, 100000);
    Promise.resolve().then(function () { throw new Error('unheard'); });
    request.body.seen = true;
    response.continue();`),
  // Slide four: it throws at once.
  'endpoints/throws.js': endpoint('var order = {}; response.body = order.customer.name; response.complete();'),
  'collections/throws/onPreSave.js': hook('onPreSave', 'throw new Error("refused by the script");'),
  'collections/postthrows/onPostSave.js': hook('onPostSave', 'throw new Error("thrown after the save");'),
  'endpoints/throwsodd.js': endpoint('throw { toString: function () { throw new Error("odd"); } };'),
  // Scripts that call their own backend.
  'endpoints/self.js': `${CALL} function onRequest(request, response, modules) {
    call(modules, 'POST', '/rpc/' + request.appKey + '/custom/self', {}, function (error, res, body) {
      if (error) return response.error(error.message);
      response.body = { status: res.statusCode, body: body };
      response.complete(200);
    });
  }`,
  'endpoints/ping.js': `${CALL} function onRequest(request, response, modules) {
    call(modules, 'POST', '/rpc/' + request.appKey + '/custom/pong', {}, function (error, res, body) {
      response.body = { status: res && res.statusCode, body: body };
      response.complete(200);
    });
  }`,
  'endpoints/pong.js': `${CALL} function onRequest(request, response, modules) {
    call(modules, 'POST', '/rpc/' + request.appKey + '/custom/ping', {}, function (error, res, body) {
      response.body = { status: res && res.statusCode, body: body };
      response.complete(200);
    });
  }`,
  'collections/deep/onPreSave.js': `${CALL} function onPreSave(request, response, modules) {
    call(modules, 'POST', '/appdata/' + request.appKey + '/deep', { by: 'script' }, function (error, res, body) {
      request.body.inner = { status: res && res.statusCode, body: body };
      response.continue();
    });
  }`,
  'collections/fan/onPreSave.js': hook('onPreSave', 'response.continue();'),
  'endpoints/fanout.js': `${CALL} function onRequest(request, response, modules) {
    var answers = [];
    var wanted = request.body.times;
    for (var i = 0; i < wanted; i++) {
      call(modules, 'POST', '/appdata/' + request.appKey + '/fan', { i: i }, function (error, res, body) {
        answers.push(error ? error.message : res.statusCode === 201 ? 'ok' : body.error);
        if (answers.length < wanted) return;
        response.body = answers.sort();
        response.complete(200);
      });
    }
  }`,
  'endpoints/tokens.js': `${CALL} function onRequest(request, response, modules) {
    var context = modules.backendContext;
    call(modules, 'GET', '/user/' + request.appKey + '?query={}', undefined, function (error, res, body) {
      response.body = {
        master: context.getMasterSecret(), app: context.getAppSecret(), inside: res && res.statusCode,
      };
      response.complete(200);
    });
  }`,
  'endpoints/openwindow.js': endpoint(`
    var context = modules.backendContext;
    modules.collectionAccess.collection('tokens').insert({ _id: request.body.name, token: context.getMasterSecret() }, function () {
      setTimeout(function () { response.complete(200); }, 3000);
    });`),
  'endpoints/fine.js': endpoint('response.body = { fine: true }; response.complete(200);'),
});

/** What no client is ever to read: parts of this machine, of the platform's own sources, and of its engine. */
const INTERNALS = /wasm|quickjs|rust|tokio|panick|\.rs\b|\/work|\/tmp|\/root|\/home|\/proc|primordials|run\.js|<input>|sandbox|worker|socket/i;

/** Checks what a client gets of a script's failure. */
function isFailure(answer, error, debug = /./) {
  assert.equal(answer.status, 550, answer.text);
  assert.equal(answer.body.error, error, answer.text);
  assert.match(answer.body.debug, debug);
  assert.deepEqual(Object.keys(answer.body).sort(), ['debug', 'description', 'error'], 'a client sees no stack');
  assert.doesNotMatch(answer.text, INTERNALS);
}

describe('denial of service', { concurrency: false }, () => {
  let server;
  let silent;
  let app;
  let client;
  let user;
  let neighbour;

  /** Runs something while the neighbour goes on; checks that all of its requests succeed, one at least. */
  async function besides(something) {
    let over = false;
    const watched = (async () => {
      let requests = 0;
      do {
        const saved = await neighbour.save('orders', { price: 2, quantity: requests });
        assert.equal(saved.status, 201, saved.text);
        assert.equal(saved.body.total, 2 * requests);
        const answer = await neighbour.run('fine');
        assert.deepEqual(answer.body, { fine: true });
        requests++;
      } while (!over);
      return requests;
    })();
    // Failing here must not wait for what goes on.
    watched.catch(() => {});
    try {
      return await Promise.race([something(), watched.then(() => new Promise(() => {}))]);
    } finally {
      over = true;
      assert.ok(await watched > 0);
      assert.ok(server.lives());
    }
  }

  /** An app of its own for each test: none is to suffer for the faults of another. */
  async function fresh(settings = {}) {
    const made = await server.app('hostile');
    await made.settings({ allow: [`http://127.0.0.1:${silent.address().port}`], limits: { wallMs: 2000 }, ...settings });
    await made.deploy(scripts(`http://127.0.0.1:${silent.address().port}/`));
    app = made;
    client = clientOf(made);
    user = await client.user('mallory');
  }

  before(async () => {
    // Takes connections and never says a word.
    silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    server = await startServer({ args: ['--allow-networks', '127.0.0.1/32'] });
    const other = await server.app('neighbour');
    await other.deploy({
      'collections/orders/onPreSave.js': hook('onPreSave', 'request.body.total = request.body.price * request.body.quantity; response.continue();'),
      'endpoints/fine.js': endpoint('response.body = { fine: true }; response.complete(200);'),
    });
    neighbour = await clientOf(other).user('nora');
  });

  after(async () => {
    await server?.stop();
    silent?.close();
  });

  beforeEach(() => fresh());

  describe('one: a script that never ends', () => {
    it('in an endpoint', () => besides(async () => isFailure(await user.run('loop'), 'BLTimeoutError', /cpu/)));

    it('in a pre-hook: nothing is saved', () => besides(async () => {
      isFailure(await user.save('loop', { n: 1 }), 'BLTimeoutError', /cpu/);
      assert.deepEqual((await user.get('loop')).body, []);
    }));

    it('in a post-hook: what was saved is saved', () => besides(async () => {
      isFailure(await user.save('looppost', { n: 1 }), 'BLTimeoutError', /cpu/);
      assert.equal((await user.get('looppost')).body.length, 1);
    }));

    it('in a regular expression', () => besides(async () => {
      isFailure(await user.run('regex'), 'BLTimeoutError', /cpu/);
    }));

    it('in promises without end', () => besides(async () => {
      isFailure(await user.run('promises'), 'BLTimeoutError', /cpu/);
    }));

    it('in memory without end', () => besides(async () => {
      const answer = await user.run('memory');
      assert.ok(['BLViolationError', 'BLTimeoutError', 'BLRuntimeError'].includes(answer.body.error), answer.text);
      isFailure(answer, answer.body.error);
    }));
  });

  describe('two: a script that never completes', () => {
    for (const [collection, how] of [
      ['returns', 'it just returns'],
      ['promise', 'it waits for a promise that nobody keeps'],
      ['hostcall', 'it forgets about a host call\'s answer'],
      ['timer', 'it waits for 100 s'],
      ['silent', 'it waits for a server that never answers'],
    ]) {
      it(how, () => besides(async () => {
        isFailure(await user.save(collection, { n: 1 }), 'BLTimeoutError');
        assert.equal((await user.get(collection, '/_count')).body.count, 0);
      }));
    }

    it('in an endpoint', () => besides(async () => isFailure(await user.run('returns'), 'BLTimeoutError')));
  });

  describe('three: a script that throws when it is over', () => {
    it('in an endpoint: the client has the answer', () => besides(async () => {
      const answer = await user.run('late');
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { done: true });
    }));

    it('in a pre-hook: the entity is saved', () => besides(async () => {
      const answer = await user.save('late', { n: 1 });
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.seen, true);
    }));

    it('many at once, and the server lives on', () => besides(async () => {
      const answers = await Promise.all(Array.from({ length: 32 }, () => user.run('late')));
      for (const answer of answers) assert.equal(answer.status, 200, answer.text);
      assert.deepEqual((await user.run('fine')).body, { fine: true });
    }));
  });

  describe('four: a script that is wrong', () => {
    it('throws in an endpoint', () => besides(async () => {
      isFailure(await user.run('throws'), 'BLRuntimeError', /TypeError/);
    }));

    it('throws in a pre-hook: nothing is saved', () => besides(async () => {
      isFailure(await user.save('throws', { n: 1 }), 'BLRuntimeError', /refused by the script/);
      assert.equal((await user.get('throws', '/_count')).body.count, 0);
    }));

    it('throws in a post-hook: what was saved is saved', () => besides(async () => {
      isFailure(await user.save('postthrows', { n: 1 }), 'BLRuntimeError', /thrown after the save/);
      assert.equal((await user.get('postthrows', '/_count')).body.count, 1);
    }));

    it('throws what throws when it is read', () => besides(async () => {
      isFailure(await user.run('throwsodd'), 'BLRuntimeError');
    }));

    it('the owner sees where, in their own files only', async () => {
      const answer = await client.master.run('throws');
      assert.equal(answer.status, 550);
      assert.equal(answer.body.error, 'BLRuntimeError');
      assert.match(answer.body.stack, /endpoints\/throws\.js:1/);
      assert.doesNotMatch(answer.text, INTERNALS);
    });

    it('the owner finds it in the log', async () => {
      const failed = await user.run('throws');
      const lines = await app.logs();
      const line = lines.find(({ request }) => request === failed.headers.get('x-kinvey-request-id'));
      assert.equal(line.level, 'outcome');
      assert.equal(line.handler, 'throws');
      assert.match(line.text, /TypeError/);
      assert.match(line.text, /endpoints\/throws\.js:1/);
    });

    it('does not parse: it is not deployed, and what was goes on', () => besides(async () => {
      const refused = await app.tryDeploy({
        'endpoints/fine.js': endpoint('response.complete(200);'),
        'endpoints/broken.js': 'function onRequest(request, response, modules) {\n  var a = 1;\n  var b = (a;\n  response.complete();\n}\n',
      });
      assert.equal(refused.code, 1, refused.stderr);
      assert.match(refused.stderr, /BLSyntaxError/);
      assert.match(refused.stderr, /endpoints\/broken\.js:3/);
      assert.match(refused.stderr, /3 \| {3}var b = \(a;/);
      assert.match(refused.stderr, /\^/);
      assert.doesNotMatch(refused.stderr, /primordials|wasm|\.rs\b/);
      assert.deepEqual((await user.run('fine')).body, { fine: true });
    }));

    it('throws while it is deployed: it is not deployed, and what was goes on', () => besides(async () => {
      const refused = await app.tryDeploy({ 'endpoints/fine.js': `undefined.nothing;\n${endpoint('response.complete(200);')}` });
      assert.equal(refused.code, 1, refused.stderr);
      assert.match(refused.stderr, /BLRuntimeError/);
      assert.match(refused.stderr, /endpoints\/fine\.js:1/);
      assert.deepEqual((await user.run('fine')).body, { fine: true });
    }));

    it('never ends while it is deployed: the same', () => besides(async () => {
      const refused = await app.tryDeploy({ 'endpoints/fine.js': `while (true) {}\n${endpoint('response.complete(200);')}` });
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /BLTimeoutError/);
      assert.deepEqual((await user.run('fine')).body, { fine: true });
    }));
  });

  describe('scripts that call their own backend', () => {
    it('an endpoint that calls itself is refused', () => besides(async () => {
      const answer = await user.run('self');
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.status, 550);
      assert.equal(answer.body.body.error, 'BLViolationError');
      assert.match(answer.body.body.debug, /calls itself/);
    }));

    it('so are two that call each other', () => besides(async () => {
      const answer = await user.run('ping');
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.status, 200);
      assert.equal(answer.body.body.status, 550);
      assert.equal(answer.body.body.body.error, 'BLViolationError');
    }));

    it('a hook that saves into its own collection ends after a few levels', () => besides(async () => {
      const answer = await user.save('deep', { by: 'client' });
      assert.equal(answer.status, 201, answer.text);
      let levels = 0;
      let at = answer.body;
      while (at?.inner !== undefined) {
        levels++;
        at = at.inner.body;
      }
      assert.ok(levels >= 2 && levels <= 5, `${levels} levels`);
      assert.equal(at.error, 'BLViolationError', JSON.stringify(answer.body));
      assert.match(at.debug, /levels deep/);
    }));

    it('a budget of runs ends a fan-out', async () => {
      await fresh({ budget: { runs: 6 } });
      await besides(async () => {
        const answer = await user.run('fanout', { times: 12 });
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.body, [...Array(7).fill('BLViolationError'), ...Array(5).fill('ok')]);
        assert.equal((await client.master.get('fan', '/_count')).body.count, 5);
      });
    });

    it('the next request has a budget of its own', async () => {
      await fresh({ budget: { runs: 6 } });
      for (let i = 0; i < 3; i++) {
        const answer = await user.run('fanout', { times: 5 });
        assert.deepEqual(answer.body, Array(5).fill('ok'), answer.text);
      }
    });

    it('a run\'s tokens are worth nothing outside of it', async () => {
      const answer = await user.run('tokens');
      assert.equal(answer.status, 200, answer.text);
      const { master, app: appToken, inside } = answer.body;
      assert.equal(inside, 200, 'within the run it is the master secret');
      assert.equal(typeof master, 'string');
      assert.notEqual(master, app.masterSecret);
      assert.notEqual(appToken, app.appSecret);
      for (const token of [master, appToken]) {
        for (const authorization of [basic(app.key, token), `Kinvey ${token}`, `Bearer ${token}`]) {
          for (const path of [`/appdata/${app.key}`, `/appdata/${app.key}/fan`, `/user/${app.key}`, '/admin/apps']) {
            const tried = await client.nobody.at(path, { authorization });
            assert.equal(tried.status, 401, `${authorization} at ${path}: ${tried.text}`);
          }
        }
      }
    });

    it('nor is it while the run goes on', async () => {
      await fresh({ limits: { wallMs: 10_000 } });
      const running = user.run('openwindow', { name: 'open' });
      let known;
      do {
        await pause(50);
        known = await client.master.get('tokens', '/open');
      } while (known.status === 404);
      assert.equal(known.status, 200, known.text);
      const tried = await client.nobody.at(`/user/${app.key}`, { authorization: basic(app.key, known.body.token) });
      assert.equal(tried.status, 401, tried.text);
      assert.equal((await running).status, 200);
    });
  });

  describe('the penalty box', () => {
    it('pauses an app whose runs keep exceeding their limits, and says when to come again', async () => {
      await fresh({ limits: { cpuMs: 5 } });
      await besides(async () => {
        let answer;
        for (let i = 0; i < 200; i++) {
          answer = await user.run('loop');
          if (answer.status !== 550) break;
          isFailure(answer, 'BLTimeoutError');
        }
        assert.equal(answer.status, 429, answer.text);
        assert.equal(answer.body.error, 'TooManyRequests');
        assert.ok(Number(answer.headers.get('retry-after')) >= 1);
        // Its other scripts are paused as well; what runs no script is not.
        const other = await user.run('fine');
        assert.ok([200, 429].includes(other.status), other.text);
        assert.equal((await user.get('plain')).status, 200);
      });
    });

    it('keeps an app that runs into its quota waiting, not its neighbours', async () => {
      await fresh({ quota: { concurrency: 1, queue: 2 }, limits: { wallMs: 2000 } });
      await besides(async () => {
        // Each of them stays for its whole wall time: sooner or later there is one too many.
        let answers;
        do answers = await Promise.all(Array.from({ length: 12 }, () => user.save('timer', { n: 1 })));
        while (!answers.some(({ status }) => status === 429));
        for (const answer of answers.filter(({ status }) => status === 429)) {
          assert.equal(answer.body.error, 'TooManyRequests');
          assert.ok(Number(answer.headers.get('retry-after')) >= 1);
        }
        const statuses = answers.map(({ status }) => status);
        for (const status of statuses) assert.ok([429, 503, 550].includes(status), statuses.join());
      });
    });
  });
});
