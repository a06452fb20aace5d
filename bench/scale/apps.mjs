// Many apps in one Lode, by the admin API: the command line would be started twice for each.
import { createRequire } from 'node:module';
import { basic } from '../../tests/lib/http.mjs';
import { startServer } from '../../tests/lib/server.mjs';

// The load generator's, which is installed beside the peers.
export const { Pool } = createRequire(new URL('../http/package.json', import.meta.url))('undici');

// What one app may have under way by default is less than the load: a quota is not what is measured.
export const SETTINGS = { quota: { concurrency: 500 } };

/** A Lode with `deploy(files, settings)` that is quick, and `app(i)`: how one is asked. */
export async function startLode(options) {
  const server = await startServer(options);
  const pool = new Pool(server.url, { connections: 8 });
  const authorization = `Bearer ${server.adminToken()}`;
  const admin = async (method, path, body) => {
    const answer = await pool.request({
      path, method, headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 300)}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  return {
    ...server,
    origin: server.url,
    /** Makes an app of `{path: text}`: `endpoint(name, body)` is the request that runs one of its endpoints. */
    async deploy(files, settings) {
      const app = await admin('POST', '/admin/apps', { name: 'bench' });
      if (settings !== undefined) await admin('PUT', `/admin/apps/${app.key}/settings`, settings);
      const sources = Object.entries(files).map(([name, text]) => ({ name, text }));
      await admin('POST', `/admin/apps/${app.key}/deployments`, { files: sources });
      return {
        ...app,
        endpoint: (name, body = '{}') => ({
          path: `/rpc/${app.key}/custom/${name}`,
          method: 'POST',
          headers: { authorization: basic(app.key, app.masterSecret), 'content-type': 'application/json' },
          body,
        }),
      };
    },
    async stop() {
      await pool.destroy();
      await server.stop();
    },
  };
}

/** Runs `one(i)` for `from` to `to`, eight at a time. */
export async function each(from, to, one) {
  let next = from;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < to) await one(next++);
  }));
}

/** The presave workload as an endpoint of each system; `mark` makes sources differ, as those of apps do. */
export const endpointOf = (source, mark = '') => `${source}
function onRequest(request, response, modules) {
  response.body = handler(request.body);
  response.complete(200);
}
// ${mark}`;

export const moduleOf = (source, mark = '') => `${source}
export default {
  async fetch(request) {
    return Response.json(await handler(await request.json()));
  },
};
// ${mark}`;
