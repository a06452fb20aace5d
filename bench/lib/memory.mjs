// What processes take, from /proc.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { round } from './stats.mjs';

/** What the kernel says of a process behind its name, which is in brackets and may hold anything: from its state on. */
function stat(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** The ids of a process and all that it started. */
export function tree(root) {
  const parents = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      parents.set(Number(name), Number(stat(name)[1]));
    } catch { /* it has ended meanwhile */ }
  }
  const found = new Set([root]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

/** Memory of a process and its descendants in MB: resident, and with shared pages split among those who share them. */
export function memory(root) {
  let rss = 0;
  let pss = 0;
  for (const pid of tree(root)) {
    try {
      rss += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      pss += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch { /* it has ended meanwhile */ }
  }
  const mb = (kb) => round(kb / 1024, 1);
  return { rss_mb: mb(rss), pss_mb: mb(pss) };
}

/** Processor time that a process and all it started have had, in ms. */
export const cpuMs = (root) => tree(root).reduce((sum, pid) => {
  const [user, system] = stat(pid).slice(11, 13).map(Number);
  // The kernel's USER_HZ is 100 on all machines that Lode runs on.
  return sum + (user + system) * 10;
}, 0);

/** Shared memory of the whole machine in MB. Memory files that no process has mapped are in no process's PSS. */
export function sharedMb() {
  return round(Number(/^Shmem:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))[1]) / 1024, 1);
}

/**
 * Calls `beyond` once when a tree takes more than `mb`, looking every 100 ms: what fills memory without end fills about
 * 2 GB in a second, so it is caught within some hundred MB. Gives the function that stops looking.
 */
export function watch(root, mb, beyond) {
  const timer = setInterval(() => {
    if (memory(root).rss_mb <= mb) return;
    clearInterval(timer);
    beyond();
  }, 100);
  return () => clearInterval(timer);
}

/** What a folder takes on disk, in MB. */
export function diskMb(folder) {
  return round(Number(execFileSync('du', ['-sk', folder], { encoding: 'utf8' }).split('\t')[0]) / 1024);
}
