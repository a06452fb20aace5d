// Reading what others left: secrets are written by one app's run, and looked for by another's.
import { answers, ok } from '../lib/expect.mjs';
import { deploy, makeApp, removeApp } from '../lib/admin.mjs';
import { clientOf } from '../../lib/http.mjs';

const MARK = 'residue-7f1d';
/** Looks through all the memory that a script can have for the mark (put together here, so that the source is no find). */
const SEARCH = `
  const mark = ['residue', '7f1d'].join('-');
  let found = globalThis.kept ?? null;
  for (const size of [1 << 12, 1 << 16, 1 << 20]) {
    for (let i = 0; i < 8; i++) {
      const bytes = new Uint8Array(size);
      for (let j = 0; j < size; j += 512) if (bytes[j] !== 0) found = 'bytes at ' + j;
    }
  }
  return found ?? (new TextDecoder().decode(new Uint8Array(1 << 16)).includes(mark) ? 'text' : 'nothing');`;
const MARKS = (how) => `globalThis.kept = '${MARK}'; Object.prototype.kept2 = 1; const text = new TextEncoder().encode('${MARK}'.repeat(1000)); const all = [];
  for (let i = 0; i < 40; i++) { const one = new Uint8Array(1 << 20); for (let at = 0; at + text.length < one.length; at += text.length) one.set(text, at); all.push(one); } ${how}`;
const searching = (body) => `export async function onRequest(request, context) { ${body} }`;
const HOW = { completes: 'return all.length;', throws: 'throw new Error("x");', loops: 'for (;;);', fills: 'for (;;) all.push(new Uint8Array(1 << 20).fill(7));', recurses: 'function f() { f(); } f();' };
const roomy = { limits: { cpuMs: 3000 }, budget: { cpuMs: 30_000 } };

export default [
  {
    id: 'memory-left-behind',
    row: 'Memory filled, grown, scribbled over, trapped, dropped mid-run',
    settings: roomy,
    files: { 'endpoints/search.mjs': searching(SEARCH), ...Object.fromEntries(Object.entries(HOW).map(([name, how]) => [`endpoints/${name}.mjs`, searching(MARKS(how))])) },
    async attempt(t) {
      for (const name of Object.keys(HOW)) {
        await t.run(name, {});
        for (let i = 0; i < 3; i++) await t.run('search', {}, answers('nothing'));
      }
    },
  },
  {
    id: 'snapshots-of-many-pieces',
    row: 'A snapshot of so many pieces that its slots take all mappings of a child',
    settings: roomy,
    deploys: [[{ 'endpoints/evil.mjs': `const pages = new Uint8Array(40 << 20); for (let at = 0; at < pages.length; at += 72 << 10) pages[at] = 1;
      export async function onRequest() { await new Promise((done) => setTimeout(done, 50)); return pages[0]; }` }, [{ status: [201, 400] }]]],
    runs: answers(1),
  },
  {
    id: 'another-apps-bytes',
    row: 'Another app\'s bytes',
    settings: roomy,
    files: { 'endpoints/search.mjs': searching(SEARCH), 'endpoints/canary.mjs': searching('return (await context.collectionAccess.collection("secrets").find({})).length + (await context.collectionAccess.collection("secrets").count({}));') },
    async attempt(t) {
      const other = await makeApp(t.server, 'marking', roomy);
      await deploy(t.server, other, { 'endpoints/mark.mjs': searching(MARKS('return all.length;')) });
      for (let i = 0; i < 6; i++) {
        await t.request('mark', () => clientOf(other).master.run('mark'), ok);
        await t.run('search', {}, answers('nothing'));
      }
      await t.run('canary', {}, answers(0));
      await removeApp(t.server, other);
    },
  },
  {
    id: 'many-at-once',
    row: 'Many at once',
    settings: roomy,
    files: { 'endpoints/own.mjs': searching('globalThis.n = (globalThis.n ?? 0) + request.body.n; await new Promise((f) => setTimeout(f, 5)); return globalThis.n;') },
    async attempt(t) {
      await Promise.all(Array.from({ length: 40 }, (_, n) => t.run('own', { n }, answers(n))));
    },
  },
];
