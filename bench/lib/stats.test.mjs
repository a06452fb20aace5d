import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencies, median, medians, ordered, quantile, ratioOf, round } from './stats.mjs';

test('the median is one of the numbers, in whatever order they are, and leaves them so', () => {
  const numbers = [9, 1, 5];
  assert.equal(median(numbers), 5);
  assert.deepEqual(numbers, [9, 1, 5]);
  assert.equal(median([1, 2]), 2);
  // As numbers, not as text.
  assert.equal(median([10, 9, 2]), 9);
});

test('quantiles are by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile(hundred, 0), 1);
  assert.equal(quantile(hundred, 1), 100);
  assert.equal(quantile([7], 0.99), 7);
});

test('latencies are of nanoseconds, in µs', () => {
  assert.deepEqual(latencies([3000, 1000, 2000]), { p50_us: 2, p99_us: 3 });
});

test('a ratio is the median of the rounds\' ratios, not the ratio of medians', () => {
  // By medians it would be 10 / 4.
  assert.equal(ratioOf([1, 10, 100], [4, 2, 100]), 1);
});

test('every second round goes backwards', () => {
  assert.deepEqual([0, 1, 2].map((round) => ordered(['a', 'b'], round).join('')), ['ab', 'ba', 'ab']);
});

test('medians leave out what was not measured', () => {
  assert.deepEqual(medians([{ a: 1 }, { a: 3, b: 2 }, { a: 2 }], ['a', 'b', 'c']), { a: 2, b: 2 });
});

test('rounding', () => {
  assert.equal(round(1.2345), 1.23);
  assert.equal(round(1.5, 0), 2);
});
