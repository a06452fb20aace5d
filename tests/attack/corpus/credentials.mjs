// Over HTTP: who asks.
import { basic, clientOf } from '../../lib/http.mjs';
import { makeApp, removeApp } from '../lib/admin.mjs';
import { ok, threw } from '../lib/expect.mjs';

/** Every kind of route, of an app. */
const routes = (key) => [['GET', `/appdata/${key}`], ['GET', `/appdata/${key}/things`], ['POST', `/appdata/${key}/things`], ['GET', `/appdata/${key}/things/x`], ['PUT', `/appdata/${key}/things/x`],
  ['DELETE', `/appdata/${key}/things/x`], ['DELETE', `/appdata/${key}/things?query={}`], ['GET', `/appdata/${key}/things/_count`], ['POST', `/appdata/${key}/things/_group`], ['GET', `/appdata/${key}/things/_deltaset?since=2020-01-01T00:00:00.000Z`],
  ['GET', `/user/${key}`], ['POST', `/user/${key}`], ['POST', `/user/${key}/login`], ['POST', `/user/${key}/_logout`], ['GET', `/user/${key}/_me`], ['POST', `/user/${key}/_lookup`],
  ['GET', `/user/${key}/x`], ['PUT', `/user/${key}/x`], ['DELETE', `/user/${key}/x?hard=true`], ['POST', `/user/${key}/x/_restore`], ['GET', `/user/${key}/x/roles`],
  ['GET', `/roles/${key}`], ['POST', `/roles/${key}`], ['GET', `/group/${key}/x`], ['GET', `/blob/${key}`], ['POST', `/blob/${key}`], ['POST', `/rpc/${key}/custom/x`], ['POST', `/rpc/${key}/check-username-exists`]];
/** 429: failed logins with a name make the next ones wait. */
const REFUSED = [{ status: [400, 401, 403, 404, 405, 429] }];
const NOBODYS = [['nothing', undefined], ['no secret', 'Basic'], ['no base64', 'Basic !!!'], ['a wrong secret', (key) => basic(key, 'x'.repeat(43))], ['an empty secret', (key) => basic(key, '')],
  ['a wrong token', 'Kinvey nonsense'], ['an empty token', 'Kinvey '], ['a bearer', 'Bearer nonsense'], ['a long one', `Kinvey ${'x'.repeat(8000)}`], ['a NUL', (key) => basic(`${key}\0`, 'x')], ['SQL', (key) => basic(`${key}' OR '1'='1`, '\' OR \'1\'=\'1')]];

async function refusals(t, key, authorization) {
  for (const [method, path] of routes(key)) {
    const value = typeof authorization === 'function' ? authorization(key) : authorization;
    await t.ask(path, { method, authorization: value, body: method === 'POST' || method === 'PUT' ? {} : undefined }, REFUSED);
  }
}

export default [
  { id: 'no-credentials', row: 'No, broken or guessed credentials, on every kind of route',
    attempt: async (t) => { for (const [, authorization] of NOBODYS) await refusals(t, t.app.key, authorization); } },
  {
    id: 'another-apps-credentials',
    row: 'Another app\'s secrets and tokens, on every kind of route',
    async attempt(t) {
      const key = t.world.neighbour.app.key;
      const user = await t.client.user('mallory');
      for (const authorization of [t.owner, basic(t.app.key, t.app.appSecret), basic(key, t.app.masterSecret), basic(key, t.app.appSecret), `Kinvey ${user.token}`, basic('mallory', 'mallory-password')]) await refusals(t, key, authorization);
    },
  },
  {
    id: 'body-after-logout',
    row: 'Beginning a save, and ending its body when the session is over or the user is gone',
    async attempt(t) {
      const authorization = `Kinvey ${(await t.client.user('mallory')).token}`;
      const head = `POST /appdata/${t.app.key}/things HTTP/1.1\r\nhost: ${new URL(t.url).host}\r\nauthorization: ${authorization}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n`;
      const late = t.raw('late', [head, '{"a"', 7000, ':1}'], [{ status: 401 }], { patience: 12_000 });
      await new Promise((done) => setTimeout(done, 1000));
      await t.ask(`/user/${t.app.key}/_logout`, { method: 'POST', authorization }, ok);
      await late;
    },
  },
  {
    id: 'app-secret-as-master',
    row: 'The app secret, or a user, where the owner is asked for',
    async attempt(t) {
      const user = await t.client.user('mallory');
      await t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: t.owner, body: { _id: 'x' } }, ok);
      for (const authorization of [basic(t.app.key, t.app.appSecret), `Kinvey ${user.token}`]) {
        for (const [method, path] of [['POST', `/roles/${t.app.key}`], ['GET', `/roles/${t.app.key}`], ['DELETE', `/appdata/${t.app.key}/things/x`], ['POST', `/user/${t.app.key}/x/_restore`], ['DELETE', `/user/${t.app.key}/x?hard=true`]]) {
          await t.ask(path, { method, authorization, body: method === 'POST' ? { name: 'r' } : undefined }, REFUSED);
        }
      }
    },
  },
  {
    id: 'admin-without-token',
    row: 'The admin API without its token',
    async attempt(t) {
      const key = t.world.neighbour.app.key;
      const user = await t.client.user('mallory');
      for (const authorization of [undefined, 'Bearer', 'Bearer ', 'Bearer x', t.owner, `Bearer ${t.app.masterSecret}`, `Kinvey ${user.token}`, `Bearer ${user.token}`, basic('admin', 'admin')]) {
        for (const [method, path] of [['GET', ''], ['POST', ''], ['GET', `/${key}`], ['DELETE', `/${key}`], ['GET', `/${key}/settings`], ['PUT', `/${key}/settings`], ['POST', `/${key}/rotate`], ['POST', `/${key}/deployments`], ['GET', `/${key}/logs`], ['GET', `/${key}/runs`], ['GET', `/${key}/tasks`]]) {
          await t.ask(`/admin/apps${path}`, { method, authorization, body: method === 'GET' || method === 'DELETE' ? undefined : {} }, [{ status: 401 }]);
        }
        for (const path of ['/admin/metrics', '/admin/openapi.json']) await t.ask(path, { authorization }, [{ status: 401 }]);
      }
    },
  },
  {
    id: 'login-brute-force',
    row: 'Guessing passwords',
    async attempt(t) {
      await t.client.user('victim');
      const statuses = [];
      for (let i = 0; i < 12; i++) {
        const got = await t.ask(`/user/${t.app.key}/login`, { method: 'POST', authorization: basic(t.app.key, t.app.appSecret), body: { username: 'victim', password: `guess-${i}` } }, [{ status: [401, 429] }]);
        statuses.push(got.status);
      }
      t.check(statuses.includes(429), `guessing was never slowed: ${statuses.join()}`);
      for (const body of [{ username: 'victim', password: { $ne: '' } }, { username: { $gt: '' }, password: 'x' }, { username: ['victim'], password: ['x'] }, { username: 'victim' }, [], null, { _socialIdentity: { facebook: {} } }]) {
        await t.ask(`/user/${t.app.key}/login`, { method: 'POST', authorization: basic(t.app.key, t.app.appSecret), body: JSON.stringify(body) }, [{ status: [400, 401, 429] }]);
      }
    },
  },
  {
    id: 'mass-assignment',
    row: 'Writing `_acl`, `_kmd`, `_id`, roles and password fields of one\'s own choice',
    async attempt(t) {
      const [mallory, victim] = [await t.client.user('mallory'), await t.client.user('victim')];
      const own = await t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: `Kinvey ${victim.token}`, body: { _id: 'v', mine: true } }, ok);
      t.check(own.body?._acl?.creator === victim.id, 'the creator is whoever saves');
      const forged = await t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: `Kinvey ${mallory.token}`, body: { _id: 'f', _acl: { creator: victim.id }, _kmd: { ect: '1970-01-01T00:00:00.000Z', authtoken: 'x' } } }, [ok, ...REFUSED]);
      t.check(forged.body?._acl?.creator !== victim.id, 'a creator was forged');
      await t.ask(`/appdata/${t.app.key}/things/v`, { method: 'PUT', authorization: `Kinvey ${mallory.token}`, body: { _acl: { creator: mallory.id, gw: true } } }, REFUSED);
      await t.ask(`/appdata/${t.app.key}/things/v`, { method: 'DELETE', authorization: `Kinvey ${mallory.token}` }, REFUSED);
      await t.ask(`/user/${t.app.key}/${victim.id}`, { method: 'PUT', authorization: `Kinvey ${mallory.token}`, body: { password: 'taken' } }, REFUSED);
      const changed = await t.ask(`/user/${t.app.key}/${mallory.id}`, { method: 'PUT', authorization: `Kinvey ${mallory.token}`, body: { _id: victim.id, _kmd: { roles: [{ roleId: 'admin' }], authtoken: 'x' }, _acl: { creator: victim.id }, roles: ['admin'], hash: 'x' } }, [ok, ...REFUSED]);
      t.check(changed.body?._id !== victim.id, 'a user became another');
      t.check(changed.body?._acl?.creator !== victim.id, 'a user\'s creator was forged');
    },
  },
  {
    id: 'others-private-entities',
    row: 'Learning of entities that one may not read: fetching, counting, grouping, delta sets, also of those removed',
    async attempt(t) {
      const [mallory, victim] = [await t.client.user('mallory'), await t.client.user('victim')];
      const path = `/appdata/${t.app.key}/diary`;
      const since = new Date(Date.now() - 60_000).toISOString();
      const [as, by] = [victim, mallory].map(({ token }) => ({ authorization: `Kinvey ${token}` }));
      for (const _id of ['private-1', 'private-2']) await t.ask(path, { ...as, method: 'POST', body: { _id, _acl: { gr: false, gw: false }, word: 'private' } }, ok);
      await t.ask(`${path}/private-2`, { ...as, method: 'DELETE' }, ok);
      await t.ask(`${path}/private-1`, by, REFUSED);
      const grouped = { ...by, method: 'POST', body: { key: { word: true }, initial: { result: 0 }, reduce: 'function(doc,out){ out.result++; }' } };
      for (const [part, request, nothing] of [['', by, []], ['/_count', by, { count: 0 }], ['/_group', grouped, []], [`/_deltaset?since=${since}`, by, { changed: [], deleted: [] }]]) {
        const got = await t.ask(`${path}${part}`, request, ok);
        t.check(JSON.stringify(got.body) === JSON.stringify(nothing), `${part} tells ${got.text}`);
      }
    },
  },
  {
    id: 'another-users-id',
    row: 'Signing up with the `_id` of a user that is there, to get or to break that user\'s login',
    async attempt(t) {
      const victim = await t.client.user('victim');
      const signUp = (authorization) => ({ method: 'POST', authorization, body: { _id: victim.id, username: 'mallory', password: 'mine' } });
      await t.ask(`/user/${t.app.key}`, signUp(basic(t.app.key, t.app.appSecret)), [{ status: 401 }]);
      await t.ask(`/user/${t.app.key}`, signUp(t.owner), [{ status: 409 }]);
      await t.ask(`/user/${t.app.key}/_me`, { authorization: basic('mallory', 'mine') }, REFUSED);
      const still = await t.ask(`/user/${t.app.key}/_me`, { authorization: basic('victim', 'victim-password') }, ok);
      t.check(still.body?._id === victim.id, 'the victim logs in as before');
    },
  },
  {
    id: 'the-apps-key-as-id',
    row: 'Signing up with the app\'s key as `_id`, or with that of a user who is gone, to own what ACLs say is theirs',
    async attempt(t) {
      const gone = await t.client.user('gone');
      await t.ask(`/user/${t.app.key}/${gone.id}?hard=true`, { method: 'DELETE', authorization: t.owner }, [{ status: 204 }]);
      for (const _id of [gone.id, t.app.key]) await t.ask(`/user/${t.app.key}`, { method: 'POST', authorization: basic(t.app.key, t.app.appSecret), body: { _id } }, [{ status: 401 }]);
      await t.ask(`/user/${t.app.key}`, { method: 'POST', authorization: t.owner, body: { _id: t.app.key } }, [{ status: 400 }]);
    },
  },
  {
    id: 'groups-of-users-own',
    row: 'Groups of all users, with ids of one\'s own choice, and hundreds of them, to lock others out or take what they had',
    async attempt(t) {
      const [mallory, victim] = [await t.client.user('mallory'), await t.client.user('victim')];
      const group = (body) => ({ method: 'POST', authorization: `Kinvey ${mallory.token}`, body });
      for (const body of [{ users: { all: true } }, { users: [{ all: true }] }, { _id: 'staff', users: { list: [{ _id: mallory.id }] } }]) await t.ask(`/group/${t.app.key}`, group(body), [{ status: 401 }]);
      await t.ask(`/group/${t.app.key}/staff`, { ...group({ users: { list: [{ _id: mallory.id }] } }), method: 'PUT' }, [{ status: 404 }]);
      for (let i = 0; i < 510; i++) await t.ask(`/group/${t.app.key}`, group({ users: { list: [{ _id: victim.id }] } }), [{ status: 201 }]);
      await t.ask(`/appdata/${t.app.key}/things`, { authorization: `Kinvey ${victim.token}` }, ok);
    },
  },
  {
    id: 'reserved-collections',
    row: 'Reserved and odd names of collections',
    async attempt(t) {
      const user = await t.client.user('mallory');
      for (const name of ['user', '_blob', '_group', '_roles', '_sessions', 'sqlite_master', '__proto__', 'constructor', 'entities;--', 'a%22b', 'a%27b', '%00', '..', '%2e%2e', 'x'.repeat(1000), '%F0%9F%92%A9', '%ff%fe', '$where', 'system.users', 'a.b']) {
        for (const method of ['GET', 'POST', 'DELETE']) {
          await t.ask(`/appdata/${t.app.key}/${name}${method === 'DELETE' ? '?query={}' : ''}`, { method, authorization: `Kinvey ${user.token}`, body: method === 'POST' ? { a: 1 } : undefined }, [ok, ...REFUSED]);
        }
      }
      const users = await t.ask(`/appdata/${t.app.key}/user`, { authorization: t.owner }, [ok, ...REFUSED]);
      t.check(!/argon2|password/.test(users.text), 'users show their passwords');
    },
  },
  {
    id: 'scripts-try-another-app',
    row: 'A script that reads, writes or calls another app',
    files: { 'endpoints/other.js': `function onRequest(request, response, modules) {
      var context = modules.backendContext, tries = request.body.paths.length, seen = [];
      request.body.paths.forEach(function (path) {
        [context.getMasterSecret(), context.getAppSecret()].forEach(function (secret) {
          modules.request.get({ uri: context.getApiHost() + path, headers: { Authorization: 'Basic ' + modules.utils.base64.encode(request.body.key + ':' + secret) } }, function (error, res, body) {
            seen.push(error ? 0 : res.statusCode);
            if (seen.length === 2 * tries) response.complete(200, seen);
          });
        });
      });
    }`,
    'endpoints/data.mjs': `export async function onRequest(request, context) {
      const found = [];
      for (const name of request.body.names) try { found.push((await context.collectionAccess.collection(name).find({})).length); } catch (e) { found.push(0); }
      for (const [name, args] of request.body.calls) try { found.push(await context.hostCall(name, args)); } catch (e) { found.push(0); }
      return found; }` },
    async attempt(t) {
      const { key } = t.world.neighbour.app;
      await t.settings({ limits: { cpuMs: 1000 } }, ok);
      const got = await t.run('other', { key, paths: [`/appdata/${key}/secrets`, `/user/${key}`, '/admin/apps', `/appdata/${key}/secrets/canary`] }, ok);
      t.check(Array.isArray(got.body) && got.body.every((status) => status === 0 || status >= 400), `another app answered: ${got.text}`);
      const data = await t.run('data', { names: ['secrets', `${key}/secrets`, `../${key}/secrets`, `${key}.secrets`],
        calls: ['data.find', 'data', 'collection.find', 'collectionAccess'].flatMap((name) => [[name, { app: key, collection: 'secrets', query: {} }], [name, [key, 'secrets', 'find', {}]]]) }, [ok, threw()]);
      t.check(!data.text.includes('canary'), 'another app\'s data were read');
    },
  },
  {
    id: 'rotated-and-removed',
    row: 'Credentials of an app that is gone',
    async attempt(t) {
      const other = await makeApp(t.server, 'short-lived');
      const user = await clientOf(other).user('joe');
      await removeApp(t.server, other);
      for (const authorization of [basic(other.key, other.masterSecret), basic(other.key, other.appSecret), `Kinvey ${user.token}`]) await refusals(t, other.key, authorization);
    },
  },
];
