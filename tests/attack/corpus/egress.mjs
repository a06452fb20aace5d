// Reaching out. The server is told that scripts may reach 127.0.0.1, where a hostile server listens; nothing else is open.
import { answers, ok, threw } from '../lib/expect.mjs';

const CODE = { 'endpoints/send.mjs': `export async function onRequest(request, context) {
  const all = await Promise.all(request.body.urls.map(async (url) => {
    try {
      const got = await context.fetch(url, request.body.init);
      return [got.status, (await got.text()).length];
    } catch (error) { return [error.name, error.cause?.name ?? error.name, error.message]; }
  }));
  return all;
}` };

/** Sends to each of these; expects each to be one of these errors' names. */
const sends = (id, row, urls, names, { init, allow, limits = { wallMs: 8000, cpuMs: 2000 }, echoes } = {}) => ({
  id,
  row,
  files: CODE,
  echoes: echoes ?? /\/proc\/self/g,
  async attempt(t) {
    const { hostile } = t.world;
    const at = (urls) => urls.map((url) => url.replaceAll('HOSTILE', hostile.url).replaceAll('PORT', hostile.port));
    const set = await t.settings({ limits, budget: { cpuMs: 10_000, timeMs: 60_000 }, allow: at(allow ?? ['HOSTILE']) }, [{ status: [200, 204] }]);
    if (set.status >= 300) return;
    for (const url of at(urls)) {
      const got = await t.run('send', { urls: [url], init }, ok);
      const [status, name, message] = got.body?.[0] ?? [];
      t.check(names.includes(name) || names.includes(status), `${url}: ${status} ${name} ${message}`);
    }
  },
});
const REFUSED = ['NotAllowedError', 'TypeError'];
const refusedLists = (id, row, lists) => ({ id, row, attempt: async (t) => { for (const allow of lists) await t.settings({ allow }, { status: 400 }); } });

const PRIVATE = ['http://127.0.0.2:PORT/', 'http://10.0.0.1/', 'http://192.168.0.1/', 'http://172.16.0.1/', 'http://169.254.169.254/latest/meta-data', 'http://100.64.0.1/',
  'http://224.0.0.1/', 'http://0.0.0.0:PORT/', 'http://[::1]:PORT/', 'http://[fe80::1]/', 'http://[fc00::1]/', 'http://[::ffff:10.0.0.1]/', 'http://[64:ff9b::a00:1]/', 'http://255.255.255.255/'];

export default [
  {
    id: 'egress-without-a-list',
    row: 'Sending anywhere at all',
    files: CODE,
    async attempt(t) {
      const got = await t.run('send', { urls: [t.world.hostile.url, 'https://example.com/', `${t.app.url}/admin/apps`] }, ok);
      t.check((got.body ?? []).every(([name]) => name === 'TypeError'), `something was sent: ${got.text}`);
    },
  },
  sends('hosts-not-listed', 'Sending anywhere at all', ['http://127.0.0.1:1/', 'https://example.com/', 'file:///etc/passwd', 'gopher://127.0.0.1:PORT/', 'ftp://127.0.0.1/', 'data:text/plain,x', 'unix:///proc/self'], REFUSED),
  sends('private-addresses', 'Private, loopback, link-local, CGNAT, multicast, translated and reserved addresses', PRIVATE, REFUSED,
    { allow: PRIVATE.map((url) => url.replace(/(:\/\/[^/]*)\/.*/, '$1')) }),
  sends('odd-spellings', 'Odd spellings: decimal, octal, hex, short, full-width, percent-encoded, mapped, dots, userinfo, zone ids', ['http://167772161/', 'http://0xa.0.0.1/', 'http://012.0.0.1/', 'http://10.1/',
    'http://１０.0.0.1/', 'http://%31%30.0.0.1/', 'http://10.0.0.1./', 'http://[::ffff:a00:1]/', 'http://127.0.0.1:PORT@10.0.0.1/', 'http://10.0.0.1\\@127.0.0.1:PORT/', 'http://[fe80::1%25eth0]/', 'http://2130706434:PORT/'], REFUSED,
  { allow: ['HOSTILE', 'http://10.0.0.1', 'http://127.0.0.2:PORT'] }),
  refusedLists('ports-of-other-protocols', 'Speaking to a mail or IRC server by HTTP', [['http://127.0.0.1:25'], ['http://127.0.0.1:6667'], ['example.com:22'], ['*'], ['http://*'], ['*.com:25'], ['http://'], ['file:///'], ['']]),
  sends('mail-by-http', 'Speaking to a mail or IRC server by HTTP', ['http://127.0.0.1:25/', 'http://127.0.0.1:6667/', 'http://127.0.0.1:22/', 'HOSTILE/mail'], [...REFUSED, 'NetworkError']),
  sends('redirects', 'Redirects to private addresses, other hosts, other schemes, or for ever', ['http://10.0.0.1/', 'http://127.0.0.2:PORT/', 'file:///etc/passwd', 'https://example.com/', 'http://169.254.169.254/',
    'HOSTILE/redirect', 'gopher://127.0.0.1/', 'http://[', 'http://u:p@127.0.0.1:PORT/'].map((to) => `HOSTILE/redirect?to=${encodeURIComponent(to).replace('HOSTILE', '/redirect?to=x#').replace(/^\/redirect.*/, '/redirect')}`),
  [...REFUSED, 'NetworkError', 'LimitError', 302]),
  {
    id: 'headers-of-the-message',
    row: '`Host`, hop-by-hop and `Proxy-` headers, line breaks in names and values, `CONNECT`, `TRACE`',
    files: CODE,
    async attempt(t) {
      await t.settings({ allow: [t.world.hostile.url] }, { status: [200, 204] });
      for (const init of [...['Host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Upgrade', 'Expect', 'Proxy-Authorization', 'Via', 'a b', 'a\r\nx', ''].map((name) => ({ headers: { [name]: 'x' } })),
        ...['x\r\nhost: evil', 'x\ny', '\0'].map((value) => ({ headers: { a: value } })), ...['CONNECT', 'TRACE', 'GET / HTTP/1.1\r\nx: y', ''].map((method) => ({ method }))]) {
        const got = await t.run('send', { urls: [t.world.hostile.url], init }, ok);
        t.check(typeof got.body?.[0]?.[0] === 'string', `${JSON.stringify(init)} was sent: ${got.text}`);
      }
    },
  },
  sends('bombs', 'Decompression bombs: gzip, deflate, brotli, nested, many members', ['HOSTILE/bomb'], ['LimitError']),
  sends('endless-bodies', 'Endless, chunked and lying bodies; floods of headers and trailers', ['HOSTILE/endless', 'HOSTILE/chunks', 'HOSTILE/headers', 'HOSTILE/lies'], ['LimitError', 'NetworkError', 'TimeoutError'],
    // Chunks of a byte are slow to count on a busy machine: the broker's own time of 30 s may end them first.
    { limits: { wallMs: 40_000, cpuMs: 2000 } }),
  {
    id: 'servers-that-never-answer',
    row: 'Servers that never answer, or drip',
    files: CODE,
    async attempt(t) {
      await t.settings({ allow: [t.world.hostile.url], limits: { wallMs: 1000 } }, { status: [200, 204] });
      for (const path of ['/silent', '/drip']) await t.run('send', { urls: [t.world.hostile.url + path] }, { error: 'BLTimeoutError' });
    },
  },
  {
    id: 'many-requests-at-once',
    row: 'Many requests at once',
    files: CODE,
    async attempt(t) {
      await t.settings({ allow: [t.world.hostile.url], limits: { wallMs: 1500 } }, { status: [200, 204] });
      await t.run('send', { urls: Array(60).fill(`${t.world.hostile.url}/silent`) }, { error: 'BLTimeoutError' });
      await Promise.all(Array.from({ length: 6 }, () => t.run('send', { urls: Array(60).fill(`${t.world.hostile.url}/`) }, [ok, { error: 'BLTimeoutError' }])));
    },
  },
  sends('answers-that-are-no-http', 'Answers that are no HTTP', ['HOSTILE/nonsense', 'HOSTILE/mail', 'HOSTILE/double'], ['NetworkError']),
  {
    id: 'reading-a-secret',
    row: 'Reading a secret',
    files: { ...CODE, 'endpoints/look.mjs': `export async function onRequest(request, context) {
      const seen = new Set(); let text = '';
      (function look(value, depth) { if (depth > 6 || value === null || seen.has(value)) return;
        if (typeof value === 'object' || typeof value === 'function') { seen.add(value); for (const key of Reflect.ownKeys(value)) { text += String(key); try { look(value[key], depth + 1); } catch {} } }
        else text += String(value); })({ globalThis, request, context }, 0);
      return text.includes(['hidden', 'value', 'of', 'a', 'secret'].join('-')); }` },
    async attempt(t) {
      await t.settings({ allow: [t.world.hostile.url, 'example.com'], secrets: { KEY: { value: 'hidden-value-of-a-secret', hosts: ['example.com'] } }, limits: { cpuMs: 3000 } }, { status: [200, 204] });
      await t.run('look', {}, answers(false));
      const shown = await t.ask(`/admin/apps/${t.app.key}/settings`, { authorization: `Bearer ${t.server.adminToken()}` }, ok);
      t.check(!shown.text.includes('hidden-value'), 'settings show the value of a secret');
    },
  },
  { id: 'short-secrets', row: 'Guessing a secret by what is taken out of echoes',
    attempt: async (t) => { for (const value of ['', 'a', 'short', 'x'.repeat(15), 'x'.repeat(8193)]) await t.settings({ allow: ['example.com'], secrets: { KEY: { value, hosts: ['example.com'] } } }, { status: 400 }); } },
  {
    id: 'secrets-elsewhere',
    row: 'Sending a secret elsewhere: another host or port, plain HTTP, a redirect, the URL',
    files: CODE,
    async attempt(t) {
      const { url } = t.world.hostile;
      await t.settings({ allow: [url], secrets: { KEY: { value: 'hidden-value-of-a-secret', hosts: ['example.com'] }, OWN: { value: 'hidden-value-of-another', hosts: [url] } } }, [{ status: [200, 204, 400] }]);
      for (const name of ['KEY', 'OWN', 'NONE']) {
        const got = await t.run('send', { urls: [url], init: { headers: { authorization: `Bearer secret:${name}` } } }, ok);
        t.check(typeof got.body?.[0]?.[0] === 'string', `secret:${name} was sent: ${got.text}`);
      }
    },
  },
  {
    id: 'patched-fetch',
    row: 'Patched built-ins under `fetch` and `modules.request`',
    settings: {},
    files: { 'endpoints/patched.mjs': `export async function onRequest(request, context) {
      const fetch = context.fetch;
      for (const P of [String.prototype, Array.prototype, Map.prototype, RegExp.prototype, Headers.prototype, URL.prototype, Uint8Array.prototype])
        for (const key of Object.getOwnPropertyNames(P)) if (key !== 'constructor') try { Object.defineProperty(P, key, { value() { throw new Error('patched ' + key); } }); } catch {}
      const got = await fetch(request.body.url); return got.status; }` },
    async attempt(t) {
      await t.settings({ allow: [t.world.hostile.url] }, { status: [200, 204] });
      await t.run('patched', { url: t.world.hostile.url }, answers(200));
    },
  },
  {
    id: 'forged-log-lines',
    row: 'Log lines that forge others, move the cursor, or reverse text',
    files: { 'endpoints/log.js': 'function onRequest(request, response, modules) { modules.logger.error(request.body.text); console.log(request.body.text); response.complete(200, 1); }' },
    async attempt(t) {
      for (const text of ['a\nERROR forged', 'a\r\u001b[2J\u001b[H', '\u202egnol', '\0', '\u001b]0;title\u0007', 'x'.repeat(20_000)]) await t.run('log', { text }, ok);
      t.check(!/\u001b\[2J|^ERROR forged/m.test(t.server.log()), 'the server\'s log was written into');
    },
  },
  {
    id: 'anothers-keys',
    row: 'Another app\'s keys; too many or too large ones',
    files: { 'endpoints/keys.js': `function onRequest(request, response, modules) {
      var store = modules.utils.tempObjectStore;
      try { store.set('a', 'x'.repeat(request.body.size)); for (var i = 0; i < request.body.count; i++) store.set('k' + i, i); response.complete(200, Object.keys(store.getAll ? store.getAll() : {}).length); }
      catch (e) { response.error(e); } }` },
    async attempt(t) {
      for (const [size, count] of [[10, 10], [1 << 22, 1], [10, 100_000], [1 << 25, 0]]) await t.run('keys', { size, count }, [ok, threw(), { error: 'BLViolationError' }, { error: 'BLTimeoutError' }]);
      for (const name of ['keyvalue.get', 'kv.get', 'store.get', 'data.find', '../data', '__proto__', 'constructor']) await t.run('keys', { size: 1, count: 1, name }, ok);
    },
  },
];
