import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const { run } = newWorld();
const failure = (code) => run(`(() => { try { ${code}; return 'none'; } catch (e) { return e.name; } })()`);

test('getRandomValues', () => {
  for (const kind of ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'BigInt64', 'BigUint64']) {
    assert.equal(run(`(() => { const a = new ${kind}Array(64); return crypto.getRandomValues(a) === a && a.some((x) => x != 0); })()`), true, kind);
  }
  // Only the view's own bytes are filled.
  assert.equal(run(`(() => { const b = new Uint8Array(300); crypto.getRandomValues(new Uint8Array(b.buffer, 100, 100));
    return b.slice(0, 100).every((x) => x === 0) && b.slice(200).every((x) => x === 0) && b.some((x) => x !== 0); })()`), true);
  assert.equal(failure('crypto.getRandomValues(new Uint8Array(65536))'), 'none');
  assert.equal(failure('crypto.getRandomValues(new Uint8Array(65537))'), 'QuotaExceededError');
  assert.equal(failure('crypto.getRandomValues(new Float32Array(1))'), 'TypeMismatchError');
  assert.equal(failure('crypto.getRandomValues(new DataView(new ArrayBuffer(1)))'), 'TypeMismatchError');
  for (const value of ['', '[]', 'null', 'new ArrayBuffer(1)', '{}']) assert.equal(failure(`crypto.getRandomValues(${value})`), 'TypeError');
  assert.equal(failure('crypto.getRandomValues.call({}, new Uint8Array(1))'), 'TypeError');
  assert.equal(failure('crypto.getRandomValues(new Uint8Array(0))'), 'none');
});

test('randomUUID', () => {
  const ids = new Set();
  for (let i = 0; i < 100; i++) {
    const id = run('crypto.randomUUID()');
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    ids.add(id);
  }
  assert.equal(ids.size, 100);
});

test('shape', () => {
  assert.equal(failure('new Crypto()'), 'TypeError');
  assert.equal(run('Object.prototype.toString.call(crypto) + typeof crypto.subtle + (crypto instanceof Crypto)'), '[object Crypto]undefinedtrue');
});
