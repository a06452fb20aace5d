// `kinvey-node-sdk` 3.12.5, as it is on npm, against Lode.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, it } from 'node:test';
import { clientOf } from '../lib/http.mjs';
import { onEachStore } from '../lib/stores.mjs';
import { build, cases, names, people } from './support/people.mjs';
import { scripts } from './support/scripts.mjs';

const Kinvey = createRequire(import.meta.url)('kinvey-node-sdk');
const { DataStore, DataStoreType, Query, Aggregation, CustomEndpoint, User } = Kinvey;
Kinvey.Log.disableAll();

const PASSWORD = 'correct horse';

/** An observable's last value. */
const last = (stream) => stream.toPromise();
const network = (collection) => DataStore.collection(collection, DataStoreType.Network);
const find = (collection, query) => last(network(collection).find(query));

/** Checks that a promise fails with an error of a class, whose members are as given. */
const fails = (promise, kind, members = {}) => assert.rejects(promise, (error) => {
  assert.equal(error.constructor, kind, `${error.name}: ${error.message} ${error.debug}`);
  for (const [name, value] of Object.entries(members)) {
    if (value instanceof RegExp) assert.match(String(error[name]), value);
    else assert.equal(error[name], value, name);
  }
  return true;
});

onEachStore('kinvey-node-sdk', (context) => {
  let app;
  const init = (secrets) => Kinvey.init({ appKey: app.key, apiHostname: app.url, appVersion: '7.1.2', ...secrets });
  const asApp = () => init({ appSecret: app.appSecret });
  const asOwner = async () => {
    await User.logout();
    init({ masterSecret: app.masterSecret });
  };
  /** From now on requests are this user's, who is signed up if they are not yet. */
  const as = async (username) => {
    await User.logout();
    asApp();
    if (!await User.exists(username)) return User.signup({ username, password: PASSWORD });
    return User.login(username, PASSWORD);
  };

  before(async () => {
    app = await context.server.app('node-sdk');
    await app.deploy(scripts);
    asApp();
  });

  describe('the app', () => {
    it('answers a ping, whoever asks', async () => {
      const pong = await Kinvey.ping();
      assert.equal(pong.kinvey, 'hello node-sdk');
      assert.equal(pong.appName, 'node-sdk');
      assert.equal(typeof pong.version, 'string');
    });

    it('refuses a wrong secret', async () => {
      init({ appSecret: 'wrong' });
      await fails(Kinvey.ping(), Kinvey.InvalidCredentialsError, { code: 401 });
      asApp();
    });

    it('is not found by a wrong key', async () => {
      Kinvey.init({ appKey: 'kid_nobody', apiHostname: app.url, appSecret: app.appSecret });
      await fails(Kinvey.ping(), Kinvey.NotFoundError, { code: 404 });
      asApp();
    });
  });

  describe('users', () => {
    it('sign up, and are logged in', async () => {
      const user = await User.signup({ username: 'una', password: PASSWORD, email: 'una@example.com', age: 30 });
      assert.equal(user.username, 'una');
      assert.equal(user.data.age, 30);
      assert.equal(user.data.password, undefined);
      assert.equal(typeof user.authtoken, 'string');
      assert.equal(user._acl.creator, user._id);
      assert.ok(user.isActive());
      assert.equal(User.getActiveUser()._id, user._id);
    });

    it('know themselves', async () => {
      const me = await User.me();
      assert.equal(me.username, 'una');
      assert.equal(me.data.email, 'una@example.com');
      assert.equal(me.data.password, undefined);
    });

    it('stay logged in after asking who they are', async () => {
      await User.me();
      await network('things').save({ of: 'una' });
    });

    it('change what is kept of them', async () => {
      const changed = await User.update({ age: 31, nickname: 'U' });
      assert.equal(changed.data.age, 31);
      assert.equal(changed.data.nickname, 'U');
      assert.equal(changed.username, 'una');
      assert.equal((await User.me()).data.age, 31);
    });

    it('log out: their token is worth nothing then', async () => {
      const { authtoken } = User.getActiveUser();
      await User.logout();
      assert.equal(User.getActiveUser(), null);
      const answer = await clientOf(app).nobody.at(`/user/${app.key}/_me`, { authorization: `Kinvey ${authtoken}` });
      assert.equal(answer.status, 401);
      assert.equal(answer.body.error, 'InvalidCredentials');
    });

    it('log in', async () => {
      const user = await User.login('una', PASSWORD);
      assert.equal(user.data.nickname, 'U');
      assert.equal(user.data.password, undefined);
      assert.equal((await User.me()).username, 'una');
    });

    it('do not get in with a wrong password, nor without one', async () => {
      await User.logout();
      await fails(User.login('una', 'wrong'), Kinvey.InvalidCredentialsError, { code: 401 });
      await fails(User.login('nobody', PASSWORD), Kinvey.InvalidCredentialsError, { code: 401 });
    });

    it('exist or not', async () => {
      assert.equal(await User.exists('una'), true);
      assert.equal(await User.exists('nobody'), false);
    });

    it('have names that nobody else has', async () => {
      await fails(User.signup({ username: 'una', password: 'x' }), Kinvey.UserAlreadyExistsError, { code: 409 });
    });

    it('sign up without a name', async () => {
      const user = await User.signup();
      assert.equal(typeof user.username, 'string');
      assert.ok(user.username.length > 0);
      await User.logout();
    });

    it('are looked up by what anybody may know, and no more is told', async () => {
      await as('vic');
      const found = await last(User.lookup(new Query().equalTo('username', 'una')));
      assert.equal(found.length, 1);
      assert.equal(found[0].username, 'una');
      assert.equal(found[0].email, 'una@example.com');
      assert.equal(found[0].age, undefined);
      assert.equal(found[0]._kmd, undefined);
      assert.deepEqual(await last(User.lookup(new Query().equalTo('username', 'nobody'))), []);
    });

    it('change their password: the old one is worth nothing then', async () => {
      await as('walt');
      await User.update({ password: 'another' });
      await network('things').save({ of: 'walt' });
      await User.logout();
      await fails(User.login('walt', PASSWORD), Kinvey.InvalidCredentialsError);
      await User.login('walt', 'another');
    });

    it('do not change each other', async () => {
      await as('vic');
      const [una] = await last(User.lookup(new Query().equalTo('username', 'una')));
      const other = new User({ _id: una._id, username: 'una' });
      await fails(other.update({ age: 99 }), Kinvey.InsufficientCredentialsError, { code: 401 });
      await fails(User.remove(una._id), Kinvey.InsufficientCredentialsError, { code: 401 });
    });

    it('remove themselves: disabled, and restored by the owner', async () => {
      const xen = await as('xen');
      await User.remove(xen._id);
      await User.logout();
      await fails(User.login('xen', PASSWORD), Kinvey.InvalidCredentialsError);
      // The SDK's own `restore` refuses whatever it is given.
      await context.server.restore(app, xen._id);
      await User.login('xen', PASSWORD);
    });

    it('remove themselves for good', async () => {
      const yan = await as('yan');
      await User.remove(yan._id, { hard: true });
      await User.logout();
      assert.equal(await User.exists('yan'), false);
      await as('yan');
    });

    it('are told that there is no mail service', async () => {
      await fails(User.resetPassword('una'), Kinvey.FeatureUnavailableError, { code: 400 });
      await fails(User.verifyEmail('una'), Kinvey.FeatureUnavailableError, { code: 400 });
      await fails(User.forgotUsername('una@example.com'), Kinvey.FeatureUnavailableError, { code: 400 });
    });
  });

  describe('a network store', () => {
    const books = () => network('books');

    before(() => as('una'));

    it('creates an entity with an id, its owner and its times', async () => {
      const made = await books().save({ title: 'Emma', pages: 474, deep: { list: [1, [2], { three: null }] } });
      assert.match(made._id, /^[0-9a-f]{24}$/);
      assert.equal(made._acl.creator, User.getActiveUser()._id);
      assert.ok(Date.parse(made._kmd.lmt) > 0);
      assert.equal(made._kmd.ect, made._kmd.lmt);
      assert.deepEqual(made.deep, { list: [1, [2], { three: null }] });
      assert.deepEqual(await last(books().findById(made._id)), made);
    });

    it('keeps texts of all kinds as they are', async () => {
      const texts = { plain: 'a', umlaut: 'äöü', emoji: '👩‍🚀', quotes: '\'"`\\', lines: 'a\r\nb\u2028c', rtl: 'שלום', long: 'x'.repeat(100_000) };
      const made = await books().save(texts);
      const found = await last(books().findById(made._id));
      for (const [name, text] of Object.entries(texts)) assert.equal(found[name], text);
    });

    it('keeps numbers as they are', async () => {
      const numbers = [0, -1, 1.5, 1e21, -1e-7, 0.1 + 0.2, 2 ** 53, -(2 ** 53), 1.7976931348623157e308];
      const made = await books().save({ numbers });
      assert.deepEqual((await last(books().findById(made._id))).numbers, numbers);
    });

    it('updates an entity: it is replaced, its owner and its birth stay', async () => {
      const made = await books().save({ title: 'Persuasion', pages: 1 });
      const changed = await books().save({ _id: made._id, title: 'Persuasion', stars: 5 });
      assert.equal(changed.stars, 5);
      assert.equal(changed.pages, undefined);
      assert.equal(changed._acl.creator, made._acl.creator);
      assert.equal(changed._kmd.ect, made._kmd.ect);
      assert.deepEqual(await last(books().findById(made._id)), changed);
    });

    it('creates what is updated and not there', async () => {
      const made = await books().update({ _id: 'new-one', title: 'Sanditon' });
      assert.equal(made._id, 'new-one');
      assert.equal(made._acl.creator, User.getActiveUser()._id);
    });

    it('creates none whose id is taken', async () => {
      await books().create({ _id: 'taken', title: 'first' });
      await assert.rejects(books().create({ _id: 'taken', title: 'second' }), { code: 409 });
      assert.equal((await last(books().findById('taken'))).title, 'first');
    });

    it('removes an entity', async () => {
      const made = await books().save({ title: 'gone' });
      assert.equal((await books().removeById(made._id)).count, 1);
      await fails(last(books().findById(made._id)), Kinvey.NotFoundError, { code: 404 });
      await fails(books().removeById(made._id), Kinvey.NotFoundError, { code: 404 });
    });

    it('removes by a query', async () => {
      for (const kind of ['pulp', 'pulp', 'fine']) await books().create({ kind });
      assert.equal((await books().remove(new Query().equalTo('kind', 'pulp'))).count, 2);
      assert.equal(await last(books().count(new Query().equalTo('kind', 'pulp'))), 0);
      assert.equal(await last(books().count(new Query().equalTo('kind', 'fine'))), 1);
    });

    it('is empty where nothing was ever saved', async () => {
      assert.deepEqual(await find('never'), []);
      assert.equal(await last(network('never').count()), 0);
      await fails(last(network('never').findById('x')), Kinvey.NotFoundError);
    });

    it('takes ids with odd characters', async () => {
      for (const _id of ['with space', 'ü/slash?&#', '50%', 'a+b']) {
        const made = await books().create({ _id, odd: true });
        assert.equal(made._id, _id);
        // The SDK puts ids into its URLs as they are: those that it can ask for are.
        if (!/[/?#%]/.test(_id)) assert.equal((await last(books().findById(_id)))._id, _id);
      }
      assert.equal((await books().remove(new Query().equalTo('odd', true))).count, 4);
    });
  });

  describe('queries', () => {
    before(async () => {
      await as('una');
      for (const person of people) await network('people').create({ ...person });
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
      assert.equal(await last(network('people').count(new Query().equalTo('name', 'zoe'))), 0);
    });

    it('brings the fields that are asked for, and what is always there', async () => {
      const query = new Query().equalTo('name', 'ada');
      query.fields = ['age', 'home.floor'];
      const [ada] = await find('people', query);
      const { _id, _acl, _kmd, ...rest } = ada;
      assert.equal(_id, 'p-ada');
      assert.ok(_acl.creator && _kmd.lmt);
      assert.deepEqual(rest, { age: 36, home: { floor: 3 } });
    });

    it('refuses what is no query, and says which part', async () => {
      for (const filter of [{ name: { $where: '1' } }, { $and: 1 }, { name: { $in: 'ada' } }, { name: { $regex: '(' } }]) {
        await fails(find('people', new Query({ filter })), Kinvey.InvalidQuerySyntaxError, { code: 400, debug: /\$|regular/i });
      }
      await fails(last(network('people').count(new Query({ filter: { a: { $nope: 1 } } }))), Kinvey.InvalidQuerySyntaxError, { debug: /\$nope/ });
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

    it('average', async () => {
      const [result] = await group(Aggregation.average('score'));
      assert.deepEqual(result, { average: 3.875, count: 4 });
    });

    it('by a field, of those that a query finds', async () => {
      const aggregation = Aggregation.sum('score');
      aggregation.by('home.floor');
      aggregation.query = new Query().exists('home');
      const groups = await group(aggregation);
      const sums = groups.map((one) => [one['home.floor'], one.sum]).sort();
      assert.deepEqual(sums, [[1, 7], [3, 12]]);
    });

    it('refuses any other reducer', async () => {
      const aggregation = new Aggregation({ reduceFn: 'function (doc, out) { while (true) {} }' });
      await fails(group(aggregation), Kinvey.InvalidQuerySyntaxError, { code: 400, debug: /reduce/ });
    });
  });

  describe('a cache store', () => {
    before(() => as('una'));

    it('pulls once, then what changed and what went', async () => {
      const store = DataStore.collection('synced', DataStoreType.Sync);
      store.useDeltaSet = true;
      const a = await network('synced').create({ n: 1 });
      const b = await network('synced').create({ n: 2 });
      assert.equal(await store.pull(), 2);
      await network('synced').save({ ...a, n: 10 });
      await network('synced').create({ n: 3 });
      await network('synced').removeById(b._id);
      await store.pull();
      const kept = await last(store.find());
      assert.deepEqual(kept.map(({ n }) => n).sort((x, y) => x - y), [3, 10]);
    });

    it('pushes what was saved without the network', async () => {
      const store = DataStore.collection('pushed', DataStoreType.Sync);
      await store.save({ n: 1 });
      await store.save({ n: 2 });
      assert.deepEqual(await find('pushed'), []);
      const pushed = await store.push();
      assert.deepEqual(pushed.map(({ error }) => error), [undefined, undefined]);
      assert.equal((await find('pushed')).length, 2);
    });
  });

  describe('permissions', () => {
    const secret = { of: 'una' };

    before(async () => {
      await app.settings({
        collections: {
          private: { permission: 'private' },
          shared: { permission: 'shared' },
          public: { permission: 'public' },
          full: { permission: 'full' },
          readonly: { permission: 'full', readOnly: true },
        },
      });
    });

    /** What vic can do with what una made in a collection, her entity having this ACL. */
    const reach = async (collection, acl) => {
      await as('una');
      const made = await network(collection).save({ ...secret, ...(acl === undefined ? {} : { _acl: acl }) });
      await as('vic');
      const can = [];
      const attempt = async (name, run) => {
        try {
          await run();
          can.push(name);
        } catch (error) {
          assert.equal(error.constructor, Kinvey.InsufficientCredentialsError, `${error.name}: ${error.message}`);
        }
      };
      const found = await find(collection, new Query().equalTo('_id', made._id));
      assert.equal(await last(network(collection).count(new Query().equalTo('_id', made._id))), found.length);
      if (found.length === 1) can.push('find');
      await attempt('get', () => last(network(collection).findById(made._id)));
      await attempt('update', () => network(collection).update({ ...made, changed: true }));
      await attempt('remove', () => network(collection).removeById(made._id));
      return can.join(' ');
    };

    it('private: each has their own', async () => assert.equal(await reach('private'), ''));
    it('shared: all read', async () => assert.equal(await reach('shared'), 'find get'));
    it('shared is what a collection is without a setting', async () => assert.equal(await reach('unset'), 'find get'));
    it('public: all read and change', async () => assert.equal(await reach('public'), 'find get update'));
    it('full: all do all', async () => assert.equal(await reach('full'), 'find get update remove'));

    it('an ACL opens a private entity to its readers', async () => {
      const vic = await as('vic');
      assert.equal(await reach('private', { r: [vic._id] }), 'find get');
    });

    it('an ACL opens a private entity to its writers', async () => {
      const vic = await as('vic');
      assert.equal(await reach('private', { w: [vic._id] }), 'find get update remove');
    });

    it('an ACL opens a private entity to all', async () => {
      assert.equal(await reach('private', { gr: true }), 'find get');
      assert.equal(await reach('private', { gr: true, gw: true }), 'find get update remove');
    });

    it('an ACL closes a shared entity', async () => assert.equal(await reach('shared', { gr: false }), ''));

    it('an ACL is made with the SDK\'s own class', async () => {
      const vic = await as('vic');
      const entity = {};
      new Kinvey.Acl(entity).addReader(vic._id);
      assert.equal(await reach('private', entity._acl), 'find get');
    });

    it('groups are lists of users', async () => {
      const vic = await as('vic');
      const { master } = clientOf(app);
      const group = await master.at(`/group/${app.key}`, {
        method: 'POST', body: { _id: 'friends', name: 'friends', users: { all: false, list: [{ _type: 'KinveyRef', _collection: 'user', _id: vic._id }] } },
      });
      assert.equal(group.status, 201, group.text);
      assert.equal(await reach('private', { groups: { r: ['friends'] } }), 'find get');
      assert.equal(await reach('private', { groups: { w: ['friends'] } }), 'find get update remove');
      assert.equal(await reach('private', { groups: { r: ['strangers'] } }), '');
    });

    it('roles are granted and revoked', async () => {
      const vic = await as('vic');
      const { master } = clientOf(app);
      const role = await master.at(`/roles/${app.key}`, { method: 'POST', body: { name: 'editor', description: 'edits' } });
      assert.equal(role.status, 201, role.text);
      const id = role.body._id;
      const acl = { roles: { r: [id], u: [id] } };
      assert.equal(await reach('private', acl), '');
      const granted = await master.at(`/user/${app.key}/${vic._id}/roles/${id}`, { method: 'PUT' });
      assert.equal(granted.status, 200, granted.text);
      assert.equal(granted.body.roleId, id);
      assert.equal(await reach('private', acl), 'find get update');
      assert.equal(await reach('private', { roles: { d: [id] } }), 'remove');
      const members = await master.at(`/roles/${app.key}/${id}/membership`);
      assert.deepEqual(members.body.map((user) => user.username), ['vic']);
      const revoked = await master.at(`/user/${app.key}/${vic._id}/roles/${id}`, { method: 'DELETE' });
      assert.equal(revoked.status, 204, revoked.text);
      assert.equal(await reach('private', acl), '');
    });

    it('roles are the owner\'s to give', async () => {
      const user = await clientOf(app).user('climber');
      const made = await user.at(`/roles/${app.key}`, { method: 'POST', body: { name: 'king' } });
      assert.equal(made.status, 401);
      assert.equal(made.body.error, 'InsufficientCredentials');
      const granted = await user.at(`/user/${app.key}/${user.id}/roles/king`, { method: 'PUT' });
      assert.equal(granted.status, 401);
    });

    it('a user cannot take over an entity that they may change', async () => {
      const vic = await as('vic');
      await as('una');
      const made = await network('public').save({ n: 1 });
      await as('vic');
      const changed = await network('public').update({ ...made, _acl: { creator: vic._id, w: [vic._id] } });
      assert.equal(changed._acl.creator, made._acl.creator);
    });

    it('nobody who is not logged in reads', async () => {
      await User.logout();
      asApp();
      await fails(find('shared'), Kinvey.NoActiveUserError);
      const answer = await clientOf(app).app.get('shared');
      assert.equal(answer.status, 401);
      assert.equal(answer.body.error, 'InsufficientCredentials');
    });

    it('the owner does all', async () => {
      await as('una');
      const made = await network('private').save(secret);
      await asOwner();
      assert.equal((await last(network('private').findById(made._id))).of, 'una');
      assert.equal((await network('private').removeById(made._id)).count, 1);
    });

    it('a read-only collection is the owner\'s to write', async () => {
      await as('una');
      await fails(network('readonly').save({ n: 1 }), Kinvey.WritesToCollectionDisallowedError, { code: 403 });
      await asOwner();
      await network('readonly').save({ _id: 'kept', n: 1 });
      await as('una');
      assert.equal((await last(network('readonly').findById('kept'))).n, 1);
      await fails(network('readonly').removeById('kept'), Kinvey.WritesToCollectionDisallowedError);
      await fails(network('readonly').remove(new Query()), Kinvey.WritesToCollectionDisallowedError);
    });

    it('users are not shown to each other', async () => {
      const una = await as('una');
      const vic = await clientOf(app).user('watcher');
      const answer = await vic.at(`/user/${app.key}/${una._id}`);
      assert.equal(answer.status, 401, answer.text);
      const all = await vic.at(`/user/${app.key}`);
      assert.deepEqual(all.body.map((user) => user.username), ['watcher']);
    });
  });

  describe('hooks', () => {
    const orders = () => network('orders');

    before(() => as('una'));

    it('complete what is saved, before and after', async () => {
      const saved = await orders().save({ price: 20, quantity: 3 });
      assert.equal(saved.total, 60);
      assert.equal(saved.by, 'una');
      assert.equal(saved.seen, 60);
      const { master } = clientOf(app);
      const stored = await master.get('orders', `/${saved._id}`, { headers: { 'x-kinvey-skip-business-logic': 'true' } });
      assert.equal(stored.body.total, 60);
      assert.equal(stored.body.seen, undefined, 'what the post-hook adds is not stored');
    });

    it('run on updates, too', async () => {
      const saved = await orders().save({ price: 1, quantity: 1 });
      const changed = await orders().save({ ...saved, quantity: 5 });
      assert.equal(changed.total, 5);
      assert.equal(changed.seen, 5);
    });

    it('stop a request by an error', async () => {
      await fails(orders().save({ wrong: true }), Kinvey.BLError, { code: 550, debug: /an order cannot be wrong/ });
      assert.equal(await last(orders().count(new Query().equalTo('wrong', true))), 0);
    });

    it('stop a request by an answer of their own', async () => {
      await assert.rejects(orders().save({ taken: 'by bob' }), (error) => {
        assert.equal(error.code, 409);
        assert.equal(error.message, 'This order is taken');
        assert.equal(error.debug, 'by bob');
        return true;
      });
      assert.equal(await last(orders().count(new Query().exists('taken'))), 0);
    });

    it('answer in the operation\'s place', async () => {
      assert.deepEqual(await orders().save({ answer: 42 }), { answered: 42 });
      assert.equal(await last(orders().count(new Query().exists('answer'))), 0);
    });

    it('change a query, and what it found', async () => {
      for (const price of [99, 101]) await orders().create({ price, quantity: 1 });
      const found = await find('orders', new Query().equalTo('narrow', true));
      assert.deepEqual(found.map(({ price, fetched }) => [price, fetched]), [[101, true]]);
      const one = await last(orders().findById(found[0]._id));
      assert.equal(one.fetched, true);
    });

    it('stand before and after a deletion', async () => {
      await orders().create({ _id: 'kept', price: 1, quantity: 1 });
      await fails(orders().removeById('kept'), Kinvey.BLError, { debug: /this one is kept/ });
      assert.equal((await last(orders().findById('kept')))._id, 'kept');
      const made = await orders().create({ price: 1, quantity: 1 });
      const { master } = clientOf(app);
      const removed = await master.remove('orders', made._id);
      assert.deepEqual(removed.body, { count: 1, deleted: made._id });
    });

    it('are told of in a header, with the request\'s id', async () => {
      const user = await clientOf(app).user('headers');
      const saved = await user.save('orders', { price: 1, quantity: 1 }, { headers: { 'x-kinvey-api-version': '4' } });
      assert.equal(saved.headers.get('x-kinvey-executed-collection-hooks'), 'onPreSave,onPostSave');
      assert.equal(saved.headers.get('x-kinvey-api-version'), '4');
      assert.match(saved.headers.get('x-kinvey-request-id'), /^[0-9a-f]{32}$/);
      assert.ok(Date.parse(saved.headers.get('x-kinvey-request-start')) > 0);
      const plain = await user.save('things', { n: 1 });
      assert.equal(plain.headers.get('x-kinvey-executed-collection-hooks'), null);
      assert.notEqual(plain.headers.get('x-kinvey-request-id'), saved.headers.get('x-kinvey-request-id'));
    });

    it('are skipped if the owner asks, and only then', async () => {
      await asOwner();
      const skipped = await orders().save({ price: 2, quantity: 2 }, { skipBL: true });
      assert.equal(skipped.total, undefined);
      await as('una');
      const run = await orders().save({ price: 2, quantity: 2 }, { skipBL: true });
      assert.equal(run.total, 4);
    });

    it('log, for the owner to read', async () => {
      await orders().save({ price: 1000, quantity: 7 });
      const lines = await app.logs();
      const line = lines.find(({ text }) => text === 'order over 7000');
      assert.equal(line.level, 'info');
      assert.equal(line.handler, 'orders/onPreSave');
      assert.match(line.request, /^[0-9a-f]{32}$/);
    });

    it('that throw are the script\'s errors', async () => {
      await fails(network('throwing').save({}), Kinvey.BLError, { code: 550, debug: /TypeError/, kinveyRequestId: /^[0-9a-f]{32}$/ });
      assert.equal(await last(network('throwing').count()), 0);
    });

    it('that never complete are ended', async () => {
      await fails(network('stuck').save({}), Kinvey.BLError, { code: 550 });
      assert.equal(await last(network('stuck').count()), 0);
    });
  });

  describe('custom endpoints', () => {
    before(() => as('una'));

    it('get what was sent, and who sent it', async () => {
      const answer = await CustomEndpoint.execute('echo', { a: [1, { b: 2 }] }, { properties: { tenant: 'blue' } });
      assert.deepEqual(answer.given, { a: [1, { b: 2 }] });
      assert.equal(answer.username, 'una');
      assert.equal(answer.method, 'POST');
      assert.equal(answer.context, 'user');
      assert.equal(answer.custom, 'blue');
      assert.equal(answer.version, 7);
      assert.ok(answer.headers.includes('x-kinvey-api-version'));
      assert.ok(!answer.headers.includes('authorization'), 'no script sees credentials');
    });

    it('are the owner\'s to run, too', async () => {
      await asOwner();
      assert.equal((await CustomEndpoint.execute('echo')).context, 'master');
      await as('una');
    });

    it('answer with a status of their own', async () => {
      await assert.rejects(CustomEndpoint.execute('teapot'), (error) => {
        assert.equal(error.constructor, Kinvey.KinveyError);
        assert.equal(error.code, 418);
        assert.equal(error.message, 'I am a teapot');
        assert.equal(error.debug, 'short and stout');
        return true;
      });
    });

    it('fail as scripts do', async () => {
      await fails(CustomEndpoint.execute('throwing'), Kinvey.BLError, { code: 550, debug: /told to throw/ });
      await fails(CustomEndpoint.execute('stuck'), Kinvey.BLError, { code: 550 });
      await fails(CustomEndpoint.execute('nowhere'), Kinvey.NotFoundError, { code: 404 });
    });
  });

  describe('files', () => {
    before(() => as('una'));

    it('have their metadata kept', async () => {
      const user = await clientOf(app).user('filer');
      const at = (path, options) => user.at(`/blob/${app.key}${path}`, options);
      const made = await at('', { method: 'POST', body: { _filename: 'a.png', mimeType: 'image/png', size: 3 } });
      assert.equal(made.status, 201, made.text);
      const found = await at(`/${made.body._id}`);
      assert.equal(found.body._filename, 'a.png');
      assert.equal((await at(`/${made.body._id}`, { method: 'DELETE' })).status, 200);
      const gone = await at(`/${made.body._id}`);
      assert.equal(gone.status, 404);
      assert.equal(gone.body.error, 'BlobNotFound');
    });
  });
});
