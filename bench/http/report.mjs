// Alternating rounds, medians, the table and the file.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { load, memory } from './load.mjs';

const OUT = new URL('../results/http.json', import.meta.url);
const CONNECTIONS = [64, 1];

export function options() {
  const { values } = parseArgs({ options: {
    ms: { type: 'string', default: '5000' }, rounds: { type: 'string', default: '3' }, only: { type: 'string' }, out: { type: 'string' },
  } });
  return { ms: Number(values.ms), rounds: Number(values.rounds), only: values.only?.split(','), out: values.out ?? OUT };
}

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** Systems are `{name, note, origin, pid, request, expect}`. */
export async function measure(systems, { ms, rounds }) {
  const cells = new Map();
  for (let round = 0; round < rounds; round++) {
    // The other way round each time: whoever comes later finds another machine.
    for (const system of round % 2 ? systems.toReversed() : systems) {
      for (const connections of CONNECTIONS) {
        process.stderr.write(`round ${round + 1}: ${system.name}, ${connections} connections\n`);
        const result = await load({ ...system, connections, ms, warmUp: ms / 4 });
        system.sent = (system.sent ?? 0) + result.all;
        const key = `${system.name} ${connections}`;
        if (!cells.has(key)) cells.set(key, []);
        cells.get(key).push({ ...result, ...memory(system.pid), load_average: Math.round(loadavg()[0] * 100) / 100 });
      }
    }
  }
  return systems.flatMap((system) => CONNECTIONS.map((connections) => {
    const all = cells.get(`${system.name} ${connections}`);
    const of = (figure) => median(all.map((one) => one[figure]));
    return {
      system: system.name,
      connections,
      per_s: of('per_s'),
      p50_us: of('p50_us'),
      p99_us: of('p99_us'),
      rss_mb: of('rss_mb'),
      pss_mb: of('pss_mb'),
      rounds: all.map(({ per_s, load_average }) => ({ per_s, load_average })),
      note: system.note,
    };
  }));
}

/** How many times a peer's throughput Lode has, the median over rounds: they are of the same minutes. */
export function ratios(results, isOurs) {
  const found = {};
  for (const ours of results.filter((row) => isOurs(row.system))) {
    for (const peer of results.filter((row) => !isOurs(row.system) && row.connections === ours.connections)) {
      const each = ours.rounds.map((round, i) => round.per_s / peer.rounds[i].per_s);
      found[`${ours.system} / ${peer.system}, ${ours.connections}`] = Math.round(median(each) * 100) / 100;
    }
  }
  return found;
}

export function print(what, results, found) {
  const digits = (value) => value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 });
  console.log(`\n| ${what} | connections | /s | p50 µs | p99 µs | RSS MB | PSS MB |\n|---|---:|---:|---:|---:|---:|---:|`);
  for (const row of results) {
    const numbers = [row.connections, row.per_s, row.p50_us, row.p99_us, row.rss_mb, row.pss_mb].map(digits);
    console.log(`| ${row.system} | ${numbers.join(' | ')} |`);
  }
  console.log();
  for (const [name, ratio] of Object.entries(found)) console.log(`${name}: ${ratio}`);
}

/** Puts one part into the file beside the others. */
export function write(out, part, content) {
  const report = existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : {};
  report.machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version };
  report[part] = content;
  writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
}
