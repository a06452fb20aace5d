// Every attack of docs/attacks.md on a running server, as a customer would try it; see README.md.
import { randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { LODE } from '../lib/server.mjs';
import { ATTACKS, ELSEWHERE } from './lib/corpus.mjs';
import { gaps, readRows } from './lib/document.mjs';
import { kept, settled } from './lib/processes.mjs';
import { markdown } from './lib/report.mjs';
import { run } from './lib/run.mjs';
import { startWorld } from './lib/world.mjs';

const flag = (name) => process.argv.includes(name);
const value = (name) => process.argv[process.argv.indexOf(name) + 1];
const root = fileURLToPath(new URL('../..', import.meta.url));
const rows = readRows();
const problems = gaps(rows, ATTACKS, ELSEWHERE).map((what) => ({ id: 'completeness', what }));
const chosen = flag('--only') ? ATTACKS.filter(({ id }) => new RegExp(value('--only')).test(id)) : ATTACKS;

const begun = Date.now();
const world = await startWorld({ canary: `canary-${randomUUID()}` });
const { server, neighbour } = world;
const results = [];
const report = { begun: new Date(begun).toISOString(), version: execFileSync(LODE, ['--version'], { encoding: 'utf8' }).trim(),
  machine: `${os.cpus().length} × ${os.cpus()[0].model}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}` };
try {
  // Its first answers are those of a cold server.
  await pause(1500);
  const calm = performance.now();
  await pause(3000);
  report.baseline = neighbour.since(calm);
  report.before = await world.holdings();
  for (const attack of chosen) {
    const from = performance.now();
    const result = await run(world, attack);
    // One request of the neighbour's at least is to have begun, however short the attack was.
    await pause(Math.max(0, 100 - (performance.now() - from)));
    const took = performance.now() - from;
    const near = neighbour.since(from);
    results.push({ id: attack.id, row: attack.row, took, outcomes: Object.fromEntries(result.outcomes), blames: [...result.blames], ms: result.ms, answers: result.answers, near, problems: result.problems });
    for (const what of result.problems) problems.push({ id: attack.id, what });
    process.stdout.write(`${result.problems.length === 0 ? 'ok    ' : 'FAILED'} ${attack.id} (${result.answers} answers, ${Math.round(took)} ms)\n`);
    for (const what of result.problems) process.stdout.write(`         ${what}\n`);
    if (!server.lives()) throw new Error(`the server ended (${server.ended()}) at ${attack.id}`);
  }
  await pause(500);
  const all = neighbour.since(0);
  for (const what of all.wrong) problems.push({ id: 'neighbour', what });
  report.neighbour = all;
  await neighbour.stop();
  report.after = await settled(server.pid);
  for (const what of kept(report.before, report.after)) problems.push({ id: 'server', what });
} catch (error) {
  problems.push({ id: 'run', what: error.stack });
} finally {
  await world.stop();
}
report.seconds = (Date.now() - begun) / 1000;
Object.assign(report, { attacks: results, elsewhere: Object.fromEntries(ELSEWHERE), problems });

if (flag('--write')) {
  mkdirSync(`${root}bench/results`, { recursive: true });
  writeFileSync(`${root}bench/results/attacks.json`, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(`${root}docs/attack-report.md`, markdown(report, rows));
}
process.stdout.write(`\n${results.length} attacks, ${results.reduce((sum, { answers }) => sum + answers, 0)} answers, ${Math.round(report.seconds)} s; the neighbour: ${report.neighbour?.requests} requests, ${report.neighbour?.wrong.length} wrong\n`);
process.stdout.write(`before ${JSON.stringify(report.before)}\nafter  ${JSON.stringify(report.after)}\n`);
for (const { id, what } of problems) process.stdout.write(`PROBLEM ${id}: ${what}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
