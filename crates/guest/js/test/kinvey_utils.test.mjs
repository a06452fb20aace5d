import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const world = newWorld();
const { run, internal } = world;
const request = run('globalThis.request = { appKey: "kid_1" }');
run('globalThis').utils = internal.kinveyUtils(request);
const failure = (code) => run(`(() => { try { ${code}; return 'none'; } catch (e) { return e.name + ': ' + e.message; } })()`);
const json = (code) => JSON.parse(run(`JSON.stringify((() => { ${code} })())`));

test('base64', () => {
  for (const sample of ['', 'a', 'ab', 'abc', 'abcd', 'é€😀', 'x'.repeat(10000)]) {
    const encoded = Buffer.from(sample).toString('base64');
    assert.equal(run(`utils.base64.encode(${JSON.stringify(sample)})`), encoded);
    assert.equal(run(`utils.base64.decode(${JSON.stringify(encoded)})`), sample);
  }
  for (const odd of ['YWJj\nZGVm', 'YWJjZA', 'YQ==garbage', '_-8', 'Y', 'YWJjZ', '!!', 'YW Jj', '77u/YQ==']) {
    assert.equal(run(`utils.base64.decode(${JSON.stringify(odd)})`), Buffer.from(odd, 'base64').toString('utf8'), odd);
  }
});

test('dates', () => {
  assert.equal(run('utils.convert.toKinveyDateString(new Date(0))'), 'ISODate("1970-01-01T00:00:00.000Z")');
  assert.equal(run('utils.kinveyDate.toKinveyDateString("2013-05-08T13:48:36+00:00")'), 'ISODate("2013-05-08T13:48:36.000Z")');
  assert.equal(run('utils.convert.toKinveyDateString(\'ISODate("x")\')'), 'ISODate("x")');
  assert.equal(run('utils.convert.toKinveyDateString("nonsense")'), 'Invalid date');
  assert.equal(run('utils.convert.toKinveyDateString(new Date(NaN))'), 'Invalid date');
  assert.equal(run('utils.convert.toKinveyDateString({ _isAMomentObject: true, toISOString: () => "2020-01-01T00:00:00.000Z" })'),
    'ISODate("2020-01-01T00:00:00.000Z")');
  for (const value of ['', 'null', '1', 'true', '{}', '[]']) assert.equal(run(`utils.convert.toKinveyDateString(${value})`), null);

  const text = JSON.stringify('ISODate("2020-01-02T03:04:05.006Z")');
  assert.equal(run(`utils.convert.fromKinveyDateString(${text}).toISOString()`), '2020-01-02T03:04:05.006Z');
  assert.equal(run(`utils.convert.fromKinveyDateString(${text}, 'date') instanceof Date`), true);
  assert.equal(run(`utils.convert.fromKinveyDateString(${text}, 'string')`), '2020-01-02T03:04:05.006Z');
  assert.equal(run(`utils.convert.fromKinveyDateString(${text}, 'other')`), 'Invalid Format.');
  assert.match(failure(`utils.convert.fromKinveyDateString(${text}, 'moment')`), /the library moment is not in this deployment/);
  for (const value of ['', '"abcd"', '{}', '\'ISODate("\'', '\'ISODate("abc\'', '\'ISODate("")\'', '\'ISODate("abc")\'', '"2020-01-01"']) {
    assert.equal(run(`utils.convert.fromKinveyDateString(${value})`), 'Invalid date', value);
  }
});

test('entities', () => {
  const made = json('return utils.kinveyEntity.entity()');
  assert.match(made._id, /^[0-9a-f]{24}$/);
  assert.deepEqual(made._acl, { creator: 'kid_1' });
  assert.equal(made._kmd.lmt, made._kmd.ect);
  assert.match(made._kmd.ect, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(parseInt(made._id.slice(0, 8), 16) - Date.now() / 1000) < 5);
  assert.equal(json('return [...new Set(Array.from({ length: 100 }, () => utils.kinveyEntity()._id))].length'), 100);
  assert.equal(run('utils.kinveyEntity("my-id")._id'), 'my-id');
  assert.equal(run('const doc = { a: 1 }; utils.kinveyEntity(doc) === doc && doc._acl.creator'), 'kid_1');
  assert.deepEqual(json(`const e = utils.kinveyEntity.entity({ _id: 'x', _acl: { creator: 'u', gr: true, r: ['a'] }, _kmd: { ect: 'then', lmt: 'then' } });
    return [e._id, e._acl, e._kmd.ect, e._kmd.lmt !== 'then']`), ['x', { creator: 'u', gr: true, r: ['a'] }, 'then', true]);
  assert.match(failure('utils.kinveyEntity(5)'), /^TypeError/);
  assert.equal(run('utils.kinveyEntity.isKinveyEntity(utils.kinveyEntity())'), true);
  for (const value of ['', 'null', '{}', '{ _acl: {}, _kmd: {} }', '"x"', '[]']) {
    assert.equal(run(`utils.kinveyEntity.isKinveyEntity(${value})`), false, value);
  }
});

test('_acl', () => {
  assert.deepEqual(json(`const e = utils.kinveyEntity();
    const before = [e._acl.getReaders(), e._acl.getWriterGroups(), e._acl.getCreator(), e._acl.getGloballyReadable()];
    const all = e._acl.addReader('a').addReader('b').addReader('a').addWriter('w').addReaderGroup('g').addWriterGroup('h').addReaderRole('r')
      .addUpdateRole('u').addDeleteRole('d').setGloballyReadable(true).setGloballyWritable(false).removeReader('b').removeWriter('none').getReaders();
    return { before, all, gr: e._acl.getGloballyReadable(), keys: Object.keys(e._acl), e: e._acl, w: e._acl.getWriters(),
      rg: e._acl.getReaderGroups(), dr: e._acl.getDeleteRoles() };`), {
    before: [[], [], 'kid_1', null],
    all: ['a'],
    gr: true,
    keys: ['creator', 'r', 'w', 'groups', 'roles', 'gr', 'gw'],
    e: { creator: 'kid_1', r: ['a'], w: ['w'], groups: { r: ['g'], w: ['h'] }, roles: { r: ['r'], u: ['u'], d: ['d'] }, gr: true, gw: false },
    w: ['w'],
    rg: ['g'],
    dr: ['d'],
  });
  assert.deepEqual(json('const e = utils.kinveyEntity({ _acl: { r: ["x", "y", "x"] } }); e._acl.removeReader("x").removeReaderGroup("z"); return e._acl'),
    { r: ['y'], creator: 'kid_1' });
});

test('tempObjectStore is the request\'s', () => {
  assert.equal(run('utils.tempObjectStore.set("a", { b: 1 }).b + utils.tempObjectStore.get("a").b'), 2);
  assert.equal(run('JSON.stringify([request.tempObjectStore, utils.tempObjectStore.getAll() === request.tempObjectStore])'), '[{"a":{"b":1}},true]');
  assert.equal(run('utils.tempObjectStore.get("toString")'), undefined);
  assert.equal(run('utils.tempObjectStore.set("__proto__", 1); utils.tempObjectStore.get("__proto__") + typeof request.tempObjectStore.toString'), '1function');
  const second = internal.kinveyUtils(run('({ tempObjectStore: { from: "pre" } })'));
  assert.equal(second.tempObjectStore.get('from'), 'pre');
});

test('renderTemplate', () => {
  const render = (template, data = '{}') => run(`utils.renderTemplate(${JSON.stringify(template)}, ${data})`);
  const cases = [
    ['Hi {{name}}!', '{ name: "<A&B>" }', 'Hi &lt;A&amp;B&gt;!'],
    ['{{{x}}}{{&x}}{{x}}', '{ x: `"\'>` }', '"\'>"\'>&quot;&#39;&gt;'],
    ['{{a.b.c}}|{{a.x.y}}|{{none}}', '{ a: { b: { c: 5 } } }', '5||'],
    ['{{#list}}{{n}},{{/list}}', '{ list: [{ n: 1 }, { n: 2 }] }', '1,2,'],
    ['{{#list}}{{.}} {{/list}}', '{ list: [1, "b", true] }', '1 b true '],
    ['{{#o}}{{a}}{{b}}{{/o}}', '{ a: 1, o: { b: 2 } }', '12'],
    ['{{^x}}no{{/x}}{{#x}}yes{{/x}}', '{ x: [] }', 'no'],
    ['{{^x}}no{{/x}}{{#x}}yes{{/x}}', '{ x: 1 }', 'yes'],
    ['a{{! comment }}b{{> partial}}c', '{}', 'abc'],
    ['{{=<% %>=}}<% x %>{{x}}<%={{ }}=%>{{x}}', '{ x: 1 }', '1{{x}}1'],
    ['{{ f }}', '{ n: 2, f() { return this.n + 1; } }', '3'],
    ['{{#wrap}}a{{n}}{{/wrap}}', '{ n: 2, wrap: (text, render) => `<b>${render(text)}</b>${text}` }', '<b>a2</b>a{{n}}'],
    ['{{n}} {{z}} {{f}}', '{ n: 0, z: null, f: false }', '0  false'],
    ['x', 'undefined', 'x'],
    ['{{a}}', 'null', ''],
    ['{{#a}}\nx\n{{/a}}\n', '{ a: true }', 'x\n'],
    ['|\n  {{! alone }}\n|\r\n{{#a}}\r\n|{{/a}}', '{ a: true }', '|\n|\r\n|'],
    ['  {{#a}}  {{/a}}\n', '{ a: true }', '    \n'],
    ['{{#a}}\n{{/a}}', '{ a: true }', ''],
    ['{{#a}}{{#b}}{{c}}{{/b}}{{/a}}', '{ a: { c: 1, b: { } } }', '1'],
    ['{{{ x }}} {{& x }}', '{ x: 1 }', '1 1'],
    ['{{toString}}', '{}', '[object Object]'],
  ];
  for (const [template, data, expected] of cases) assert.equal(render(template, data), expected, template);
  for (const bad of ['{{x', '{{#a}}', '{{/a}}', '{{#a}}{{/b}}', '{{{x}}', '{{=x=}}', '{{#a}}'.repeat(101)]) {
    assert.match(failure(`utils.renderTemplate(${JSON.stringify(bad)}, {})`), /^Error: renderTemplate/, bad);
  }
});
