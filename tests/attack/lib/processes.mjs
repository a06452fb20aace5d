// What a server and its descendants hold, as /proc tells.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // It ended meanwhile, or is not ours to read.
  }
}

/** Parents of all processes. */
function parents() {
  const found = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // The name, in parentheses, may hold anything; what follows its last one is safe to split.
    const stat = read(`/proc/${name}/stat`);
    if (stat !== undefined) found.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  return found;
}

function descendants(pid) {
  const all = parents();
  const found = [];
  for (const [one] of all) {
    for (let at = one; at !== undefined && at > 1; at = all.get(at)) {
      if (all.get(at) === pid) {
        found.push(one);
        break;
      }
    }
  }
  return found;
}

const field = (text, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text ?? '')?.[1] ?? 0) * 1024;

function descriptors(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** `{rss, pss, serverDescriptors, descriptors, children}`: memory in bytes, of the server and its children together. */
export function sample(pid) {
  const children = descendants(pid);
  const all = [pid, ...children];
  const sum = (of) => all.reduce((total, one) => total + of(one), 0);
  return {
    rss: sum((one) => field(read(`/proc/${one}/status`), 'VmRSS')),
    // Shared pages count once: children share the engine and the snapshots.
    pss: sum((one) => field(read(`/proc/${one}/smaps_rollup`), 'Pss')),
    serverDescriptors: descriptors(pid),
    descriptors: sum(descriptors),
    children: children.length,
  };
}

// Children let go of the sandboxes they keep ready when those were unused for 10 to 20 s (Engine::release_idle).
const SETTLING_MS = 25_000;

/** What is there when nothing has moved for a while. */
export async function settled(pid) {
  await pause(SETTLING_MS);
  return sample(pid);
}

/**
 * What may stay with children that live on: the snapshots of apps that are still deployed, a descriptor each (512 at
 * most), and what an allocator does not give back. Each is above what was seen, and below what a leak per attack is.
 */
const MAY_KEEP = { descriptors: 64, bytes: 128 << 20 };

/** What has not come back to where it began: a list of sentences. */
export function kept(before, after) {
  const problems = [];
  for (const name of ['serverDescriptors', 'children']) if (after[name] > before[name]) problems.push(`${name}: ${before[name]} before, ${after[name]} after`);
  if (after.descriptors > before.descriptors + MAY_KEEP.descriptors) problems.push(`descriptors: ${before.descriptors} before, ${after.descriptors} after`);
  if (after.pss > before.pss + MAY_KEEP.bytes) problems.push(`memory: ${before.pss} bytes before, ${after.pss} after`);
  return problems;
}
