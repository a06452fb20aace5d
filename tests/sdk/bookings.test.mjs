// examples/bookings, as it is, on each database, through kinvey-node-sdk.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { clientOf } from '../lib/http.mjs';
import { onEachStore } from '../lib/stores.mjs';

const Kinvey = createRequire(import.meta.url)('kinvey-node-sdk');
const { DataStore, DataStoreType, Query, CustomEndpoint, User } = Kinvey;
Kinvey.Log.disableAll();

const FOLDER = fileURLToPath(new URL('../../examples/bookings', import.meta.url));
const DAY = '2030-03-04';

const last = (stream) => stream.toPromise();
const network = (collection) => DataStore.collection(collection, DataStoreType.Network);

onEachStore('examples/bookings', (context) => {
  let app;
  let client;
  let ada;
  let bob;

  const as = async (username) => {
    await User.logout();
    Kinvey.init({ appKey: app.key, appSecret: app.appSecret, apiHostname: app.url });
    return User.login(username, `${username}-password`);
  };
  const owner = async () => {
    Kinvey.init({ appKey: app.key, appSecret: app.appSecret, apiHostname: app.url });
    await User.logout();
    Kinvey.init({ appKey: app.key, masterSecret: app.masterSecret, apiHostname: app.url });
  };
  const book = (user, room, hour, more = {}) => user.save('bookings', { room, day: DAY, hour, ...more });
  const counter = async (id) => (await client.master.get('counters', `/${id}`)).body;
  const taken = async (room) => (await client.master.get('slots', `/${room}:${DAY}`)).body.taken;

  before(async () => {
    app = await context.server.app('bookings');
    await app.deploy(FOLDER);
    client = clientOf(app);
    ada = await client.user('ada');
    bob = await client.user('bob');
    await owner();
    for (const room of [
      { name: ' North Room ', floor: 3, _geoloc: [-71.06, 42.36] },
      { name: 'South Room', floor: 1, _geoloc: [-71.06, 42.33] },
      { name: 'Far Room', floor: 9, _geoloc: [-74, 40.71] },
    ]) await network('rooms').save(room);
  });

  it('rooms are named and placed by their hook', async () => {
    await as('ada');
    const rooms = await last(network('rooms').find(new Query().ascending('name')));
    assert.deepEqual(rooms.map(({ _id, name }) => [_id, name]), [['far-room', 'Far Room'], ['north-room', 'North Room'], ['south-room', 'South Room']]);
    await assert.rejects(network('rooms').save({ name: 'Nowhere' }), { code: 400, message: /has a _geoloc/ });
  });

  it('a booking is completed, counted and confirmed', async () => {
    await as('ada');
    const booking = await network('bookings').save({ room: 'north-room', day: DAY, hour: 9, notes: 'bring <cake>' });
    assert.equal(booking.by, 'ada');
    assert.equal(booking.starts, `${DAY}T09:00:00.000Z`);
    assert.equal(booking.weekday, 'Monday');
    assert.equal(booking.confirmation,
      `Dear ada, North Room (floor 3) is yours on Monday, ${DAY} at 9:00. Note: bring &lt;cake&gt;`);
    const stored = await client.master.get('bookings', `/${booking._id}`);
    assert.equal(stored.body.confirmation, undefined);
    assert.equal(stored.body._acl.creator, ada.id);
    assert.equal((await counter('north-room')).bookings, 1);
    assert.equal((await counter('all')).bookings, 1);
    assert.deepEqual(await taken('north-room'), { 9: booking._id });
  });

  it('an hour is not let twice', async () => {
    await as('bob');
    await assert.rejects(network('bookings').save({ room: 'north-room', day: DAY, hour: 9 }), {
      code: 409, message: 'The room is taken at that hour', debug: `${DAY}T09:00:00.000Z`,
    });
    assert.equal((await counter('north-room')).bookings, 1);
  });

  it('an hour is not let twice to those who come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => book(i % 2 ? ada : bob, 'south-room', 10)));
    const won = answers.filter(({ status }) => status === 201);
    assert.equal(won.length, 1, answers.map(({ status, text }) => `${status} ${text}`).join('\n'));
    for (const { status, body, text } of answers.filter((answer) => !won.includes(answer))) {
      assert.equal(status, 409, text);
      assert.equal(body.error, 'SlotTaken');
    }
    const { body: all } = await client.master.get('bookings', `?query=${encodeURIComponent('{"room":"south-room"}')}`);
    assert.equal(all.length, 1);
    assert.deepEqual(await taken('south-room'), { 10: all[0]._id });
    assert.equal((await counter('south-room')).bookings, 1);
  });

  it('no booking is lost to the counters of those who come at once', async () => {
    const before = (await counter('all')).bookings;
    const hours = [8, 9, 10, 11, 12, 13, 14, 15];
    const answers = await Promise.all(hours.map((hour) => book(bob, 'far-room', hour)));
    for (const { status, text } of answers) assert.equal(status, 201, text);
    assert.equal((await counter('far-room')).bookings, hours.length);
    assert.equal((await counter('far-room')).hours, hours.length);
    assert.equal((await counter('all')).bookings, before + hours.length);
    assert.deepEqual(Object.keys(await taken('far-room')), hours.map(String));
  });

  it('what is no booking is refused, with the reasons', async () => {
    const refused = async (booking, status, error, debug) => {
      const answer = await ada.save('bookings', booking);
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.body.error, error);
      assert.match(answer.body.debug, debug);
    };
    await refused({}, 400, 'BookingInvalid', /room is required.*day is required.*hour is required/);
    await refused({ room: 'north-room', day: DAY, hour: 21 }, 400, 'BookingInvalid', /^hour must be less than or equal to 19$/);
    await refused({ room: 'north-room', day: '2030-02-30', hour: 9 }, 400, 'BookingInvalid', /calendar/);
    await refused({ room: 'no-room', day: DAY, hour: 9 }, 404, 'RoomNotFound', /^no-room$/);
    const { body: [booking] } = await ada.get('bookings', '?limit=1');
    const changed = await client.master.replace('bookings', booking._id, { ...booking, hour: 19 });
    assert.equal(changed.body.error, 'BookingFixed');
  });

  it('a booking that is deleted frees its hour and takes what belongs to it along', async () => {
    const { body: booking } = await book(ada, 'north-room', 15);
    await ada.save('notes', { booking: booking._id, text: 'mine' });
    await ada.save('notes', { booking: 'another', text: 'not mine' });
    const before = (await counter('north-room')).bookings;
    const deleted = await ada.remove('bookings', booking._id);
    assert.equal(deleted.status, 200, deleted.text);
    assert.deepEqual(deleted.body, { count: 1 });
    assert.equal((await counter('north-room')).bookings, before - 1);
    assert.equal((await taken('north-room'))[15], undefined);
    assert.deepEqual((await ada.get('notes')).body.map(({ text }) => text), ['not mine']);
    assert.equal((await book(bob, 'north-room', 15)).status, 201);
  });

  it('nobody deletes another\'s booking', async () => {
    const { body: [booking] } = await client.master.get('bookings', `?query=${encodeURIComponent('{"by":"bob"}')}&limit=1`);
    const refused = await ada.remove('bookings', booking._id);
    assert.equal(refused.status, 401, refused.text);
    assert.equal((await taken(booking.room))[booking.hour], booking._id);
  });

  it('rooms nearby are found, the nearest first', async () => {
    await as('ada');
    const near = (more) => CustomEndpoint.execute('nearby', { longitude: -71.06, latitude: 42.35, ...more });
    assert.deepEqual((await near()).map(({ _id }) => _id), ['north-room', 'south-room', 'far-room']);
    assert.deepEqual((await near({ miles: 50 })).map(({ _id }) => _id), ['north-room', 'south-room']);
    assert.deepEqual((await near({ miles: 1 })).map(({ _id }) => _id), ['north-room']);
    assert.deepEqual((await near({ limit: 1 })), [{ _id: 'north-room', name: 'North Room', _geoloc: [-71.06, 42.36] }]);
    await assert.rejects(CustomEndpoint.execute('nearby', {}), { code: 400, message: 'longitude and latitude are needed' });
  });

  it('there is no mail and no push, and that is what is said', async () => {
    await as('ada');
    const told = await CustomEndpoint.execute('notify', { to: 'ada@example.com' });
    for (const how of ['email', 'push', 'broadcast']) assert.match(told[how], /not configured/, how);
  });

  it('the report is the owner\'s', async () => {
    await as('ada');
    await assert.rejects(CustomEndpoint.execute('report'), { code: 401, message: 'Only the owner sees the report' });
    await owner();
    const report = await CustomEndpoint.execute('report');
    assert.deepEqual(report.rooms, { 'far-room': 8, 'north-room': 2, 'south-room': 1 });
    assert.deepEqual(report.people.slice(0, 2).sort(), report.people.sort());
    assert.equal(report.count, 11);
    assert.equal(report.counted, 11);
    assert.equal(report.first, '4 Mar 2030, 08:00');
  });

  it('a user cancels all of theirs through the app\'s own API, hooks and all', async () => {
    await as('bob');
    const mine = (await client.master.get('bookings', `?query=${encodeURIComponent('{"by":"bob"}')}&sort=starts`)).body;
    // More than eight would not fit into one request's budget of runs: two hooks each.
    const some = mine.slice(4);
    for (const booking of mine.slice(0, 4)) await bob.remove('bookings', booking._id);
    const { cancelled } = await CustomEndpoint.execute('cancel');
    assert.deepEqual(cancelled, some.map(({ starts }) => starts));
    assert.deepEqual((await bob.get('bookings', `?query=${encodeURIComponent('{"by":"bob"}')}`)).body, []);
    for (const room of ['north-room', 'south-room', 'far-room']) {
      const slot = await taken(room);
      const ids = Object.values(slot ?? {});
      for (const booking of mine) assert.ok(!ids.includes(booking._id), `${booking._id} still has an hour of ${room}`);
    }
    assert.equal((await counter('far-room')).bookings, 0);
  });

  it('a room that is deleted takes its bookings along', async () => {
    await book(ada, 'south-room', 18);
    const deleted = await client.master.remove('rooms', 'south-room');
    assert.equal(deleted.status, 200, deleted.text);
    assert.equal(deleted.body.count, 1);
    assert.equal(deleted.body.cascaded.slots, 1);
    assert.ok(deleted.body.cascaded.bookings >= 1);
    assert.equal((await client.master.get('slots', `/south-room:${DAY}`)).status, 404);
    assert.deepEqual((await client.master.get('bookings', `?query=${encodeURIComponent('{"room":"south-room"}')}`)).body, []);
  });
});
