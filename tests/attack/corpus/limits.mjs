// Taking too much. An app that hits limits is paused after some sixteen of them: none tries more than twelve.
import { answers, cpu, ends, harmless, memory, ok, threw, violates, wall } from '../lib/expect.mjs';

const modern = (id, row, expect, bodies, more = {}) => ({ id, row, expect, modern: bodies, ...more });
const LOOPS = 'Endless loops, generators, awaits';
const FILLS = 'Memory filled by buffers, objects, maps, promises';
const HUGE = '`repeat`, `padEnd`, `Array(1e9).fill`, `[...\'.\'.repeat(1e9)]`, resizable buffers';
const LOGS = 'Log floods, empty lines, huge lines, hostile objects';
/** Enough processor time for memory to be what runs out. */
const patient = { settings: { limits: { cpuMs: 5000 }, budget: { cpuMs: 10000 } } };

const huge = [
  'return "x".repeat(1e9).length;', 'return "x".repeat(2 ** 29).padEnd(2 ** 30).length;', 'return "x".padEnd(1e9, "ab").length;',
  'return new Array(1e9).fill(0).length;', 'return [...".".repeat(1e9)].length;', 'return [...".".repeat(3e7)].length;',
  'return Array(2 ** 32 - 1).join("x").length;', 'return new ArrayBuffer(2 ** 32).byteLength;', 'return new Float64Array(2 ** 28).length;',
  'const a = new ArrayBuffer(8, { maxByteLength: 2 ** 31 - 1 }); a.resize(2 ** 31 - 1); return a.byteLength;', 'return Array.from({ length: 1e9 }).length;',
  'return JSON.stringify("\\u0000".repeat(3e7)).length;', 'return encodeURIComponent("€".repeat(2e7)).length;',
  'return new TextEncoder().encode("€".repeat(3e7)).length;', 'return "a".repeat(1e5).replaceAll("a", "b".repeat(1e5)).length;',
  'return btoa("x".repeat(6e7)).length;', 'return String.fromCharCode(...new Array(6e4).fill(65)).repeat(1e5).length;', 'return structuredClone(new ArrayBuffer(5e7)).byteLength;',
];

export default [
  modern('endless-loops', LOOPS, cpu, ['for (;;);', 'while (true) try { throw 1; } catch {} finally { continue; }',
    'const it = { [Symbol.iterator]() { return { next: () => ({ done: false }) }; } }; for (const x of it);',
    'function* g() { for (;;) yield; } for (const x of g());', 'await (async () => { for (;;) await null; })();',
    'try { for (;;); } catch { return "caught"; } finally { return "finally"; }']),
  modern('endless-microtasks', 'Endless microtasks, thenables', cpu, [
    'const again = () => Promise.resolve().then(again); again(); await new Promise(() => {});',
    'const again = () => queueMicrotask(again); again(); await new Promise(() => {});',
    'const thenable = { then(f) { f(thenable); } }; return await thenable;']),
  modern('endless-sorts', 'Sort comparators, array methods on huge lengths', cpu, [
    'Array.from({ length: 1e4 }, Math.random).sort(() => { for (;;); });', 'for (;;) Array.from({ length: 1e4 }, Math.random).sort();',
    'const a = { length: Number.MAX_SAFE_INTEGER }; Array.prototype.forEach.call(a, () => {});',
    'Array.prototype.indexOf.call(new Proxy({ length: 2 ** 53 - 1 }, {}), 1);', '"x".repeat(1e5).replace(/x/g, () => { for (;;); });']),
  modern('catastrophic-regexes', 'Catastrophic regexes', cpu, ['/^(a+)+$/.test("a".repeat(40) + "b");', '/(x+x+)+y/.test("x".repeat(64));',
    '/(?=(a*)*b)(a|a)*$/.test("a".repeat(64));', '("a".repeat(1e5) + "b").match(/(?:a*)*c/);']),
  modern('huge-bigints', 'Huge BigInts', ends, ['return String(2n ** 1000000000n).length;', 'let x = 3n; for (;;) x = x * x;', 'return 1n << (2n ** 62n);',
    'return BigInt("9".repeat(1e6)) % 7n;', 'return (10n ** 4000000n).toString().length;']),
  modern('memory-filled', FILLS, memory, ['const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));', 'const all = []; for (;;) all.push({ a: all.length });',
    'const map = new Map(); for (let i = 0;; i++) map.set(i, i);', 'const all = []; for (;;) all.push(new Array(1e6).fill(0));',
    'for (const all = [];;) all.push(new Promise(() => {}).then(() => {}));', 'const all = []; for (;;) { try { all.push(new Uint8Array(1 << 22)); } catch {} }'], patient),
  modern('memory-filled-by-default-limits', FILLS, ends, ['let text = "x"; for (const all = [];;) { text += text + 1; all.push(text); }',
    'const all = []; for (;;) all.push(new ArrayBuffer(1 << 16).fill);', 'const all = []; for (;;) all.push(all.slice());']),
  modern('single-huge-allocations', HUGE, ends, huge.slice(0, 9)),
  modern('more-huge-allocations', HUGE, ends, huge.slice(9)),
  modern('close-to-the-memory-limit', 'Arrays close to the memory limit', [ok, memory], [54, 56, 58, 60, 61, 62, 63, 64].map((megabytes) => `
    const big = new Uint8Array(${megabytes} << 20).fill(1); const more = [];
    try { for (let i = 0; i < 2e4; i++) more.push({ i, text: 'x' + i }); } catch {}
    return big.length + more.length;`), patient),
  {
    id: 'request-larger-than-memory',
    row: 'A snapshot or request larger than memory',
    settings: { limits: { memoryMib: 4 } },
    files: { 'endpoints/any.js': 'function onRequest(request, response) { response.complete(200, 1); }' },
    async attempt(t) {
      await t.run('any', { text: 'x'.repeat(3 << 20) }, memory);
      const big = await t.deploy({ 'endpoints/any.js': 'var big = new Uint8Array(16 << 20).fill(1); function onRequest(request, response) { response.complete(200, big.length); }' }, [{ status: 201 }, { status: 550 }]);
      if (big.status === 201) await t.run('any', {}, memory);
    },
  },
  modern('log-floods', LOGS, violates('log'), ['for (;;) console.log("x".repeat(1000));', 'for (;;) console.log();', 'for (;;) console.error("");',
    'for (;;) context.logger.info({ a: 1 });', 'for (;;) console.table([[1, 2], [3, 4]]);', 'for (;;) console.count();', 'for (;;) { console.group("g"); }',
    'for (;;) try { for (;;) console.log("x"); } catch {} finally { for (;;); }']),
  modern('hostile-lines', LOGS, [ok, violates('log'), cpu], ['console.log("x".repeat(1 << 20)); return 1;', 'const a = {}; a.a = a; console.log(a); return 1;',
    'let a = {}; for (let i = 0; i < 1e5; i++) a = { a }; console.log(a); return 1;',
    'console.log(new Proxy({}, { get() { throw 1; }, ownKeys() { throw 1; } })); return 1;',
    'console.log({ get a() { throw 1; }, toString() { throw 1; }, [Symbol.toStringTag]: 5 }); return 1;',
    'console.log("%s %d %i %f %j %o %O %c %%", Symbol(), 1n, {}, [], () => {}); return 1;']),
  modern('too-many-host-calls', 'Too many host calls, many pending ones', violates('calls'), [
    'for (let i = 0; i < 1e4; i++) context.collectionAccess.collection("a").count({}).catch(() => {}); await new Promise(() => {});',
    'for (;;) await context.collectionAccess.collection("a").count({});',
    'for (;;) try { await context.hostCall("nothing", 1); } catch {}'], { settings: { limits: { cpuMs: 2000 } } }),
  {
    id: 'many-pending-host-calls',
    row: 'Too many host calls, many pending ones',
    settings: { limits: { calls: 2000, cpuMs: 5000 }, budget: { calls: 5000, cpuMs: 10000 } },
    modern: ['const all = Array.from({ length: 1500 }, () => context.collectionAccess.collection("a").count({})); return (await Promise.all(all)).length;'],
    expect: answers(1500),
  },
  {
    id: 'host-call-arguments',
    row: 'Host call arguments too large, or not JSON',
    modern: [
      ['await context.hostCall("x", "y".repeat(5 << 20));', violates('output')],
      ['await context.hostCall("x".repeat(5 << 20), 1);', violates('output')],
      ...['10n', '() => {}', 'Symbol()', '(() => { const a = []; a[0] = a; return a; })()'].map((value) => [`await context.hostCall("nothing", ${value})`, threw()]),
      ['await context.collectionAccess.collection("a").insert({ text: "y".repeat(5 << 20) });', [violates('output'), threw()]],
      ['await context.collectionAccess.collection("a").find({ a: 10n });', threw()],
    ],
  },
  {
    id: 'data-calls-that-pile-up',
    row: 'Data calls that pile up, with megabytes of arguments or of values',
    // Time enough for its processor time to be what runs out, on processors shared with another attack too.
    settings: { limits: { wallMs: 20_000, cpuMs: 2000 }, budget: { cpuMs: 20_000 } },
    modern: [
      'const a = "a".repeat(3 << 20); for (let i = 0; i < 20; i++) context.collectionAccess.collection("a").find({ a, b: { $regex: "x+y" } }).catch(() => {}); return "done";',
      'const a = Array(1_500_000).fill(0); try { await context.collectionAccess.collection("a").insert({ a }); } catch (error) { return error.name; }',
      'const a = Array(400_000).fill({ "": 0 }); try { await context.collectionAccess.collection("a").find({ a }); } catch (error) { return error.name; }',
    ],
    expect: harmless,
  },
  {
    id: 'clients-that-hang-up',
    row: 'Clients that hang up, for the app to be paused',
    files: { 'endpoints/wait.mjs': 'export async function onRequest() { await new Promise((done) => setTimeout(done, 300)); return "done"; }' },
    async attempt(t) {
      for (let i = 0; i < 40; i++) {
        const gone = new AbortController();
        const asked = fetch(`${t.url}/rpc/${t.app.key}/custom/wait`, { method: 'POST', headers: { authorization: t.owner, 'content-type': 'application/json' }, body: '{}', signal: gone.signal }).catch(() => {});
        await new Promise((done) => setTimeout(done, 30));
        gone.abort();
        await asked;
      }
      for (let i = 0; i < 5; i++) await t.run('wait', {}, answers('done'));
    },
  },
  {
    id: 'output-too-large',
    row: 'Output too large',
    ...patient,
    modern: [['return "x".repeat(5 << 20);', violates('output')]],
    kinvey: [['response.complete(200, "x".repeat(5 << 20));', violates('output')],
      ['response.headers = { a: "x".repeat(5 << 20) }; response.complete(200);', violates('output')]],
  },
  {
    id: 'past-the-deadline',
    row: 'Waiting or computing past the deadline',
    settings: { limits: { wallMs: 300, cpuMs: 5000 }, budget: { cpuMs: 10000 } },
    modern: ['await new Promise((done) => setTimeout(done, 100000));', 'setInterval(() => {}, 1); await new Promise(() => {});', 'for (;;);'],
    expect: wall,
  },
  {
    id: 'many-timers',
    row: 'Many timers, `setImmediate` for ever',
    modern: [
      ['let fired = 0; await new Promise((done) => { for (let i = 0; i < 2000; i++) setTimeout(() => { if (++fired === 2000) done(); }, i % 7); }); return fired;', [answers(2000), cpu]],
      ['for (let i = 0; i < 1e9; i++) setTimeout(() => {}, 1);', ends],
      ['const again = () => setImmediate(again); again(); await new Promise(() => {});', ends],
    ],
  },
  {
    id: 'each-limit-from-either-form',
    row: 'Each limit, from either handler form',
    settings: { limits: { wallMs: 1000, cpuMs: 900 }, budget: { cpuMs: 20000 } },
    modern: [['for (;;);', [cpu, wall]], ['const all = []; for (;;) all.push(new Uint8Array(1 << 20));', memory], ['for (;;) console.log("x");', violates('log')], ['await new Promise((f) => setTimeout(f, 1e6));', wall]],
    kinvey: [['for (;;);', [cpu, wall]], ['var all = []; for (;;) all.push(new Uint8Array(1 << 20));', memory], ['for (;;) console.log("x");', violates('log')], ['setTimeout(function () {}, 1e6);', wall]],
  },
];

