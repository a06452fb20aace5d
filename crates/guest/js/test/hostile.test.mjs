// Each piece is evaluated in a clean world and in one whose customer has replaced every built-in by a trap:
// the answers must be the same. The pieces are written with syntax alone, as nothing else is left to them.
import assert from 'node:assert/strict';
import test from 'node:test';
import { FILES, newWorld, hostileWorld, source } from './harness.mjs';
import { MAKE, PIECES } from './pieces.mjs';

const evaluate = (world, body) => {
  world.logs.length = 0;
  let answer;
  try {
    answer = world.run(`(() => { ${body} })()`, 'customer.js');
  } catch (error) {
    const read = (key) => Reflect.getOwnPropertyDescriptor(error, key)?.value;
    answer = `threw ${read('hostile') ?? read('message')} ${read('stack')}`;
  }
  return { answer, logs: world.logs.map(([level, text]) => `${level} ${text}`) };
};

const clean = newWorld();
clean.run(`globalThis.make = (${MAKE})`);
const hostile = hostileWorld(`(${MAKE})`);
for (const world of [clean, hostile]) {
  const make = world.run('make');
  make.utils = world.internal.kinveyUtils(make.request);
}

for (const [name, body] of Object.entries(PIECES)) {
  test(`hostile: ${name}`, () => {
    const expected = evaluate(clean, body);
    assert.doesNotMatch(String(expected.answer), /^threw/);
    assert.deepEqual(evaluate(hostile, body), expected);
  });
}

test('hostile: bodies', async () => {
  const read = (world) => new Promise((resolve, reject) => world.run(`(async (resolve, reject) => {
    try {
    const bytes = await new Response(make.bytes).bytes();
    const buffer = await new Response('xyz').arrayBuffer();
    let failed = 'no';
    try { await new Response('{').json(); } catch { failed = 'yes'; }
    resolve(await new Response('é').text() + await new Response(make.bytes).text() + (await new Response('{"a":5}').json()).a + bytes[3] +
      new TextDecoder().decode(buffer) + failed);
    } catch (e) { reject(e); }
  })`, 'customer.js')(resolve, reject));
  assert.equal(await read(hostile), await read(clean));
});

test('hostile: internal entry points', () => {
  for (const world of [clean, hostile]) {
    const { internal } = world;
    assert.equal(internal.inspect(world.run('make.nested')), '{ a: { b: [ { c: [Object] } ] } }');
    assert.equal(internal.format(world.run("['%s!', 'a', { b: 1 }]")), 'a! { b: 1 }');
    const parts = internal.responseParts(world.run("new Response('b', make.init)"));
    assert.equal(`${parts.status} ${parts.headers.a} ${parts.headers['content-type']} ${parts.body}`, '201 y text/plain;charset=UTF-8 b');
    assert.equal(internal.responseParts(world.run('make.proxy')), null);
  }
});

test('every primordial that a file takes exists', () => {
  const { primordials } = clean;
  for (const file of FILES) {
    const text = source(file);
    const taken = /const \{([^}]*)\} = primordials;/.exec(text);
    const names = [...(taken?.[1] ?? '').matchAll(/\w+/g)].map(([name]) => name);
    for (const [, name] of text.matchAll(/primordials\.(\w+)/g)) if (file !== 'primordials') names.push(name);
    for (const name of names) {
      assert.ok(name in primordials, `${file} takes ${name}`);
      const uses = text.split(new RegExp(`\\b${name}\\b`)).length - 1;
      assert.ok(uses > 1 || text.includes(`primordials.${name}`), `${file} takes ${name} and does not use it`);
    }
  }
});

test('every primordial is used', () => {
  const all = [...FILES, 'run'].filter((file) => file !== 'primordials').map(source).join('\n');
  const unused = Object.keys(clean.primordials).filter((name) => !new RegExp(`\\b${name}\\b`).test(all));
  assert.deepEqual(unused, []);
});

test('no file uses at run time what a customer can patch', () => {
  const banned = [
    /for \((const|let) (\w+|\[.*\]|\{.*\}) of /, /\.\.\.\w+[\])]/, /const \[/, /\.(push|slice|indexOf|join|map|filter|forEach|call|apply|bind|test|exec|replace|split|includes)\(/,
    /\binstanceof\b/, /\$\{/,
  ];
  for (const file of FILES) {
    if (file === 'primordials' || file === 'errors') continue; // one runs before any customer, one is not ours
    source(file).split('\n').forEach((line, i) => {
      const code = line.replace(/\/\/.*$/, '').replace(/(\(|, )\.\.\.args\) \{/, ') {');
      for (const pattern of banned) assert.doesNotMatch(code, pattern, `${file}.js:${i + 1}`);
    });
  }
});
