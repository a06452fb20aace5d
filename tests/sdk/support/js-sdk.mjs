// kinvey-js-sdk is the core of Kinvey's packages for platforms: each of them brings an HTTP adapter, a place for the
// session and one for caches. These are ours. The SDK itself knows no address but Kinvey's: the adapter's is another.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
export const Kinvey = require('kinvey-js-sdk');

/** The part of a host name that an app of `instanceId` has at Kinvey. */
const HOST = 'https://lode-baas.kinvey.com';

/** What was sent and came back, for tests about headers. */
export const exchanges = [];

function httpAdapter(base) {
  return {
    async send({ url, method, headers, body }) {
      if (!url.startsWith(`${HOST}/`)) throw new Error(`the SDK asks ${url}`);
      const response = await fetch(base + url.slice(HOST.length), { method, headers, body });
      const answer = {
        statusCode: response.status,
        headers: Object.fromEntries(response.headers),
        data: await response.text(),
      };
      exchanges.push({ url, method, sent: headers, ...answer });
      return answer;
    },
  };
}

const sessionStore = () => {
  const sessions = new Map();
  return {
    get: async (key) => sessions.get(key) ?? null,
    set: async (key, session) => { sessions.set(key, session); return true; },
    remove: async (key) => sessions.delete(key),
  };
};

const storageAdapter = () => {
  const collections = new Map();
  const of = (db, name) => {
    const key = `${db} ${name}`;
    if (!collections.has(key)) collections.set(key, new Map());
    return collections.get(key);
  };
  return {
    find: async (db, name) => [...of(db, name).values()].map((document) => structuredClone(document)),
    count: async (db, name) => of(db, name).size,
    findById: async (db, name, id) => structuredClone(of(db, name).get(id)),
    save: async (db, name, documents) => {
      for (const document of documents) of(db, name).set(document._id, structuredClone(document));
      return documents;
    },
    removeById: async (db, name, id) => Number(of(db, name).delete(id)),
    clear: async (db, name) => of(db, name).clear(),
    clearDatabase: async () => collections.clear(),
  };
};

/** Sets the SDK up for an app. `config` goes to Kinvey.init beside the app's key. */
export function init(app, config) {
  exchanges.length = 0;
  return Kinvey.init({
    kinveyConfig: { appKey: app.key, instanceId: 'lode', ...config },
    httpAdapter: httpAdapter(app.url),
    sessionStore: sessionStore(),
    storageAdapter: storageAdapter(),
    popup: {},
    pubnub: class {},
  });
}
