// How much two processes do together against one: each runs `lode run --repeat` on the presave workload
// pinned to a processor of its own. Writes JSON to the file that LODE_BENCH_OUT names.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const lode = path.resolve(process.argv[2]);
const workloads = fileURLToPath(new URL('workloads', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'lode-processes-'));
const script = path.join(folder, 'presave.mjs');
writeFileSync(script, `${readFileSync(path.join(workloads, 'presave.js'))}\nexport { handler };\n`);

const RUNS = 20000;

// Runs per second of `processors.length` processes together, from the first start to the last end.
async function throughput(processors) {
  const started = process.hrtime.bigint();
  await Promise.all(processors.map((processor) => new Promise((resolve, reject) => {
    const child = spawn('taskset', ['-c', `${processor}`, lode, 'run', script, '--request',
      path.join(workloads, 'order.json'), '--repeat', `${RUNS}`, '--json'], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`lode run: exit ${code}`))));
  })));
  return (RUNS * processors.length) / (Number(process.hrtime.bigint() - started) / 1e9);
}

const ratios = [];
let one;
let two;
for (let round = 0; round < 5; round++) {
  one = await throughput([0]);
  two = await throughput([0, 1]);
  ratios.push(two / one);
}
ratios.sort((a, b) => a - b);
const report = { workload: 'presave', one_per_s: Math.round(one), two_per_s: Math.round(two), ratio_median: ratios[2] };
console.error('two processes against one:', report);
if (process.env.LODE_BENCH_OUT) writeFileSync(process.env.LODE_BENCH_OUT, `${JSON.stringify(report, null, 2)}\n`);
