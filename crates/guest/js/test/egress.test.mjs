// fetch and modules.request over a host that the tests answer for.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld, hostileWorld } from './harness.mjs';

const OK = {
  status: 200, statusText: 'OK', headers: [['content-type', 'application/json'], ['x', '1'], ['x', '2'], ['set-cookie', 'a'], ['set-cookie', 'b']],
  body: '{"a":1}', url: 'https://h/x', redirected: false,
};
const FAILURE = { name: 'TimeoutError', message: 'the request to h took too long' };

const world = newWorld();
world.run('globalThis').request = world.internal.request;

// Runs a body; its answer, the host call it made, and what it threw.
const run = async (body, answer = OK, where = world) => {
  where.calls.length = 0;
  where.host.answer = () => {
    if (answer.status === undefined) throw answer;
    return answer;
  };
  let value;
  try {
    value = await where.run(`(async () => { ${body} })()`);
  } catch (error) {
    value = `${error.name}: ${error.message}`;
  }
  return { value, args: where.calls.length === 0 ? undefined : JSON.parse(where.calls[0][1]), name: where.calls[0]?.[0] };
};
const argsOf = async (body) => (await run(body)).args;
const valueOf = async (body, answer) => (await run(body, answer)).value;

test('fetch: what is asked of the host', async () => {
  assert.equal((await run("await fetch('https://h/x')")).name, 'egress.request');
  for (const [code, args] of [
    ["fetch('https://h/x')", { url: 'https://h/x', headers: [] }],
    ["fetch(new URL('https://h/a b'))", { url: 'https://h/a%20b', headers: [] }],
    ["fetch('u', { method: 'post', body: 'é', headers: { A: ' b ' } })",
      { url: 'u', method: 'post', body: 'é', headers: [['a', 'b'], ['content-type', 'text/plain;charset=UTF-8']] }],
    ["fetch('u', { method: 'PUT', body: new Uint8Array([0, 255]) })", { url: 'u', method: 'PUT', bodyBase64: 'AP8=', headers: [] }],
    ["fetch('u', { method: 'PUT', body: new URLSearchParams('a=b c') })",
      { url: 'u', method: 'PUT', body: 'a=b+c', headers: [['content-type', 'application/x-www-form-urlencoded;charset=UTF-8']] }],
    ["fetch('u', { body: '{}', headers: [['Content-Type', 'application/json'], ['b', '1'], ['b', '2']] })",
      { url: 'u', body: '{}', headers: [['content-type', 'application/json'], ['b', '1'], ['b', '2']] }],
    ["fetch('u', { headers: new Headers({ authorization: 'Bearer secret:KEY' }), redirect: 'manual' })",
      { url: 'u', headers: [['authorization', 'Bearer secret:KEY']], redirect: 'manual' }],
    ["fetch('u', null)", { url: 'u', headers: [] }],
    ["fetch('u', { method: undefined, body: null })", { url: 'u', headers: [] }],
  ]) assert.deepEqual(await argsOf(`await ${code}`), args, code);
});

test('fetch: what it comes to', async () => {
  assert.equal(await valueOf(`const r = await fetch('u'); return [r instanceof Response, r.status, r.statusText, r.ok, r.url, r.redirected, r.type,
    r.headers.get('x'), r.headers.getSetCookie().length, (await r.json()).a, r.bodyUsed].join()`), 'true,200,OK,true,https://h/x,false,basic,1, 2,2,1,true');
  assert.equal(await valueOf("const r = await fetch('u'); const c = r.clone(); return c.url + c.redirected + await c.text() + await r.text()",
    { ...OK, redirected: true }), 'https://h/xtrue{"a":1}{"a":1}');
  assert.equal(await valueOf("return [...await (await fetch('u')).bytes()].join()", { ...OK, body: undefined, bodyBase64: 'AP8=' }), '0,255');
  assert.equal(await valueOf("const r = await fetch('u'); return r.body === undefined && await r.text()", { ...OK, status: 204, body: '' }), '');
  assert.equal(await valueOf("return (await fetch('u')).status", { ...OK, status: 999 }), 999);
  assert.match(await valueOf("(await fetch('u')).headers.set('a', 'b')"), /^TypeError: .*immutable/);
});

test('fetch: every failure is a TypeError, never thrown at once', async () => {
  assert.equal(await valueOf("try { await fetch('u'); } catch (e) { return [e instanceof TypeError, e.message, e.cause.name].join('|'); }", FAILURE),
    'true|fetch: the request to h took too long|TimeoutError');
  for (const code of ['fetch()', "fetch('u', 1)", "fetch('u', { headers: 1 })", "fetch('u', { headers: { 'a b': 1 } })", 'fetch(Symbol())',
    "fetch('u', { redirect: 'no' })", "fetch({ toString() { throw new TypeError('mine'); } })"]) {
    assert.equal(await valueOf(`let p; try { p = ${code}; } catch { return 'thrown'; } try { await p; } catch (e) { return e.name; }`), 'TypeError', code);
  }
  assert.equal(world.run('fetch.name + fetch.length + Object.getOwnPropertyDescriptor(globalThis, "fetch").enumerable'), 'fetch1true');
});

test('request: what is asked of the host', async () => {
  const args = (code) => argsOf(`await ${code}`);
  const GET = { url: 'u', method: 'GET', headers: [] };
  for (const [code, expected] of [
    ["request('u')", GET],
    ["request({ url: 'u' })", GET],
    ["request.get('u')", GET],
    ["request.get({ uri: 'u', method: 'POST' })", GET],
    ["request.request({ uri: 'u', method: 'OPTIONS' })", { ...GET, method: 'OPTIONS', redirect: 'manual' }],
    ["request.get(new URL('https://h/'))", { ...GET, url: 'https://h/' }],
    ["request.get({ uri: new URL('https://h/') })", { ...GET, url: 'https://h/' }],
    ["request.get('u', { headers: { A: 1, b: undefined } })", { ...GET, headers: [['A', '1']] }],
    ["request({ baseUrl: 'https://h/v1/', uri: '/x' })", { ...GET, url: 'https://h/v1/x' }],
    ["request({ baseUrl: 'https://h/v1', uri: 'x' })", { ...GET, url: 'https://h/v1/x' }],
    ["request({ url: 'u', followRedirect: false })", { ...GET, redirect: 'manual' }],
    ["request({ url: 'u', maxRedirects: 2, timeout: '500' })", { ...GET, maxRedirects: 2, timeout: 500 }],
    ["request.head('u')", { ...GET, method: 'HEAD' }],
    ["request.del('u')", { ...GET, method: 'DELETE', redirect: 'manual' }],
    ["request.delete({ url: 'u', followAllRedirects: true })", { ...GET, method: 'DELETE' }],
    ["request.patch('u', { body: 'x' })", { ...GET, method: 'PATCH', body: 'x', redirect: 'manual' }],
    ["request.put('u', { body: new Uint8Array([255]) })", { ...GET, method: 'PUT', bodyBase64: '/w==', redirect: 'manual' }],
    ["request.post({ url: 'u', json: { a: 'é' } })",
      { ...GET, method: 'POST', body: '{"a":"é"}', headers: [['accept', 'application/json'], ['content-type', 'application/json']], redirect: 'manual' }],
    ["request.post({ url: 'u', json: true, body: [1], headers: { 'Content-Type': 'a/b' } })",
      { ...GET, method: 'POST', body: '[1]', headers: [['Content-Type', 'a/b'], ['accept', 'application/json']], redirect: 'manual' }],
    ["request.get({ url: 'u', json: true })", { ...GET, headers: [['accept', 'application/json']] }],
    ["request.post({ url: 'u', form: { a: 'b c', l: [1, 2], o: { x: \"it's\" }, n: null, u: undefined } })",
      { ...GET, method: 'POST', body: 'a=b%20c&l%5B0%5D=1&l%5B1%5D=2&o%5Bx%5D=it%27s&n=',
        headers: [['content-type', 'application/x-www-form-urlencoded']], redirect: 'manual' }],
    ["request.post({ url: 'u', form: 'a=b' })",
      { ...GET, method: 'POST', body: 'a=b', headers: [['content-type', 'application/x-www-form-urlencoded']], redirect: 'manual' }],
    ["request({ url: 'u', qs: { q: 'é&', d: new Date(0) } })", { ...GET, url: 'u?q=%C3%A9%26&d=1970-01-01T00%3A00%3A00.000Z' }],
    ["request({ url: 'u?a=1#f', qs: { b: 2 } })", { ...GET, url: 'u?a=1&b=2#f' }],
    ["request({ url: 'u', qs: {} })", GET],
    ["request({ url: 'u', auth: { user: 'me', pass: 'secret:PASS' } })", { ...GET, auth: { user: 'me', pass: 'secret:PASS' } }],
    ["request({ url: 'u', auth: { username: 'me', password: 'p' } })", { ...GET, auth: { user: 'me', pass: 'p' } }],
    ["request({ url: 'u', auth: { bearer: () => 'secret:KEY' } })", { ...GET, headers: [['authorization', 'Bearer secret:KEY']] }],
    ["request({ url: 'u', auth: { user: 'me' }, headers: { Authorization: 'x' } })", { ...GET, headers: [['Authorization', 'x']] }],
  ]) assert.deepEqual(await args(code), expected, code);
});

test('request: what its callback gets', async () => {
  const called = (code) => `return await new Promise((resolve) => { ${code} })`;
  assert.equal(await valueOf(called(`request.get('u', (e, r, b) => resolve([e, r.statusCode, r.status, r.statusMessage, r.headers.x,
    r.headers['set-cookie'].join('+'), typeof b, b === r.body, r.request.href].join()));`)), ',200,200,OK,1, 2,a+b,string,true,https://h/x');
  assert.equal(await valueOf(called("request.get({ url: 'u', json: true }, (e, r, b) => resolve(b.a));")), 1);
  assert.equal(await valueOf(called("request('u', { json: true }, (e, r, b) => resolve(b));"), { ...OK, body: 'no json' }), 'no json');
  assert.equal(await valueOf(called("request({ url: 'u', encoding: null, callback(e, r, b) { resolve(b instanceof Uint8Array && b.join()); } });"),
    { ...OK, body: 'é' }), '195,169');
  assert.equal(await valueOf(called("request('u', (e, r, b) => resolve(b));"), { ...OK, body: undefined, bodyBase64: '/w==' }), '\uFFFD');
  assert.equal(await valueOf(called("request('u', (e, r) => resolve([e.name, e.code, e.message, r].join('|')));"), FAILURE),
    'TimeoutError|ETIMEDOUT|the request to h took too long|');
  assert.equal(await valueOf("return typeof request.get('u', () => {})"), 'undefined');
  assert.equal(await valueOf("return (await request.get('u')).statusCode"), 200);
  assert.equal(await valueOf("const r = await request.get('u'); return Object.hasOwn(r.headers, '__proto__')", { ...OK, headers: [['__proto__', 'x']] }), true);
});

test('request: mistakes go to the callback', async () => {
  for (const [code, message] of [
    ["request({}, done)", /uri is a required/],
    ["request(undefined, done)", /URL or an options/],
    ["request({ url: 'u', body: {} }, done)", /string or bytes/],
    ["request({ url: 'u', json: true, body: () => {} }, done)", /cannot be JSON/],
    ["request({ url: 'u', proxy: 'http://p' }, done)", /option proxy is not supported/],
    ["request({ url: 'u', formData: {} }, done)", /option formData is not supported/],
    ["request({ url: 'u', strictSSL: false }, done)", /always checked/],
    ["request({ url: 'u', headers: { a: Symbol() } }, done)", /Symbol/],
  ]) {
    const { value, args } = await run(`return await new Promise((resolve) => { const done = (e) => resolve(String(e)); ${code}; })`);
    assert.match(value, message, code);
    assert.equal(args, undefined);
  }
  assert.match(await valueOf("request('u', {}, 5)"), /callback is not a function/);
  assert.match(await valueOf("const o = {}; o.o = o; await request({ url: 'u', form: o })"), /^RangeError/);
});

test('a hostile world gives the same', async () => {
  const hostile = hostileWorld(`({ init: { __proto__: null, method: 'POST', body: 'é', headers: { A: 'b' } }, url: 'https://h/x',
    options: { __proto__: null, url: 'https://h/x', method: 'POST', form: { __proto__: null, a: 'b c' }, auth: { __proto__: null, user: 'u' } } })`);
  hostile.host.answer = () => OK;
  hostile.run('make').request = hostile.internal.request;
  for (const code of ['fetch(make.url, make.init)', 'make.request(make.options)']) {
    hostile.calls.length = 0;
    await new Promise((resolve, reject) => hostile.native.then(hostile.run(code), resolve, reject));
    assert.equal(hostile.calls.length, 1);
  }
  assert.deepEqual(JSON.parse(hostile.calls[0][1]), { url: 'https://h/x', method: 'POST', auth: { user: 'u', pass: '' }, body: 'a=b%20c',
    headers: [['content-type', 'application/x-www-form-urlencoded']], redirect: 'manual' });
});
