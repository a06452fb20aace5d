// At deploy: top-level code, exports and names of sources.
import { cpu, memory, never, ok, syntax, threw, violates } from '../lib/expect.mjs';

const refused = { status: [400, 550] };

export default [
  { id: 'loops-at-deploy', row: 'Loops, memory bombs, log floods', expect: cpu,
    deploys: ['for (;;);', 'for (;;) await null;', 'const f = () => queueMicrotask(f); f();', '/^(a+)+$/.test("a".repeat(40) + "b");'].map((text) => [text]) },
  { id: 'bombs-at-deploy', row: 'Loops, memory bombs, log floods',
    deploys: [['const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));', memory], ['for (;;) console.log("x");', violates('log')]] },
  { id: 'calls-at-deploy', row: 'Host calls and timers at top level', expect: { status: 550 },
    deploys: ['setTimeout(() => {}, 1);', 'setInterval(() => {}, 1);', 'setImmediate(() => {});', 'try { setTimeout(() => {}); } catch {}', 'await null; setTimeout(() => {}, 1);',
      'hostCall("x");', 'modules.hostCall("x");', 'context.collectionAccess.collection("a").find();', 'await fetch("http://127.0.0.1/");'].map((text) => [text]) },
  { id: 'endless-await-at-deploy', row: 'An `await` that never settles', expect: { error: 'BLRuntimeError' },
    deploys: [['await new Promise(() => {});'], ['await { then() {} };']] },
  { id: 'throws-at-deploy', row: 'Throwing, rejecting, recursing', expect: threw(),
    deploys: ['throw new RangeError("mine");', 'await Promise.reject(new RangeError("mine"));', 'Promise.reject(new RangeError("mine"));', 'throw new Proxy({}, { get() { throw 1; } });',
      'function f() { f(); } f();', 'const o = { get a() { return o.a; } }; o.a;', 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);'].map((text) => [text]) },
  {
    id: 'odd-exports',
    row: 'Throwing getters, proxies, classes as exports',
    deploys: [
      [{ 'endpoints/evil.js': 'Object.defineProperty(globalThis, "onRequest", { get() { throw new RangeError("mine"); } });' }, [threw(), { status: 201 }]],
      [{ 'endpoints/evil.mjs': 'export const onRequest = new Proxy(() => 1, { apply() { return 2; }, get() { throw new Error("trap"); } });' }, { status: 201 }],
      [{ 'endpoints/evil.mjs': 'const { proxy, revoke } = Proxy.revocable(() => {}, {}); revoke(); export const onRequest = proxy;' }, [{ status: 201 }, threw()]],
      [{ 'endpoints/evil.mjs': 'export class onRequest {}' }, { status: 201 }],
      [{ 'endpoints/evil.mjs': 'export default { get onRequest() { throw 1; } };' }, [{ status: 201 }, refused]],
    ],
    runs: [ok, threw(), { status: 404 }],
  },
  { id: 'thousands-of-exports', row: 'Thousands of exports',
    deploys: [[Array.from({ length: 5000 }, (_, i) => `export function f${i}() { return ${i}; }`).join('\n'), [{ status: 201 }, violates('.'), threw()]]] },
  {
    id: 'poisoned-at-deploy',
    row: 'Prototypes poisoned before handlers are listed',
    deploys: ['Array.prototype.toJSON = () => "x";', 'String.prototype.toJSON = () => "x";', 'Object.prototype.toJSON = () => ({ handlers: [["forged", "forged", "module"]] });',
      'Object.defineProperty(Array.prototype, 0, { set() { throw 1; }, get() { return "x"; } });', 'Object.defineProperty(Object.prototype, "script", { get() { return "x"; } });',
      'Array.prototype[Symbol.iterator] = () => { throw 1; };', 'Object.freeze(Array.prototype); Object.freeze(Object.prototype);',
      'for (const key of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[key]; } catch {}', 'Array.prototype.toJSON = function () { return this.slice(); };'].map((text) => [text]),
    expect: [{ status: 201 }, threw(), refused],
    runs: [ok, threw(), { status: 404 }, never],
  },
  {
    id: 'out-of-the-wrapper',
    row: 'Breaking out of a classic script\'s wrapper; hostile names',
    deploys: ['} function onRequest() {} (function () {', '}) ; (function () { function onRequest() {}', 'function onRequest() {} }); throw 1; ({', 'return; function onRequest() {}',
      'function onRequest() {} /*', 'function onRequest() {} `', 'function onRequest() {} \\'].map((text) => [{ 'endpoints/evil.js': text }, syntax]),
  },
  {
    id: 'hostile-names',
    row: 'Breaking out of a classic script\'s wrapper; hostile names',
    echoes: /lode:(run|x\.js)/g,
    deploys: ['a\0b.js', 'lode:run', 'lode:x.js', '../x.js', '/etc/passwd', 'endpoints/../../x.js', 'a\nb.js', '', '.', 'x'.repeat(10_000)]
      .map((name) => [{ [name]: 'function onRequest() { null.x; }' }, refused])
      .concat(['a"b.js', '\u202e.js', '(native)', '__proto__/x.js', 'endpoints/__proto__.js'].map((name) => [{ [name]: 'function onRequest() { null.x; }' }, [{ status: 201 }, refused]])),
    runs: [threw(), { status: 404 }],
  },
];
