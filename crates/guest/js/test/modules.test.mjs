// Kinvey's modules over a host that the tests answer for: collectionAccess, the contexts, validation, e-mail
// and push.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld, hostileWorld } from './harness.mjs';

const REQUEST = `({ method: 'POST', appKey: 'kid_1', username: 'u', body: {}, backend: {
  appKey: 'kid_1', appSecretToken: 'app-token', masterToken: 'master-token', apiHost: 'https://api', securityContext: 'user',
  authenticated: { userId: 'u1', username: 'ann', roles: [] }, clientAppVersion: '1.2.3-beta', customRequestProperties: { a: 1 },
} })`;

// As run.js does.
const beginWith = ({ internal }, given) => {
  const { backend } = given;
  delete given.backend;
  internal.currentRequest = () => given;
  internal.currentBackend = () => backend;
};
const begin = (world, request = REQUEST) => {
  const given = world.run(request);
  beginWith(world, given);
  world.run('globalThis').modules = world.internal.modules;
  world.run('globalThis').context = world.internal.context;
  return given;
};

const world = newWorld();
begin(world);

const run = async (body, answer = () => null, where = world) => {
  where.calls.length = 0;
  where.host.answer = answer;
  let value;
  try {
    value = await where.run(`(async () => { ${body} })()`);
  } catch (error) {
    value = `${error.name}: ${error.message}`;
  }
  return { value, calls: where.calls.map(([name, args]) => [name, JSON.parse(args)]) };
};
const asked = async (expression) => {
  const { calls, value } = await run(`return await modules.collectionAccess.collection('c').${expression}`, () => []);
  assert.equal(calls.length, 1, String(value));
  return calls[0];
};
const valueOf = async (body, answer) => (await run(body, answer)).value;
const jsonOf = async (body, answer) => JSON.parse(JSON.stringify(await valueOf(body, answer)));

test('collectionAccess: what is asked of the host', async () => {
  const who = { creator: 'u1' };
  for (const [code, name, args] of [
    ['findAsync()', 'find', { query: {}, options: {} }],
    ['findAsync({ a: 1 }, { limit: 2, skip: 1, sort: { a: -1 } })', 'find', { query: { a: 1 }, options: { limit: 2, skip: 1, sort: { a: -1 } } }],
    ['findAsync({}, { a: 1, b: 1 })', 'find', { query: {}, options: { fields: { a: 1, b: 1 } } }],
    ["findAsync({}, ['a'], { sort: [['a', 'asc']] })", 'find', { query: {}, options: { fields: ['a'], sort: [['a', 'asc']] } }],
    ["findAsync({}, { fields: ['x'], limit: 0 })", 'find', { query: {}, options: { fields: ['x'] } }],
    ['find({ name: /^a.b/im, tags: { $in: [/x/, "y"] } })', 'find',
      { query: { name: { $regex: '^a.b', $options: 'im' }, tags: { $in: [{ $regex: 'x', $options: '' }, 'y'] } }, options: {} }],
    ['find({ n: { $regex: /a/i } })', 'find', { query: { n: { $regex: 'a', $options: 'i' } }, options: {} }],
    ["find({ n: { $regex: /a/i, $options: 's' } })", 'find', { query: { n: { $regex: 'a', $options: 's' } }, options: {} }],
    ["findOne({ _id: modules.collectionAccess.objectID('518a57b4d79b4d4308000002') }, {})", 'findOne',
      { query: { _id: '518a57b4d79b4d4308000002' }, options: {} }],
    ['find({ at: new Date(0) })', 'find', { query: { at: '1970-01-01T00:00:00.000Z' }, options: {} }],
    ['countAsync({ a: 1 })', 'count', { query: { a: 1 } }],
    ["distinctAsync('a.b', { c: 1 })", 'distinct', { field: 'a.b', query: { c: 1 } }],
    ["insertAsync({ _id: 'x' })", 'insert', { documents: [{ _id: 'x' }], ...who }],
    ["insertAsync([{ _id: 'x' }, { _id: 'y' }], { w: 1 })", 'insert', { documents: [{ _id: 'x' }, { _id: 'y' }], ...who }],
    ["saveAsync({ _id: 'x', a: 1 })", 'save', { document: { _id: 'x', a: 1 }, ...who }],
    ['updateAsync({ a: 1 }, { $inc: { n: 1 } }, { multi: true, upsert: true, w: 1 })', 'update',
      { query: { a: 1 }, update: { $inc: { n: 1 } }, options: { multi: true, upsert: true }, ...who }],
    ['updateAsync({ a: 1 }, { $pull: { t: /x/ } })', 'update',
      { query: { a: 1 }, update: { $pull: { t: { $regex: 'x', $options: '' } } }, options: {}, ...who }],
    ["updateAsync({}, { $set: { 'a.$[x]': 1 } }, { multi: true, arrayFilters: [{ x: /y/i }] })", 'update',
      { query: {}, update: { $set: { 'a.$[x]': 1 } }, options: { multi: true, arrayFilters: [{ x: { $regex: 'y', $options: 'i' } }] }, ...who }],
    ["updateAsync({}, { $set: { a: 1 } }, { arrayFilters: null })", 'update', { query: {}, update: { $set: { a: 1 } }, options: {}, ...who }],
    ["findAndModifyAsync({}, [], { $set: { 'a.$[x]': 1 } }, { arrayFilters: [{ 'x.b': 1 }] })", 'findAndModify',
      { query: {}, sort: [], update: { $set: { 'a.$[x]': 1 } }, options: { arrayFilters: [{ 'x.b': 1 }] }, ...who }],
    ['removeAsync({ a: 1 })', 'remove', { query: { a: 1 }, options: {} }],
    ['removeAsync({ a: 1 }, { justOne: true })', 'remove', { query: { a: 1 }, options: { single: true } }],
    ['findAndModifyAsync({ a: 1 }, { n: 1 }, { $set: { b: 1 } }, { new: true, fields: { b: 1 } })', 'findAndModify',
      { query: { a: 1 }, sort: { n: 1 }, update: { $set: { b: 1 } }, options: { new: true, fields: { b: 1 } }, ...who }],
    ['findAndModifyAsync({ a: 1 }, [], {}, { remove: true })', 'findAndModify', { query: { a: 1 }, sort: [], options: { remove: true }, ...who }],
    ['findAndRemoveAsync({ a: 1 }, [])', 'findAndModify', { query: { a: 1 }, sort: [], options: { remove: true } }],
    ['geoNearAsync(-71, 42, { num: 3, maxDistance: 5, query: { a: 1 } })', 'geoNear', { near: [-71, 42], query: { a: 1 }, limit: 3, maxDistance: 5 }],
    ["groupAsync({ a: true }, { b: 1 }, { n: 0 }, 'function (doc, out) { out.n++; }')", 'group',
      { key: { a: true }, condition: { b: 1 }, initial: { n: 0 }, reduce: 'function (doc, out) { out.n++; }' }],
  ]) assert.deepEqual(await asked(code), [`data.${name}`, { collection: 'c', ...args }], code);
});

test('collectionAccess: what comes of it', async () => {
  const callback = (expression, answer) => valueOf(`return await new Promise((resolve) => {
    const returned = modules.collectionAccess.collection('c').${expression.replace('CB', '(e, r) => resolve(JSON.stringify([e && e.name, r, typeof returned]))')};
  })`, answer);
  const docs = [{ _id: 'a' }, { _id: 'b' }];
  assert.equal(await callback('find({}, CB)', () => docs), '[null,[{"_id":"a"},{"_id":"b"}],"undefined"]');
  assert.equal(await callback('find({}, { limit: 1 }, CB)', () => docs), '[null,[{"_id":"a"},{"_id":"b"}],"undefined"]');
  assert.equal(await callback('find().toArray(CB)', () => docs), '[null,[{"_id":"a"},{"_id":"b"}],"undefined"]');
  assert.equal(await callback('findOne({}, CB)', () => null), '[null,null,"undefined"]');
  assert.equal(await callback('count(CB)', () => 3), '[null,3,"undefined"]');
  assert.equal(await callback('update({}, { a: 1 }, CB)', () => ({ matched: 2, modified: 1, upserted: null })), '[null,2,"undefined"]');
  assert.equal(await callback('update({}, { a: 1 }, { upsert: true }, CB)', () => ({ matched: 0, modified: 0, upserted: 'x' })), '[null,1,"undefined"]');
  const refuse = () => { throw { name: 'MongoError', message: 'E11000 duplicate' }; };
  assert.equal(await callback("insert({ _id: 'a' }, CB)", refuse), '["MongoError",null,"undefined"]'.replace('null', 'null'));
  assert.equal(await valueOf("try { await modules.collectionAccess.collection('c').saveAsync({}); } catch (e) { return e.code + e.name; }", refuse), '11000MongoError');
  // Mistakes are the callback's, too.
  assert.equal(await callback('find([], CB)'), '["TypeError",null,"undefined"]');
  assert.equal(await callback('update({}, 5, CB)'), '["TypeError",null,"undefined"]');
  assert.match(await valueOf("await modules.collectionAccess.collection('c').aggregateAsync([])"), /^Error: .*aggregate is not supported/);
  assert.match(await valueOf('const q = {}; q.q = q; await modules.collectionAccess.collection("c").findAsync(q)'), /^TypeError: .*circle/);
  assert.match(await valueOf("modules.collectionAccess.collection('')"), /^TypeError/);
  assert.match(await valueOf("const { find } = modules.collectionAccess.collection('c'); find.call({}, {})"), /^TypeError: Illegal/);
  assert.equal(await valueOf("return modules.collectionAccess.collectionExistsAsync('x')", () => true), true);
  assert.equal(await valueOf("return new Promise((r) => modules.collectionAccess.collectionExists('x', (e, found) => r(found)))", () => false), false);
  // Nobody listens: nothing happens.
  assert.equal(await valueOf("modules.collectionAccess.collection('c').save({}); return 'ok'", refuse), 'ok');
});

test('collectionAccess: ids', async () => {
  const { value } = await run(`const doc = { a: 1 }; const many = [{}, {}]; const c = modules.collectionAccess.collection('c');
    c.save(doc); c.insert(many); const id = modules.collectionAccess.objectID('abc');
    return JSON.stringify([doc._id.length, many[0]._id !== many[1]._id, id + '', id == 'abc', id.equals('abc'), id.equals(modules.collectionAccess.objectID('abc')),
      id.equals({}), JSON.stringify({ id }), modules.collectionAccess.objectID().toString().length])`);
  assert.equal(value, '[24,true,"abc",true,true,true,false,"{\\"id\\":\\"abc\\"}",24]');
});

test('collectionAccess: grouping by a function', async () => {
  const docs = [{ k: 'a', n: 1 }, { k: 'b', n: 2 }, { k: 'a', n: 3 }, { n: 4 }];
  assert.deepEqual(await jsonOf(`return modules.collectionAccess.collection('c').groupAsync(['k'], {}, { sum: 0, all: [] },
    function (doc, out) { out.sum += doc.n; out.all.push(doc.n); }, function (out) { out.half = out.sum / 2; })`, () => docs), [
    { k: 'a', sum: 4, all: [1, 3], half: 2 }, { k: 'b', sum: 2, all: [2], half: 1 }, { k: null, sum: 4, all: [4], half: 2 },
  ]);
  assert.deepEqual(await jsonOf(`return new Promise((resolve) => modules.collectionAccess.collection('c').group((d) => ({ odd: d.n % 2 }), {}, { n: 0 },
    (d, out) => { out.n++; }, (e, r) => resolve(r)))`, () => docs), [{ odd: 1, n: 2 }, { odd: 0, n: 2 }]);
});

test('backendContext and requestContext', async () => {
  assert.deepEqual(await jsonOf(`const b = modules.backendContext, r = modules.requestContext;
    return [b.getAppKey(), b.getAppSecret(), b.getMasterSecret(), b.getAuthenticatedUsername(), b.getSecurityContext(), r.getAuthenticatedUserId(),
      r.getAuthenticatedUsername(), r.getSecurityContext(), r.clientAppVersion.stringValue(), r.clientAppVersion.majorVersion(),
      r.clientAppVersion.minorVersion(), r.clientAppVersion.patchVersion(), r.getCustomRequestProperty('a'), r.getCustomRequestProperty('toString') === undefined]`),
  ['kid_1', 'app-token', 'master-token', 'ann', 'user', 'u1', 'ann', 'user', '1.2.3-beta', 1, 2, null, 1, true]);
  const second = newWorld();
  begin(second, "({ appKey: 'kid_2', headers: { 'x-kinvey-api-version': '3' } })");
  assert.equal((await run(`const r = modules.requestContext; return [r.getAuthenticatedUserId(), r.getAuthenticatedUsername(), r.clientAppVersion.stringValue(),
    r.clientAppVersion.majorVersion(), r.getCustomRequestProperty('x'), r.getApiVersion(), modules.backendContext.getMasterSecret()].join()`, () => null, second)).value,
  'kid_2,kid_2,,NaN,,3,');
});

test('custom request properties go back once they are set', async () => {
  const second = newWorld();
  begin(second);
  assert.equal(second.internal.changedProperties(), undefined);
  await run("modules.requestContext.getCustomRequestProperty('a')", () => null, second);
  assert.equal(second.internal.changedProperties(), undefined);
  await run("modules.requestContext.setCustomRequestProperty('b', { c: 2 }); modules.requestContext.setCustomRequestProperty('__proto__', 3)", () => null, second);
  assert.equal(JSON.stringify(second.internal.changedProperties()), '{"a":1,"b":{"c":2},"__proto__":3}');
});

test('validation', async () => {
  const check = (spec, object) => jsonOf(`return modules.validation.doValidation(${spec}, ${object})`);
  assert.deepEqual(await check('{ a: { required: true, min: 1, max: 5 }, b: { pattern: ["^x", /y$/] } }', '{ a: 3, b: "xy" }'), []);
  assert.deepEqual(await check('{ a: { required: true } }', '{}'), [{ attr: 'a', valid: false, msg: 'a is required' }]);
  assert.deepEqual(await check('{ a: { min: 4 }, b: { max: 1 } }', '{ a: 3, b: 2 }'), [
    { attr: 'a', valid: false, msg: 'a must be greater than or equal to 4' }, { attr: 'b', valid: false, msg: 'b must be less than or equal to 1' },
  ]);
  assert.deepEqual(await check('{ a: { pattern: ["^b", "c"] } }', '{ a: "ab" }'), [
    { attr: 'a', valid: false, msg: ['a must match regex of ^b', 'a must match regex of c'] },
  ]);
  assert.match(await valueOf('modules.validation.doValidation({})'), /^Error/);
});

test('email and push', async () => {
  const refuse = () => { throw { name: 'NotConfiguredError', message: 'not configured' }; };
  const { calls, value } = await run(`return new Promise((resolve) => {
    modules.email.send('a@b', 'c@d', 's', 'text', null, '<b>', 'cc', (e) => resolve(e.message)); })`, refuse);
  assert.deepEqual([calls[0], value], [['email.send', { from: 'a@b', to: 'c@d', subject: 's', body: 'text', html: '<b>', cc: 'cc' }], 'not configured']);
  assert.match(await valueOf("modules.email.send('a')"), /^Error/);
  const pushed = await run(`const p = modules.push; p.send({ _id: 'u' }, 'm'); p.broadcastMessage('m', () => {}); p.sendPayload([], { alert: 1 }, {}, { a: 1 }, () => {});
    p.broadcastPayload({}, null, {});`, () => null);
  assert.deepEqual(pushed.calls, [
    ['push.send', { users: [{ _id: 'u' }], message: 'm' }], ['push.broadcast', { message: 'm' }],
    ['push.send', { users: [], message: { iOSAps: { alert: 1 }, iOSExtras: {}, androidPayload: { a: 1 } } }],
    ['push.broadcast', { message: { iOSAps: {}, iOSExtras: null, androidPayload: {} } }],
  ]);
  world.logs.length = 0;
  await run("modules.push.send({}, 'm'); await null; await null; await null;", refuse);
  assert.deepEqual(world.logs.at(-1), [2, 'push.send: not configured']);
  assert.match(await valueOf('modules.push.send()'), /^TypeError/);
});

test('what handlers get', async () => {
  assert.deepEqual(await jsonOf(`return [Object.keys(modules), Object.keys(context).filter((key) => !(key in modules)), modules.kinvey.entity('x')._id,
    modules.kinvey.isKinveyEntity(modules.kinveyEntity.entity()), modules.kinveyDate === modules.utils.kinveyDate, context.utils === modules.utils,
    modules.tempObjectStore.set('a', 1), context.tempObjectStore.get('a')]`), [
    ['logger', 'hostCall', 'request', 'collectionAccess', 'backendContext', 'requestContext', 'validation', 'email', 'push', 'utils', 'kinvey', 'kinveyEntity',
      'kinveyDate', 'tempObjectStore', 'async', 'bluebird', 'bson', 'lodash', 'moment', 'underscore', 'validator'],
    ['fetch'], 'x', true, true, true, 1, 1,
  ]);
  assert.match(await valueOf('modules.lodash'), /^Error: the library lodash is not in this deployment/);
  const second = newWorld();
  begin(second);
  second.internal.addLibrary('bluebird', (module) => { module.exports = second.run('({ resolve: (p) => ({ then: p.then.bind(p), spread: true }) })'); });
  assert.equal((await run("return modules.collectionAccess.collection('c').findAsync().spread && modules.bluebird.resolve !== undefined", () => [], second)).value, true);
});

test('hostile: the modules ask and answer the same', async () => {
  const code = `(async (resolve, reject) => { try {
    const c = modules.collectionAccess.collection('c');
    const found = await c.findAsync({ a: make.regexp, b: { $in: make.list } }, make.options);
    await c.insertAsync(make.documents); await c.saveAsync(make.document); await c.updateAsync({}, make.update, make.flags);
    await c.findAndModifyAsync({ _id: make.id }, make.sort, make.update, make.flags);
    const groups = await c.groupAsync(make.keys, {}, make.initial, (doc, out) => { out.n++; });
    modules.requestContext.setCustomRequestProperty('b', 1);
    const broken = modules.validation.doValidation(make.spec, make.object);
    modules.email.send('a', 'b', 'c', 'd', () => {}); modules.push.send(make.document, 'm', () => {});
    resolve(found[0]._id + groups[0].n + broken[0].msg + broken[1].msg[0] + modules.requestContext.clientAppVersion.minorVersion() +
      modules.requestContext.getCustomRequestProperty('b') + modules.backendContext.getMasterSecret() + modules.kinveyEntity.entity('e')._id);
  } catch (e) { reject(e); } })`;
  const make = `{ regexp: /a.b/i, list: [/x/, 'y'], options: { limit: 1, sort: { a: 1 } }, documents: [{ _id: 'a' }, { _id: 'b' }], document: { _id: 'd' },
    update: { $set: { a: [1] } }, flags: { upsert: true, new: true, arrayFilters: [{ x: /y/ }] }, sort: [['a', 1]], keys: ['k'], initial: { n: 0 }, spec: { a: { min: 2 }, b: { pattern: ['^x'] } },
    object: { a: 1, b: 'y' }, id: null, request: ${REQUEST} }`;
  const results = [];
  for (const which of ['clean', 'hostile']) {
    const built = which === 'clean' ? newWorld() : hostileWorld(`(${make})`);
    if (which === 'clean') built.run(`globalThis.make = (${make})`);
    beginWith(built, built.run('make.request'));
    Object.defineProperty(built.context, 'modules', { value: built.internal.modules });
    built.calls.length = 0;
    built.host.answer = () => [{ _id: 'f', k: 1 }, { _id: 'g', k: 1 }];
    const answer = await new Promise((resolve, reject) => built.run(code, 'customer.js')(resolve, reject));
    results.push([answer, built.calls]);
  }
  assert.deepEqual(results[1], results[0]);
  assert.equal(results[0][1].length, 8);
});
