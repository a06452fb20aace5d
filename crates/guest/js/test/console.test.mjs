import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const world = newWorld();
const shown = (code) => {
  world.logs.length = 0;
  world.run(code);
  return world.logs.map(([, text]) => text).join('\n---\n');
};
const inspected = (code) => world.internal.inspect(world.run(`(${code})`));

test('values look as in Node', () => {
  const cases = {
    '42': '42',
    '-0': '-0',
    '12n': '12n',
    "'it\\'s'": '"it\'s"',
    "'a\\n\\u0001\\\\'": "'a\\n\\x01\\\\'",
    '`\'"`': "`'\"`",
    'Symbol("s")': 'Symbol(s)',
    'undefined': 'undefined',
    'null': 'null',
    '[]': '[]',
    '{}': '{}',
    '[1, "a", [2, [3]]]': "[ 1, 'a', [ 2, [ 3 ] ] ]",
    '{ a: 1, "b-c": 2, [Symbol("k")]: 3, $d: 4 }': "{ a: 1, 'b-c': 2, $d: 4, [Symbol(k)]: 3 }",
    '[1, , , 4]': '[ 1, <2 empty items>, 4 ]',
    'Object.assign([1], { extra: true })': '[ 1, extra: true ]',
    'new Array(5)': '[ <5 empty items> ]',
    '{ a: { b: { c: { d: { e: 1 } } } } }': '{ a: { b: { c: { d: [Object] } } } }',
    '[[[[[1]]]]]': '[ [ [ [ [Array] ] ] ] ]',
    'function foo() {}': '[Function: foo]',
    '() => {}': '[Function (anonymous)]',
    'class A {}': '[class A]',
    'class B extends Array {}': '[class B extends Array]',
    'async function f() {}': '[AsyncFunction: f]',
    'Object.assign(function f() {}, { x: 1 })': '[Function: f] { x: 1 }',
    'new Date(0)': '1970-01-01T00:00:00.000Z',
    'new Date(NaN)': 'Invalid Date',
    '/a\\/b/giu': '/a\\/b/giu',
    'new Map([["a", { b: 1 }]])': "Map(1) { 'a' => { b: 1 } }",
    'new Set([1, "x"])': "Set(2) { 1, 'x' }",
    'new WeakMap()': 'WeakMap { <items unknown> }',
    'new WeakRef({ a: 1 })': 'WeakRef { { a: 1 } }',
    'Object(1)': '[Number: 1]',
    'Object("s")': "[String: 's']",
    'Object(Symbol("x"))': '[Symbol: Symbol(x)]',
    'new Uint8Array([1, 2])': 'Uint8Array(2) [ 1, 2 ]',
    'new Uint8Array([1, 255]).buffer': 'ArrayBuffer { [Uint8Contents]: <01 ff>, byteLength: 2 }',
    'new DataView(new ArrayBuffer(4), 1)': 'DataView { byteLength: 3, byteOffset: 1 }',
    'Object.create(null)': '[Object: null prototype] {}',
    'new (class Foo { x = 1 })()': 'Foo { x: 1 }',
    '{ get a() { throw 1 }, set b(v) {}, get c() { return 1 }, set c(v) {} }':
      '{ a: [Getter], b: [Setter], c: [Getter/Setter] }',
    'new (class Foo { get [Symbol.toStringTag]() { throw 1 } })()': 'Foo {}',
    '{ [Symbol.toStringTag]: "T" }': "Object [T] { [Symbol(Symbol.toStringTag)]: 'T' }",
    'new URLSearchParams("a=b")': "URLSearchParams { query: 'a=b' }",
    'new Headers({ A: "b" })': "Headers { a: 'b' }",
    'new TextDecoder()': "TextDecoder { encoding: 'utf-8', fatal: false, ignoreBOM: false }",
    '(function () { return arguments })(1)': "Arguments",
  };
  for (const [code, expected] of Object.entries(cases)) {
    if (expected === 'Arguments') assert.match(inspected(code), /1/);
    else assert.equal(inspected(code), expected, code);
  }
});

test('promises show their state', () => {
  // Node's test runner adds symbols to every promise, after the state.
  assert.match(inspected('new Promise(() => {})'), /^Promise \{\s+<pending>/);
  assert.match(inspected('Promise.resolve(4)'), /^Promise \{\s+4/);
  assert.match(inspected('(() => { const p = Promise.reject(5); p.catch(() => {}); return p; })()'),
    /^Promise \{\s+<rejected> 5/);
});

test('circles are named', () => {
  assert.equal(inspected('(() => { const a = { n: 1 }; a.self = a; a.b = { up: a }; return a; })()'),
    '<ref *1> { n: 1, self: [Circular *1], b: { up: [Circular *1] } }');
});

test('long objects take several lines', () => {
  const text = inspected('{ a: "x".repeat(60), b: { c: "y".repeat(60) } }');
  assert.equal(text, `{\n  a: '${'x'.repeat(60)}',\n  b: { c: '${'y'.repeat(60)}' }\n}`);
});

test('errors show name, message, stack, cause and properties', () => {
  const text = inspected('Object.assign(new TypeError("no", { cause: new Error("why") }), { code: "E" })');
  assert.match(text, /^TypeError: no\n {4}at /);
  assert.match(text, /\[cause\]: Error: why\n/);
  assert.match(text, /code: 'E'/);
  assert.doesNotMatch(text, /lode:/);
  assert.match(inspected('new AggregateError([new Error("one")], "all")'), /\[errors\]: \[\n? *Error: one/);
  assert.match(inspected('new DOMException("m", "DataCloneError")'), /^\[DataCloneError: m\]/);
  assert.equal(inspected('Object.defineProperty(new Error("x"), "stack", { value: 5 })'), '[Error: x]');
});

test('limits: items, strings, output', () => {
  assert.match(inspected('Array.from({ length: 150 }, () => 1)'), /\.\.\. 50 more items\n\]$/);
  assert.match(inspected('new Set(Array.from({ length: 101 }, (_, i) => i))'), /\.\.\. 1 more item\n\}$/);
  assert.match(inspected('"a".repeat(10005)'), /a'\.\.\. 5 more characters$/);
  const wide = shown('console.log(Array.from({length: 100}, () => Array.from({length: 100}, () => ({ a: "b".repeat(99) }))))');
  assert.ok(wide.length <= 16 * 1024 + 20, `${wide.length}`);
  const wideText = shown('console.log("é".repeat(9000), "é".repeat(9000))');
  assert.ok(Buffer.byteLength(wideText) <= 16 * 1024 + 20);
  assert.match(wideText, /é\.\.\. \(cut\)$/);
  assert.equal(shown('console.log(new Array(4294967295))'), '[ <4294967295 empty items> ]');
});

test('nothing of the customer runs while a value is shown', () => {
  world.run('globalThis.ran = 0');
  const hostile = `(() => {
    const count = () => { ran++; throw 1; };
    const traps = new Proxy({}, { get() { return count; } });
    const proxy = new Proxy({ a: 1 }, traps);
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    return {
      proxy, revoked: revoked.proxy, fn: new Proxy(function f() {}, traps), array: new Proxy([1], traps),
      inherits: Object.create(proxy), toString: count, [Symbol.toPrimitive]: count, toJSON: count,
      get constructor() { return count(); }, inspect: count, map: new Map([[proxy, proxy]]),
      // (V8 makes a stack's text when it is first read, and calls the name for it.)
      error: ((e) => (e.stack, Object.defineProperty(e, 'name', { get: count })))(new Error('e')),
    };
  })()`;
  const text = inspected(hostile);
  assert.equal(world.run('ran'), 0);
  assert.match(text, /proxy: \{ a: 1 \},\n {2}revoked: <Revoked Proxy>,\n {2}fn: \[Function: f\],\n {2}array: \[ 1 \]/);
});

test('format directives', () => {
  const cases = {
    "'%s is %d', 'x', 42.5": 'x is 42.5',
    "'%i %f', '42.9px', '1.5'": '42 1.5',
    "'%j', { a: [1] }": '{"a":[1]}',
    "'%o %O', [1], { a: 1 }": '[ 1 ] { a: 1 }',
    "'%c styled', 'color: red'": ' styled',
    "'100%% of %s'": '100%% of %s',
    "'100%% of', 1": '100% of 1',
    "'%s'": '%s',
    "'%s %s', 'a'": 'a %s',
    "'%x %s', 'a'": '%x a',
    "'%', 1": '% 1',
    "'%s', Symbol('q')": 'Symbol(q)',
    "'%s %s', -0, 5n": '-0 5n',
    "'%d %i %d', {}, Symbol(), 5n": 'NaN NaN 5n',
    "'%s', { a: { b: 1 } }": '{ a: [Object] }',
    "'a', 'b', 1, [ 'c' ]": "a b 1 [ 'c' ]",
    "1, '%s', 2": '1 %s 2',
    "'%j', (() => { const a = {}; a.a = a; return a; })()": '[Circular or unserializable]',
  };
  for (const [args, expected] of Object.entries(cases)) {
    assert.equal(shown(`console.log(${args})`), expected, args);
  }
  assert.equal(shown('console.log()'), '');
});

test('levels', () => {
  world.logs.length = 0;
  world.run(`for (const m of ['debug', 'log', 'info', 'warn', 'error']) console[m](m)`);
  assert.deepEqual(world.logs, [[0, 'debug'], [1, 'log'], [1, 'info'], [2, 'warn'], [3, 'error']]);
});

test('trace, assert, count, time, group, dir', () => {
  // Our own frames are kept out of stacks by the engine (c/frames.c, tests/attacks/escapes.rs), not by V8.
  const trace = shown('(function here() { console.trace("at %s", "x"); })()').replace(/ {4}at .*lode:.*\n/g, '');
  assert.match(trace, /^Trace: at x\n {4}at here \(test/);
  assert.equal(shown('console.assert(1, "no"); console.assert(0, "no %d", 1); console.assert()'),
    'Assertion failed: no 1\n---\nAssertion failed');
  assert.equal(shown('console.count(); console.count("a"); console.count(); console.countReset(); console.count()'),
    'default: 1\n---\na: 1\n---\ndefault: 2\n---\ndefault: 1');
  assert.equal(shown('console.countReset("nope")'), "Count for 'nope' does not exist");
  assert.match(shown('console.time("t"); console.timeLog("t", "x"); console.timeEnd("t"); console.timeEnd("t")'),
    /^t: \d+ms x\n---\nt: \d+ms\n---\nNo such label 't' for console.time\(\)$/);
  assert.equal(shown('console.group("g"); console.log("a\\nb"); console.groupEnd(); console.groupEnd(); console.log("c")'),
    'g\n---\n  a\n  b\n---\nc');
  assert.equal(shown('for (let i = 0; i < 25; i++) console.group(); console.log("x"); for (let i = 0; i < 25; i++) console.groupEnd(); console.log("y")'),
    `${' '.repeat(40)}x\n---\ny`);
  assert.equal(shown('console.dir({ a: { b: {} } }, { depth: 0 })'), '{ a: [Object] }');
  assert.match(shown('console.dir([[[[[[[1]]]]]]], { depth: null })'), /\[ 1 \]/);
});

test('table', () => {
  assert.equal(shown('console.table([{ a: 1, b: "x" }, { a: 2 }, 5])'), [
    '┌─────────┬───┬─────┬────────┐',
    '│ (index) │ a │ b   │ Values │',
    '├─────────┼───┼─────┼────────┤',
    "│ 0       │ 1 │ 'x' │        │",
    '│ 1       │ 2 │     │        │',
    '│ 2       │   │     │ 5      │',
    '└─────────┴───┴─────┴────────┘',
  ].join('\n').replace('│ (index)', '│ (index)'));
  assert.match(shown('console.table({ r: { a: 1, b: 2 } }, ["b"])'), /│ \(index\) │ b │\n.*\n│ r {7}│ 2 │/);
  assert.equal(shown('console.table("x")'), 'x');
});

test('shape', () => {
  assert.equal(world.run('Object.prototype.toString.call(console)'), '[object console]');
  assert.equal(world.run('Object.getOwnPropertyDescriptor(globalThis, "console").enumerable'), false);
  assert.equal(world.run('console.log.name + console.log.length'), 'log0');
  assert.throws(() => world.run('new console.log()'), /not a constructor/);
});
