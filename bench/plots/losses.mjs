// Each figure of Lode beside a peer's, and who has the better one.
import { round } from '../lib/stats.mjs';
import { firsts, growth, hostile, isLode, memory, over, programs, queue, sandboxes } from './results.mjs';

/** Pairs every row of Lode with every peer's row that `same` gives the same key, in each of `figures`, `{figure: unit}`. */
export function compare(section, rows, same, figures, better, isOurs = (row) => isLode(row.system)) {
  const found = [];
  for (const ours of rows.filter(isOurs)) {
    for (const peer of rows.filter((row) => !isLode(row.system) && same(row) === same(ours))) {
      for (const [figure, unit] of Object.entries(figures)) {
        if (!(ours[figure] > 0) || !(peer[figure] > 0)) continue;
        // Above one: the peer's is so many times as good.
        const times = better === 'lower' ? ours[figure] / peer[figure] : peer[figure] / ours[figure];
        found.push({ section, what: same(ours), unit, lode: ours.system, ours: ours[figure], peer: peer.system, theirs: peer[figure], times: round(times) });
      }
    }
  }
  return found;
}

/** All comparisons that the results allow. */
export function comparisons(results) {
  const boxes = sandboxes(results);
  const connections = (row) => `${row.connections} connections`;
  const served = (rows) => [
    ...compare('', rows, connections, { per_s: '/s' }, 'higher'),
    ...compare('', rows, connections, { p99_us: 'µs p99' }, 'lower'),
  ];
  const named = (section, rows) => rows.map((row) => ({ ...row, section }));
  const tasks = (row) => `${row.concurrency} tasks at once`;
  const apps = (row) => `${row.apps.toLocaleString('en')} apps`;
  return [
    ...compare('fresh sandbox', boxes.filter(({ fresh }) => fresh), (row) => row.workload, { p50_us: 'µs p50' }, 'lower'),
    ...compare('warm sandbox', boxes.filter(({ mode }) => mode === 'warm'), (row) => row.workload, { p50_us: 'µs p50' }, 'lower'),
    ...named('endpoint', served(over(results, 'endpoint'))),
    ...named('saves', served(over(results, 'saves'))),
    ...compare('queue', queue(results), tasks, { per_s: '/s' }, 'higher'),
    ...compare('queue', queue(results), tasks, { p99_us: 'µs p99' }, 'lower'),
    ...compare('idle apps', memory(results), apps, { pss_mb: 'MB' }, 'lower', (row) => row.system === 'Lode, lode serve'),
    ...compare('start of the program', programs(results), () => 'to the first answer', { ms: 'ms' }, 'lower'),
    ...compare('first request of an app', firsts(results), () => 'presave', { first_p50_us: 'µs p50', first_p99_us: 'µs p99' }, 'lower'),
    ...compare('beside hostile apps', hostile(results), (row) => (row.hostile === 'none' ? 'alone' : row.hostile), { p99_us: 'µs p99' }, 'lower'),
    ...named('connections', served(growth(results, 'connections'))),
  ];
}

/** Where a peer's figure is better: section by section, the worst first. */
export function losses(all) {
  const sections = [...new Set(all.map(({ section }) => section))];
  return sections.flatMap((section) => all.filter((one) => one.section === section && one.times > 1).sort((a, b) => b.times - a.times));
}

/** How many there are of each section, and in how many of them Lode's figure is the worse one. */
export function score(all) {
  return [...new Set(all.map(({ section }) => section))].map((section) => {
    const of = all.filter((one) => one.section === section);
    const worse = of.filter(({ times }) => times > 1);
    return { section, all: of.length, worse: worse.length, worst: worse.length === 0 ? undefined : Math.max(...worse.map(({ times }) => times)) };
  });
}
