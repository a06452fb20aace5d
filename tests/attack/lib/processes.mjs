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

/** Waits until the server's descriptors and the children are no more than `before`, some seconds at most, and gives what is there then. */
export async function settled(pid, before, seconds = 20) {
  let now = sample(pid);
  for (const begun = Date.now(); Date.now() - begun < seconds * 1000;) {
    if (now.serverDescriptors <= before.serverDescriptors && now.children <= before.children) break;
    await pause(250);
    now = sample(pid);
  }
  return now;
}

/**
 * What may stay with children that live on. Each keeps snapshots it has lately run, a descriptor each (512 at most), and
 * up to 256 instances with at most 4 MiB of pages written by runs (KEEP_PAGES, MAX_IDLE_GUESTS of crates/sandbox). The
 * bounds here are far below what that allows, and far above what was seen: they catch what grows with each attack.
 */
const MAY_KEEP = { descriptors: 64, bytes: 768 << 20 };

/** What has not come back to where it began: a list of sentences. */
export function kept(before, after) {
  const problems = [];
  for (const name of ['serverDescriptors', 'children']) if (after[name] > before[name]) problems.push(`${name}: ${before[name]} before, ${after[name]} after`);
  if (after.descriptors > before.descriptors + MAY_KEEP.descriptors) problems.push(`descriptors: ${before.descriptors} before, ${after.descriptors} after`);
  if (after.pss > before.pss + MAY_KEEP.bytes) problems.push(`memory: ${before.pss} bytes before, ${after.pss} after`);
  return problems;
}
