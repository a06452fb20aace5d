// How much two processes do together against one: each runs `lode run --repeat` on the presave workload
// pinned to a processor of its own. Writes JSON to the file that LODE_BENCH_OUT names.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { circumstances, isQuick, loadAverage, machine } from './lib/results.mjs';
import { median, round } from './lib/stats.mjs';

const lode = path.resolve(process.argv[2]);
const workloads = fileURLToPath(new URL('workloads', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'lode-processes-'));
const script = path.join(folder, 'presave.mjs');
writeFileSync(script, `${readFileSync(path.join(workloads, 'presave.js'))}\nexport { handler };\n`);

const RUNS = isQuick() ? 1000 : 10_000;

// bash's `time` tells the processor time, which spawn does not.
const TIMED = 'TIMEFORMAT="%U %S"; exec 3>&2; { time "$@" >/dev/null 2>/dev/null 3>&-; } 2>&3';

// Runs once on a processor; gives its processor time in seconds.
function once(processor) {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', TIMED, 'bash', 'taskset', '-c', `${processor}`, lode, 'run', script,
      '--request', path.join(workloads, 'order.json'), '--repeat', `${RUNS}`, '--json'],
    { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (part) => { said += part; });
    child.on('error', reject);
    child.on('close', (code) => {
      const [user, system] = said.trim().split(' ').map(Number);
      if (code === 0 && user + system > 0) resolve(user + system);
      else reject(new Error(`lode run: exit ${code} ${said}`));
    });
  });
}

// `processors.length` processes together: runs per second from the first start to the last end, and
// processor seconds per process.
async function together(processors) {
  const started = process.hrtime.bigint();
  const cpu = await Promise.all(processors.map(once));
  const elapsed = Number(process.hrtime.bigint() - started) / 1e9;
  return {
    perSecond: (RUNS * processors.length) / elapsed,
    cpu: cpu.reduce((sum, seconds) => sum + seconds, 0) / processors.length,
  };
}

const before = loadAverage();
const rounds = [];
for (let number = 0; number < (isQuick() ? 1 : 5); number++) rounds.push([await together([0]), await together([0, 1])]);
const round3 = (number) => round(number, 3);
const report = {
  machine: machine(),
  ...circumstances(before),
  workload: 'presave',
  one_per_s: Math.round(median(rounds.map(([one]) => one.perSecond))),
  two_per_s: Math.round(median(rounds.map(([, two]) => two.perSecond))),
  ratio_median: round3(median(rounds.map(([one, two]) => two.perSecond / one.perSecond))),
  // What the ratio is when nothing else runs: others' work takes time, but hardly processor time of ours.
  ratio_by_processor_time: round3(median(rounds.map(([one, two]) => (2 * one.cpu) / two.cpu))),
};
console.error('two processes against one:', report);
if (process.env.LODE_BENCH_OUT) writeFileSync(process.env.LODE_BENCH_OUT, `${JSON.stringify(report, null, 2)}\n`);
