import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

test('timers reach the host with clean delays', () => {
  const { run, timers } = newWorld();
  const delay = (code) => {
    timers.clear();
    const id = run(code);
    assert.ok(Number.isInteger(id) && id >= 1);
    return [...timers.values()][0];
  };
  const cases = [
    ['setTimeout(() => {})', 1, false], ['setTimeout(() => {}, 0)', 1, false], ['setTimeout(() => {}, 10.9)', 10, false],
    ['setTimeout(() => {}, "25")', 25, false], ['setTimeout(() => {}, NaN)', 1, false],
    ['setTimeout(() => {}, 2147483647)', 2147483647, false], ['setTimeout(() => {}, 2147483648)', 1, false],
    ['setTimeout(() => {}, -5)', 1, false], ['setTimeout(() => {}, {})', 1, false],
    ['setInterval(() => {}, 5)', 5, true], ['setImmediate(() => {})', 0, false],
  ];
  for (const [code, expected, repeat] of cases) {
    const timer = delay(code);
    assert.equal(timer.delay, expected, code);
    assert.equal(timer.repeat, repeat, code);
  }
  assert.deepEqual([...delay('setTimeout(() => {}, 1, "a", 2)').args], ['a', 2]);
  assert.deepEqual([...delay('setImmediate(() => {}, "a")').args], ['a']);
});

test('what is no function or number is refused', () => {
  const { run } = newWorld();
  const name = (code) => run(`try { ${code}; 'none' } catch (e) { e.name }`);
  assert.equal(name('setTimeout("code", 1)'), 'TypeError');
  assert.equal(name('setImmediate()'), 'TypeError');
  assert.equal(name('setTimeout(() => {}, Symbol())'), 'TypeError');
  assert.equal(name('setTimeout(() => {}, 1n)'), 'TypeError');
  assert.equal(name('new setTimeout(() => {})'), 'TypeError');
});

test('clearing', () => {
  const { run, cleared } = newWorld();
  run(`clearTimeout(3); clearInterval('4'); clearImmediate(5); clearTimeout(); clearTimeout(null); clearTimeout({});
    clearTimeout(-1); clearTimeout(1.5); clearTimeout(Symbol()); clearTimeout('x')`);
  assert.deepEqual(cleared, [3, 4, 5]);
});

test('shape', () => {
  const { run } = newWorld();
  assert.equal(run('setTimeout.name + setTimeout.length'), 'setTimeout1');
  assert.equal(run('Object.keys(globalThis).includes("setTimeout")'), false);
});
