// The server that is attacked, its neighbour, and the hostile server that scripts are led to.
import { setTimeout as pause } from 'node:timers/promises';
import { clientOf } from '../../lib/http.mjs';
import { startServer } from '../../lib/server.mjs';
import { deploy, makeApp, removeApp } from './admin.mjs';
import { hostileServer } from './hostile-server.mjs';
import { startNeighbour } from './neighbour.mjs';
import { sample } from './processes.mjs';

export async function startWorld({ canary }) {
  const hostile = await hostileServer();
  // Children are as many as at most from the start on, so that their number is one to come back to.
  const server = await startServer({ args: ['--allow-networks', '127.0.0.1/32', '--children', '2'] });
  const neighbour = await startNeighbour(server, { canary });
  const world = {
    server,
    neighbour,
    hostile,
    canary,
    /** What the server holds when it has done all there is to do once: a deploy, runs in every child, a limit. */
    async holdings() {
      const app = await makeApp(server, 'warm-up');
      await deploy(server, app, { 'endpoints/loop.js': 'function onRequest() { for (;;); }', 'endpoints/fill.js': 'function onRequest() { var all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); }' });
      const { master } = clientOf(app);
      await Promise.all(Array.from({ length: 4 }, (_, i) => master.run(i % 2 === 0 ? 'loop' : 'fill')));
      await removeApp(server, app);
      await pause(1000);
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
