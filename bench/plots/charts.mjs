// What is plotted: Vega-Lite specifications by name, made of the results. One that lacks its results is null.
import { firsts, growth, hostile, isLode, memory, over, programs, queue, sandboxes } from './results.mjs';

// Okabe and Ito's colours, which those tell apart who see few colours. Lode's is the warm one among cool and grey ones.
const LODE = '#D55E00';
const OTHERS = ['#0072B2', '#009E73', '#56B4E9', '#7F7F7F', '#CC79A7', '#333333'];
const PEER = '#7A8CA3';

const CONFIG = {
  background: 'white',
  padding: 12,
  font: 'sans-serif',
  view: { stroke: '#DDDDDD' },
  axis: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal', labelLimit: 260, gridColor: '#EEEEEE' },
  header: { labelFontSize: 12, labelFontWeight: 'bold', title: null },
  title: { fontSize: 15, anchor: 'start', offset: 14, subtitleFontSize: 11, subtitleColor: '#555555', subtitlePadding: 5 },
};

const spec = (title, subtitle, rest) => ({ $schema: 'https://vega.github.io/schema/vega-lite/v6.json', title: { text: title, subtitle }, config: CONFIG, ...rest });

const emphasis = { condition: { test: "indexof(datum.system, 'Lode') === 0", value: LODE }, value: PEER };
const ink = { condition: { test: "indexof(datum.system, 'Lode') === 0", value: LODE }, value: '#333333' };

// Vega cuts names at 180 pixels, and estimates them by half more than they take.
const NAMES = { labelLimit: 420 };

/** The round numbers of a log axis: `firsts` times powers of ten. */
function steps([least, most], firsts) {
  const found = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) found.push(...firsts.map((first) => first * 10 ** power));
  return found.filter((value) => value >= least && value <= most);
}

/** Three digits say enough of any figure. */
export const short = (value) => (value === undefined ? '–'
  : value.toLocaleString('en', value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: value >= 10 ? 3 : 2 }));

const inOrder = (rows, field) => [...new Set(rows.map((row) => row[field]))];

/** Bars, one per system, with their values at their ends; a panel for each group. */
function bars(rows, { axis, panel, width = 420 }) {
  const values = rows.map((row) => ({ ...row, label: row.label ?? short(row.value) }));
  const most = Math.max(...values.map(({ value }) => value));
  const y = { field: 'system', type: 'nominal', sort: inOrder(values, 'system'), title: null, axis: NAMES };
  const unit = {
    width,
    height: { step: 24 },
    layer: [
      { mark: { type: 'bar', height: { band: 0.7 } }, encoding: { color: emphasis } },
      { mark: { type: 'text', align: 'left', dx: 5, fontSize: 11 }, encoding: { text: { field: 'label' }, color: ink } },
    ],
    encoding: { y, x: { field: 'value', type: 'quantitative', title: axis, scale: { domain: [0, most * 1.15] } } },
  };
  if (panel === undefined) return { data: { values }, ...unit };
  return { data: { values }, facet: { row: { field: panel, sort: inOrder(values, panel), header: { labelAngle: 0, labelAlign: 'left', labelAnchor: 'start', labelOrient: 'top' } } }, spec: unit };
}

/** Points on a log scale, one per system, with their values beside them; a panel for each group. */
function dots(rows, { axis, panel, columns, width = 250, order }) {
  const values = rows.map((row) => ({ ...row, label: row.label ?? short(row.value) }));
  const known = values.map(({ value }) => value).filter((value) => value > 0);
  // Room for the labels right of the rightmost ones.
  const domain = [Math.min(...known) / 1.5, Math.max(...known) * 12];
  return {
    data: { values },
    facet: { field: panel, sort: inOrder(values, panel) },
    columns,
    spec: {
      width,
      height: { step: 17 },
      layer: [
        { transform: [{ filter: 'isValid(datum.value)' }], mark: { type: 'point', filled: true, size: 70, opacity: 1 }, encoding: { color: emphasis } },
        { transform: [{ filter: 'isValid(datum.value)' }], mark: { type: 'text', align: 'left', dx: 8, fontSize: 10.5 }, encoding: { text: { field: 'label' }, color: ink } },
        // What has no figure is written where figures begin.
        { transform: [{ filter: '!isValid(datum.value)' }], mark: { type: 'text', align: 'left', dx: 8, fontSize: 11, fontWeight: 700, color: '#B00020' }, encoding: { x: { value: 0 }, text: { field: 'label' } } },
      ],
      encoding: {
        y: { field: 'system', type: 'nominal', sort: order ?? inOrder(values, 'system'), title: null, axis: NAMES },
        x: { field: 'value', type: 'quantitative', title: axis, scale: { type: 'log', domain, nice: false }, axis: { values: steps(domain, [1]), format: '~s' } },
      },
    },
  };
}

/** Where names stand beside lines' ends, so that none covers another: 14 pixels are a line of text. */
export function apart(ends, domain, height, log) {
  const scale = log ? Math.log : (value) => value;
  const back = log ? Math.exp : (value) => value;
  const least = (14 / height) * (scale(domain[1]) - scale(domain[0]));
  let below = -Infinity;
  return ends.toSorted((a, b) => a.value - b.value).map((end) => {
    below = Math.max(scale(end.value), below + least);
    return { ...end, at: back(below) };
  });
}

/** Lines over a log axis, named at their ends instead of in a legend. */
function lines(rows, { x, axis, y, log = true, width = 360, height = 230 }) {
  const systems = inOrder(rows, 'system');
  const range = systems.map((system, i) => (i === systems.findIndex(isLode) ? LODE : OTHERS[i % OTHERS.length]));
  const values = rows.map(({ value }) => value);
  const domain = log ? [Math.min(...values) / 1.4, Math.max(...values) * 1.6] : [0, Math.max(...values) * 1.1];
  const last = systems.map((system) => rows.findLast((row) => row.system === system));
  // Who stopped before has why there.
  const labels = apart(last.map((row) => ({ ...row, label: row.end ?? row.system })), domain, height, log);
  const most = Math.max(...rows.map((row) => row.x));
  const least = Math.min(...rows.map((row) => row.x));
  const color = { field: 'system', type: 'nominal', scale: { domain: systems, range }, legend: null };
  const scale = { type: log ? 'log' : 'linear', domain, nice: false };
  const ticks = log ? { values: steps(domain, domain[1] / domain[0] > 1000 ? [1] : [1, 2, 5]), format: '~r' } : { tickCount: 6, format: '~s' };
  const vertical = (field) => ({ field, type: 'quantitative', title: y, scale, axis: ticks });
  return {
    width,
    height,
    layer: [
      { data: { values: rows }, mark: { type: 'line', strokeWidth: 2.2 }, encoding: { y: vertical('value'), color } },
      { data: { values: rows }, mark: { type: 'point', filled: true, size: 45, opacity: 1 }, encoding: { y: vertical('value'), color } },
      { data: { values: labels }, mark: { type: 'text', align: 'left', dx: 8, fontSize: 11, fontWeight: 600 }, encoding: { y: vertical('at'), text: { field: 'label' }, color } },
    ],
    encoding: {
      // Room for the names.
      x: { field: 'x', type: 'quantitative', title: x, scale: { type: 'log', domain: [least, most * (most / least) ** 0.5], nice: false }, axis: { values: inOrder(rows, 'x'), format: axis ?? '~s', grid: false } },
    },
  };
}

/** Panels side by side, each with its own scales. */
const beside = (panels) => ({ hconcat: panels, resolve: { scale: { color: 'independent' } } });

const connections = (row) => `${row.connections} connection${row.connections === 1 ? '' : 's'}`;
const some = (rows, make) => (rows.length === 0 ? null : make(rows));
const of = (rows, figure, scale = 1) => rows.filter((row) => row[figure] > 0).map((row) => ({ ...row, value: row[figure] / scale }));

// What one part of Lode says of itself is no server's memory.
const servers = (results) => memory(results).filter(({ bytes_per_app }) => bytes_per_app === undefined);

const CHARTS = {
  sandbox: (results) => some(sandboxes(results).filter(({ fresh }) => fresh), (rows) => spec(
    'A fresh sandbox for one run: p50 in µs, log scale', 'less is better; each panel a workload, made and released world included',
    dots(of(rows, 'p50_us'), { axis: 'µs', panel: 'workload', columns: 2, width: 300 }))),
  endpoint: (results) => some(over(results, 'endpoint'), (rows) => spec(
    'An endpoint that runs presave: requests per second', 'more is better; Lode takes a fresh sandbox for each, the others keep one world for all',
    bars(of(rows, 'per_s').map((row) => ({ ...row, panel: connections(row) })), { axis: 'requests/s', panel: 'panel' }))),
  saves: (results) => some(over(results, 'saves'), (rows) => spec(
    'Durable saves with two hooks: saves per second', 'more is better',
    bars(of(rows, 'per_s').map((row) => ({ ...row, panel: connections(row) })), { axis: 'saves/s', panel: 'panel' }))),
  queue: (results) => some(queue(results), (rows) => spec(
    'Tasks of 1 KB through Redis and back: round trips per second', 'more is better; a worker that echoes',
    bars(of(rows, 'per_s').map((row) => ({ ...row, panel: `${row.concurrency} at once` })), { axis: 'round trips/s', panel: 'panel' }))),
  memory: (results) => some(servers(results).filter(({ pss_mb }) => pss_mb > 0), (rows) => {
    const ended = servers(results).filter(({ pss_mb }) => pss_mb === undefined);
    const points = rows.map((row) => ({ system: row.system, x: row.apps, value: row.pss_mb }));
    for (const { system, apps, outcome } of ended) {
      const at = points.findLast((point) => point.system === system);
      if (at !== undefined) at.end = `${system}: with ${short(apps)}, ${outcome}`;
    }
    return spec('Apps that wait: memory in MB, log scales', 'less is better; PSS of all processes of a system, by the number of deployed apps',
      lines(points, { x: 'apps', axis: ',', y: 'MB', width: 620, height: 320 }));
  }),
  coldstart: (results) => some(programs(results), (rows) => spec(
    'Cold start', 'less is better; left: the program, from its spawn to the first answer (ms); right: the first request of an app (ms)', beside([
        bars(of(rows, 'ms'), { axis: 'ms, the program', width: 300 }),
        ...(firsts(results).length === 0 ? [] : [bars(of(firsts(results), 'first_p50_us', 1000), { axis: 'ms p50, first request of an app', width: 300 })]),
    ]))),
  hostile: (results) => some(hostile(results), (rows) => spec(
    'A good endpoint beside hostile ones: its p99 in ms, log scale', 'less is better; one request in ten is hostile, as each panel says',
    dots(rows.map((row) => ({ ...row, panel: row.hostile === 'none' ? 'alone' : row.hostile })).map((row) => (row.outcome === 'serves' ? { ...row, value: row.p99_us / 1000 } : { ...row, label: row.outcome, value: null })),
      { axis: 'p99, ms', panel: 'panel', columns: 3, width: 210, order: inOrder(rows, 'system') }))),
  'growth-apps': (results) => some(growth(results, 'apps'), (rows) => spec(
    'Apps that are asked in turn', 'presave as an endpoint of each, 16 connections', beside([
        lines(rows.flatMap((row) => [['p50', row.p50_us], ['p99', row.p99_us]].map(([name, us]) => ({ system: `Lode ${name}`, x: row.apps, value: us / 1000 }))), { x: 'apps', axis: ',', y: 'ms', width: 290 }),
        lines(of(rows, 'per_s').map((row) => ({ ...row, x: row.apps })), { x: 'apps', axis: ',', y: 'requests/s', log: false, width: 290 }),
    ]))),
  'growth-size': (results) => some(growth(results, 'size'), (rows) => spec(
    'The size of an app\'s script', 'an endpoint that calls one of many functions, 1 connection', beside(
      [['deploy_ms', 'deploy, ms'], ['p50_us', 'a fresh run over HTTP, p50 µs'], ['disk_mb', 'on disk, MB']]
        .filter(([figure]) => of(rows, figure).length > 0)
        .map(([figure, y]) => lines(of(rows, figure).map((row) => ({ ...row, x: row.bytes / 1024 })), { x: 'KB of source', axis: ',.0f', y, log: figure === 'deploy_ms', width: 210 }))))),
  'growth-connections': (results) => some(growth(results, 'connections'), (rows) => spec(
    'Requests at once', 'presave as an endpoint; workerd keeps one world for all', beside([
        lines(of(rows, 'per_s').map((row) => ({ ...row, x: row.connections })), { x: 'connections', axis: ',', y: 'requests/s', log: false, width: 290 }),
        lines(of(rows, 'p99_us', 1000).map((row) => ({ ...row, x: row.connections })), { x: 'connections', axis: ',', y: 'p99, ms', width: 290 }),
    ]))),
};

/** `{name: spec, or null}`. */
export const charts = (results) => Object.fromEntries(Object.entries(CHARTS).map(([name, make]) => [name, make(results)]));
