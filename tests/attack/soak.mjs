// Hostile load for minutes: attacks at random, some at once, beside a neighbour; see README.md.
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { ATTACKS } from './lib/corpus.mjs';
import { kept, sample, settled } from './lib/processes.mjs';
import { run } from './lib/run.mjs';
import { startWorld } from './lib/world.mjs';

const option = (name, other) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : other);
const minutes = Number(option('--minutes', 60));
const seed = Number(option('--seed', Date.now() % 2 ** 31));
const out = option('--out', fileURLToPath(new URL('../../bench/results/attack-soak.json', import.meta.url)));
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes and --seed are numbers');

/** Attacks at once: as many as keep two processors busy, and leave the neighbour its turns. */
const AT_ONCE = 2;

/** A generator of whole numbers below n (mulberry32): the same seed chooses the same attacks in the same order. */
function chooser(state) {
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

process.stdout.write(`seed ${seed}, ${minutes} minutes\n`);
const choose = chooser(seed);
const world = await startWorld({ canary: `canary-${randomUUID()}` });
const { server, neighbour } = world;
const report = { seed, minutes, samples: [], problems: [], attacks: 0, answers: 0 };
const problem = (id, what) => {
  // One that fails always would fill the report: the first hundred tell enough.
  if (report.problems.length < 100) report.problems.push({ at: Math.round((Date.now() - begun) / 1000), id, what });
};
const begun = Date.now();
let over = false;
try {
  // Its first answers are those of a cold server.
  await pause(1500);
  const calm = performance.now();
  await pause(3000);
  report.baseline = neighbour.since(calm);
  report.before = await world.holdings();
  const load = performance.now();
  const end = Date.now() + minutes * 60_000;
  const sampling = (async () => {
    while (!over) {
      report.samples.push({ at: Math.round((Date.now() - begun) / 1000), ...sample(server.pid) });
      await pause(3000);
    }
  })();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (Date.now() < end && server.lives()) {
      const attack = ATTACKS[choose(ATTACKS.length)];
      const result = await run(world, attack);
      report.attacks++;
      report.answers += result.answers;
      for (const what of result.problems) problem(attack.id, what);
    }
  }));
  over = true;
  await sampling;
  report.neighbour = neighbour.since(load);
  await neighbour.stop();
  for (const what of report.neighbour.wrong) problem('neighbour', what);
  if (!server.lives()) throw new Error(`the server ended (${server.ended()})`);
  report.after = await settled(server.pid);
  for (const what of kept(report.before, report.after)) problem('server', what);
} catch (error) {
  problem('run', error.stack);
} finally {
  over = true;
  await world.stop();
}
report.verdict = report.problems.length === 0 ? 'back where it began' : 'not well';
mkdirSync(path.dirname(out), { recursive: true });
writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
process.stdout.write(`${report.attacks} attacks, ${report.answers} answers; the neighbour: ${report.neighbour?.requests} requests, ${report.neighbour?.wrong.length} wrong, p50 ${report.neighbour?.p50.toFixed(1)} ms (${report.baseline?.p50.toFixed(1)} alone), p99 ${report.neighbour?.p99.toFixed(1)} ms (${report.baseline?.p99.toFixed(1)} alone)\n`);
process.stdout.write(`before ${JSON.stringify(report.before)}\nafter  ${JSON.stringify(report.after)}\n${report.verdict} (${out})\n`);
for (const { at, id, what } of report.problems) process.stdout.write(`PROBLEM ${at} s, ${id}: ${what}\n`);
process.exitCode = report.problems.length === 0 ? 0 : 1;
