import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const { run, internal } = newWorld();
const Params = run('URLSearchParams');
const check = (body) => run(`(() => { ${body} })()`);
const failure = (code) => run(`(() => { try { ${code}; return 'none'; } catch (e) { return e.name; } })()`);

test('queries are read and written as Node does', () => {
  const plain = ['a', 'b', '=', '&', '+', '%20', '?', '#', ' ', '*', '~', "'", ''];
  // Not both in one query: Node's decoder garbles wide characters beside a bad escape.
  const sets = [[...plain, '%', '%2', '%C3%A9', '%ff', '%00', '%zz', '%EF%BB%BF'], [...plain, 'é', '😀', '\uD800']];
  let seed = 7;
  const random = (n) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  for (let round = 0; round < 5000; round++) {
    const pieces = sets[round % 2];
    const query = Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join('');
    const ours = new Params(query);
    const theirs = new URLSearchParams(query);
    assert.equal(ours.toString(), theirs.toString(), JSON.stringify(query));
    assert.deepEqual([...ours].map((pair) => [...pair]), [...theirs], JSON.stringify(query));
  }
});

test('random changes keep in step with Node\'s', () => {
  let seed = 3;
  const random = (n) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  const names = ['a', 'b', 'é', '\uFFFF', '😀', 'aa', ''];
  for (let round = 0; round < 300; round++) {
    const start = 'https://h/p?a=1&b=2&a=3#f';
    const ours = new (run('URL'))(start);
    const theirs = new URL(start);
    for (let step = 0; step < 12; step++) {
      const name = names[random(names.length)];
      const value = String(random(3));
      const kind = random(9);
      for (const url of [ours, theirs]) {
        const params = url.searchParams;
        if (kind === 0) params.append(name, value);
        if (kind === 1) params.delete(name);
        if (kind === 2) params.set(name, value);
        if (kind === 3) params.sort();
        if (kind === 4) url.search = `?${name}=${value}&x`;
        if (kind === 5) params.delete(name, value);
        if (kind === 6) url.href = `https://h/q?${name}=${value}`;
        if (kind === 7) url.hash = name;
        if (kind === 8) url.search = '';
      }
      assert.equal(ours.href, theirs.href);
      assert.equal(ours.searchParams.toString(), theirs.searchParams.toString());
      assert.equal(ours.searchParams.size, theirs.searchParams.size);
      assert.equal(ours.searchParams.has(name, value), theirs.searchParams.has(name, value));
      assert.deepEqual([...ours.searchParams.getAll(name)], theirs.searchParams.getAll(name));
      assert.equal(ours.searchParams.get(name), theirs.searchParams.get(name));
    }
  }
});

test('wide characters beside bad escapes', () => {
  assert.equal(new Params('%C3%A9😀\uD800#%2?%2').toString(), '%C3%A9%F0%9F%98%80%EF%BF%BD%23%252%3F%252=');
});

test('constructor forms', () => {
  const string = (code) => run(`new URLSearchParams(${code}).toString()`);
  assert.equal(string(''), '');
  assert.equal(string('undefined'), '');
  assert.equal(string('null'), 'null=');
  assert.equal(string('5'), '5=');
  assert.equal(string('"??a=b"'), '%3Fa=b');
  assert.equal(string('{ a: 1, b: [2, 3] }'), 'a=1&b=2%2C3');
  assert.equal(string('[["a", 1], new Set(["b", "c"])]'), 'a=1&b=c');
  assert.equal(string('new Map([["a", "b"]])'), 'a=b');
  assert.equal(string('new URLSearchParams("x=y&x=z")'), 'x=y&x=z');
  assert.equal(string('(function* () { yield ["a", "b"]; })()'), 'a=b');
  assert.equal(string('Object.assign([["q", "r"]], { [Symbol.iterator]: function* () { yield ["a", "b"]; } })'), 'a=b');
  for (const code of ['[["a"]]', '[["a", "b", "c"]]', '[1]', '["ab"]', '{ [Symbol()]: 1 }', 'Symbol()', '{ a: Symbol() }',
    '{ [Symbol.iterator]: 1 }', '{ [Symbol.iterator]() { return 1; } }']) {
    assert.equal(failure(`new URLSearchParams(${code})`), 'TypeError', code);
  }
  assert.equal(failure('URLSearchParams()'), 'TypeError');
});

test('iteration', () => {
  assert.equal(check(`const p = new URLSearchParams('a=1&b=2'); const seen = [];
    p.forEach(function (v, k, all) { seen.push(k, v, all === p, this.t); }, { t: 't' });
    for (const [k, v] of p.entries()) seen.push(k + v);
    return [...seen, ...p.keys(), ...p.values()].join();`), 'a,1,true,t,b,2,true,t,a1,b2,a,b,1,2');
  // Live: what is deleted while going on is not seen.
  assert.equal(check(`const p = new URLSearchParams('a=1&b=2&c=3'); const seen = [];
    for (const [k] of p) { seen.push(k); p.delete('b'); } return seen.join();`), 'a,c');
  assert.equal(check(`const i = new URLSearchParams('a=1').entries(); return [Object.prototype.toString.call(i), i[Symbol.iterator]() === i,
    JSON.stringify(i.next()), JSON.stringify(i.next()), typeof Object.getPrototypeOf(i).next,
    URLSearchParams.prototype[Symbol.iterator] === URLSearchParams.prototype.entries].join();`),
  '[object URLSearchParams Iterator],true,{"value":["a","1"],"done":false},{"done":true},function,true');
  assert.equal(failure('new URLSearchParams().entries().next.call({})'), 'TypeError');
  assert.equal(failure('new URLSearchParams().forEach(1)'), 'TypeError');
});

test('sort is by code units, and stable', () => {
  assert.equal(check('const p = new URLSearchParams("z=1&a=2&z=0&\\uFFFF=f&\\u{1F600}=e&a=1"); p.sort(); return p.toString()'),
    'a=2&a=1&z=1&z=0&%F0%9F%98%80=e&%EF%BF%BF=f');
});

test('URL', () => {
  const url = (code) => run(`new URL(${code})`);
  const full = url('"https://u:p@host.example:8080/a/b?c=d#e"');
  for (const field of ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash']) {
    assert.equal(full[field], new URL('https://u:p@host.example:8080/a/b?c=d#e')[field], field);
  }
  assert.equal(url('"../x", "https://h/a/b/c"').href, 'https://h/a/x');
  assert.equal(url('new URL("https://h/a"), "https://ignored"').href, 'https://h/a');
  assert.equal(run('String(new URL("https://h")) + JSON.stringify({ u: new URL("https://h") })'), 'https://h/{"u":"https://h/"}');
  assert.equal(run('URL.canParse("x") + "," + URL.canParse("x", "https://h") + "," + URL.parse("x") + "," + URL.parse("x", "https://h").href'),
    'false,true,null,https://h/x');
  for (const code of ['new URL()', 'new URL("x")', 'new URL("/x", "y")', 'URL("https://h")', 'new URL("https://h").href = "x"',
    'URL.canParse()', 'URL.prototype.href', 'URL.prototype.toString.call({})', '(function () { "use strict"; new URL("https://h").origin = 1; })()']) {
    assert.equal(failure(code), 'TypeError', code);
  }
});

test('URL and its searchParams are linked', () => {
  assert.equal(check(`const u = new URL('https://h/?a=b c'); const p = u.searchParams; const seen = [p === u.searchParams];
    p.append('x', 'é&'); seen.push(u.search); u.search = 'q=1'; seen.push(p.toString()); p.delete('q'); seen.push(u.href);
    u.href = 'https://h/?z'; seen.push(p.toString()); return seen.join(' ');`),
  'true ?a=b+c&x=%C3%A9%26 q=1 https://h/ z=');
  assert.equal(run('Object.getOwnPropertyDescriptor(URL.prototype, "href").get.name'), 'get href');
  assert.equal(run('URL.length + URLSearchParams.length + URL.canParse.length'), 2);
  assert.equal(run('Object.prototype.toString.call(new URL("x:y")) + URL.name'), '[object URL]URL');
});

test('for bodies', () => {
  assert.equal(internal.formBody(run('new URLSearchParams({ a: "b c" })')), 'a=b+c');
  assert.equal(internal.formBody(run('({})')), undefined);
});
