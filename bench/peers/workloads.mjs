// Reads ../workloads/workloads.json into programs that any sandbox can run.
import { readFileSync } from 'node:fs';

const root = new URL('../workloads/', import.meta.url);
const read = (name) => readFileSync(new URL(name, root), 'utf8');
const manifest = JSON.parse(read('workloads.json'));

// What every sandbox gets after the workload itself: text in, text out. The
// completion value of the whole program is the function to call.
const SYNC_ENTRY = `
function __run(text) { return JSON.stringify(handler(JSON.parse(text))); }
__run;`;

// A workload that asks the host gets it through `__host(name, text) -> Promise<text>`.
const ASYNC_ENTRY = `
async function hostCall(name, query) { return JSON.parse(await __host(name, JSON.stringify(query))); }
async function __run(text) { return JSON.stringify(await handler(JSON.parse(text))); }
__run;`;

function requestText(request) {
  if (request.json !== undefined) return request.json;
  if (request.file !== undefined) return read(request.file).trim();
  const { file, times, open, join, close } = request.text;
  return JSON.stringify({ text: open + Array(times).fill(read(file).trim()).join(join) + close });
}

function librarySource(name) {
  if (name === undefined) return '';
  const { file, before, after } = manifest.libraries[name];
  try {
    return before + read(file) + after;
  } catch {
    throw new Error(`${name} is not installed (npm ci in bench/peers)`);
  }
}

export const names = manifest.workloads.map((workload) => workload.name);

/** {name, source, request, async, host}: `host(name, text)` answers a host call, as text. */
export function loadWorkload(name) {
  const workload = manifest.workloads.find((candidate) => candidate.name === name);
  const isAsync = workload.answer !== undefined;
  return {
    name,
    source: librarySource(workload.library) + read(`${name}.js`) + (isAsync ? ASYNC_ENTRY : SYNC_ENTRY),
    request: requestText(workload.request),
    async: isAsync,
    host: async () => workload.answer,
  };
}

/** Counts its own runs in a global: tells a fresh world (always 1) from a reused one. */
export const freshnessProbe = {
  name: 'freshness probe',
  source: `function handler() { return globalThis.runs = (globalThis.runs || 0) + 1; }${SYNC_ENTRY}`,
  request: '{}',
  async: false,
};
