// A world as the engine builds it, in a fresh V8 context with `native` made of Node's own facilities.
import fs from 'node:fs';
import path from 'node:path';
import util from 'node:util';
import v8 from 'node:v8';
import vm from 'node:vm';
import { randomFillSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';

const { types } = util;
// Node 18 has resizable buffers behind a flag, for contexts made afterwards.
if (ArrayBuffer.prototype.resize === undefined) v8.setFlagsFromString('--harmony-rab-gsab');
const HERE = path.dirname(fileURLToPath(import.meta.url));

// In the order of build/main.rs; run.js is left out: it needs the host's side of a run.
export const FILES = [
  'primordials', 'errors', 'webidl', 'inspect_leaves', 'inspect', 'console', 'timers', 'text', 'clone', 'url',
  'headers', 'fetch_types', 'egress', 'crypto', 'template', 'kinvey_utils',
  'data', 'backend', 'services', 'modules',
];
export const source = (name) => fs.readFileSync(path.join(HERE, '..', `${name}.js`), 'utf8');

const FAKE_ERRORS = `(function (native, primordials, internal) {
  internal.fail = (Ctor, message) => { throw new Ctor(message); };
  internal.failDom = (message, name) => { throw new primordials.DOMException(message, name); };
})`;

// What QuickJS-ng has and a bare V8 context of Node 18 (Debian 12's) or 20 lacks.
const PRELUDE = `(function (hooks) {
  const { targets, detach } = hooks;
  const { ArrayBuffer: Buffers, String: Text, Uint8Array: Bytes } = globalThis; // a hostile world has none later
  class DOMException {
    #message; #name;
    constructor(message = '', name = 'Error') {
      this.#message = Text(message);
      this.#name = Text(name);
    }
    get message() { return this.#message; }
    get name() { return this.#name; }
    static { hooks.isDom = (v) => #name in v; }
  }
  Object.setPrototypeOf(DOMException.prototype, Error.prototype);
  globalThis.DOMException = DOMException;
  globalThis.atob = hooks.atob;
  globalThis.btoa = hooks.btoa;
  const hide = (object, name, value) => Object.defineProperty(object, name, { configurable: true, writable: true, value });
  const RealProxy = Proxy;
  const FakeProxy = function Proxy(target, handler) {
    const proxy = new RealProxy(target, handler);
    targets.set(proxy, target);
    return proxy;
  };
  FakeProxy.revocable = (target, handler) => {
    const { proxy, revoke } = RealProxy.revocable(target, handler);
    targets.set(proxy, target);
    return { proxy, revoke() { targets.set(proxy, undefined); revoke(); } };
  };
  globalThis.Proxy = FakeProxy;
  if (String.prototype.isWellFormed === undefined) {
    hide(String.prototype, 'isWellFormed', function isWellFormed() { 'use strict'; return hooks.isWellFormed(this); });
    hide(String.prototype, 'toWellFormed', function toWellFormed() { 'use strict'; return hooks.toWellFormed(this); });
  }
  if (!('unicodeSets' in RegExp.prototype)) {
    Object.defineProperty(RegExp.prototype, 'unicodeSets', { configurable: true, get() { return false; } });
  }
  if (ArrayBuffer.prototype.transfer === undefined) {
    Object.defineProperty(ArrayBuffer.prototype, 'detached', {
      configurable: true,
      get() { try { new Bytes(this); return false; } catch { return true; } },
    });
    hide(ArrayBuffer.prototype, 'transfer', function transfer(length) {
      const copy = new Buffers(length ?? 0);
      detach(this);
      return copy;
    });
  }
})`;

const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const typedTag = Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag).get;
const lengthOf = Object.getOwnPropertyDescriptor(typedArray, 'length').get;

// A surrogate without its other half.
const LONE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

export function newWorld() {
  const context = vm.createContext(Object.create(null), { microtaskMode: undefined });
  const inContext = (code, filename = 'test') => vm.runInContext(code, context, { filename });
  const targets = new WeakMap();
  const hooks = {
    targets, atob, btoa, isDom: undefined,
    isWellFormed: (text) => !LONE.test(text),
    toWellFormed: (text) => text.replace(new RegExp(LONE, 'g'), '\uFFFD'),
    detach: (buffer) => { structuredClone(buffer, { transfer: [buffer] }); },
  };
  inContext(PRELUDE)(hooks);

  const Bytes = inContext('Uint8Array');
  const logs = [];
  const timers = new Map();
  const cleared = [];
  let nextTimer = 1;

  const classOf = (v) => {
    if (v === undefined) return 'undefined';
    if (v === null) return 'null';
    if (typeof v !== 'object' && typeof v !== 'function') return 'primitive';
    if (types.isProxy(v)) return 'Proxy';
    if (typeof v === 'function') return 'Function';
    if (Array.isArray(v)) return 'Array';
    if (types.isTypedArray(v)) return typedTag.call(v);
    const named = [
      ['Error', types.isNativeError], ['Number', types.isNumberObject], ['String', types.isStringObject],
      ['Boolean', types.isBooleanObject], ['Symbol', types.isSymbolObject], ['BigInt', types.isBigIntObject],
      ['Date', types.isDate], ['RegExp', types.isRegExp], ['Map', types.isMap], ['Set', types.isSet],
      ['WeakMap', types.isWeakMap], ['WeakSet', types.isWeakSet], ['Promise', types.isPromise],
      ['ArrayBuffer', types.isArrayBuffer], ['SharedArrayBuffer', types.isSharedArrayBuffer],
      ['DataView', types.isDataView], ['Generator', types.isGeneratorObject],
      ['Arguments', types.isArgumentsObject], ['DOMException', hooks.isDom],
    ];
    for (const [name, is] of named) if (is(v)) return name;
    try {
      WeakRef.prototype.deref.call(v);
      return 'WeakRef';
    } catch {
      return 'Object';
    }
  };

  const FIELDS = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname',
    'search', 'hash'];
  const partsOf = (url) => FIELDS.map((field) => url[field]);

  const calls = []; // of the host: [name, the JSON of its arguments]
  const host = { answer: () => ({}) }; // what a test lets a call come to; throwing {name, message} rejects it
  const parse = inContext('JSON.parse');
  // `await` of a promise of its own world asks nothing that a customer can patch; Node's `then` does.
  const settle = inContext(`(async (promise, kept, failed) => {
    let value;
    try { value = await promise; } catch (error) { failed(error); return; }
    kept(value);
  })`);
  const settled = inContext('(async (value, fails) => { if (fails) throw value; return value; })');

  const native = {
    __proto__: null,
    call(name, args) {
      const text = JSON.stringify(args);
      calls.push([name, text]);
      try {
        return settled(parse(JSON.stringify(host.answer(JSON.parse(text), name))), false);
      } catch (error) {
        return settled(internal.hostError(error), true);
      }
    },
    then: (promise, kept, failed) => { settle(promise, kept, failed); },
    log: (level, text) => { logs.push([level, text]); },
    setTimer(fn, delay, repeat, args) {
      timers.set(nextTimer, { fn, delay, repeat, args });
      return nextTimer++;
    },
    clearTimer(id) {
      cleared.push(id);
      timers.delete(id);
    },
    random(bytes) {
      // Node's own filling would look at the view through its prototype.
      const random = randomFillSync(Buffer.alloc(lengthOf.call(bytes)));
      for (let i = 0; i < random.length; i++) bytes[i] = random[i];
    },
    utf8Encode: (text) => {
      if (typeof text !== 'string') throw new Error('utf8Encode: not a string');
      return new Bytes(Buffer.from(text, 'utf8'));
    },
    utf8Decode(bytes, fatal) {
      const own = Buffer.alloc(lengthOf.call(bytes));
      for (let i = 0; i < own.length; i++) own[i] = bytes[i];
      return new TextDecoder('utf-8', { fatal, ignoreBOM: true }).decode(own);
    },
    url(input, base) {
      try {
        return partsOf(new URL(input, base));
      } catch {
        return null;
      }
    },
    urlSet(href, field, value) {
      const url = new URL(href);
      try {
        url[field] = value;
      } catch {
        return null;
      }
      return partsOf(url);
    },
    classOf,
    proxyTarget: (proxy) => targets.get(proxy),
    promiseState(promise) {
      const shown = util.inspect(promise, { compact: true, breakLength: Infinity });
      if (shown.includes('<pending>')) return [0, undefined];
      const [, rejected, value] = /^Promise \{ (<rejected> )?(.*?)(, \[Symbol.*)? \}$/s.exec(shown);
      return [rejected === undefined ? 1 : 2, JSON.parse(value.replaceAll("'", '"'))];
    },
  };

  const primordials = inContext('({ __proto__: null })');
  const internal = inContext('({ __proto__: null })');
  for (const name of FILES) {
    const real = fs.existsSync(path.join(HERE, '..', `${name}.js`));
    const code = real ? source(name) : FAKE_ERRORS;
    inContext(code, `lode:${name}`)(native, primordials, internal);
  }
  return { calls, host, context, run: inContext, native, primordials, internal, logs, timers, cleared };
}

// Code that replaces every method, getter and global of the world by one that throws when it is used, and
// puts throwing setters where a careless assignment would meet them. What it needs for that it keeps before.
export const HOSTILE = `(() => {
  const world = globalThis;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, prototype: objectPrototype } = Object;
  const { prototype: arrayPrototype } = Array;
  const { ownKeys } = Reflect;
  const trap = (what) => () => { throw { __proto__: null, hostile: what }; };
  const spoil = (object, name) => {
    const keys = ownKeys(object);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      const found = getOwnPropertyDescriptor(object, key);
      const what = name + '.' + (typeof key === 'symbol' ? 'a symbol' : key);
      if (typeof found.value === 'function' && found.writable && key !== 'constructor') {
        defineProperty(object, key, {
          __proto__: null, value: trap(what), writable: true, configurable: found.configurable,
        });
      } else if (found.get !== undefined && found.configurable) {
        defineProperty(object, key, { __proto__: null, get: trap(what), configurable: true });
      }
    }
  };
  const targets = [];
  const names = ['Object', 'Function', 'Array', 'String', 'Number', 'Boolean', 'Symbol', 'BigInt', 'Date', 'RegExp',
    'Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef', 'Promise', 'Error', 'TypeError', 'RangeError', 'ArrayBuffer',
    'DataView', 'Uint8Array', 'Int32Array', 'DOMException'];
  for (const name of names) targets.push([globalThis[name].prototype, name + '.prototype'], [globalThis[name], name]);
  for (const name of ['Reflect', 'JSON', 'Math']) targets.push([globalThis[name], name]);
  const typed = getPrototypeOf(Uint8Array);
  targets.push([typed, 'TypedArray'], [typed.prototype, 'TypedArray.prototype']);
  const iterators = [[][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](),
    ''[Symbol.iterator](), 'a'.matchAll(/a/g), (function* () {})()];
  for (const iterator of iterators) {
    targets.push([getPrototypeOf(iterator), 'an iterator'], [getPrototypeOf(getPrototypeOf(iterator)), 'Iterator']);
  }
  const ours = ['console', 'setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval',
    'clearImmediate', 'TextEncoder', 'TextDecoder', 'structuredClone', 'URL', 'URLSearchParams', 'Headers',
    'Response', 'fetch', 'Crypto', 'crypto', 'make', 'Error']; // Node asks the global Error how to write a stack
  const globals = ownKeys(globalThis).filter((key) => typeof key === 'string' && !ours.includes(key) &&
    getOwnPropertyDescriptor(globalThis, key).configurable);
  const words = ['0', '1', '2', '3', 'get', 'set', 'value', 'writable', 'enumerable', 'configurable', 'name',
    'target', 'index', 'pick', 'mark', 'outer', 'children', 'kind', 'type', 'key', 'group', 'maxByteLength'];
  for (let i = 0; i < targets.length; i++) spoil(targets[i][0], targets[i][1]);
  // Before Object.prototype is spoilt, which Node's own handling of a context's globals would trip over.
  for (let i = 0; i < globals.length; i++) {
    defineProperty(world, globals[i], { __proto__: null, configurable: true, get: trap('global ' + globals[i]) });
  }
  for (let i = 0; i < words.length; i++) {
    const blame = trap('inherited ' + words[i]);
    const descriptor = { __proto__: null, configurable: true, get: blame, set: blame };
    defineProperty(objectPrototype, words[i], descriptor);
    if (words[i] < 'a') defineProperty(arrayPrototype, words[i], descriptor);
  }
})()`;

// A world whose customer has patched all of that. `make` holds built values that its tests could not make
// any more.
export function hostileWorld(make = '({})') {
  const world = newWorld();
  world.run(`globalThis.make = ${make}`);
  world.run(HOSTILE, 'customer.js');
  return world;
}
