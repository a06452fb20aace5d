// Apps by the admin API itself: a process of the command line for each of some hundred apps would be what is measured.
import { ask } from '../../lib/http.mjs';

const admin = (server, path, options) => ask(`${server.url}/admin/apps${path}`, { authorization: `Bearer ${server.adminToken()}`, ...options });

/** Makes an app: its key and secrets, and where it is. */
export async function makeApp(server, name, settings) {
  const made = await admin(server, '', { method: 'POST', body: { name } });
  if (made.status !== 201) throw new Error(`no app ${name}: ${made.status} ${made.text}`);
  const app = { ...made.body, url: server.url };
  if (settings !== undefined) {
    const set = await admin(server, `/${app.key}/settings`, { method: 'PUT', body: settings });
    if (set.status >= 300) throw new Error(`settings of ${name}: ${set.status} ${set.text}`);
  }
  return app;
}

/** Deploys `{path: text}`: the answer, whatever it is. */
export const deploy = (server, app, files) => admin(server, `/${app.key}/deployments`, {
  method: 'POST', body: { files: Object.entries(files).map(([name, text]) => ({ name, text })) },
});

export const settings = (server, app, body) => admin(server, `/${app.key}/settings`, { method: 'PUT', body });

export const removeApp = (server, app) => admin(server, `/${app.key}`, { method: 'DELETE' });
