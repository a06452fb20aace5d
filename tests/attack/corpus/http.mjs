// Over HTTP: the bytes of requests.
import { ok } from '../lib/expect.mjs';
import { hold } from '../lib/raw.mjs';

const host = (t) => `host: ${new URL(t.url).host}\r\n`;
const head = (t, method, path, more = '') => `${method} ${path} HTTP/1.1\r\n${host(t)}authorization: ${t.owner}\r\n${more}\r\n`;
const lively = (t) => t.ask(`/appdata/${t.app.key}`, { authorization: t.owner }, ok);
const REFUSED = [{ status: [400, 401, 404, 405, 408, 411, 413, 414, 415, 431, 501, 505] }];
/** No answer at all is one, too: the connection is closed, or waits for what was announced. */
const REFUSED_OR_CLOSED = [...REFUSED, { status: 0 }];

export default [
  {
    id: 'bodies-over-limits',
    row: 'Bodies over the limit, announced or not',
    async attempt(t) {
      const path = `/appdata/${t.app.key}/things`;
      await t.raw('announced', [head(t, 'POST', path, 'content-type: application/json\r\ncontent-length: 99999999999\r\n'), '{"a":"', 'x'.repeat(1000)], REFUSED_OR_CLOSED, { patience: 2000 });
      await t.raw('endless chunks', [head(t, 'POST', path, 'content-type: application/json\r\ntransfer-encoding: chunked\r\n'), ...Array(100).fill(`10000\r\n${'x'.repeat(65_536)}\r\n`)], REFUSED_OR_CLOSED, { patience: 3000 });
      await t.raw('a huge chunk', [head(t, 'POST', path, 'content-type: application/json\r\ntransfer-encoding: chunked\r\n'), 'ffffffffffffffff\r\nx'], REFUSED_OR_CLOSED, { patience: 1000 });
      await t.raw('no chunk', [head(t, 'POST', path, 'content-type: application/json\r\ntransfer-encoding: chunked\r\n'), 'nonsense\r\n\r\n'], REFUSED_OR_CLOSED, { patience: 1000 });
      await t.raw('a bomb', [head(t, 'POST', path, 'content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n'), 'abcd'], [...REFUSED, ok], { patience: 1000 });
      await lively(t);
    },
  },
  {
    id: 'slow-loris',
    row: 'Slow connections: heads and bodies that drip, never end, or never begin',
    async attempt(t) {
      const path = `/appdata/${t.app.key}/things`;
      const ends = [hold(t.url, 40, `POST ${path} HTTP/1.1\r\n${host(t)}x-slow: `), hold(t.url, 40, head(t, 'POST', path, 'content-type: application/json\r\ncontent-length: 100000\r\n')), hold(t.url, 20, '')];
      try {
        for (let i = 0; i < 20; i++) {
          await lively(t);
          await new Promise((done) => setTimeout(done, 100));
        }
      } finally {
        for (const end of ends) end();
      }
      await lively(t);
    },
  },
  {
    id: 'answers-not-taken',
    row: 'Large answers, many at once, that nobody takes, or byte by byte',
    async attempt(t) {
      const path = `/appdata/${t.app.key}/heavy`;
      for (let n = 0; n < 4; n++) await t.ask(path, { method: 'POST', authorization: t.owner, body: { _id: `${n}`, text: 'x'.repeat(3 << 20) } }, ok);
      const fetch = () => t.ask(path, { authorization: t.owner }, [ok, { error: 'KinveyInternalErrorRetry' }]);
      // 12 MiB each: more than an app may have on the way.
      const end = hold(t.url, 40, head(t, 'GET', path));
      try {
        for (let i = 0; i < 20; i++) {
          await lively(t);
          await new Promise((done) => setTimeout(done, 100));
        }
        t.check((await fetch()).status === 503, 'there is no bound');
      } finally {
        end();
      }
      for (let left = 50; (await fetch()).status !== 200; left--) {
        if (left === 0) return t.check(false, 'nothing is given back');
        await new Promise((done) => setTimeout(done, 100));
      }
    },
  },
  {
    id: 'header-floods',
    row: 'Floods of headers, and long ones',
    async attempt(t) {
      const path = `/appdata/${t.app.key}`;
      await t.raw('many', [head(t, 'GET', path, 'a: b\r\n'.repeat(20_000))], REFUSED_OR_CLOSED);
      await t.raw('long', [head(t, 'GET', path, `a: ${'b'.repeat(2 << 20)}\r\n`)], REFUSED_OR_CLOSED);
      await t.raw('a long name', [head(t, 'GET', path, `${'a'.repeat(1 << 20)}: b\r\n`)], REFUSED_OR_CLOSED);
      await t.raw('endless', [`GET ${path} HTTP/1.1\r\n`, ...Array(200).fill(`a: ${'b'.repeat(8000)}\r\n`)], REFUSED_OR_CLOSED);
      for (const line of ['a b: c', ': c', 'a', 'a\0: b', 'a: \0', 'a : b', '\tfolded', 'é: x']) await t.raw(line, [head(t, 'GET', path, `${line}\r\n`)], [...REFUSED_OR_CLOSED, ok], { patience: 700 });
      await lively(t);
    },
  },
  {
    id: 'paths',
    row: 'Tricks with paths: `..`, `%2f`, NUL, very long ones',
    async attempt(t) {
      const other = t.world.neighbour.app.key;
      for (const path of [`/appdata/${t.app.key}/../${other}/secrets/canary`, `/appdata/${t.app.key}/..%2f${other}%2fsecrets`, `/appdata/${t.app.key}%2f..%2f${other}/secrets`, `/appdata/${t.app.key}/%2e%2e/${other}/secrets`, `/appdata//${other}/secrets`,
        `//appdata/${other}/secrets`, `/appdata/${other}%00/secrets`, `/appdata/${t.app.key}/things/%00`, '/../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/..\\..\\etc\\passwd', '/admin/../appdata', `/appdata/${t.app.key}/..;/admin/apps`, '/admin/apps%2f', '/ADMIN/apps', '/admin/apps/',
        `/appdata/${t.app.key}/${'x'.repeat(50_000)}`, `/${'a/'.repeat(20_000)}`, `/appdata/${t.app.key}/%ff%fe`, `/appdata/${t.app.key}/%zz`, '/\u0001', '*', 'http://127.0.0.1/admin/apps', '', '?', '/appdata/%F0%9F%92%A9', '//']) {
        const got = await t.raw(path.slice(0, 80), [head(t, 'GET', path, 'connection: close\r\n')], [...REFUSED_OR_CLOSED, { status: 200 }], { patience: 1500 });
        t.check(!got.text.includes('"key"'), `apps were listed by ${path}`);
      }
    },
  },
  {
    id: 'smuggling',
    row: 'Requests within requests: contradictory and doubled lengths, bare line breaks',
    async attempt(t) {
      const path = `/appdata/${t.app.key}/things`;
      const hidden = `GET /admin/apps HTTP/1.1\r\n${host(t)}x: `;
      for (const [what, headers, body] of [
        ['length and chunks', 'content-length: 5\r\ntransfer-encoding: chunked\r\n', `0\r\n\r\n${hidden}`], ['chunks and length', 'transfer-encoding: chunked\r\ncontent-length: 5\r\n', `0\r\n\r\n${hidden}`],
        ['two lengths', 'content-length: 2\r\ncontent-length: 40\r\n', '{}'], ['lengths in a list', 'content-length: 2, 40\r\n', '{}'], ['a negative length', 'content-length: -1\r\n', ''], ['a length with a sign', 'content-length: +2\r\n', '{}'],
        ['a hexadecimal length', 'content-length: 0x2\r\n', '{}'], ['an unknown coding', 'transfer-encoding: xchunked\r\n', '0\r\n\r\n'], ['a spaced coding', 'transfer-encoding : chunked\r\n', '0\r\n\r\n'], ['chunked twice', 'transfer-encoding: chunked, chunked\r\n', '0\r\n\r\n'],
        ['chunked, then identity', 'transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n', '0\r\n\r\n'], ['a bare CR', 'a: b\rcontent-length: 5\r\n', ''], ['two hosts', 'host: evil.example\r\ncontent-length: 2\r\n', '{}']]) {
        const got = await t.raw(what, [`POST ${path} HTTP/1.1\r\n${host(t)}authorization: ${t.owner}\r\ncontent-type: application/json\r\n${headers}\r\n${body}`], undefined, { patience: 700 });
        t.check(got.statuses.length <= 1 || !got.statuses.slice(1).some((status) => status < 400), `${what}: a second request was answered: ${got.statuses.join()}`);
        t.check(!got.statuses.some((status) => status >= 500), `${what}: ${got.statuses.join()}`);
      }
      await t.raw('no protocol', ['GET /\r\n\r\n'], REFUSED_OR_CLOSED, { patience: 700 });
      await t.raw('another protocol', ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'], REFUSED_OR_CLOSED, { patience: 700 });
      await t.raw('HTTP/2 without asking', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', Buffer.alloc(1000, 255)], REFUSED_OR_CLOSED, { patience: 700 });
      await lively(t);
    },
  },
  {
    id: 'odd-bytes',
    row: 'Invalid UTF-8, wrong types, other encodings in bodies and parameters',
    async attempt(t) {
      const path = `/appdata/${t.app.key}/things`;
      for (const bytes of [[0xff, 0xfe, 0x7b, 0], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d], [0xef, 0xbb, 0xbf, 0x7b, 0x7d], Array(1000).fill(0)]) {
        await t.raw(`bytes ${bytes.slice(0, 4)}`, [head(t, 'POST', path, `content-type: application/json\r\nconnection: close\r\ncontent-length: ${bytes.length}\r\n`), Buffer.from(bytes)], REFUSED, { patience: 1500 });
      }
      for (const type of ['text/plain', 'application/xml', 'multipart/form-data', 'application/json; charset=utf-16', '', 'x'.repeat(5000)]) {
        await t.raw(`type ${type.slice(0, 20)}`, [head(t, 'POST', path, `content-type: ${type}\r\nconnection: close\r\ncontent-length: 7\r\n`), '{"a":1}'], [...REFUSED, ok], { patience: 1500 });
      }
      for (const query of ['%ff', '%00', '%7B%22a%22:%22%ff%22%7D', '{"a":"\\ud800"}', '%u0000', '&&&=&=', `${'a=b&'.repeat(5000)}`]) {
        await t.raw(`query ${query.slice(0, 20)}`, [head(t, 'GET', `${path}?query=${query.replaceAll(' ', '%20').replaceAll('"', '%22')}`, 'connection: close\r\n')], [...REFUSED, ok], { patience: 1500 });
      }
      for (const method of ['PATCH', 'TRACE', 'CONNECT', 'OPTIONS', 'get', 'X'.repeat(1000), 'BREW']) await t.raw(method.slice(0, 20), [head(t, method, path, 'connection: close\r\n')], [...REFUSED_OR_CLOSED, ok], { patience: 1000 });
    },
  },
  {
    id: 'forged-headers',
    row: 'Headers that a proxy or the platform itself would set',
    async attempt(t) {
      for (const headers of [{ 'x-forwarded-for': '127.0.0.1' }, { 'x-kinvey-request-id': 'a\'b' }, { 'x-original-url': '/admin/apps' }, { 'x-http-method-override': 'DELETE' }, { 'x-kinvey-api-version': '99999999999999999999' }, { 'x-kinvey-custom-request-properties': '{"__proto__":{"a":1}}' },
        { 'x-kinvey-custom-request-properties': 'x'.repeat(5000) }, { 'x-kinvey-client-app-version': '\'"<>' }, { 'x-kinvey-skip-business-logic': 'true' }, { 'idempotency-key': 'x'.repeat(5000) }, { prefer: 'respond-async, wait=-1' }, { 'if-none-match': '*' }, { range: 'bytes=0-99999999999' }]) {
        await t.ask(`/appdata/${t.app.key}`, { authorization: t.owner, headers }, [ok, ...REFUSED]);
      }
    },
  },
];
