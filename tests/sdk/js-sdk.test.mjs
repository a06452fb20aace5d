// `kinvey-js-sdk` 7, as it is on npm, against Lode: API version 6, and 5 and 3 where they differ.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { clientOf } from '../lib/http.mjs';
import { onEachStore } from '../lib/stores.mjs';
import { Kinvey, exchanges, init } from './support/js-sdk.mjs';
import { build, cases, names, people } from './support/people.mjs';
import { scripts } from './support/scripts.mjs';

const { DataStore, DataStoreType, Query, Aggregation, CustomEndpoint, User, Errors } = Kinvey;
Kinvey.logger.disableAll?.();

const PASSWORD = 'correct horse';

const last = (stream) => stream.toPromise();
const network = (collection) => DataStore.collection(collection, DataStoreType.Network);
const find = (collection, query) => last(network(collection).find(query));

/** Checks that a promise fails with an error of a class, whose members are as given. */
const fails = (promise, kind, members = {}) => assert.rejects(promise, (error) => {
  assert.ok(error instanceof kind, `${error.name}: ${error.message} ${error.debug}`);
  for (const [name, value] of Object.entries(members)) {
    if (value instanceof RegExp) assert.match(String(error[name]), value);
    else assert.equal(error[name], value, name);
  }
  return true;
});

onEachStore('kinvey-js-sdk', (context) => {
  let app;
  const asApp = (config = {}) => init(app, { appSecret: app.appSecret, ...config });
  const asOwner = async () => {
    await User.logout();
    init(app, { masterSecret: app.masterSecret });
  };
  const as = async (username, config) => {
    await User.logout();
    asApp(config);
    if (!await User.exists(username)) await User.signup({ username, password: PASSWORD });
    return User.login(username, PASSWORD);
  };

  before(async () => {
    app = await context.server.app('js-sdk');
    await app.deploy(scripts);
    asApp();
  });

  describe('the app', () => {
    it('answers a ping', async () => {
      const pong = await Kinvey.ping();
      assert.equal(pong.kinvey, 'hello js-sdk');
      assert.equal(typeof pong.version, 'string');
    });

    it('refuses a wrong secret', async () => {
      init(app, { appSecret: 'wrong' });
      await fails(Kinvey.ping(), Errors.InvalidCredentialsError);
      asApp();
    });
  });

  describe('users', () => {
    it('sign up, log in, know themselves and log out', async () => {
      const signed = await User.signup({ username: 'una', password: PASSWORD, email: 'una@example.com', age: 30 });
      assert.equal(signed.username, 'una');
      assert.equal(await User.getActiveUser(), null);
      const user = await User.login('una', PASSWORD);
      assert.equal(user._id, signed._id);
      assert.equal((await User.me()).email, 'una@example.com');
      const { authtoken } = user;
      await User.logout();
      assert.equal(await User.getActiveUser(), null);
      const answer = await clientOf(app).nobody.at(`/user/${app.key}/_me`, { authorization: `Kinvey ${authtoken}` });
      assert.equal(answer.status, 401);
    });

    it('change what is kept of them, and stay logged in', async () => {
      await User.login('una', PASSWORD);
      await User.update({ age: 31, nickname: 'U' });
      const me = await User.me();
      assert.equal(me.data.age, 31);
      assert.equal(me.data.nickname, 'U');
      await network('things').save({ of: 'una' });
    });

    it('exist or not', async () => {
      assert.equal(await User.exists('una'), true);
      assert.equal(await User.exists('nobody'), false);
    });

    it('have names that nobody else has', async () => {
      await fails(User.signup({ username: 'una', password: 'x' }), Errors.UserAlreadyExistsError);
    });

    it('do not get in with a wrong password', async () => {
      await User.logout();
      await fails(User.login('una', 'wrong'), Errors.InvalidCredentialsError);
    });

    it('are looked up by what anybody may know', async () => {
      await as('vic');
      const found = await last(User.lookup(new Query().equalTo('username', 'una')));
      assert.deepEqual(found.map(({ username, age }) => [username, age]), [['una', undefined]]);
    });

    it('are removed by the owner, for good or not', async () => {
      const { _id } = await as('xen');
      await asOwner();
      await User.remove(_id);
      asApp();
      await fails(User.login('xen', PASSWORD), Errors.InvalidCredentialsError);
      // The SDK's own `restore` refuses whatever it is given.
      await context.server.restore(app, _id);
      await User.login('xen', PASSWORD);
      await asOwner();
      await User.remove(_id, { hard: true });
      asApp();
      assert.equal(await User.exists('xen'), false);
    });

    it('are told that there is no mail service', async () => {
      await fails(User.resetPassword('una'), Errors.FeatureUnavailableError);
    });
  });

  describe('a network store', () => {
    const books = () => network('books');

    before(() => as('una'));

    it('creates, reads, updates and removes an entity', async () => {
      const made = await books().create({ title: 'Emma', pages: 474 });
      assert.match(made._id, /^[0-9a-f]{24}$/);
      assert.deepEqual(await last(books().findById(made._id)), made);
      const changed = await books().save({ _id: made._id, title: 'Emma', stars: 5 });
      assert.deepEqual([changed.stars, changed.pages], [5, undefined]);
      assert.deepEqual(await books().removeById(made._id), { count: 1 });
      await fails(last(books().findById(made._id)), Errors.NotFoundError);
    });

    it('creates an array of entities at once', async () => {
      const { entities, errors } = await books().create([{ title: 'a' }, { _id: 'named', title: 'b' }, { title: 'c' }]);
      assert.deepEqual(errors, []);
      assert.deepEqual(entities.map(({ title }) => title), ['a', 'b', 'c']);
      assert.equal(entities[1]._id, 'named');
      assert.equal((await last(books().findById(entities[2]._id))).title, 'c');
    });

    it('says which of an array could not be created, and creates the others', async () => {
      const { entities, errors } = await books().create([{ title: 'd' }, { _id: 'named', title: 'again' }, { title: 'e' }, { 'a.b': 1 }]);
      assert.deepEqual(entities.map((entity) => entity?.title ?? null), ['d', null, 'e', null]);
      assert.deepEqual(errors.map(({ index, error }) => [index, error]), [[1, 'EntityAlreadyExists'], [3, 'InvalidIdentifier']]);
      assert.equal((await last(books().findById('named'))).title, 'b');
    });

    it('creates more than go into one request', async () => {
      const many = Array.from({ length: 250 }, (_, n) => ({ many: true, n }));
      const { entities, errors } = await books().create(many);
      assert.deepEqual(errors, []);
      assert.deepEqual(entities.map(({ n }) => n), many.map(({ n }) => n));
      assert.equal(await last(books().count(new Query().equalTo('many', true))), 250);
      assert.deepEqual(await books().remove(new Query().equalTo('many', true)), { count: 250 });
    });

    it('creates no arrays before API version 5', async () => {
      const user = await clientOf(app).user('old');
      const answer = await user.save('books', [{ a: 1 }], { headers: { 'x-kinvey-api-version': '4' } });
      assert.equal(answer.status, 400);
      assert.equal(answer.body.error, 'FeatureUnavailable');
      const five = await user.save('books', [{ a: 1 }], { headers: { 'x-kinvey-api-version': '5' } });
      assert.equal(five.status, 201);
    });

    it('is asked in version 6, and says so', async () => {
      await find('books', new Query().equalTo('title', 'a'));
      const { method, headers, sent } = exchanges.at(-1);
      assert.equal(method, 'GET');
      const asked = Object.entries(sent).find(([name]) => name.toLowerCase() === 'x-kinvey-api-version');
      assert.equal(asked[1], '6');
      assert.equal(headers['x-kinvey-api-version'], '6');
    });

    it('serves an older version, too', async () => {
      await as('una', { apiVersion: 3 });
      const made = await network('books').create({ title: 'old' });
      assert.equal(made.title, 'old');
      await as('una');
    });
  });

  describe('queries', () => {
    before(async () => {
      await as('una');
      const { errors } = await network('people').create(structuredClone(people));
      assert.deepEqual(errors, []);
    });

    for (const one of cases) {
      const [what, , expected] = one;
      it(what, async () => {
        const found = await find('people', build(one, Query));
        assert.deepEqual(names(found, expected), expected);
      });
    }

    it('counts what a query finds', async () => {
      assert.equal(await last(network('people').count()), people.length);
      assert.equal(await last(network('people').count(new Query().equalTo('age', 24))), 2);
    });

    it('brings the fields that are asked for', async () => {
      const query = new Query({ filter: { name: 'ada' }, fields: ['age'] });
      const [{ _id, _acl, _kmd, ...rest }] = await find('people', query);
      assert.equal(_id, 'p-ada');
      assert.ok(_acl.creator && _kmd.lmt);
      assert.deepEqual(rest, { age: 36 });
    });

    it('refuses what is no query', async () => {
      await fails(find('people', new Query({ filter: { $and: 1 } })), Errors.InvalidQuerySyntaxError, { debug: /\$and/ });
    });
  });

  describe('groups', () => {
    const group = (aggregation) => last(network('people').group(aggregation));

    before(() => as('una'));

    it('count', async () => {
      const groups = await group(Aggregation.count('age'));
      const sorted = groups.map(({ age, count }) => `${JSON.stringify(age)} ${count}`).sort();
      assert.deepEqual(sorted, ['"24" 1', '24 2', '36 1', '41 1']);
    });

    it('sum', async () => assert.deepEqual(await group(Aggregation.sum('score')), [{ sum: 15.5 }]));
    it('min', async () => assert.deepEqual(await group(Aggregation.min('score')), [{ min: -3.5 }]));
    it('max', async () => assert.deepEqual(await group(Aggregation.max('score')), [{ max: 12 }]));
    it('average', async () => assert.deepEqual(await group(Aggregation.average('score')), [{ average: 3.875, count: 4 }]));

    it('of those that a query finds', async () => {
      const aggregation = Aggregation.sum('score');
      aggregation.query = new Query().exists('home');
      assert.deepEqual(await group(aggregation), [{ sum: 19 }]);
    });
  });

  describe('a sync store', () => {
    before(() => as('una'));

    it('asks for what changed and what went since it last asked', async () => {
      const store = DataStore.collection('synced', DataStoreType.Sync, { useDeltaSet: true });
      const { entities: [a, b] } = await network('synced').create([{ n: 1 }, { n: 2 }]);
      await store.pull();
      await network('synced').save({ ...a, n: 10 });
      await network('synced').create({ n: 3 });
      await network('synced').removeById(b._id);
      await store.pull();
      const delta = exchanges.findLast(({ url }) => url.includes('/_deltaset'));
      assert.ok(delta !== undefined, 'the SDK has asked for the delta');
      assert.equal(delta.statusCode, 200, delta.data);
      const { changed, deleted } = JSON.parse(delta.data);
      assert.deepEqual(deleted, [{ _id: b._id }]);
      assert.ok(changed.length >= 2);
      const kept = await last(store.find());
      assert.deepEqual(kept.map(({ n }) => n).sort((x, y) => x - y), [3, 10]);
    });

    it('is told of a delta that reaches too far back, and pulls all', async () => {
      const user = await clientOf(app).user('late');
      const answer = await user.get('synced', '/_deltaset?since=2020-01-01T00:00:00.000Z');
      assert.equal(answer.status, 400);
      assert.equal(answer.body.error, 'ParameterValueOutOfRange');
      const none = await user.get('synced', '/_deltaset');
      assert.equal(none.body.error, 'MissingRequestParameter');
    });

    it('pushes what was saved without the network', async () => {
      const store = DataStore.collection('pushed', DataStoreType.Sync);
      await store.save({ n: 1 });
      const saved = await store.save({ n: 2 });
      await store.save({ ...saved, n: 3 });
      assert.deepEqual(await find('pushed'), []);
      await store.push();
      assert.deepEqual((await find('pushed')).map(({ n }) => n).sort(), [1, 3]);
    });
  });

  describe('permissions', () => {
    before(() => app.settings({ collections: { private: { permission: 'private' }, readonly: { readOnly: true } } }));

    it('keep others out, and let in whom an ACL names', async () => {
      await as('una');
      const made = await network('private').create({ of: 'una' });
      const { _id: vic } = await as('vic');
      await fails(last(network('private').findById(made._id)), Errors.InsufficientCredentialsError);
      await fails(network('private').update({ ...made, of: 'vic' }), Errors.InsufficientCredentialsError);
      await fails(network('private').removeById(made._id), Errors.InsufficientCredentialsError);
      assert.deepEqual(await find('private'), []);
      await as('una');
      new Kinvey.Acl(made).addReader(vic);
      await network('private').update(made);
      await as('vic');
      assert.deepEqual((await find('private')).map(({ of }) => of), ['una']);
    });

    it('forbid writes to what is read-only', async () => {
      await as('una');
      await fails(network('readonly').create({ n: 1 }), Errors.WritesToCollectionDisallowedError);
    });
  });

  describe('hooks and endpoints', () => {
    before(() => as('una'));

    it('complete what is saved', async () => {
      const saved = await network('orders').create({ price: 20, quantity: 3 });
      assert.deepEqual([saved.total, saved.by, saved.seen], [60, 'una', 60]);
    });

    it('fail as scripts do', async () => {
      await fails(network('orders').create({ wrong: true }), Errors.BLError, { debug: /an order cannot be wrong/ });
      await fails(network('throwing').create({}), Errors.BLError, { debug: /TypeError/ });
      await fails(network('stuck').create({}), Errors.BLError);
      await fails(CustomEndpoint.execute('throwing'), Errors.BLError, { debug: /told to throw/ });
      await fails(CustomEndpoint.execute('stuck'), Errors.BLError);
      await fails(CustomEndpoint.execute('nowhere'), Errors.NotFoundError);
    });

    it('answer', async () => {
      const answer = await CustomEndpoint.execute('echo', { a: 1 });
      assert.deepEqual([answer.given, answer.username, answer.context], [{ a: 1 }, 'una', 'user']);
    });
  });
});
