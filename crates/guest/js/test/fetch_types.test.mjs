import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const world = newWorld();
const { run, internal } = world;
const check = (body) => run(`(() => { ${body} })()`);
const later = (body) => run(`(async () => { ${body} })()`);
const failure = (code) => run(`(() => { try { ${code}; return 'none'; } catch (e) { return e.name; } })()`);
const rejection = (code) => run(`(async () => { try { await ${code}; return 'none'; } catch (e) { return e.name; } })()`);

test('Headers: forms, combining, order', () => {
  const pairs = (code) => JSON.stringify(run(`[...new Headers(${code})]`));
  assert.equal(pairs(''), '[]');
  assert.equal(pairs('{ B: 1, a: " x " }'), '[["a","x"],["b","1"]]');
  assert.equal(pairs('[["x", "1"], ["X", "2"]]'), '[["x","1, 2"]]');
  assert.equal(pairs('new Map([["a", "b"]])'), '[["a","b"]]');
  assert.equal(pairs('new Headers({ a: "b" })'), '[["a","b"]]');
  assert.equal(pairs('[["Set-Cookie", "a"], ["z", "1"], ["set-cookie", "b"]]'), '[["set-cookie","a"],["set-cookie","b"],["z","1"]]');
  assert.equal(check(`const h = new Headers({ a: '1' }); h.append('A', '2'); h.set('b', 'x'); h.append('b', 'y'); h.set('B', 'z');
    h.append('c', '1'); h.delete('C'); return [h.get('a'), h.get('b'), h.get('c'), h.has('A'), h.has('c')].join(';')`), '1, 2;z;;true;false');
  assert.equal(check(`const h = new Headers(); h.append('set-cookie', 'a=1, x'); h.append('set-cookie', 'b'); h.set('x', 'y');
    return JSON.stringify([h.getSetCookie(), h.get('set-cookie'), [...h.keys()], [...h.values()]])`),
  '[["a=1, x","b"],"a=1, x, b",["set-cookie","set-cookie","x"],["a=1, x","b","y"]]');
  assert.equal(check(`const seen = []; const h = new Headers({ b: 1, a: 2 });
    h.forEach(function (v, k, all) { seen.push(k + v + (all === h) + this.t); }, { t: 't' }); return seen.join()`), 'a2truet,b1truet');
});

test('Headers: what is refused', () => {
  for (const code of ['new Headers(null)', 'new Headers(1)', 'new Headers([["a"]])', 'new Headers({ "a b": 1 })', 'new Headers({ "": 1 })',
    'new Headers({ a: "x\\ny" })', 'new Headers({ a: "\\0" })', 'new Headers({ a: "€" })', 'new Headers({ é: 1 })', 'new Headers().get()',
    'new Headers().get("é")', 'new Headers().append("a")', 'Headers.prototype.get.call({}, "a")', 'new Headers().forEach()',
    'new Headers({ a: Symbol() })', 'Headers()']) {
    assert.equal(failure(code), 'TypeError', code);
  }
  assert.equal(run('new Headers({ a: "\\r\\n\\t x\\u00FF \\n" }).get("a")'), 'xÿ');
});

test('Headers: iteration while changing, and shape', () => {
  assert.equal(check(`const h = new Headers({ a: 1, c: 3 }); const seen = []; for (const [k] of h) { seen.push(k); if (k === 'a') h.set('b', 2); }
    return seen.join()`), 'a,b,c');
  assert.equal(run('Object.prototype.toString.call(new Headers().keys()) + Headers.name + Headers.length'), '[object Headers Iterator]Headers0');
  assert.equal(run('Headers.prototype[Symbol.iterator] === Headers.prototype.entries'), true);
});

test('Response: construction', () => {
  const type = (code) => run(`new Response(${code}).headers.get('content-type')`);
  assert.equal(type('"x"'), 'text/plain;charset=UTF-8');
  assert.equal(type('new URLSearchParams("a=b")'), 'application/x-www-form-urlencoded;charset=UTF-8');
  assert.equal(type('new Uint8Array(1)'), null);
  assert.equal(type('null'), null);
  assert.equal(type('"x", { headers: { "Content-Type": "text/html" } }'), 'text/html');
  assert.equal(check(`const r = new Response('x', { status: 201, statusText: 'Made', headers: [['A', 'b']] });
    return [r.status, r.statusText, r.ok, r.headers.get('a'), r.bodyUsed, r.type, r.url, r.redirected].join()`), '201,Made,true,b,false,default,,false');
  assert.equal(run('new Response().status + "" + new Response(null, { status: 404 }).ok + new Response(null, { status: 204 }).status'), '200false204');
  for (const status of [199, 600, 0, '"x"']) assert.equal(failure(`new Response(null, { status: ${status} })`), 'RangeError');
  for (const code of ['new Response("x", { status: 204 })', 'new Response("x", { statusText: "a\\nb" })', 'new Response("x", 5)',
    'new Response(Symbol())', 'Response("x")', 'Response.prototype.status', 'new Response("x", { headers: 1 })']) {
    assert.equal(failure(code), 'TypeError', code);
  }
});

test('Response: bodies', async () => {
  assert.equal(await later('return new Response("\\uFEFFa\\uD800").text()'), 'a\uFFFD');
  assert.equal(await later('return new Response(new Uint8Array([0xEF, 0xBB, 0xBF, 0x41, 0xFF])).text()'), 'A\uFFFD');
  assert.equal(await later('return new Response(new DataView(new Uint8Array([65, 66]).buffer, 1)).text()'), 'B');
  assert.equal(await later('return new Response().text()'), '');
  assert.equal(await later('return new Response({ toString() { return "o"; } }).text()'), 'o');
  assert.equal(await later('return (await new Response(\'{"a":[1]}\').json()).a[0]'), 1);
  assert.equal(await later('return [...new Uint8Array(await new Response("é").arrayBuffer())].join()'), '195,169');
  assert.equal(await later('const b = await new Response("é").bytes(); return b instanceof Uint8Array && b.join()'), '195,169');
  assert.equal(await later('const u = new Uint8Array([65]); const r = new Response(u); u[0] = 66; return r.text()'), 'A');
  assert.equal(await rejection('new Response("{").json()'), 'SyntaxError');
  assert.equal(await rejection('Response.prototype.text.call({})'), 'TypeError');
  assert.equal(await later('const r = new Response("x"); await r.text(); return r.bodyUsed'), true);
  assert.equal(await later('const r = new Response(); await r.text(); return r.bodyUsed'), false);
  assert.equal(await later('const r = new Response("x"); await r.text(); try { await r.text(); } catch (e) { return e.name; }'), 'TypeError');
  assert.equal(await later('const r = new Response("x", { headers: { a: 1 } }); const c = r.clone(); c.headers.set("a", 2); return await r.text() + await c.text() + r.headers.get("a")'), 'xx1');
  assert.equal(await later('const r = new Response("x"); await r.text(); try { r.clone(); } catch (e) { return e.name; }'), 'TypeError');
});

test('Response: statics', async () => {
  assert.equal(await later('const r = Response.json({ a: 1 }, { status: 201 }); return r.status + r.headers.get("content-type") + await r.text()'),
    '201application/json{"a":1}');
  assert.equal(run('Response.json(1, { headers: { "content-type": "x/y" } }).headers.get("content-type")'), 'x/y');
  assert.equal(failure('Response.json(undefined)'), 'TypeError');
  assert.equal(failure('Response.json()'), 'TypeError');
  assert.equal(failure('Response.json(1, { status: 204 })'), 'TypeError');
  assert.equal(run('const e = Response.error(); e.type + e.status + e.ok'), 'error0false');
  assert.equal(run('const d = Response.redirect("https://h/a b", 301); d.status + d.headers.get("location")'), '301https://h/a%20b');
  assert.equal(failure('Response.redirect("https://h").headers.set("a", "b")'), 'TypeError');
  assert.equal(failure('Response.redirect("x")'), 'TypeError');
  assert.equal(failure('Response.redirect("https://h", 200)'), 'RangeError');
});

test('responseParts', async () => {
  const parts = (code) => internal.responseParts(run(code));
  assert.deepEqual({ ...parts('new Response("x", { status: 201, headers: { A: "b" } })') }.status, 201);
  const made = parts('new Response("\\uFEFFx", { headers: [["set-cookie", "a"], ["set-cookie", "b"], ["X", "y"]] })');
  assert.equal(made.body, '\uFEFFx');
  assert.deepEqual({ ...made.headers }, { 'content-type': 'text/plain;charset=UTF-8', 'set-cookie': 'a, b', 'x': 'y' });
  assert.equal(parts('new Response(new Uint8Array([65, 255]))').body, 'A\uFFFD');
  assert.equal(parts('new Response()').body, null);
  assert.equal(Object.getPrototypeOf(made), null);
  for (const code of ['null', '1', '({})', 'Response', 'Response.prototype', 'Object.create(new Response())', 'new Proxy(new Response(), {})']) {
    assert.equal(parts(code), null, code);
  }
  assert.notEqual(parts('new (class Mine extends Response { get status() { return 1; } })("x")'), null);
  const used = run('globalThis.used = new Response("x")');
  await run('used.text()');
  assert.throws(() => internal.responseParts(used), /already been used/);
  assert.throws(() => parts('Response.error()'));
});

test('a patched global does not reach inside', () => {
  const other = newWorld();
  assert.equal(other.run('const R = Response; Headers = URL = Response = null; R.json({}).headers.get("content-type")'), 'application/json');
});
