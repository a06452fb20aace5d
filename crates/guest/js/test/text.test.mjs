import assert from 'node:assert/strict';
import test from 'node:test';
import { newWorld } from './harness.mjs';

const { run } = newWorld();
const make = (bytes) => run(`(${(() => (list) => new Uint8Array(list)).toString()})()`)(bytes);
const Decoder = run('TextDecoder');
const text = (label, bytes, options) => new Decoder(label, options).decode(make(bytes));
const nameOf = (work) => {
  try {
    work();
    return 'none';
  } catch (error) {
    return error.name;
  }
};

test('TextEncoder', () => {
  assert.deepEqual([...run('new TextEncoder().encode("aé€😀")')], [...Buffer.from('aé€😀')]);
  assert.deepEqual([...run('new TextEncoder().encode("\\uD800x")')], [0xEF, 0xBF, 0xBD, 0x78]);
  assert.equal(run('new TextEncoder().encode().length'), 0);
  assert.equal(run('new TextEncoder().encode(12).length'), 2);
  assert.equal(run('new TextEncoder().encoding'), 'utf-8');
});

test('encodeInto is as Node\'s for every room', () => {
  const samples = ['', 'abc', 'é€😀a', '😀😀', '\uD800a', 'a\uD83D', '€€€'];
  const encoder = run('new TextEncoder()');
  for (const sample of samples) {
    for (let room = 0; room < 14; room++) {
      const ours = make(new Array(room).fill(7));
      const theirs = new Uint8Array(room).fill(7);
      const result = encoder.encodeInto(sample, ours);
      assert.deepEqual({ ...result }, { ...new TextEncoder().encodeInto(sample, theirs) }, `${sample} ${room}`);
      assert.deepEqual([...ours], [...theirs]);
    }
  }
  assert.equal(nameOf(() => encoder.encodeInto('x', make([]).buffer)), 'TypeError');
});

test('labels', () => {
  const names = {
    'utf8': 'utf-8', ' UTF-8\n': 'utf-8', 'latin1': 'windows-1252', 'ascii': 'windows-1252',
    'ISO-8859-1': 'windows-1252', 'utf-16': 'utf-16le', 'ucs-2': 'utf-16le',
  };
  for (const [label, name] of Object.entries(names)) assert.equal(new Decoder(label).encoding, name);
  assert.equal(new Decoder().encoding, 'utf-8');
  for (const label of ['utf-7', 'gbk', 'utf-16be', '', '__proto__', 'constructor']) {
    assert.equal(nameOf(() => new Decoder(label)), 'RangeError', label);
  }
});

test('windows-1252', () => {
  // (Node 20 reads it as ISO-8859-1.)
  const all = Array.from({ length: 256 }, (_, i) => i);
  const decoded = text('latin1', all);
  assert.equal(decoded.slice(0x80, 0xA0), '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8DŽ\x8F\x90‘’“”•–—˜™š›œ\x9DžŸ');
  const others = (s) => s.slice(0, 0x80) + s.slice(0xA0);
  assert.equal(others(decoded), others(String.fromCharCode(...all)));
  assert.equal(text('ascii', [0xEF, 0xBB, 0xBF]), 'ï»¿');
});

test('utf-16le is as Node\'s', () => {
  const long = Array.from({ length: 20000 }, (_, i) => i % 251);
  assert.equal(text('utf-16le', long), new TextDecoder('utf-16le').decode(new Uint8Array(long)));
  const cases = [[0x3D, 0xD8, 0x00, 0xDE], [0x3D, 0xD8], [0x3D, 0xD8, 0x00], [0x41], [0x41, 0, 0x42], [0xFF, 0xFE, 0x41, 0],
    [0x00, 0xDC, 0x41, 0], []];
  for (const bytes of cases) {
    assert.equal(text('utf-16le', bytes), new TextDecoder('utf-16le').decode(new Uint8Array(bytes)), `${bytes}`);
    assert.equal(nameOf(() => text('utf-16le', bytes, { fatal: true })),
      nameOf(() => new TextDecoder('utf-16le', { fatal: true }).decode(new Uint8Array(bytes))), `${bytes}`);
  }
});

test('byte order marks', () => {
  const bom = [0xEF, 0xBB, 0xBF];
  assert.equal(text('utf-8', [...bom, 0x41]), 'A');
  assert.equal(text('utf-8', [...bom, ...bom, 0x41]), '\uFEFFA');
  assert.equal(text('utf-8', [...bom, 0x41], { ignoreBOM: true }), '\uFEFFA');
  const decoder = new Decoder();
  assert.equal(decoder.decode(make(bom.slice(0, 2)), { stream: true }), '');
  assert.equal(decoder.decode(make([bom[2], 0x42]), { stream: true }), 'B');
  assert.equal(decoder.decode(make(bom), { stream: true }), '\uFEFF');
  assert.equal(decoder.decode(), '');
  assert.equal(decoder.decode(make([...bom, 0x43])), 'C');
});

test('streams of any cut are as Node\'s', () => {
  let seed = 1;
  const random = (n) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  const interesting = [0x41, 0x80, 0xBF, 0xC2, 0xC0, 0xE0, 0xA0, 0x9F, 0xED, 0xEF, 0xBB, 0xF0, 0x90, 0x8F, 0xF4, 0xF5, 0xFF, 0xFE,
    0xD8, 0xDC, 0x00];
  for (const encoding of ['utf-8', 'utf-16le']) {
    for (let round = 0; round < 3000; round++) {
      const options = { fatal: random(4) === 0, ignoreBOM: random(2) === 0 };
      const ours = new Decoder(encoding, options);
      // Node's own streaming of fatal decoders differs from the standard, so those are cut nowhere.
      const theirs = new TextDecoder(encoding, options);
      const chunks = Array.from({ length: options.fatal ? 1 : 1 + random(4) }, () =>
        Array.from({ length: random(7) }, () => interesting[random(interesting.length)]));
      const decode = (decoder, wrap) => {
        try {
          return chunks.map((chunk, i) => decoder.decode(wrap(chunk), { stream: i < chunks.length - 1 })).join('');
        } catch (error) {
          return error.name;
        }
      };
      const expected = decode(theirs, (c) => new Uint8Array(c));
      assert.equal(decode(ours, make), expected, `${encoding} ${JSON.stringify(options)} ${JSON.stringify(chunks)}`);
    }
  }
});

test('fatal streams', () => {
  const decoder = new Decoder('utf-8', { fatal: true });
  assert.equal(decoder.decode(make([0xE2, 0x82]), { stream: true }), '');
  assert.equal(decoder.decode(make([0xAC]), { stream: true }), '€');
  assert.equal(nameOf(() => decoder.decode(make([0xFF]), { stream: true })), 'TypeError');
  assert.equal(decoder.decode(make([0x41])), 'A');
  assert.equal(decoder.decode(make([0xE2]), { stream: true }), '');
  assert.equal(nameOf(() => decoder.decode()), 'TypeError');
});

test('inputs', () => {
  assert.equal(run('new TextDecoder().decode(new Uint8Array([65, 66, 67]).buffer)'), 'ABC');
  assert.equal(run('new TextDecoder().decode(new DataView(new Uint8Array([65, 66, 67]).buffer, 1))'), 'BC');
  assert.equal(run('new TextDecoder().decode(new Uint16Array([0x4241]))'), 'AB');
  assert.equal(run('new TextDecoder().decode(new Uint8Array([65, 66, 67, 68]).subarray(1, 3))'), 'BC');
  assert.equal(run('(() => { const b = new ArrayBuffer(4); b.transfer(); return new TextDecoder().decode(b); })()'), '');
  for (const input of ['"text"', '[65]', 'null', '{}']) {
    assert.equal(run(`try { new TextDecoder().decode(${input}); 'none' } catch (e) { e.name }`), 'TypeError', input);
  }
  // What a chunk held back is its own copy.
  assert.equal(run(`(() => { const d = new TextDecoder(); const b = new Uint8Array([0xE2, 0x82]);
    d.decode(b, { stream: true }); b.fill(0); return d.decode(new Uint8Array([0xAC])); })()`), '€');
});

test('shape', () => {
  assert.equal(run('Object.prototype.toString.call(new TextDecoder())'), '[object TextDecoder]');
  assert.equal(run('TextDecoder.length + TextDecoder.prototype.decode.length + TextEncoder.prototype.encodeInto.length'), 2);
  assert.equal(run('Object.keys(TextDecoder.prototype).join()'), 'encoding,fatal,ignoreBOM,decode');
  for (const code of ['TextDecoder.prototype.encoding', 'TextDecoder.prototype.decode.call({})', 'TextDecoder()',
    'TextEncoder.prototype.encode.call(1)', 'new TextEncoder().encode(Symbol())', 'new TextDecoder("utf-8", 1)']) {
    assert.equal(run(`try { ${code}; 'none' } catch (e) { e.name }`), 'TypeError', code);
  }
});
