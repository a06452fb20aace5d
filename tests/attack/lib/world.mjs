// The server that is attacked, its neighbour, and the hostile server that scripts are led to.
import { setTimeout as pause } from 'node:timers/promises';
import { clientOf } from '../../lib/http.mjs';
import { startServer } from '../../lib/server.mjs';
import { deploy, makeApp, removeApp } from './admin.mjs';
import { hostileServer } from './hostile-server.mjs';
import { startNeighbour } from './neighbour.mjs';
import { sample } from './processes.mjs';

/** A child is two processes: the one that is locked up, and the first of its process id namespace. */
const PROCESSES = 4;

export async function startWorld({ canary }) {
  const hostile = await hostileServer();
  const server = await startServer({ args: ['--allow-networks', '127.0.0.1/32', '--children', '2'] });
  const neighbour = await startNeighbour(server, { canary });
  const world = {
    server,
    neighbour,
    hostile,
    canary,
    /**
     * What the server holds when it has done all there is to do once: a deploy, limits, and all its children there (they go
     * again only after a minute without work, which nobody wants to wait for at the end).
     */
    async holdings() {
      const app = await makeApp(server, 'warm-up', { limits: { cpuMs: 1000 } });
      await deploy(server, app, {
        'endpoints/loop.js': 'function onRequest() { for (;;); }',
        'endpoints/fill.js': 'function onRequest() { var all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); }',
        'endpoints/wait.js': 'function onRequest(request, response) { setTimeout(function () { response.complete(200, 1); }, 1500); }',
      });
      const { master } = clientOf(app);
      // More than an app may have under way: what waits calls for another child.
      for (let i = 0; i < 5 && sample(server.pid).children < PROCESSES; i++) await Promise.all(Array.from({ length: 40 }, () => master.run('wait')));
      for (const name of ['loop', 'fill']) await master.run(name);
      await removeApp(server, app);
      // Connections that asked for it are kept open for some seconds: descriptors that would hide a leak of as many.
      await pause(7000);
      // The most of a few looks: a descriptor of a request under way is not one that stays.
      const looks = [];
      for (let i = 0; i < 8; i++) {
        looks.push(sample(server.pid));
        await pause(150);
      }
      const most = (name) => Math.max(...looks.map((look) => look[name]));
      return Object.fromEntries(Object.keys(looks[0]).map((name) => [name, most(name)]));
    },
    async stop() {
      await neighbour.stop();
      await server.stop();
      hostile.stop();
    },
  };
  return world;
}
