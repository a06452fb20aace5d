// The load generator, the same for all: keep-alive connections, each of which sends its next request when it has the
// answer to the last one.
import { readFileSync, readdirSync } from 'node:fs';
import { Pool } from 'undici';

const now = () => Number(process.hrtime.bigint());

/**
 * Sends `request` for `ms` after `warmUp` ms over `connections` connections: requests per second and the latencies'
 * quantiles in µs. Every answer must have the status `expect`.
 */
export async function load({ origin, request, expect, connections, ms, warmUp }) {
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const begin = now() + warmUp * 1e6;
  const end = begin + ms * 1e6;
  const latencies = [];
  let all = 0;
  async function connection() {
    for (;;) {
      const sent = now();
      if (sent >= end) return;
      const { statusCode, body } = await pool.request(request);
      if (statusCode !== expect) throw new Error(`${origin}${request.path} answers ${statusCode}: ${(await body.text()).slice(0, 300)}`);
      await body.arrayBuffer();
      all++;
      if (sent >= begin) latencies.push(now() - sent);
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, connection));
  } finally {
    await pool.destroy();
  }
  latencies.sort((a, b) => a - b);
  const quantile = (q) => Math.round(latencies[Math.min(latencies.length - 1, Math.ceil(q * latencies.length) - 1)] / 1000);
  return {
    per_s: Math.round((latencies.length / (now() - begin)) * 1e10) / 10,
    p50_us: quantile(0.5),
    p99_us: quantile(0.99),
    all,
  };
}

/** The ids of a process and all that it started. */
export function tree(root) {
  const parents = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The command's name, in brackets, may hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch { /* it has ended meanwhile */ }
  }
  const found = new Set([root]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

/** Memory of processes and theirs in MB: resident, and with shared pages split among those who share them. */
export function memory(root) {
  let rss = 0;
  let pss = 0;
  for (const pid of tree(root)) {
    try {
      rss += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      pss += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch { /* it has ended meanwhile */ }
  }
  const mb = (kb) => Math.round(kb / 102.4) / 10;
  return { rss_mb: mb(rss), pss_mb: mb(pss) };
}
