// The command line of a comparison, and the file that it leaves in ../results.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { round } from './stats.mjs';

/** Where the files go: ../results, unless scripts/bench.sh says otherwise. */
export const resultFile = (name) => path.join(process.env.BENCH_RESULTS ?? fileURLToPath(new URL('../results/', import.meta.url)), name);

/**
 * `--ms` of a cell, `--rounds`, `--only a,b`, `--out`, `--quick`. Quick (also by BENCH_QUICK=1) is to see that all of it
 * works: its figures say little.
 */
export function options({ file, ms = 3000, rounds = 3, quick = { ms: 500, rounds: 1 } }) {
  const text = { type: 'string' };
  const { values } = parseArgs({ options: { ms: text, rounds: text, only: text, out: text, quick: { type: 'boolean' } } });
  const isShort = values.quick ?? isQuick();
  const usual = isShort ? quick : { ms, rounds };
  return {
    quick: isShort,
    ms: Number(values.ms ?? usual.ms),
    rounds: Number(values.rounds ?? usual.rounds),
    only: values.only?.split(','),
    out: values.out ?? resultFile(file),
  };
}

/** Whether `--only` lets a system take part. */
export const wanted = (name, only) => only === undefined || only.some((part) => name.includes(part));

export const machine = () => ({
  cpu: cpus()[0].model,
  cores: cpus().length,
  memory_gb: round(totalmem() / 2 ** 30, 0),
  kernel: release(),
  node: process.version,
});

export const loadAverage = () => loadavg().map((value) => round(value));

export const isQuick = () => (process.env.BENCH_QUICK ?? '0') !== '0';

/** When something was measured, how, and beside what else. */
export const circumstances = (before) => ({
  measured: new Date().toISOString().slice(0, 10), quick: isQuick(), load_average: { before, after: loadAverage() },
});

/** Writes a comparison's file. `part`: only that member of it, beside what others have put into it. */
export function write({ out, quick, rounds, ms }, content, part) {
  const before = part !== undefined && existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : {};
  const how = { measured: new Date().toISOString().slice(0, 10), quick, rounds, ms_per_cell: ms };
  const report = { ...before, machine: machine() };
  if (part === undefined) Object.assign(report, how, content);
  else report[part] = { ...how, ...content };
  writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
}

const digits = (value) => (typeof value === 'number'
  ? value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 }) : value ?? '–');

/** Rows of objects as a Markdown table of `columns`, `{title: member}`. */
export function table(rows, columns) {
  const titles = Object.keys(columns);
  const lines = rows.map((row) => `| ${Object.values(columns).map((name) => digits(row[name])).join(' | ')} |`);
  return [`| ${titles.join(' | ')} |`, `|${titles.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...lines].join('\n');
}

/** Runs a comparison to the end of the process: what is left open does not keep it alive. */
export function run(main) {
  main().then(() => process.exit(0), (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
}
