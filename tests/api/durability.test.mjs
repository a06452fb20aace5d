// What the server has acknowledged is there after a power cut: it is killed in the middle of concurrent saves.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientOf } from '../lib/http.mjs';
import { startServer } from '../lib/server.mjs';

const WRITERS = 24;
const ROUNDS = 3;
/** Saves that are acknowledged before the server is killed, in each round. */
const ENOUGH = 300;

describe('a server that is killed', () => {
  it('has every entity that it said it had', async () => {
    let server = await startServer();
    const { data } = server;
    let app = await server.app('durable');
    // With hooks around each save: as it is used.
    await app.deploy({
      'collections/orders/onPreSave.js': 'function onPreSave(request, response) { request.body.seen = true; response.continue(); }',
      'collections/orders/onPostSave.js': 'function onPostSave(request, response) { response.continue(); }',
    });
    const acknowledged = new Map();
    const deleted = new Set();
    let number = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { master } = clientOf(app);
      const before = acknowledged.size;
      let killed = false;
      const enough = Promise.withResolvers?.() ?? deferred();
      const writer = async () => {
        while (!killed) {
          const n = ++number;
          try {
            const saved = await master.save('orders', { _id: `o-${n}`, n, text: 'x'.repeat(n % 997) });
            assert.equal(saved.status, 201, saved.text);
            acknowledged.set(`o-${n}`, n);
            if (n % 3 === 0) {
              const changed = await master.replace('orders', `o-${n}`, { n: -n });
              assert.equal(changed.status, 200, changed.text);
              acknowledged.set(`o-${n}`, -n);
            }
            if (n % 7 === 0) {
              acknowledged.delete(`o-${n}`);
              const gone = await master.remove('orders', `o-${n}`);
              assert.equal(gone.status, 200, gone.text);
              deleted.add(`o-${n}`);
            }
          } catch (error) {
            // A request that the kill cut off: it may have happened or not.
            if (!killed) throw error;
            if (n % 3 === 0 && acknowledged.get(`o-${n}`) === n) acknowledged.set(`o-${n}`, null);
          }
          if (acknowledged.size - before >= ENOUGH) enough.resolve();
        }
      };
      const writers = Array.from({ length: WRITERS }, writer);
      await Promise.race([enough.promise, Promise.all(writers)]);
      killed = true;
      await server.kill();
      await Promise.all(writers);
      server = await startServer({ data });
      app = { ...app, url: server.url };
      const found = new Map();
      for (let skip = 0; ; skip += 5000) {
        const { status, body, text } = await clientOf(app).master.get('orders', `?sort=_id&limit=5000&skip=${skip}`);
        assert.equal(status, 200, text);
        for (const order of body) found.set(order._id, order);
        if (body.length < 5000) break;
      }
      for (const [id, n] of acknowledged) {
        const order = found.get(id);
        assert.ok(order !== undefined, `round ${round}: ${id} was acknowledged and is lost`);
        // The last change of some was cut off: one of two values.
        if (n === null) assert.equal(Math.abs(order.n), Number(id.slice(2)), id);
        else assert.equal(order.n, n, id);
        if (order.n > 0) assert.equal(order.text.length, order.n % 997);
      }
      for (const id of deleted) assert.ok(!found.has(id), `round ${round}: ${id} was deleted and is back`);
    }
    assert.ok(acknowledged.size >= ROUNDS * ENOUGH);
    await server.stop();
  });
});

function deferred() {
  let resolve;
  const promise = new Promise((resolved) => { resolve = resolved; });
  return { promise, resolve };
}
