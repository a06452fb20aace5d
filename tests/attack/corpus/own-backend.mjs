// Over HTTP: scripts against their own backend, and modules made to say what they should not.
import { ok, threw, violates } from '../lib/expect.mjs';

const CALL = `function call(modules, method, path, body, done) {
  var context = modules.backendContext;
  modules.request.request({ method: method, uri: context.getApiHost() + path, json: body,
    headers: { Authorization: 'Basic ' + modules.utils.base64.encode(context.getAppKey() + ':' + context.getMasterSecret()) } }, done);
}`;
const ENDED = [ok, threw(), violates('.'), { error: 'BLTimeoutError' }];

export default [
  {
    id: 'endpoints-that-call-themselves',
    row: 'Endpoints that call themselves or each other, hooks that save into their own collection',
    settings: { limits: { wallMs: 5000 } },
    files: {
      ...Object.fromEntries([['self', 'self'], ['ping', 'pong'], ['pong', 'ping']].map(([name, calls]) => [`endpoints/${name}.js`, `${CALL} function onRequest(request, response, modules) {
        call(modules, 'POST', '/rpc/' + request.appKey + '/custom/${calls}', {}, function (error, res, body) { response.complete(200, { status: res && res.statusCode, body: body }); }); }`])),
      'collections/deep/onPreSave.js': `${CALL} function onPreSave(request, response, modules) {
        call(modules, 'POST', '/appdata/' + request.appKey + '/deep', {}, function (error, res, body) { request.body.inner = body; response.continue(); }); }`,
    },
    async attempt(t) {
      for (const name of ['self', 'ping']) t.check((await t.run(name, {}, ok)).text.includes('BLViolationError'), `${name} is not refused`);
      t.check((await t.ask(`/appdata/${t.app.key}/deep`, { method: 'POST', authorization: t.owner, body: {} }, ok)).text.includes('BLViolationError'), 'levels are not counted');
    },
  },
  {
    id: 'fan-out',
    row: 'Fan-out: one request that makes many, each with hooks',
    settings: { limits: { wallMs: 5000 } },
    files: {
      'collections/fan/onPreSave.js': `${CALL} function onPreSave(request, response, modules) { var left = 20;
        if (request.body.level > 1) return response.continue();
        for (var i = 0; i < 20; i++) call(modules, 'POST', '/appdata/' + request.appKey + '/fan', { level: request.body.level + 1 }, function () { if (--left === 0) response.continue(); }); }`,
    },
    async attempt(t) {
      await t.ask(`/appdata/${t.app.key}/fan`, { method: 'POST', authorization: t.owner, body: { level: 0 } }, ENDED);
      const count = await t.ask(`/appdata/${t.app.key}/fan/_count`, { authorization: t.owner }, ok);
      t.check(count.body?.count <= 21, `one request made ${count.body?.count} saves`);
    },
  },
  {
    id: 'temp-object-store',
    row: 'Megabytes, cycles and poison in `tempObjectStore`, carried from hook to hook',
    files: {
      'collections/temp/onPreSave.js': `function onPreSave(request, response, modules) { var store = modules.utils.tempObjectStore;
        switch (request.body.how) {
          case 'big': store.set('a', new Array(3 << 20).join('x')); break;
          case 'cycle': var a = {}; a.a = a; store.set('a', a); break;
          case 'getter': store.set('a', { get b() { throw new Error('mine'); } }); break;
          case 'proto': store.set('__proto__', { polluted: 1 }); break;
          case 'deep': var d = 1; for (var i = 0; i < 1e4; i++) d = [d]; store.set('a', d); break;
          default: for (var j = 0; j < 1e4; j++) store.set('k' + j, j);
        } response.continue(); }`,
      'collections/temp/onPostSave.js': 'function onPostSave(request, response, modules) { request.body = response.body; response.body.polluted = ({}).polluted !== undefined; response.continue(); }',
    },
    async attempt(t) {
      for (const how of ['big', 'cycle', 'getter', 'proto', 'deep', 'many']) {
        const got = await t.ask(`/appdata/${t.app.key}/temp`, { method: 'POST', authorization: t.owner, body: { how } }, ENDED);
        t.check(got.body?.polluted !== true, `${how} polluted the next hook`);
      }
    },
  },
  {
    id: 'custom-properties',
    row: 'Custom request properties, request and response bodies that hooks leave hostile',
    files: {
      'collections/odd/onPreSave.js': `function onPreSave(request, response, modules) {
        if (request.body.how === 'property') modules.requestContext.setCustomRequestProperty('a', new Array(5 << 20).join('x'));
        if (request.body.how === 'null') request.body = null;
        if (request.body && request.body.how === 'list') request.body = [1, 2];
        if (request.body && request.body.how === 'id') request.body = { _id: { $ne: 1 }, _acl: { creator: 5 }, _kmd: 'x' };
        if (request.body && request.body.how === 'deep') { var d = 1; for (var i = 0; i < 110; i++) d = [d]; request.body.d = d; }
        response.continue(); }`,
      'collections/odd/onPreFetch.js': 'function onPreFetch(request, response) { request.params.query = JSON.parse(request.headers["x-how"] || "{}"); request.params.limit = request.headers["x-limit"]; response.continue(); }',
      'collections/odd/onPostFetch.js': 'function onPostFetch(request, response) { response.body = request.headers["x-body"] ? JSON.parse(request.headers["x-body"]) : response.body; response.continue(); }',
    },
    async attempt(t) {
      const REFUSED = { status: [400, 413] };
      for (const how of ['property', 'null', 'list', 'id', 'deep']) await t.ask(`/appdata/${t.app.key}/odd`, { method: 'POST', authorization: t.owner, body: { how } }, [...ENDED, REFUSED]);
      for (const headers of [{ 'x-how': '{"$where":"1"}' }, { 'x-how': '5' }, { 'x-how': '[]' }, { 'x-limit': '-5' }, { 'x-how': '"{"' }, { 'x-body': '5' }, { 'x-body': 'null' }, { 'x-body': '{"a":[]}' }]) {
        await t.ask(`/appdata/${t.app.key}/odd`, { authorization: t.owner, headers }, [...ENDED, REFUSED]);
      }
    },
  },
  {
    id: 'mail-and-push',
    row: 'Line breaks in the headers of e-mail and push',
    kinvey: ['modules.email.send("a@b.c\\r\\nBcc: all@b.c", "to@b.c", "x\\r\\nBcc: y", "text", function (error) { response.complete(200, error.name); });',
      'modules.push.send([{ _id: "x" }], "a\\r\\nb", function (error) { response.complete(200, error.name); });', 'modules.push.broadcast("a\\0b", function (error) { response.complete(200, error.name); });'],
    expect: [{ ok: true, body: 'NotConfiguredError' }, threw()],
  },
  {
    id: 'templates-and-validation',
    row: 'Templates, validators and libraries given hostile input',
    kinvey: ['response.complete(200, modules.utils.renderTemplate("{{constructor.constructor(\'return this\')()}}", {}));', 'response.complete(200, modules.lodash.merge({}, JSON.parse(\'{"__proto__":{"polluted":1}}\')).polluted || ({}).polluted || "no");',
      'modules.validation.doValidation({ a: { pattern: "^(a+)+$" } }, { a: new Array(50).join("a") + "b" }, function (errors) { response.complete(200, errors); });',
      'response.complete(200, modules.lodash.template("<%= typeof process %>")());', 'response.complete(200, modules.moment(new Array(100000).join("1")).isValid());'],
    expect: [...ENDED],
  },
  {
    id: 'owed-runs',
    row: 'Floods of asynchronous runs, keys of one\'s own choice',
    files: { 'endpoints/quick.js': 'function onRequest(request, response) { response.complete(200, 1); }' },
    async attempt(t) {
      const headers = { prefer: 'respond-async' };
      await Promise.all(Array.from({ length: 60 }, (_, i) => t.client.master.run('quick', {}, { headers: { ...headers, 'idempotency-key': `k${i % 7}` } }).then((got) => t.judge('owed', got, [{ status: [202, 429] }]))));
      for (const key of ['', 'x'.repeat(5000), '\' OR 1=1 --', '__proto__']) await t.request('a key', () => t.client.master.run('quick', {}, { headers: { ...headers, 'idempotency-key': key } }), [{ status: [202, 400, 429] }]);
    },
  },
];
