// What a good endpoint's callers notice of hostile apps beside it: one request in ten is of an endless loop, a memory
// bomb, a run that never answers or one that throws late. Each system starts anew for each, as many do not outlive it.
// What hangs or dies in a round is not asked again in the next ones: once is enough to know.
import { HOSTILITY } from '../http/hostility.mjs';
import { now } from '../http/load.mjs';
import { version } from '../http/systems.mjs';
import { check } from '../http/workload.mjs';
import { startPostgres } from '../../tests/lib/postgres.mjs';
import { loadAverage, options, run, table, wanted, write } from '../lib/results.mjs';
import { watch } from '../lib/memory.mjs';
import { latencies, medians, ordered, round } from '../lib/stats.mjs';
import { Pool } from './apps.mjs';
import { systemsOf } from './systems.mjs';

// Both processors are busy, and a request waits for few others.
const CONNECTIONS = 8;
// No good request takes a hundredth of it on a system that works.
const PATIENCE_MS = 5000;
// Enough that nearly every tenth request is hostile though each may take as long as it is let; and not without end.
const HOSTILE_AT_ONCE = 512;
// A bomb would take all that the machine has, and others' processes with it.
const MEMORY_MB = 4096;

class Ended extends Error {}

/** Drives one system with a kind of hostile app beside the good one, or with none: figures, or how it ended. */
async function drive(system, kind, ms) {
  const good = new Pool(system.origin, { connections: CONNECTIONS, headersTimeout: PATIENCE_MS, bodyTimeout: PATIENCE_MS });
  const hostile = new Pool(system.origin, { connections: HOSTILE_AT_ONCE, headersTimeout: 30_000 });
  let exploded = false;
  const unwatch = watch(system.pid, MEMORY_MB, () => {
    exploded = true;
    process.kill(system.pid, 'SIGKILL');
  });
  const begin = now() + (ms / 4) * 1e6;
  const end = begin + ms * 1e6;
  const took = [];
  let [number, failed, underWay, attacks, asked] = [0, 0, 0, 0, 0];
  function attack() {
    if (underWay >= HOSTILE_AT_ONCE) return;
    underWay++;
    attacks++;
    hostile.request(system.requestOf(kind)).then(({ body }) => body.dump()).catch(() => {}).finally(() => { underWay--; });
  }
  async function connection() {
    for (let sent = now(); sent < end; sent = now()) {
      // Nobody waits for the hostile ones.
      if (kind !== undefined && number++ % 10 === 0) {
        attack();
        continue;
      }
      let status;
      try {
        const answer = await good.request(system.requestOf('good'));
        await answer.body.dump();
        status = answer.statusCode;
        asked++;
      } catch (error) {
        if (error.code?.startsWith('UND_ERR') && error.code.endsWith('TIMEOUT')) throw new Ended('hangs');
        // Its end is known a moment after that of its connections.
        await new Promise((resolve) => { setTimeout(resolve, 300); });
        if (!system.lives()) throw new Ended('dies');
        failed++;
        continue;
      }
      if (status !== 200) failed++;
      else if (sent >= begin) took.push(now() - sent);
    }
  }
  try {
    const done = await Promise.allSettled(Array.from({ length: CONNECTIONS }, connection));
    if (exploded) return { outcome: `takes over ${MEMORY_MB / 1024} GB` };
    const wrong = done.find(({ status }) => status === 'rejected')?.reason;
    if (wrong instanceof Ended) return { outcome: wrong.message };
    if (wrong !== undefined) throw wrong;
    if (took.length === 0) return { outcome: 'answers no good request' };
    return { outcome: 'serves', per_s: round((took.length / (now() - begin)) * 1e9, 1), ...latencies(took), failed, hostile_percent: round((100 * attacks) / (attacks + asked), 1) };
  } finally {
    unwatch();
    await Promise.all([good.destroy(), hostile.destroy()]);
  }
}

async function cell(name, start, kind, ms) {
  const system = await start(name);
  try {
    const { path, ...request } = system.requestOf('good');
    const answer = await (await fetch(system.origin + path, request)).json();
    // Parse Server puts what a function gives into a `result`.
    check(name, (answer.result ?? answer).order);
    return { ...await drive(system, kind, ms), note: system.note };
  } finally {
    await system.stop();
  }
}

function summary(system, kind, rounds) {
  const ended = rounds.find(({ outcome }) => outcome !== 'serves');
  const row = { system, hostile: kind ?? 'none', outcome: ended?.outcome ?? 'serves', note: rounds[0].note };
  if (ended !== undefined) return row;
  return { ...row, ...medians(rounds, ['per_s', 'p50_us', 'p99_us', 'failed', 'hostile_percent']), rounds: rounds.map(({ p99_us, per_s }) => ({ p99_us, per_s })) };
}

run(async () => {
  const how = options({ file: 'hostile.json', ms: 3000, rounds: 3, quick: { ms: 1000, rounds: 1 } });
  const before = loadAverage();
  const postgres = await startPostgres({ tcp: true });
  const names = Object.entries(systemsOf(postgres)).filter(([name]) => wanted(name, how.only));
  const kinds = [undefined, ...Object.keys(HOSTILITY)];
  const cells = new Map();
  const skipped = [];
  for (let number = 0; number < how.rounds; number++) {
    for (const kind of kinds) {
      for (const [name, start] of ordered(names, number)) {
        const key = `${name} ${kind ?? 'none'}`;
        if (skipped.some(({ system }) => system === name)) continue;
        const known = cells.get(key) ?? [];
        if (known.some(({ outcome }) => outcome !== 'serves')) continue;
        try {
          known.push(await cell(name, start, kind, how.ms));
        } catch (error) {
          process.stderr.write(`skipped ${name}: ${error.message}\n`);
          skipped.push({ system: name, why: error.message.split('\n')[0] });
          continue;
        }
        cells.set(key, known);
        process.stderr.write(`round ${number + 1}: ${key}: ${JSON.stringify(known.at(-1))}\n`);
      }
    }
  }
  await postgres.stop();
  const results = names.flatMap(([name]) => kinds.filter((kind) => cells.has(`${name} ${kind ?? 'none'}`))
    .map((kind) => summary(name, kind, cells.get(`${name} ${kind ?? 'none'}`))));
  // How much worse it gets: what is comparable between systems whose good endpoint is not equally quick.
  for (const row of results) {
    const alone = results.find(({ system, hostile }) => system === row.system && hostile === 'none');
    if (row !== alone && row.p99_us !== undefined && alone?.p99_us !== undefined) row.p99_growth = round(row.p99_us / alone.p99_us);
  }
  write(how, {
    workload: 'presave as an endpoint; every tenth request is hostile',
    connections: CONNECTIONS,
    versions: { workerd: version('workerd'), deno: version('deno'), 'parse-server': version('parse-server'), 'isolated-vm': version('isolated-vm', '../peers') },
    load_average: { before, after: loadAverage() },
    results,
    skipped,
  });
  console.log(table(results, { system: 'system', hostile: 'hostile', outcome: 'outcome', '/s': 'per_s', 'p50 µs': 'p50_us', 'p99 µs': 'p99_us', 'p99 grows': 'p99_growth', failed: 'failed', 'hostile %': 'hostile_percent' }));
});
