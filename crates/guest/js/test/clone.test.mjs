import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const world = newWorld();
const { run } = world;
const shows = (code) => world.internal.inspect(run(`structuredClone(${code})`));
const check = (body) => run(`(() => { ${body} })()`);
const failure = (code) => run(`(() => { try { ${code}; return 'none'; } catch (e) { return e.name; } })()`);

test('values come out as they went in', () => {
  const same = ['1', '-0', '"s"', 'null', 'undefined', 'true', '12n', '{ a: [1, , 3], b: { c: undefined } }', 'new Date(5)',
    'new Date(NaN)', '/a\\/b/dgimsy', 'new Map([[{ a: 1 }, new Set([1, [2]])]])', 'Object(1)', 'Object("s")', 'Object(false)',
    'Object(2n)', 'new Uint16Array([1, 2])', 'new Float64Array(2)', 'new BigInt64Array([5n])',
    'new DataView(new ArrayBuffer(4), 1, 2)', 'new Uint8Array([1, 2]).buffer', 'Object.assign([1, 2], { extra: true })',
    'new Array(1000)', '[[]]'];
  for (const code of same) assert.equal(shows(code), world.internal.inspect(run(`(${code})`)), code);
});

test('classes become plain objects, accessors their values, hidden and symbol properties nothing', () => {
  assert.equal(shows('new (class Foo { x = 1; #y = 2; get z() { return 3; } })()'), '{ x: 1 }');
  assert.equal(shows('({ get a() { return 1; }, [Symbol("s")]: 2 })'), '{ a: 1 }');
  assert.equal(shows('Object.create({ inherited: 1 }, { hidden: { value: 1 }, seen: { value: 2, enumerable: true } })'), '{ seen: 2 }');
  assert.equal(shows('Object.create(null)'), '{}');
  assert.equal(check('const o = JSON.parse(\'{"__proto__": {"a": 1}}\'); const c = structuredClone(o); return Object.keys(c).join() + (c.a === undefined) + (Object.getPrototypeOf(c) === Object.prototype);'),
    '__proto__truetrue');
  assert.equal(check('const r = /a/g; r.lastIndex = 5; return structuredClone(r).lastIndex;'), 0);
});

test('identity and circles are kept', () => {
  assert.equal(check(`const shared = { s: 1 }; const a = { x: shared, y: [shared], m: new Map([[shared, shared]]) };
    a.self = a; const c = structuredClone(a); const [[k, v]] = c.m;
    return [c !== a, c.self === c, c.x === c.y[0], c.x === k, k === v, c.x !== shared].join();`), 'true,true,true,true,true,true');
  assert.equal(check(`const b = new ArrayBuffer(8); const c = structuredClone([new Uint8Array(b, 2, 3), new DataView(b), b]);
    return [c[0].buffer === c[2], c[1].buffer === c[2], c[2] !== b, c[0].byteOffset, c[0].length].join();`), 'true,true,true,2,3');
});

test('any depth', () => {
  assert.equal(check(`let a = []; for (let i = 0; i < 200000; i++) a = [a]; let c = structuredClone(a), n = 0;
    while (c.length) { c = c[0]; n++; } return n;`), 200000);
});

test('errors', () => {
  assert.equal(check(`const e = new RangeError('m', { cause: { why: 1 } }); e.code = 5; const c = structuredClone(e);
    return [c instanceof RangeError, c.name, c.message, c.cause.why, c.cause !== e.cause, c.stack === e.stack, c.code,
      Object.keys(c).length].join();`), 'true,RangeError,m,1,true,true,,0');
  assert.equal(check(`class Mine extends TypeError { name = 'Mine' } const c = structuredClone(new Mine('x'));
    return [c.name, Object.getPrototypeOf(c) === Error.prototype, c.message].join();`), 'Error,true,x');
  assert.equal(check('const e = new Error(); return Object.hasOwn(structuredClone(e), "message");'), false);
  assert.equal(check('const c = structuredClone(new DOMException("m", "AbortError")); return c.name + c.message + (c instanceof DOMException)'), 'AbortErrormtrue');
  assert.equal(check('const e = new Error("x"); e.name = "__proto__"; return structuredClone(e).name'), 'Error');
});

test('what cannot be cloned', () => {
  for (const code of ['() => {}', 'Symbol()', 'Object(Symbol())', 'new WeakMap()', 'new WeakSet()', 'new WeakRef({})', 'Promise.resolve()',
    'new Proxy({}, {})', 'new Proxy([], {})', '(function* () {})()', '{ f() {} }', '[Symbol()]', 'new Map([[1, () => {}]])', 'new URL("http://x")',
    'new Headers()', 'new Response()', 'new TextEncoder()', 'new TextDecoder()', 'new URLSearchParams()', 'crypto', 'Math.max',
    'new Error("x", { cause: () => {} })']) {
    assert.equal(failure(`structuredClone(${code})`), 'DataCloneError', code);
  }
  assert.equal(failure('structuredClone()'), 'TypeError');
  assert.equal(failure('structuredClone({ get a() { throw new RangeError(); } })'), 'RangeError');
});

test('transfer', () => {
  assert.equal(check(`const b = new Uint8Array([1, 2, 3]).buffer; const c = structuredClone({ b, v: new Uint8Array(b, 1) }, { transfer: [b] });
    return [b.detached, b.byteLength, c.b.byteLength, c.v.buffer === c.b, c.v.join('')].join();`), 'true,0,3,true,23');
  assert.equal(check('const b = new ArrayBuffer(3); const c = structuredClone(1, { transfer: [b] }); return [c, b.detached].join()'), '1,true');
  assert.equal(failure('const b = new ArrayBuffer(1); structuredClone(b, { transfer: [b, b] })'), 'DataCloneError');
  assert.equal(failure('structuredClone(1, { transfer: [{}] })'), 'DataCloneError');
  assert.equal(failure('structuredClone(1, { transfer: [1] })'), 'TypeError');
  assert.equal(failure('structuredClone(1, { transfer: 5 })'), 'TypeError');
  assert.equal(failure('structuredClone(1, 5)'), 'TypeError');
  assert.equal(failure('const b = new ArrayBuffer(1); b.transfer(); structuredClone(b)'), 'DataCloneError');
  assert.equal(failure('const b = new ArrayBuffer(1); b.transfer(); structuredClone(1, { transfer: [b] })'), 'DataCloneError');
  assert.equal(failure('const u = new Uint8Array(4); u.buffer.transfer(); structuredClone(u)'), 'DataCloneError');
  assert.equal(check(`const b = new ArrayBuffer(3); try { structuredClone({ b, f() {} }, { transfer: [b] }); } catch {} return b.detached`), false);
  assert.equal(check('structuredClone(1, null); structuredClone(1, {}); return structuredClone(new ArrayBuffer(2, { maxByteLength: 8 })).maxByteLength'), 8);
});

test('shape', () => {
  assert.equal(run('structuredClone.name + structuredClone.length'), 'structuredClone1');
});
