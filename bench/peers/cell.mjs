// One cell of the table, in a process of its own: one peer, one mode, one workload.
// Started by run.mjs with fork(); answers with a single message.
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { quantile } from '../lib/stats.mjs';
import { peers } from './peers.mjs';
import { freshnessProbe, loadWorkload } from './workloads.mjs';

const WARM_UP_RUNS = 200;
const MIN_SAMPLES = 5;
const RUNS_PER_TURN = 32;

class Failure extends Error {}

/** Times single runs until `ms` have passed and `atLeast` were taken, or `atMost` were. */
async function sample(world, request, { ms, atLeast, atMost }) {
  const nanoseconds = [];
  const until = process.hrtime.bigint() + BigInt(Math.round(ms * 1e6));
  let result;
  for (let end = 0n; nanoseconds.length < atMost && (end < until || nanoseconds.length < atLeast);) {
    // Peers clean up on the event loop; give it its turn, outside the timing.
    if (nanoseconds.length % RUNS_PER_TURN === 0) await turn();
    const start = process.hrtime.bigint();
    result = world.run(request);
    if (typeof result !== 'string') result = await result;
    end = process.hrtime.bigint();
    nanoseconds.push(Number(end - start));
  }
  return { nanoseconds, result };
}

async function checkFreshness(mode, fresh) {
  const world = await mode.open(freshnessProbe);
  const seen = [await world.run('{}'), await world.run('{}')].join();
  const expected = fresh ? '1,1' : '1,2';
  if (seen !== expected) throw new Failure(`runs saw state ${seen} where ${expected} was meant`);
}

function checkResult(actual, expected) {
  if (expected === null || actual === expected) return;
  let at = 0;
  while (actual[at] === expected[at]) at++;
  const show = (text) => JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
  throw new Failure(`result differs from Node vm at ${at}: ${show(actual)}, not ${show(expected)}`);
}

function peakRssMb() {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
  } catch {
    return process.memoryUsage().rss / 2 ** 20;
  }
}

function summary(nanoseconds) {
  const sorted = Float64Array.from(nanoseconds).sort();
  const mean = sorted.reduce((total, one) => total + one, 0) / sorted.length;
  const us = (ns) => Math.round(ns / 10) / 100;
  return {
    p50_us: us(quantile(sorted, 0.5)),
    p99_us: us(quantile(sorted, 0.99)),
    min_us: us(sorted[0]),
    runs_per_s: Math.round(1e10 / mean) / 10,
    samples: sorted.length,
    rss_mb: Math.round(peakRssMb() * 10) / 10,
  };
}

/** `loadOnly` tells whether the peer works here; `referenceOnly` answers with one run's result. */
async function measure({ peer, mode: modeName, workload, ms, expected, loadOnly, referenceOnly }) {
  await peers[peer].load?.();
  if (loadOnly) return {};
  const mode = peers[peer].modes[modeName];
  const program = loadWorkload(workload);
  if (referenceOnly) return { result: await (await mode.open(program)).run(program.request) };
  await checkFreshness(mode, modeName !== 'warm');
  const world = await mode.open(program);
  checkResult(await world.run(program.request), expected);
  await sample(world, program.request, { ms, atLeast: 1, atMost: WARM_UP_RUNS });
  const { nanoseconds, result } = await sample(world, program.request, { ms, atLeast: MIN_SAMPLES, atMost: Infinity });
  checkResult(result, expected);
  return summary(nanoseconds);
}

process.once('message', async (job) => {
  let answer;
  try {
    answer = await measure(job);
  } catch (error) {
    answer = { error: error instanceof Failure ? error.message : String(error?.message ?? error).split('\n')[0] };
  }
  process.send(answer, () => process.exit(0));
});
