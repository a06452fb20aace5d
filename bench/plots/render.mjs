// Makes docs/benchmarks of bench/results: the plots and the page. Measures nothing.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { charts } from './charts.mjs';
import { fill, sections } from './page.mjs';
import { FILES, read } from './results.mjs';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));

/** An SVG of a Vega-Lite specification. Sizes of text are estimated: there is neither browser nor canvas. */
export async function svgOf(spec) {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const view = new vega.View(vega.parse(vegaLite.compile(spec).spec), { renderer: 'none' });
  return view.toSVG();
}

const NO_PLOT = '*Not plotted: it has not been measured.*';

/** Writes all into `out`; gives the names of what had no results. */
export async function render(results, template, out) {
  mkdirSync(out, { recursive: true });
  const made = sections(results);
  const missing = [];
  for (const [name, spec] of Object.entries(charts(results))) {
    const file = path.join(out, `${name}.svg`);
    if (spec === null) {
      missing.push(name);
      // An older one would be of other figures than the page's.
      rmSync(file, { force: true });
    } else {
      writeFileSync(file, `${await svgOf(spec)}\n`);
    }
    made[`plot-${name}`] = spec === null ? NO_PLOT : `![${spec.title.text}](${name}.svg)`;
  }
  writeFileSync(path.join(out, 'README.md'), fill(template, made));
  return missing;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: {
    results: { type: 'string', default: process.env.BENCH_RESULTS ?? at('../results') },
    out: { type: 'string', default: process.env.BENCH_PAGE ?? at('../../docs/benchmarks') },
  } });
  const results = read(values.results);
  for (const name of FILES.filter((each) => !(each in results))) console.log(`${name}.json is missing: its tables and plots are left out`);
  const missing = await render(results, readFileSync(at('page.md'), 'utf8'), values.out);
  console.log(`${values.out}/README.md${missing.length === 0 ? '' : `, without ${missing.join(', ')}`}`);
}
