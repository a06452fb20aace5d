// Alternating rounds and the table of what is asked over HTTP.
import { memory } from '../lib/memory.mjs';
import { loadAverage, options as common, table, wanted, write as writeFile } from '../lib/results.mjs';
import { medians, ordered, ratioOf } from '../lib/stats.mjs';
import { load } from './load.mjs';

const CONNECTIONS = [64, 1];

export const options = () => common({ file: 'http.json', ms: 5000, rounds: 3, quick: { ms: 800, rounds: 1 } });

/** Starts those that `--only` lets take part. A peer that cannot be started is left out, and told; Lode must be there. */
export async function startAll(makers, only) {
  const systems = [];
  const skipped = [];
  for (const [name, make] of Object.entries(makers).filter(([each]) => wanted(each, only))) {
    try {
      systems.push(await make(name));
    } catch (error) {
      if (name.startsWith('Lode')) throw error;
      process.stderr.write(`skipped ${name}: ${error.message}\n`);
      skipped.push({ system: name, why: error.message.split('\n')[0] });
    }
  }
  return { systems, skipped };
}

/** Systems are `{name, note, origin, pid, request, expect}`. */
export async function measure(systems, { ms, rounds }) {
  const cells = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const system of ordered(systems, round)) {
      for (const connections of CONNECTIONS) {
        process.stderr.write(`round ${round + 1}: ${system.name}, ${connections} connections\n`);
        const result = await load({ ...system, connections, ms, warmUp: ms / 4 });
        system.sent = (system.sent ?? 0) + result.all;
        const key = `${system.name} ${connections}`;
        if (!cells.has(key)) cells.set(key, []);
        cells.get(key).push({ ...result, ...memory(system.pid), load_average: loadAverage()[0] });
      }
    }
  }
  return systems.flatMap((system) => CONNECTIONS.map((connections) => {
    const all = cells.get(`${system.name} ${connections}`);
    return {
      system: system.name,
      connections,
      ...medians(all, ['per_s', 'p50_us', 'p99_us', 'rss_mb', 'pss_mb']),
      rounds: all.map(({ per_s, load_average }) => ({ per_s, load_average })),
      note: system.note,
    };
  }));
}

/** How many times a peer's throughput Lode has. */
export function ratios(results, isOurs) {
  const found = {};
  const each = (row) => row.rounds.map(({ per_s }) => per_s);
  for (const ours of results.filter((row) => isOurs(row.system))) {
    for (const peer of results.filter((row) => !isOurs(row.system) && row.connections === ours.connections)) {
      found[`${ours.system} / ${peer.system}, ${ours.connections}`] = ratioOf(each(ours), each(peer));
    }
  }
  return found;
}

export function print(what, results, found) {
  console.log(`\n${table(results, {
    [what]: 'system', connections: 'connections', '/s': 'per_s', 'p50 µs': 'p50_us', 'p99 µs': 'p99_us', 'RSS MB': 'rss_mb', 'PSS MB': 'pss_mb',
  })}\n`);
  for (const [name, ratio] of Object.entries(found)) console.log(`${name}: ${ratio}`);
}

/** Puts one part into the file beside the others. */
export const write = (how, part, content) => writeFile(how, content, part);
