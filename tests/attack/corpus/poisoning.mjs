// Poisoning what we would call: whatever a script replaced, its answer, its logs, its host calls and its errors are what they were.
import { answers, cpu, harmless, never, ok, threw } from '../lib/expect.mjs';

/** Both forms with the poison in place: an answer, an error, and a log line with a host call. */
const survives = (id, row, ...poisons) => ({
  id,
  row,
  modern: poisons.flatMap((poison) => [
    [`${poison}; return { a: 1 };`, answers({ a: 1 })],
    [`${poison}; throw new TypeError('mine');`, threw('TypeError: mine')],
  ]),
  kinvey: poisons.flatMap((poison) => [
    [`${poison}; response.body = { a: 1 }; response.complete(201);`, answers({ a: 1 })],
    [`${poison}; console.log('a', { b: [1, new Map()] }); modules.logger.info({ a: 1 });
      modules.hostCall('nothing', { a: 1 }, function (error, result) { response.complete(200, error ? 'told' : 'odd'); });`, answers('told')],
  ]),
});

export default [
  survives('species', '`Symbol.species`', `for (const C of [Array, Promise, RegExp, ArrayBuffer, Map, Set])
    Object.defineProperty(C, Symbol.species, { get() { throw new Error('species'); } })`),
  survives('promise-then', '`Promise.prototype.then` patched, `constructor` getter',
    'Promise.prototype.then = function () { throw new Error("then"); }',
    'Promise.resolve = Promise.reject = Promise.all = () => { throw new Error("x"); }',
    'Object.defineProperty(Promise.prototype, "constructor", { get() { throw new Error("c"); } })'),
  {
    id: 'then-on-object-prototype',
    row: '`Object.prototype.then`, thenables',
    modern: [
      ['Object.prototype.then = function (f) { delete Object.prototype.then; f("mine"); }; return {};', answers('mine')],
      ['Object.prototype.then = () => {}; return {};', never],
      ['return { then(ok) { ok({ a: 1 }); } };', answers({ a: 1 })],
      ['return { get then() { throw new RangeError("t"); } };', threw('RangeError: t')],
    ],
    kinvey: [['Object.prototype.then = () => {}; response.complete(200, { a: 1 });', answers({ a: 1 })]],
  },
  survives('patched-json', '`JSON.stringify`, `JSON.parse` patched', 'JSON.stringify = JSON.parse = () => { throw new Error("JSON"); }; JSON.rawJSON = 1'),
  survives('index-setters', 'Index setters on `Array.prototype`, `Object.prototype`',
    `for (const P of [Array.prototype, Object.prototype]) for (let i = 0; i < 64; i++)
      Object.defineProperty(P, i, { configurable: true, set() { throw new Error('setter'); }, get() { return undefined; } })`,
    'Object.defineProperty(Array.prototype, 0, { set() { throw new Error("setter"); }, get() { return undefined; } })'),
  survives('inherited-options', 'Inherited descriptor and option fields',
    `for (const key of ['get', 'set', 'value', 'writable', 'enumerable', 'configurable', 'status', 'headers', 'params', 'tempObjectStore', 'script', 'depth'])
      Object.defineProperty(Object.prototype, key, { __proto__: null, configurable: true, get() { return undefined; }, set() { throw new Error(key); } })`),
  survives('patched-methods', '`String.prototype.concat` (template literals), every other method',
    'String.prototype.concat = () => { throw new Error("concat"); }',
    `for (const P of [String.prototype, Array.prototype, Number.prototype, RegExp.prototype, Function.prototype])
      for (const key of Object.getOwnPropertyNames(P)) if (key !== 'constructor' && key !== 'length')
        try { Object.defineProperty(P, key, { value() { throw new Error('patched ' + key); } }); } catch {}`),
  survives('patched-symbols', '`Symbol.iterator`, `toPrimitive`, `hasInstance`',
    `for (const P of [Array.prototype, String.prototype, Map.prototype, Object.getPrototypeOf([][Symbol.iterator]())])
      P[Symbol.iterator] = P.next = () => { throw new Error('iterator'); };
    String.prototype[Symbol.toPrimitive] = Object.prototype[Symbol.toPrimitive] = undefined;
    Object.defineProperty(Object, Symbol.hasInstance, { value() { throw new Error('instance'); } })`),
  {
    id: 'to-json',
    row: '`toJSON` (throwing, endless, answering, on prototypes)',
    modern: [
      ['return { toJSON() { return { a: 1 }; } };', answers({ a: 1 })],
      ['return { toJSON() { throw new RangeError("mine"); } };', threw('RangeError: mine')],
      ['return { toJSON() { for (;;); } };', cpu],
      ['Object.prototype.toJSON = function () { return "replaced"; }; return { a: 1 };', answers('replaced')],
      ...['"x"', '[]', '1', 'null'].map((value) => [`String.prototype.toJSON = Number.prototype.toJSON = Boolean.prototype.toJSON =
        Object.prototype.toJSON = () => ${value}; throw new TypeError('mine');`, threw()]),
    ],
    kinvey: [['response.complete(200, { toJSON() { response.complete(201, "inner"); } });', { status: 201 }]],
  },
  {
    id: 'revivers-and-raw-json',
    row: 'Revivers, `JSON.rawJSON`',
    modern: [
      ['JSON.parse("[1,2]", function (key, value) { this.length = 0; return value; }); return 1;', [ok, threw()]],
      ['return { raw: typeof JSON.rawJSON === "function" ? JSON.rawJSON("1e999") : 1 };', [ok, threw()]],
      ['return { raw: typeof JSON.rawJSON === "function" ? JSON.rawJSON(\'"a\') : 1 };', [ok, threw()]],
    ],
  },
  survives('deleted-globals', 'Globals deleted or replaced, prototypes frozen',
    'delete globalThis.Promise; delete globalThis.JSON; delete globalThis.Error',
    'globalThis.Promise = globalThis.Error = globalThis.Object = globalThis.Array = null'),
  survives('frozen-prototypes', 'Globals deleted or replaced, prototypes frozen',
    `for (const C of [Object, Array, Function, Error, TypeError, Promise, String, Map]) { Object.freeze(C.prototype); Object.freeze(C); }
    Object.freeze(globalThis.console)`),
  {
    id: 'everything-deleted',
    row: 'Globals deleted or replaced, prototypes frozen',
    modern: ['const all = globalThis, drop = Reflect.deleteProperty; for (const key of Object.getOwnPropertyNames(all)) drop(all, key); return { a: 1 };'],
    expect: [answers({ a: 1 }), ...harmless.slice(1)],
  },
];
