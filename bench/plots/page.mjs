// The page: the template with its `{{names}}` replaced by tables that are made of the results.
import { losses, comparisons, score } from './losses.mjs';
import { short } from './charts.mjs';
import { firsts, growth, hostile, memory, over, programs, queue, sandboxes, skipped } from './results.mjs';

const MISSING = 'Not measured yet.';
const bold = (row, text) => (row.system?.startsWith('Lode') ? `**${text}**` : text);

/** A Markdown table of `columns`, `{title: row => cell}`; numbers are made short, the first column's Lode stands out. */
export function table(rows, columns) {
  if (rows.length === 0) return MISSING;
  const cell = (value) => (typeof value === 'number' || value === undefined ? short(value) : value).replaceAll('|', '\\|');
  const makers = Object.values(columns);
  const lines = rows.map((row) => `| ${makers.map((make, i) => (i === 0 ? bold(row, cell(make(row))) : cell(make(row)))).join(' | ')} |`);
  return [`| ${Object.keys(columns).join(' | ')} |`, `|${makers.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...lines].join('\n');
}

/** One row per system, one column per value of `across`. */
function pivot(rows, first, across, name, figure) {
  const columns = { [first]: (row) => row.system };
  for (const value of [...new Set(rows.map((row) => row[across]))]) {
    columns[name(value)] = ({ system }) => {
      const row = rows.find((one) => one.system === system && one[across] === value);
      return row === undefined ? undefined : figure(row);
    };
  }
  return table([...new Set(rows.map(({ system }) => system))].map((system) => ({ system })), columns);
}

const ms = (us) => (us === undefined ? undefined : us / 1000);
const FIGURES = { '/s': (row) => row.per_s, 'p50 ms': (row) => ms(row.p50_us), 'p99 ms': (row) => ms(row.p99_us) };
const system = (row) => row.system;
const note = (row) => row.note ?? '';
const served = { system, connections: (row) => row.connections, ...FIGURES, 'PSS MB': (row) => row.pss_mb };

/** Which parts a file has: http.json has several, each measured by itself. */
const parts = (results) => Object.entries(results).flatMap(([name, content]) => (name === 'http'
  ? ['saves', 'endpoint'].filter((part) => part in content).map((part) => [`${name}.json, ${part}`, { machine: content.machine, ...content[part] }])
  : [[`${name}.json`, content]]));

const loadOf = (load) => (load === undefined ? undefined : [load].flat()[0]);

function files(results) {
  return table(parts(results).map(([file, content]) => ({ file, ...content })), {
    file: (row) => `\`${row.file}\``,
    measured: (row) => row.measured ?? '–',
    rounds: (row) => (typeof row.rounds === 'number' ? row.rounds : undefined),
    'load average before, after': (row) => {
      const load = row.load_average ?? row.loadAverage;
      if (load === undefined) return '–';
      return typeof load === 'number' ? short(load) : `${short(loadOf(load.before))}, ${short(loadOf(load.after))}`;
    },
    '': (row) => (row.quick ? '**quick run: says that it works, not how fast**' : ''),
  });
}

function machine(results) {
  const known = Object.values(results).map((one) => one.machine).filter((one) => one !== undefined);
  const all = new Set(known.map(({ cpu, cores }) => `${cores} × ${cpu}`));
  const best = known.find(({ kernel }) => kernel !== undefined) ?? known[0];
  if (best === undefined) return MISSING;
  const more = [best.memory_gb && `${best.memory_gb} GB of memory`, best.kernel && `Linux ${best.kernel}`, `Node ${best.node}`].filter(Boolean);
  return `${[...all].join('; ')}; ${more.join(', ')}`;
}

const VERSIONS = { parse_server: 'Parse Server', workerd: 'workerd', deno: 'Deno', backgroundTask: 'background-task', redis: 'Redis' };

function versions(results) {
  const found = new Map();
  for (const [, content] of parts(results)) {
    for (const [key, name] of Object.entries(VERSIONS)) if (typeof content[key] === 'string') found.set(name, content[key]);
    for (const row of content.results ?? []) if (row.version) found.set(row.peer, row.version);
  }
  return [...found].map(([name, version]) => `${name} ${version}`).join(', ') || MISSING;
}

function whereLodeLoses(results) {
  const all = comparisons(results);
  const worse = losses(all);
  if (all.length === 0) return MISSING;
  const counts = table(score(all), { 'compared': (row) => row.section, pairs: (row) => row.all, 'Lode is worse in': (row) => row.worse, 'at worst, times': (row) => (row.worst === undefined ? '–' : `${row.worst}`) });
  const rows = table(worse, {
    compared: (row) => `${row.section}: ${row.what}`,
    Lode: (row) => `${short(row.ours)} ${row.unit} (${row.lode})`,
    peer: (row) => `${short(row.theirs)} ${row.unit} (${row.peer})`,
    times: (row) => `${row.times}`,
  });
  return `Of ${all.length} pairs of figures, the peer's is the better one in ${worse.length}.\n\n${counts}\n\n<details><summary>Each of them</summary>\n\n${rows}\n\n</details>`;
}

function leftOut(results) {
  const rows = skipped(results);
  if (rows.length === 0) return 'Nothing was left out.';
  return rows.map((row) => `- ${row.of}: ${row.system}: ${row.why}`).join('\n');
}

/** `{name: Markdown}`: what the template may name. */
export function sections(results) {
  const boxes = sandboxes(results);
  const memories = memory(results);
  return {
    machine: machine(results),
    versions: versions(results),
    files: files(results),
    losses: whereLodeLoses(results),
    skipped: leftOut(results),
    sandbox: pivot(boxes.filter(({ mode }) => mode !== 'deploy'), 'p50 µs', 'workload', (name) => name, (row) => row.p50_us),
    ratios: table(Object.entries(results.lode?.ratios ?? {}).map(([name, row]) => ({ name, ...row })), {
      workload: (row) => row.name,
      'fresh / warm': (row) => row.fresh_to_warm,
      'metered / fresh': (row) => row.metered_to_fresh,
      'deploy µs': (row) => boxes.find((box) => box.mode === 'deploy' && box.workload === row.name)?.p50_us,
    }),
    processes: results.processes === undefined ? MISSING
      : `Two processes on two processors did ${results.processes.ratio_median} times what one did by the clock, ${results.processes.ratio_by_processor_time} times by the processor time that a run takes.`,
    endpoint: table(over(results, 'endpoint'), served),
    saves: table(over(results, 'saves'), served),
    queue: table(queue(results), { system, 'at once': (row) => row.concurrency, ...FIGURES }),
    hosts: table(results.hosts?.overhead ?? [], { queue: system, connections: (row) => row.connections, ...FIGURES }),
    workers: results.hosts === undefined ? MISSING : `A second worker: ${short(results.hosts.second_worker.ratio)} times the throughput.`,
    memory: table(memories, {
      system, apps: (row) => row.apps, 'PSS MB': (row) => row.pss_mb ?? row.outcome, 'KB per app beyond the first': (row) => row.kb_per_app, 'disk MB': (row) => row.disk_mb,
    }),
    programs: table(programs(results), { 'from spawn to first answer': system, ms: (row) => row.ms, 'least ms': (row) => row.min_ms, '': note }),
    firsts: table(firsts(results), {
      'an app\'s first request': system, 'p50 ms': (row) => ms(row.first_p50_us), 'p99 ms': (row) => ms(row.first_p99_us), 'second, p50 ms': (row) => ms(row.second_p50_us), '': note,
    }),
    hostile: pivot(hostile(results), 'p99 ms of the good endpoint', 'hostile', (kind) => (kind === 'none' ? 'alone' : kind), (row) => (
      row.outcome !== 'serves' ? `**${row.outcome}**` : `${short(row.p99_us / 1000)}${row.p99_growth === undefined ? '' : ` (${short(row.p99_growth)}×)`}${row.failed > 0 ? `, ${row.failed} failed` : ''}`)),
    'hostile-shares': pivot(hostile(results).filter((row) => row.hostile !== 'none'), 'hostile requests in a hundred', 'hostile', (kind) => kind, (row) => row.hostile_percent),
    'hostile-notes': [...new Map(hostile(results).map((row) => [row.system, row.note]))].map(([name, text]) => `- ${name}: ${text}.`).join('\n'),
    'growth-apps': table(growth(results, 'apps'), { apps: (row) => row.apps, ...FIGURES, 'PSS MB': (row) => row.pss_mb }),
    'growth-size': table(growth(results, 'size'), {
      'KB of source': (row) => row.bytes / 1024, 'deploy ms': (row) => row.deploy_ms, 'a fresh run over HTTP, p50 ms': (row) => ms(row.p50_us), 'on disk MB': (row) => row.disk_mb, 'idle PSS MB': (row) => row.idle_pss_mb, 'PSS MB under load': (row) => row.pss_mb,
    }),
    'growth-connections': table(growth(results, 'connections'), { system, connections: (row) => row.connections, ...FIGURES, 'PSS MB': (row) => row.pss_mb }),
  };
}

/** The template with all that it names; a name that nothing is made for is a mistake. */
export function fill(template, made) {
  return template.replace(/\{\{([\w-]+)\}\}/g, (_, name) => {
    if (!(name in made)) throw new Error(`the page names {{${name}}}, which nothing makes`);
    return made[name];
  });
}
