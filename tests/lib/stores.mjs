// Suites that run on each database: all of them must behave alike.
import { after, before, describe } from 'node:test';
import { startPostgres } from './postgres.mjs';
import { startServer } from './server.mjs';

const ALL = ['sqlite', 'postgres'];

/** Those that LODE_TEST_STORES names (`sqlite,postgres`); all of them by default. */
function chosen() {
  const named = process.env.LODE_TEST_STORES;
  if (named === undefined || named === '') return ALL;
  const stores = named.split(',');
  const unknown = stores.filter((store) => !ALL.includes(store));
  if (unknown.length > 0) throw new Error(`LODE_TEST_STORES: ${unknown.join()} is none of ${ALL.join()}`);
  return stores;
}

/**
 * A suite per store. `suite(context)` defines its tests; when they run, `context.server` is a fresh server with
 * a fresh database, and `context.store` the store's name.
 */
export function onEachStore(name, suite, options = {}) {
  for (const store of chosen()) {
    describe(`${name}, ${store}`, { concurrency: false }, () => {
      const context = { store };
      let postgres;
      before(async () => {
        if (store === 'postgres') postgres = await startPostgres();
        context.server = await startServer({ store: postgres?.database(), ...options });
      });
      after(async () => {
        await context.server?.stop();
        await postgres?.stop();
      });
      suite(context);
    });
  }
}
