// Misusing what handlers are given.
import { answers, never, ok, threw } from '../lib/expect.mjs';

export default [
  {
    id: 'completing-twice',
    row: 'Completing twice, working after completion',
    kinvey: [
      ['try { response.complete(201, "first"); } finally { console.log("after"); } response.complete(202, "second");', { status: 201, body: 'first' }],
      ['response.complete(200, "done"); for (;;);', answers('done')],
      ['setTimeout(function () { response.complete(500, "late"); }, 1); response.complete(200, "done");', answers('done')],
    ],
  },
  {
    id: 'hostile-statuses',
    row: 'Hostile statuses, bodies (BigInt, cyclic, getters), headers',
    kinvey: [
      ...['99', '600', '0', '-1', '1e9', 'NaN', 'Infinity', '200.5', '"x"', '{}', '2 ** 32 + 200'].map((status) => [`response.complete(${status}, 1)`, threw('RangeError')]),
      ...['Symbol()', '200n', '{ valueOf() { throw new TypeError("v"); } }'].map((status) => [`response.complete(${status}, 1)`, threw('TypeError')]),
      ['response.statusCode = 1000; response.continue();', threw('RangeError')],
    ],
  },
  {
    id: 'hostile-bodies',
    row: 'Hostile statuses, bodies (BigInt, cyclic, getters), headers',
    ...Object.fromEntries(['modern', 'kinvey'].map((form) => [form, [['10n', 'TypeError'], ['(() => { const a = {}; a.a = a; return a; })()', 'TypeError'],
      ['{ get a() { throw new RangeError("mine"); } }', 'RangeError'], ['new Proxy({}, { ownKeys() { throw new RangeError("mine"); } })', 'RangeError']]
      .map(([value, name]) => [form === 'modern' ? `return ${value};` : `response.complete(200, ${value});`, threw(name)])])),
  },
  {
    id: 'hostile-headers',
    row: 'Hostile statuses, bodies (BigInt, cyclic, getters), headers',
    files: {
      'endpoints/split.js': 'function onRequest(request, response) { response.headers = request.body.headers; response.complete(200, 1); }',
    },
    kinvey: ['"x"', '[1]', '5', '{ a: {} }', '{ a: [1] }'].map((headers) => [`response.headers = ${headers}; response.complete(200);`, [threw(), ok]]),
    async attempt(t) {
      for (const headers of [{ 'a\r\nx-split': 'b' }, { a: 'c\r\nx-split: e' }, { a: 'c\n\nHTTP/1.1 200 OK' }, { a: '\0' }, { '': 'x' }, { 'Content-Length': '5' },
        { 'Transfer-Encoding': 'chunked' }, { Connection: 'upgrade' }, { 'X-Kinvey-Request-Id': 'forged' }, { 'Set-Cookie': 'a=b' }, { x: 'y'.repeat(8000) }]) {
        const got = await t.run('split', { headers }, [{ status: [200, 550] }]);
        t.check(got.headers.get('x-split') === null, `a header was split: ${JSON.stringify(headers)}`);
        t.check(got.headers.get('x-kinvey-request-id') !== 'forged', 'a request id was forged');
      }
      // Node's client takes no head this large: the answer is read as bytes.
      const body = JSON.stringify({ headers: { x: 'y'.repeat(1 << 20) } });
      await t.raw('a header of a megabyte', [`POST /rpc/${t.app.key}/custom/split HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: ${t.owner}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`], [{ status: [200, 550] }]);
    },
  },
  {
    id: 'emptied-response',
    row: '`response` and `modules` emptied, frozen, re-prototyped',
    kinvey: [`const complete = response.complete;
      for (const key of Object.keys(response)) delete response[key];
      Object.setPrototypeOf(response, new Proxy({}, { get() { throw new Error('trap'); } }));
      Object.defineProperty(response, 'headers', { value: undefined }); Object.defineProperty(response, 'body', { value: undefined });
      Object.freeze(response); modules.logger.info = null;
      complete.call(null, 202, 'ok');`],
    expect: { status: 202, body: 'ok' },
  },
  {
    id: 'unhandled-rejections',
    row: 'A thousand unhandled rejections',
    kinvey: [['for (let i = 0; i < 1000; i++) Promise.reject(new RangeError("r" + i));', threw('RangeError: r0')]],
    modern: [['for (let i = 0; i < 1000; i++) { const p = Promise.reject(i); p.catch(() => {}); } return 1;', answers(1)]],
  },
  {
    id: 'megabytes-of-error',
    row: 'Megabytes of error message, name, stack',
    files: {
      'endpoints/big.mjs': 'export async function onRequest() { const e = new TypeError("x".repeat(1 << 20)); e.stack = "y".repeat(1 << 20); e.name = "z".repeat(1 << 20); throw e; }',
      'endpoints/text.mjs': 'export async function onRequest() { throw "x".repeat(1 << 20); }',
    },
    async attempt(t) {
      for (const name of ['big', 'text']) {
        const got = await t.run(name, {}, threw());
        t.check(got.text.length < 32_768, `${got.text.length} characters of an error came back`);
      }
    },
  },
  {
    id: 'finalizers-and-late-timers',
    row: '`FinalizationRegistry`, `WeakRef`, timers after completion',
    kinvey: [[`const registry = new FinalizationRegistry(() => response.complete(500));
      for (let i = 0; i < 1e4; i++) registry.register({ big: new Array(10) }, i);
      setTimeout(() => console.log('timer'), 1); setInterval(() => {}, 1); queueMicrotask(() => response.complete(500));
      response.complete(200, 'done');`, answers('done')],
    ['setTimeout(function () { throw new Error("late"); }, 100000); response.complete(200, 1);', answers(1)],
    ['new WeakRef({}); new FinalizationRegistry(function () {});', never]],
  },
  {
    id: 'handlers-that-do-not-exist',
    row: 'Handlers that do not exist',
    files: { 'endpoints/there.js': 'function onRequest(request, response) { response.complete(200, 1); }' },
    async attempt(t) {
      for (const name of ['nothing', '0', '-1', '__proto__', 'constructor', 'toString', 'there.js', 'there/onRequest', 'onRequest', 'x'.repeat(5000), '%00', '%2e%2e']) {
        await t.ask(`/rpc/${t.app.key}/custom/${name}`, { method: 'POST', authorization: t.owner, body: {} }, [{ status: [400, 404, 414] }]);
      }
      await t.run('there', {}, ok);
    },
  },
];
