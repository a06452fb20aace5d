// Reads what the comparisons left, and makes flat rows of it: `{system, …}` with figures in one unit each.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const FILES = ['lode', 'processes', 'peers', 'http', 'queue', 'hosts', 'memory', 'coldstart', 'hostile', 'growth'];

/** `{name: content}` of the files of a folder that are there. */
export function read(folder) {
  const found = {};
  for (const name of FILES) {
    const file = path.join(folder, `${name}.json`);
    if (existsSync(file)) found[name] = JSON.parse(readFileSync(file, 'utf8'));
  }
  return found;
}

export const isLode = (system) => system.startsWith('Lode');

// What each run gets in Lode is what these modes of the peers come nearest to; `warm` is no isolation between runs.
const NAMES = { lode: 'Lode' };

/** The sandboxes' rows that were measured: `{system, mode, workload, p50_us, p99_us}`. */
export function sandboxes({ lode, peers }) {
  if (lode === undefined) return [];
  return [...lode.results, ...(peers?.results ?? [])].filter((row) => row.p50_us !== undefined).map((row) => ({
    ...row, system: `${NAMES[row.peer] ?? row.peer} ${row.mode}`, fresh: row.mode.startsWith('fresh'),
  }));
}

/** Systems of one part of http.json, or none. */
export const over = (results, part) => results.http?.[part]?.results ?? [];

export const queue = (results) => (results.queue?.results ?? []).map(({ system, concurrency, perSecond, p50Us, p99Us }) => (
  { system, concurrency, per_s: perSecond, p50_us: p50Us, p99_us: p99Us }));

export const memory = (results) => (results.memory?.results ?? []);
export const programs = (results) => results.coldstart?.program.results ?? [];
export const firsts = (results) => results.coldstart?.app.results ?? [];
export const hostile = (results) => results.hostile?.results ?? [];
export const growth = (results, part) => results.growth?.[part]?.results ?? [];

/** What was left out, and why: `{system, why, of}`. */
export function skipped(results) {
  const all = [
    ['sandboxes', results.peers?.results?.filter((row) => row.skipped).map((row) => ({ system: row.peer, why: row.skipped }))],
    ['saves', results.http?.saves?.skipped], ['endpoint', results.http?.endpoint?.skipped],
    ['cold start', results.coldstart?.program.skipped], ['first requests', results.coldstart?.app.skipped],
    ['hostile load', results.hostile?.skipped], ['connections', results.growth?.connections.skipped],
  ];
  return all.flatMap(([of, rows]) => (rows ?? []).map((row) => ({ ...row, of })));
}
