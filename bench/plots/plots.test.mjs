import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { apart, charts, short } from './charts.mjs';
import { comparisons, losses, score } from './losses.mjs';
import { fill, sections, table } from './page.mjs';
import { render } from './render.mjs';
import { FILES, read, skipped } from './results.mjs';

const here = (name) => new URL(name, import.meta.url);
const fixture = JSON.parse(readFileSync(here('fixture.json'), 'utf8'));
const template = readFileSync(here('page.md'), 'utf8');
const installed = existsSync(here('node_modules/vega/package.json')) && existsSync(here('node_modules/vega-lite/package.json'));

test('where Lode loses: whatever a peer does better, and nothing else', () => {
  const all = comparisons(fixture);
  const found = losses(all).map((one) => `${one.section}, ${one.what}, ${one.unit}: ${one.peer} ${one.times}`);
  assert.deepEqual(found, [
    'fresh sandbox, fib, µs p50: node-vm fresh-context 4',
    'warm sandbox, noop, µs p50: node-vm warm 5',
    // More per second is better; its p99 is worse, and so no loss.
    'endpoint, 64 connections, /s: workerd 4',
    // What stopped has no figure to compare.
    'idle apps, 1 apps, MB: workerd 1.4',
    'beside hostile apps, alone, µs p99: workerd 1.5',
  ]);
  const fresh = score(all).find(({ section }) => section === 'fresh sandbox');
  assert.deepEqual(fresh, { section: 'fresh sandbox', all: 2, worse: 1, worst: 4 });
});

test('nothing measured, nothing compared, and the page says so', () => {
  assert.deepEqual(comparisons({}), []);
  assert.match(fill(template, { ...sections({}), ...plots({}) }), /Not measured yet/);
});

const plots = (results) => Object.fromEntries(Object.keys(charts(results)).map((name) => [`plot-${name}`, name]));

test('the page has all that its template names, and no name is left in it', () => {
  const page = fill(template, { ...sections(fixture), ...plots(fixture) });
  assert.doesNotMatch(page, /\{\{/);
  assert.match(page, /\*\*hangs\*\*/);
  assert.match(page, /12 \(1\.3×\), 2 failed/);
  assert.match(page, /takes over 6 GB/);
  assert.match(page, /quick run/);
  assert.throws(() => fill('{{nobody}}', {}), /nobody/);
});

test('a table escapes what would end a cell, and makes Lode stand out', () => {
  const text = table([{ system: 'Lode', why: 'a|b', n: 1234.5 }], { system: (row) => row.system, why: (row) => row.why, n: (row) => row.n });
  assert.equal(text.split('\n')[2], '| **Lode** | a\\|b | 1,235 |');
});

test('figures are made short, and what is missing is a dash', () => {
  assert.deepEqual([12345.6, 12.345, 1.26, 0.0123, undefined].map(short), ['12,346', '12.3', '1.3', '0.012', '–']);
});

test('names beside lines keep apart, in the order of their lines', () => {
  const ends = apart([{ value: 101 }, { value: 100 }, { value: 1 }], [1, 1000], 140, true);
  assert.deepEqual(ends.map(({ value }) => value), [1, 100, 101]);
  assert.ok(Math.log10(ends[2].at / ends[1].at) >= 0.299);
});

test('what was left out is told, with its reason', () => {
  assert.deepEqual(skipped(fixture).map(({ system }) => system), ['vm2', 'workerd']);
});

test('a chart without results is none', () => {
  const made = charts(fixture);
  assert.equal(made.queue, null);
  assert.equal(made['growth-size'], null);
  assert.notEqual(made.hostile, null);
});

test('results that are not there are not read', () => {
  assert.deepEqual(read(path.join(tmpdir(), 'no such folder')), {});
  assert.ok(FILES.includes('hostile'));
});

test('plots are SVG, and only of what was measured', { skip: installed ? false : 'vega is not installed (npm ci in bench/plots)' }, async () => {
  const out = mkdtempSync(path.join(tmpdir(), 'lode-plots-'));
  try {
    const missing = await render(fixture, template, out);
    const files = readdirSync(out);
    assert.ok(missing.includes('queue') && !files.includes('queue.svg'));
    const hostile = readFileSync(path.join(out, 'hostile.svg'), 'utf8');
    assert.match(hostile, /^<svg[^>]*>/);
    assert.match(hostile, />hangs</);
    assert.match(readFileSync(path.join(out, 'memory.svg'), 'utf8'), /workerd: with 1,000, takes over 6 GB/);
    assert.match(readFileSync(path.join(out, 'README.md'), 'utf8'), /!\[.*\]\(hostile\.svg\)/);
  } finally {
    rmSync(out, { recursive: true });
  }
});
