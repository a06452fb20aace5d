// The load generator, the same for all: keep-alive connections, each of which sends its next request when it has the
// answer to the last one.
import { Pool } from 'undici';
import { latencies } from '../lib/stats.mjs';

export const now = () => Number(process.hrtime.bigint());

/**
 * Sends `request`, or what it gives for the how many-th, for `ms` after `warmUp` ms over `connections` connections:
 * requests per second and the latencies' quantiles in µs. Every answer must have the status `expect`.
 */
export async function load({ origin, request, expect, connections, ms, warmUp }) {
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const begin = now() + warmUp * 1e6;
  const end = begin + ms * 1e6;
  const took = [];
  let all = 0;
  async function connection() {
    for (;;) {
      const sent = now();
      if (sent >= end) return;
      const asked = typeof request === 'function' ? request(all) : request;
      all++;
      const { statusCode, body } = await pool.request(asked);
      if (statusCode !== expect) throw new Error(`${origin}${asked.path} answers ${statusCode}: ${(await body.text()).slice(0, 300)}`);
      await body.arrayBuffer();
      if (sent >= begin) took.push(now() - sent);
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, connection));
  } finally {
    await pool.destroy();
  }
  return { per_s: Math.round((took.length / (now() - begin)) * 1e10) / 10, ...latencies(took), all };
}
