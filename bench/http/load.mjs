// The load generator, the same for all: keep-alive connections, each of which sends its next request when it has the
// answer to the last one.
import { Pool } from 'undici';
import { latencies } from '../lib/stats.mjs';

export const now = () => Number(process.hrtime.bigint());

/** Connections to a server: as many as there are requests under way, unless it is given how many. */
export const connect = (origin, connections = null) => new Pool(origin, { connections, pipelining: 1 });

/** Sends a request and takes all of the answer, which must have the status `expect`: its time in ns. */
export async function timed(pool, { origin, request, expect }) {
  const sent = now();
  const { statusCode, body } = await pool.request(request);
  if (statusCode !== expect) throw new Error(`${origin}${request.path} answers ${statusCode}: ${(await body.text()).slice(0, 300)}`);
  await body.arrayBuffer();
  return now() - sent;
}

/**
 * Sends `request`, or what it gives for the how many-th, for `ms` after `warmUp` ms over `connections` connections:
 * requests per second and the latencies' quantiles in µs. Every answer must have the status `expect`.
 */
export async function load({ origin, request, expect, connections, ms, warmUp }) {
  const pool = connect(origin, connections);
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
      const time = await timed(pool, { origin, request: asked, expect });
      if (sent >= begin) took.push(time);
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, connection));
  } finally {
    await pool.destroy();
  }
  return { per_s: Math.round((took.length / (now() - begin)) * 1e10) / 10, ...latencies(took), all };
}
