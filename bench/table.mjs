// Prints Lode beside its peers from the JSON that scripts/bench.sh left in a folder.
import { readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
const lode = read('lode.json');
const rows = [...lode.results, ...read('peers.json').results];
const workloads = [...new Set(lode.results.map((row) => row.workload))];
const title = (row) => `${row.peer} ${row.mode}`;
const names = [...new Set(rows.filter((row) => row.p50_us !== undefined).map(title))];

for (const [figure, label] of [['p50_us', 'p50 µs'], ['p99_us', 'p99 µs'], ['runs_per_s', 'runs/s']]) {
  console.log(`\n| ${label} | ${workloads.join(' | ')} |`);
  console.log(`|---|${workloads.map(() => '---:').join('|')}|`);
  for (const name of names) {
    const cells = workloads.map((workload) => {
      const row = rows.find((r) => r.workload === workload && title(r) === name);
      return row?.[figure] === undefined ? '–' : row[figure].toLocaleString('en', { maximumFractionDigits: row[figure] < 100 ? 1 : 0 });
    });
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
}
console.log('\nLode fresh against warm:', Object.fromEntries(
  Object.entries(lode.ratios).map(([name, ratio]) => [name, ratio.fresh_to_warm])));
for (const row of rows.filter((r) => r.skipped)) console.log(`skipped ${row.peer}: ${row.skipped}`);
