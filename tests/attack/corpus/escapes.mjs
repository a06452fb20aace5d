// Getting out.
import { answers, cpu, harmless, ok, threw } from '../lib/expect.mjs';

const frames = `const noFrame = (text) => !String(text).includes('lode:') && !String(text).includes('primordials');`;

export default [
  {
    id: 'constructors-of-functions',
    row: 'Constructors of all four kinds of function, `eval`, `Function`',
    modern: [[`const found = [];
      for (const kind of [function () {}, function* () {}, async function () {}, async function* () {}]) {
        let made = kind.constructor('return [typeof process, typeof native, typeof internal, typeof WebAssembly, typeof SharedArrayBuffer].join()')();
        if (typeof made.next === 'function') made = made.next();
        made = await made;
        found.push(made.value ?? made);
      }
      return found.every((types) => types === Array(5).fill('undefined').join());`, answers(true)],
    [`return [eval('typeof request'), (0, eval)('typeof request'), new Function('return typeof process + typeof module')()];`,
      answers(['object', 'undefined', 'undefinedundefined'])]],
  },
  {
    id: 'constructors-of-given-objects',
    row: '`constructor` of request, response, modules, our functions',
    kinvey: [`var given = [request, response, modules, modules.logger, modules.hostCall, modules.collectionAccess, response.complete, console.log];
      response.complete(200, given.every(function (value) {
        return value.constructor === undefined || value.constructor.constructor('return this')() === globalThis; }));`],
    expect: answers(true),
  },
  {
    id: 'imports-of-files',
    row: '`import()` of files, built-in modules, ours',
    echoes: /lode:(run|lodash|primordials)|node:fs|\/proc\/self\/environ/g,
    modern: ['fs', 'node:fs', 'std', 'os', 'lode:run', 'lode:primordials', 'file:///etc/passwd', '../../../etc/passwd', '/proc/self/environ',
      'https://example.com/x.mjs', 'data:text/javascript,export default 1'].map((name) => [`return Object.keys(await import('${name}'))`, threw()])
      .concat(['fs', 'lode:run', '/etc/passwd', '__proto__', '../../../etc/passwd', ''].map((name) => [`return Object.keys(require('${name}'))`, threw('Cannot find module')])),
  },
  {
    id: 'imports-at-deploy',
    row: '`import()` of files, built-in modules, ours',
    echoes: /lode:run|node:fs/g,
    deploys: ['fs', 'node:fs', 'lode:run', '/etc/passwd', '../../../../etc/passwd', 'file:///etc/passwd'].map((name) => [`import * as x from '${name}';`]),
    expect: { status: 550 },
  },
  {
    id: 'stack-traces',
    row: '`Error.prepareStackTrace`, `stackTraceLimit`, stacks that show our frames',
    modern: [
      [`const seen = [];
        Error.prepareStackTrace = (error, all) => { for (const frame of all) seen.push(String(frame.getFileName())); return 'gone'; };
        try { context.hostCall('x', 1, 'not a function'); } catch (e) { e.stack; }
        try { setTimeout(1); } catch (e) { e.stack; }
        return seen.filter((name) => name.includes('lode' + ':'));`, answers([])],
      [`Error.prepareStackTrace = () => { throw new Error('poison'); }; null.x;`, threw()],
      [`Error.prepareStackTrace = () => ({ toString() { for (;;); } }); null.x;`, threw()],
      ...['Infinity', '-1', '1e9', '{ valueOf() { throw 1; } }'].map((limit) => [`Error.stackTraceLimit = ${limit}; null.x;`, threw()]),
      [`${frames} const stacks = [];
        for (const attempt of [() => setTimeout(1), () => new URL('x'), () => structuredClone(() => {}), () => atob('*'), () => context.fetch(Symbol()),
          () => context.hostCall(Symbol()), () => context.collectionAccess.collection(1), () => [1].map(setTimeout)])
          try { await attempt(); } catch (e) { stacks.push(e.stack); }
        return stacks.filter((stack) => !noFrame(stack));`, answers([])],
      ['context.hostCall("x", 1, "not a function");', threw()],
    ],
    kinvey: [['modules.collectionAccess.collection("a").find({ a: { $nonsense: 1 } }, function (error) { response.error(error); });', threw()]],
  },
  {
    id: 'stack-in-the-log',
    row: '`Error.prepareStackTrace`, `stackTraceLimit`, stacks that show our frames',
    files: { 'endpoints/log.mjs': 'export async function onRequest(r, context) { console.trace("here"); try { setTimeout(1); } catch (e) { console.log(e); } context.hostCall("x", 1, "no"); }' },
    async attempt(t) {
      await t.run('log', {}, threw());
      await t.ask(`/admin/apps/${t.app.key}/logs`, { authorization: `Bearer ${t.server.adminToken()}` }, { ok: true });
    },
  },
  {
    id: 'callers',
    row: '`caller`, `arguments.callee`',
    kinvey: [`var seen = [];
      function spy() { try { seen.push(spy.caller); } catch (e) { seen.push(null); } try { seen.push(arguments.callee.caller); } catch (e) { seen.push(null); } return 1; }
      var trap = { toString: spy, valueOf: spy, toJSON: spy };
      console.log(trap); modules.hostCall(trap, trap); setTimeout(spy, trap);
      response.complete(200, seen.every(function (x) { return x === null || x === undefined; }));`],
    expect: answers(true),
  },
  {
    id: 'hostile-throws',
    row: 'Getters, proxies, odd values thrown',
    modern: ['new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; }, getPrototypeOf() { throw 3; } })', 'new Proxy(new Error("x"), { get() { throw 1; } })',
      'new Proxy(function () {}, { apply() { for (;;); } })', 'Object.defineProperty(new Error("m"), "message", { get() { throw 1; } })',
      'Object.defineProperty(new Error("m"), "name", { get() { return {}; } })', 'Object.defineProperty(new Error("m"), "stack", { get() { return 5; } })',
      '{ toString() { throw 1; }, [Symbol.toPrimitive]() { throw 2; } }', 'Object.setPrototypeOf(new Error("m"), null)',
      '(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()', 'Symbol("s")', 'undefined', 'null', '10n']
      .map((value) => [`throw ${value}`, { error: 'BLRuntimeError' }])
      .concat([['throw Object.defineProperty(new Error("m"), "message", { get() { for (;;); } });', cpu]]),
  },
  {
    id: 'proto-keys',
    row: '`__proto__`, `constructor` keys in request JSON and JSON modules',
    files: {
      'endpoints/proto.mjs': `export async function onRequest(request) { return { polluted: ({}).polluted ?? null, own: Object.hasOwn(request.body, '__proto__'),
        proto: Object.getPrototypeOf(request.body) === Object.prototype }; }`,
      'endpoints/json.mjs': `import data from '../data.json' with { type: 'json' };
        export async function onRequest() { return { polluted: ({}).polluted ?? null, own: Object.hasOwn(data, '__proto__') }; }`,
      'data.json': '{"__proto__": {"polluted": 1}}',
    },
    async attempt(t) {
      await t.run('proto', '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}}}', answers({ polluted: null, own: true, proto: true }));
      await t.run('json', {}, answers({ polluted: null, own: true }));
    },
  },
  {
    id: 'request-is-no-object',
    row: 'Requests that are no object',
    files: { 'endpoints/any.js': 'function onRequest(request, response) { response.complete(200, typeof request.body); }' },
    async attempt(t) {
      for (const body of ['null', '1', '[]', '"x"', 'true']) await t.run('any', body, [ok, { status: 400 }]);
      for (const body of ['{', '', 'x', '{"a":1}{', '\u0000']) await t.run('any', body, [{ status: 400 }, ok]);
    },
  },
  {
    id: 'odd-numbers-and-surrogates',
    row: 'Lone surrogates, huge and odd numbers',
    files: {
      'endpoints/odd.mjs': `export async function onRequest(request) { return [request.body, '\\udc00\\ud800', { '\\ud800': 1 }, NaN, 1e308 * 10, -0]; }`,
    },
    async attempt(t) {
      const got = await t.run('odd', '{"a":-0,"b":123456789012345678901234567890,"c":"\\u0000"}', ok);
      t.check(got.body?.[1] === '\ufffd\ufffd', 'lone surrogates become U+FFFD');
      await t.run('odd', '{"a":1e999}', [ok, { status: 400 }]);
      await t.run('odd', '{"d":"\\ud800"}', [ok, { status: 400 }]);
      await t.ask(`/rpc/${t.app.key}/custom/odd`, { method: 'POST', authorization: t.owner, body: `{"n":${'9'.repeat(100_000)}}` }, harmless.concat({ status: 400 }));
    },
  },
];
