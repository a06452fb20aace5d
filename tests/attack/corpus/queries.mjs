// Over HTTP: queries and bodies.
import { answers, ok } from '../lib/expect.mjs';

const FAILS = [{ status: [400, 401, 403, 404, 413, 414, 431] }];
const EITHER = [ok, ...FAILS];
const asked = async (t, parameters, expected) => t.ask(`/appdata/${t.app.key}/things?${new URLSearchParams(parameters)}`, { authorization: t.owner }, expected);
const seeded = async (t, body = { _id: 'one', a: 1, text: `${'a'.repeat(64)}b`, list: [1, 2, { b: 3 }] }) => t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: t.owner, body }, ok);
const nested = (depth, leaf = { a: 1 }) => { let query = leaf; for (let i = 0; i < depth; i++) query = { $and: [query] }; return query; };

export default [
  {
    id: 'unknown-operators',
    row: 'Unknown operators, and those that run code: `$where`, `$expr`, `$function`',
    async attempt(t) {
      await seeded(t);
      for (const query of [{ $where: 'while (true) {}' }, { a: { $where: '1' } }, { $expr: { $gt: ['$a', 0] } }, { $function: { body: 'x' } }, { $nonsense: 1 }, { a: { $nonsense: 1 } }, { $or: [{ $where: '1' }] },
        { a: { $not: { $where: '1' } } }, { a: { $elemMatch: { $where: '1' } } }, { $lookup: {} }, { $and: {} }, { $or: 'x' }, { a: { $in: 5 } }]) await asked(t, { query: JSON.stringify(query) }, FAILS);
      for (const body of [{ initial: {}, key: {}, reduce: 'function () { while (true) {} }' }, { key: { a: true }, initial: { n: 0 }, reduce: 'function(doc,out){ process.exit() }' }, { reduce: 5 }, {}]) {
        await t.ask(`/appdata/${t.app.key}/things/_group`, { method: 'POST', authorization: t.owner, body }, FAILS);
      }
    },
  },
  {
    id: 'sql-in-queries',
    row: 'SQL in names, values, sort keys and fields',
    echoes: /UNION SELECT|near "/g,
    async attempt(t) {
      await seeded(t);
      const evil = ['\'; DROP TABLE entities; --', '" OR 1=1 --', 'a\') OR (\'1\'=\'1', 'a"]\'); DELETE FROM apps; --', 'a\\\'', '$."a"', 'a[0]', 'a.*', '\0', '%', '_', 'x\') UNION SELECT * FROM apps --'];
      for (const text of evil) {
        for (const parameters of [{ query: JSON.stringify({ [text]: 1 }) }, { query: JSON.stringify({ a: text }) }, { query: JSON.stringify({ a: { $in: [text] } }) }, { sort: text }, { sort: JSON.stringify({ [text]: -1 }) }, { fields: text }, { query: text }, { limit: text }, { skip: text },
          { query: JSON.stringify({ [text]: { $regex: `^${text}` } }) }]) {
          const got = await asked(t, parameters, EITHER);
          t.check(got.status >= 400 || got.body.every(({ _acl }) => _acl === undefined || _acl.creator === t.app.key), `another\'s documents: ${got.text}`);
        }
        await t.ask(`/appdata/${t.app.key}/things/${encodeURIComponent(text)}`, { authorization: t.owner }, FAILS);
        await t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: t.owner, body: { [text]: text } }, EITHER);
      }
      await t.ask(`/appdata/${t.app.key}/things/one`, { authorization: t.owner }, ok);
    },
  },
  {
    id: 'deep-queries',
    row: 'Deep and huge queries, huge limits',
    async attempt(t) {
      await seeded(t);
      for (const depth of [10, 59, 100, 1000]) await asked(t, { query: JSON.stringify(nested(depth)) }, EITHER);
      for (const query of [{ $or: Array.from({ length: 1000 }, (_, a) => ({ a })) }, { a: { $in: Array.from({ length: 3000 }, (_, i) => i) } }, { [Array(500).fill('a').join('.')]: 1 }, { ['x'.repeat(10_000)]: 1 },
        Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`f${i}`, i])), { a: 1e400 }, { a: 9007199254740993 }, { a: { $mod: [0, 0] } }, { a: { $size: -1 } }, { a: { $type: 99 } }]) await asked(t, { query: JSON.stringify(query) }, EITHER);
      for (const parameters of [{ limit: '18446744073709551615' }, { skip: '9223372036854775807' }, { limit: '-1' }, { limit: '1e9' }, { skip: 'NaN' }, { sort: JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, 1]))) },
        { fields: Array(2000).fill('a').join() }, { query: `{"a":${'['.repeat(3000)}` }, { query: '{"a":1,"a":2}' }]) await asked(t, parameters, EITHER);
    },
  },
  {
    id: 'heavy-documents',
    row: 'Fetching documents that are small as text and large in memory, many at once',
    async attempt(t) {
      const numbers = Array(190_000).fill(1);
      for (let n = 0; n < 50; n++) await t.ask(`/appdata/${t.app.key}/heavy`, { method: 'POST', authorization: t.owner, body: { _id: `${n}`, numbers } }, ok);
      const fetch = (parameters) => t.ask(`/appdata/${t.app.key}/heavy${parameters}`, { authorization: t.owner }, [ok, { status: 400 }]);
      const all = await Promise.all(Array.from({ length: 12 }, (_, n) => fetch(n % 2 ? '' : '?limit=40')));
      t.check(all.every(({ status }, n) => status === (n % 2 ? 400 : 200)), '19 MB are refused, 15 MB are not');
    },
  },
  {
    id: 'regexes-in-queries',
    row: 'Catastrophic, huge and broken `$regex`',
    async attempt(t) {
      await seeded(t);
      for (const pattern of ['^(a+)+$', '(x+x+)+y', '^(a|a)*$', '^(a?){64}a{64}$', '(', '[', '\\', '(?<!a)b', '(?R)', 'a{1000000}', '((a{100}){100}){100}', '('.repeat(2000), '\0', '^\\p{L}*$', '(a*)*b']) {
        await asked(t, { query: JSON.stringify({ text: { $regex: pattern } }) }, EITHER);
        await asked(t, { query: JSON.stringify({ text: { $regex: `^${pattern}`, $options: 'imsxzz' } }) }, EITHER);
      }
    },
  },
  {
    id: 'prototype-keys-in-bodies',
    row: 'Prototype keys, `$` names and odd ids in bodies',
    files: { 'collections/hooked/onPreSave.js': 'function onPreSave(request, response) { request.body.polluted = ({}).polluted === undefined ? "no" : "yes"; response.continue(); }' },
    async attempt(t) {
      for (const body of ['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"a":{"__proto__":[]}}', '{"$set":{"a":1}}', '{"a.b":1}', '{"":1}', '{"_id":null}', '{"_id":{"$ne":1}}', '{"_id":""}', '{"_id":"../x"}', '{"_id":5}', '{"_id":"a/b"}', '{"_id":"\\u0000"}', `{"_id":"${'x'.repeat(5000)}"}`, '{"_geoloc":[1e9,5]}', '{"_geoloc":"x"}', '{"a":1,"a":2}']) {
        const got = await t.ask(`/appdata/${t.app.key}/hooked`, { method: 'POST', authorization: t.owner, body }, [...EITHER, { status: 550 }]);
        t.check(got.body?.polluted !== 'yes', `polluted by ${body}`);
      }
    },
  },
  {
    id: 'deep-and-huge-bodies',
    row: 'Deep, huge and countless values in JSON bodies',
    async attempt(t) {
      const post = (body, expected) => t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: t.owner, body }, expected);
      await post(`{"a":${'['.repeat(100)}${']'.repeat(100)}}`, { status: 413 });
      await post(`{"a":${'['.repeat(1_000_000)}`, [{ status: [400, 413] }]);
      await post(`{"a":[${'1,'.repeat(300_000)}1]}`, { status: 413 });
      await post(`{"a":"${'x'.repeat(5 << 20)}"}`, { status: 413 });
      await post(`{"a":"${'\\u0000'.repeat(600_000)}"}`, EITHER);
      await post(`{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join()}}`, EITHER);
      await post(`{"a":${'9'.repeat(1_000_000)}}`, EITHER);
      await post(`[${'{},'.repeat(10_000)}{}]`, EITHER);
    },
  },
  {
    id: 'values-hidden-in-texts',
    row: 'Values hidden in a text that the JSON parser would take for JSON and unpack, past all counting',
    async attempt(t) {
      const name = '$serde_json::private::RawValue';
      const refused = { status: 400, error: 'JSONParseError' };
      const post = (body) => t.ask(`/appdata/${t.app.key}/things`, { method: 'POST', authorization: t.owner, body }, refused);
      await post(`{"a":{"${name}":"[1]"}}`);
      await post(`{"a":{"${name.replace('s', '\\u0073')}":"[${'{},'.repeat(300_000)}{}]"}}`);
      await post(`{"${name}":"{\\"_id\\":\\"hidden\\"}"}`);
      const query = encodeURIComponent(JSON.stringify({ a: { [name]: '[1]' } }));
      await t.ask(`/appdata/${t.app.key}/things?query=${query}`, { authorization: t.owner }, { status: 400, error: 'InvalidQuerySyntax' });
    },
    modern: [
      ['const a = { ["$serde_json::private::RawValue"]: "[" + "{},".repeat(500_000) + "{}]" }; try { await context.collectionAccess.collection("a").find({ a }); } catch (error) { return /reserved/.test(error.message); }', answers(true)],
      ['try { await context.collectionAccess.collection("a").insert({ "$serde_json::private::RawValue": "1" }); } catch (error) { return /reserved/.test(error.message); }', answers(true)],
    ],
  },
];
