// Recursion and nesting.
import { ends, harmless, memory, ok, cpu, syntax, threw, violates } from '../lib/expect.mjs';

const RECURSIONS = [
  'function f() { return f() + 1; } f();', 'const a = () => b() + 1, b = () => a() + 1; a();', 'function f(...a) { return f(...a, 1) + 1; } f();',
  'const o = { toString() { return `${o}`; } }; `${o}`;', 'const o = { get a() { return o.a; } }; o.a;', 'const o = { set a(x) { o.a = x; } }; o.a = 1;',
  'const p = new Proxy({}, { get(t, k, r) { return r[k]; } }); p.x;', 'const t = {}; const p = new Proxy(t, {}); Object.setPrototypeOf(t, p); t.x;',
  'const o = { toJSON() { return JSON.stringify(o); } }; JSON.stringify(o);', 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);',
  'const r = () => JSON.parse("[1]", r); r();', 'const s = () => [2, 1].sort(s); s();', 'const r = () => "x".replace(/x/, r); r();',
  'function* g() { yield* g(); } g().next();', 'class A { constructor() { new A(); } } new A();', 'function f() { return f.apply(null, [1, 2, 3]) + 1; } f();',
  'const f = () => eval("f()"); f();', 'class A { static [Symbol.hasInstance](x) { return x instanceof A; } } 1 instanceof A;',
];
const bomb = (open, inner, close, depth = 100_000) => `${open.repeat(depth)}${inner}${close.repeat(depth)}; function onRequest() {}`;
const refusedOrDeployed = [{ status: 201 }, syntax, threw(), memory, violates('.'), cpu];
const roomy = { settings: { limits: { cpuMs: 5000, wallMs: 20000 }, budget: { cpuMs: 60000 } } };

export default [
  {
    id: 'recursion-everywhere',
    row: 'Recursion: plain, `toString`, getters, proxies, JSON, sort, regex, generators, classes, `eval`',
    // The name that the engine gives to what the script itself evaluates.
    echoes: /<input>/g,
    modern: RECURSIONS.map((code) => [code, threw('RangeError')]),
    kinvey: RECURSIONS.map((code) => [code, threw('RangeError')]),
    ...roomy,
  },
  {
    id: 'deep-structures',
    row: 'Recursion: plain, `toString`, getters, proxies, JSON, sort, regex, generators, classes, `eval`',
    modern: ['let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;', 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity);',
      'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.join();', 'let f = () => {}; for (let i = 0; i < 2000; i++) f = f.bind(); f();',
      'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; structuredClone(a);'],
    expect: harmless,
  },
  {
    id: 'recursion-in-callbacks',
    row: 'Recursion in promise, timer, host-call callbacks, `toJSON`',
    modern: ['await Promise.resolve().then(function f() { f(); });', 'const f = () => f(); await context.collectionAccess.collection("a").count({}); f();',
      'return { toJSON: function f() { return f(); } };', 'console.log({ get a() { return this.a; } }); const f = () => f(); f();'],
    kinvey: ['modules.collectionAccess.collection("a").count({}, function f() { f(); });', 'setTimeout(function f() { f(); }, 1);', 'queueMicrotask(function f() { f(); });',
      'function f() { response.complete(200, { toJSON: f }); } f();'],
    expect: threw('RangeError'),
  },
  {
    id: 'at-the-edge-of-the-stack',
    row: 'Acting at the very edge of the stack',
    kinvey: ['function f() { try { f(); } catch { response.complete(200, 1); } } f();', 'function f() { try { f(); } catch { response.error(new Error("edge")); } } f();',
      'function f() { try { f(); } catch { console.log({ a: [1] }); } } f(); response.complete(200, 1);',
      'function f() { try { f(); } catch { modules.hostCall("x", { a: 1 }, () => response.complete(200, 1)); } } f();',
      'function f() { try { f(); } catch { modules.collectionAccess.collection("a").count({}, () => response.complete(200, 1)); } } f();'],
    modern: [['const f = () => { try { f(); } catch (e) { throw e; } }; f();', threw('RangeError')]],
    expect: [ok, threw(), violates('log|calls'), cpu],
    ...roomy,
  },
  {
    id: 'a-million-arguments',
    row: 'Spread and `apply` with a million arguments',
    modern: ['Math.max(...new Array(1e6).fill(1))', 'Math.max.apply(null, new Array(1e6).fill(1))', 'String.fromCharCode.apply(null, new Array(1e6).fill(65)).length',
      '[].concat(...new Array(1e6).fill([1])).length', 'Reflect.apply(Math.max, null, { length: 1e6 })', '(function () { return arguments.length; }).apply(null, new Array(65534))',
      'new Array(...new Array(1e6).fill(1)).length'].map((code) => `try { return ${code}; } catch (e) { return e.name; }`),
    expect: [ok, memory, cpu],
    ...roomy,
  },
  {
    id: 'deep-answers',
    row: 'Deep answers and host call arguments',
    ...roomy,
    modern: [['let a = 1; for (let i = 0; i < 100; i++) a = [a]; return a;', ok], ['let a = 1; for (let i = 0; i < 200; i++) a = [a]; return a;', threw('nested deeper')],
      ['let a = 1; for (let i = 0; i < 500; i++) a = [a]; return await context.hostCall("nothing", a);', threw()],
      ['let a = 1; for (let i = 0; i < 110; i++) a = [a]; return await context.collectionAccess.collection("a").insert({ a });', [ok, threw()]],
      ['let a = {}; for (let i = 0; i < 100; i++) a = { $and: [a] }; return await context.collectionAccess.collection("a").find(a);', [ok, threw()]]],
    kinvey: [['let a = 1; for (let i = 0; i < 1e5; i++) a = [a]; response.complete(200, a);', threw('RangeError')], ['let a = 1; for (let i = 0; i < 1e5; i++) a = { a }; response.complete(200, a);', threw('RangeError')]],
  },
  {
    id: 'deep-json-text',
    row: 'Deep JSON text and requests',
    modern: [['[', ']'], ['{"a":', '}']].map(([open, close]) => `try { JSON.parse('${open}'.repeat(1e5) + '1' + '${close}'.repeat(1e5)); return 'parsed'; } catch (e) { return e.name; }`),
    expect: [ok, cpu, memory],
    files: { 'endpoints/any.js': 'function onRequest(request, response) { response.complete(200, 1); }' },
    async attempt(t) {
      for (const depth of [50, 100, 1000, 100_000]) await t.run('any', `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`, [{ status: [200, 400, 413] }]);
    },
  },
  {
    id: 'deep-source',
    row: 'Deep source: brackets, templates, classes, operators…',
    ...roomy,
    deploys: [['(', '1', ')'], ['[', '1', ']'], ['({a:', '1', '})'], ['{', '', '}'], ['(', '', ''], ['!', '1', ''], ['()=>', '1', ''], ['(function(){', '', '})'], ['(class{m(){', '', '}})'],
      ['`${', '1', '}`'], ['if(0);else ', ';', ''], ['try{', '', '}finally{}'], ['1?', '1', ':1'], ['1**', '1', ''], ['a[', '1', ']'], ['new ', 'f', ''], ['a?.[', '1', ']']]
      .map(([open, inner, close]) => [{ 'endpoints/evil.js': bomb(open, inner, close) }]),
    expect: refusedOrDeployed,
  },
  {
    id: 'deep-source-evaluated',
    row: 'Deep source: brackets, templates, classes, operators…',
    modern: [['(', ')'], ['[', ']'], ['!', ''], ['()=>', ''], ['`${', '}`'], ['{', '}'], ['(class{m(){', '}})']]
      .map(([open, close]) => `try { (0, eval)('${open}'.repeat(1e5) + '${close}'.repeat(1e5)); return 'ran'; } catch (e) { return e.name; }`),
    expect: [ok, ...ends],
    ...roomy,
  },
  {
    id: 'deep-regexes',
    row: 'Deep regexes and classes in them',
    modern: [['(', 'a', ')'], ['(?:', 'a', ')'], ['(?=', 'a', ')'], ['(?<!', 'a', ')'], ['a|', 'b', ''], ['(a|', 'b', ')*'], ['a{0,9}', '', '']]
      .map(([open, inner, close]) => `try { return new RegExp('${open}'.repeat(5e4) + '${inner}' + '${close}'.repeat(5e4)).test('aaaa'); } catch (e) { return e.name; }`)
      .concat(['try { return new RegExp("[".repeat(1e5) + "a" + "]".repeat(1e5), "v").test("a"); } catch (e) { return e.name; }']),
    expect: [ok, ...ends],
    ...roomy,
  },
  {
    id: 'deep-typescript',
    row: 'Deep TypeScript',
    deploys: [['(', '1', ')'], ['[', '1', ']'], ['{', '', '}']].map(([open, inner, close]) => [{ 'endpoints/evil.ts': bomb(open, inner, close) }])
      .concat([[{ 'endpoints/evil.ts': `let a: ${'Array<'.repeat(50_000)}number${'>'.repeat(50_000)};\nexport function onRequest() { return 1; }` }],
        [{ 'endpoints/evil.ts': `type T = ${'('.repeat(50_000)}number${')'.repeat(50_000)};\nexport function onRequest() { return 1; }` }]]),
    expect: refusedOrDeployed,
  },
];
