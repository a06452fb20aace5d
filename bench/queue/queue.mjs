// Tasks of 1 KB through Redis to a worker that echoes them, and back: Lode's queue and background-task, on the same
// Redis, in alternating rounds. Writes ../results/queue.json and prints a table.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { end, tie } from '../../tests/lib/files.mjs';
import { startRedis } from '../../tests/lib/redis.mjs';
import { LODE } from '../../tests/lib/server.mjs';
import { circumstances, isQuick, loadAverage, machine, resultFile, run } from '../lib/results.mjs';
import { median, ordered, ratioOf } from '../lib/stats.mjs';

const text = { type: 'string' };
const { values } = parseArgs({ options: { seconds: text, rounds: text, concurrency: { ...text, default: '1,32,256' }, only: text, out: text } });
const SECONDS = Number(values.seconds ?? (isQuick() ? 1 : 5));
const ROUNDS = Number(values.rounds ?? (isQuick() ? 1 : 5));
const OUT = values.out ?? resultFile('queue.json');
const BYTES = 1024;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Runs a process to its end: the JSON object that it prints last. */
function told(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = tie(spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }));
    let out = '';
    let log = '';
    child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split('\n').at(-1)));
      else reject(new Error(`${command} ${args.join(' ')}: exit code ${code}\n${out}${log}`));
    });
  });
}

function lode(redis) {
  return (concurrency) => told(LODE, ['bench', 'queue', '--queue', redis.url, '--concurrency', `${concurrency}`,
    '--duration', `${SECONDS}`, '--bytes', `${BYTES}`, '--json']);
}

function backgroundTask(redis, limit) {
  const env = { REDIS_HOST: redis.host, REDIS_PORT: `${redis.port}`, LIMIT: limit, DURATION: `${SECONDS}`, BYTES: `${BYTES}` };
  return async (concurrency) => {
    const worker = tie(spawn(process.execPath, [here('peer.mjs'), 'worker'], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] }));
    try {
      await new Promise((resolve, reject) => {
        worker.stdout.once('data', resolve);
        worker.once('exit', () => reject(new Error('the worker ended')));
      });
      return await told(process.execPath, [here('peer.mjs'), 'client'], { ...env, CONCURRENCY: `${concurrency}` });
    } finally {
      await end(worker, 'SIGKILL');
    }
  };
}

const hasLode = () => existsSync(LODE) && execFileSync(LODE, ['bench', '--help'], { encoding: 'utf8' }).includes('queue');

async function main() {
  const redis = await startRedis();
  const before = loadAverage();
  const all = {
    Lode: lode(redis),
    'background-task': backgroundTask(redis, '100000'),
    'background-task, no limit per key': backgroundTask(redis, '-1'),
  };
  if (!hasLode()) {
    process.stderr.write(`${LODE} has no \`bench queue\`: the peer by itself\n`);
    delete all.Lode;
  }
  const names = Object.keys(all).filter((name) => values.only === undefined || values.only.split(';').includes(name));
  const concurrencies = values.concurrency.split(',').map(Number);
  const cells = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of ordered(names, round)) {
      for (const concurrency of concurrencies) {
        await redis.call('FLUSHALL');
        const { perSecond, p50Us, p99Us } = await all[name](concurrency);
        const figures = { perSecond: Math.round(perSecond), p50Us: Math.round(p50Us), p99Us: Math.round(p99Us) };
        process.stderr.write(`round ${round + 1}: ${name}, ${concurrency}: ${JSON.stringify(figures)}\n`);
        const key = `${name} ${concurrency}`;
        if (!cells.has(key)) cells.set(key, []);
        cells.get(key).push({ ...figures, loadAverage: loadAverage()[0] });
      }
    }
  }
  const version = await redis.call('INFO', 'server');
  await redis.stop();
  const results = names.flatMap((system) => concurrencies.map((concurrency) => {
    const rounds = cells.get(`${system} ${concurrency}`);
    const of = (figure) => median(rounds.map((round) => round[figure]));
    return { system, concurrency, perSecond: of('perSecond'), p50Us: of('p50Us'), p99Us: of('p99Us'), rounds };
  }));
  // Medians over rounds of what two systems did in the same round: they are of the same minutes.
  const ratios = {};
  for (const ours of results.filter(({ system }) => system === 'Lode')) {
    for (const peer of results.filter(({ system, concurrency }) => system !== 'Lode' && concurrency === ours.concurrency)) {
      const each = (figure) => ratioOf(ours.rounds.map((round) => round[figure]), peer.rounds.map((round) => round[figure]));
      ratios[`Lode / ${peer.system}, ${ours.concurrency}`] = {
        perSecond: each('perSecond'), p50: each('p50Us'), p99: each('p99Us'),
      };
    }
  }
  const peer = JSON.parse(readFileSync(here('node_modules/background-task/package.json'), 'utf8')).version;
  writeFileSync(OUT, `${JSON.stringify({
    machine: machine(),
    ...circumstances(before),
    rounds: ROUNDS,
    redis: /redis_version:(\S+)/.exec(version)[1],
    backgroundTask: peer,
    bytes: BYTES,
    seconds: SECONDS,
    results,
    ratios,
  }, null, 1)}\n`);
  console.log('| tasks of 1 KB | at once | round trips/s | p50 µs | p99 µs |\n|---|---:|---:|---:|---:|');
  for (const row of results) {
    const numbers = [row.concurrency, row.perSecond, row.p50Us, row.p99Us].map((value) => value.toLocaleString('en'));
    console.log(`| ${row.system} | ${numbers.join(' | ')} |`);
  }
  for (const [name, ratio] of Object.entries(ratios)) {
    console.log(`${name}: ${ratio.perSecond} times the round trips, ${ratio.p50} of p50, ${ratio.p99} of p99`);
  }
}

run(main);
