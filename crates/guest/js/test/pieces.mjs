// What hostile.test.mjs does in a clean and in a hostile world: function bodies that give a text, written with
// syntax alone, as no built-in can be relied on there. Any engine's worlds can be compared by them.

// (A stack is read at once: Node makes its text when first asked, with the global Error.)
export const MAKE = `{
  utils: undefined,
  text: 'a=1&b=%C3%A9+x&a=2', long: 'xé'.repeat(9000), date: new Date(86400000), badDate: new Date(NaN), regexp: /a.b/giu,
  map: new Map([['k', { v: 1 }]]), set: new Set([1, [2]]), error: ((e) => (e.stack, e))(new RangeError('e', { cause: 'c' })),
  bytes: new Uint8Array([0xEF, 0xBB, 0xBF, 65, 0xE2, 0x82, 0xAC, 0xFF]), half: new Uint8Array([0xE2, 0x82]), rest: new Uint8Array([0xAC]),
  wide: new Uint8Array([65, 0, 0x3D, 0xD8, 0, 0xDE]), room: new Uint8Array(4), buffer: new ArrayBuffer(4), view: new DataView(new ArrayBuffer(4), 1),
  ints: new Int32Array(4), boxed: Object('s'), circle: (() => { const o = { list: [1, , 3] }; o.self = o; return o; })(),
  proxy: new Proxy({ a: 1 }, {}), promise: new Promise(() => {}), weak: new WeakMap(), dom: new DOMException('m', 'AbortError'),
  fn: function named() {}, Class: class Foo {}, fatal: { fatal: true, ignoreBOM: false }, stream: { stream: true },
  init: { status: 201, statusText: 'ok', headers: { B: 'x', a: 'y' } }, pairs: [['x', '1'], ['X', '2']], nested: { a: { b: [{ c: {} }] } },
  acl: { _acl: { r: ['u', 'v'] } }, template: '{{#l}}\\n{{x}}<{{{y}}}\\n{{/l}}{{^no}}-{{/no}}{{a.b}}',
  data: { l: [{ x: '<' }, { x: 2, y: '"' }], a: { b: 'é' } }, request: { appKey: 'kid_x', tempObjectStore: { old: 1 } },
  list: ['id', 'name'], rows: [{ id: 1, name: 'n' }, { id: 2 }], errorless: { message: 1 },
}`;

export const PIECES = {
  url: `const u = new URL('../p?q=1#h', 'https://u:p@h:81/a/b/'); u.searchParams.append('z', 'é &'); u.hash = 'x'; u.pathname = '/é';
    return u.href + u.origin + u.searchParams.toString() + u.port`,
  canParse: `return URL.canParse('x') + '|' + URL.canParse('x:y') + URL.parse('https://h/x').pathname`,
  params: `const p = new URLSearchParams(make.text); p.append('c', 'd'); p.set('b', 'new'); p.sort(); p.delete('a', '1');
    let seen = ''; p.forEach((v, k) => { seen += k + v; }); return seen + p.toString() + p.get('a') + p.has('c') + p.size + p.getAll('a')[0]`,
  paramsForms: `return new URLSearchParams({ a: 'b', c: 1 }).toString() + new URLSearchParams(make.pairs) .toString() + new URLSearchParams(new URLSearchParams('x=y')).toString()`,
  paramsIterator: `const i = new URLSearchParams('a=1&b=2').entries(); const s = i.next(); return s.value[0] + s.value[1] + i.next().done + i.next().done`,
  headers: `const h = new Headers({ B: ' x ', a: 'y' }); h.append('b', 'z'); h.set('c', '1'); h.delete('a'); h.append('set-cookie', 'k'); h.append('set-cookie', 'l');
    let seen = ''; h.forEach((v, k) => { seen += k + ':' + v + ';'; }); return seen + h.get('B') + h.has('a') + h.getSetCookie()[1] + h.getSetCookie().length`,
  headersForms: `let all = ''; const i = new Headers(new Headers(make.pairs)).entries(); const s = i.next(); return s.value[0] + s.value[1] + i.next().done`,
  response: `const r = new Response('é', make.init); const j = Response.json({ a: 1 }); const d = Response.redirect('https://h/x');
    return r.status + r.statusText + r.headers.get('b') + r.ok + j.headers.get('content-type') + d.headers.get('location') + r.clone().bodyUsed`,
  responseForm: `return new Response(new URLSearchParams('a=b')).headers.get('content-type') + new Response(make.bytes).headers.has('content-type')`,
  encode: `const e = new TextEncoder(); const r = e.encodeInto('é€x', make.room); return e.encode('é').constructor === undefined ? 1 : r.read + '/' + r.written + make.room[0]`,
  decode: `const d = new TextDecoder(); return d.decode(make.bytes) + d.decode(make.half, make.stream) + d.decode(make.rest) + d.encoding`,
  decodeOthers: `return new TextDecoder('latin1').decode(make.bytes) + new TextDecoder('utf-16le').decode(make.wide) + new TextDecoder('utf-8', make.fatal).fatal`,
  clone: `const c = structuredClone(make.circle); console.log(c); return (c.self === c) + '' + c.list.length + c.list[2]`,
  cloneKinds: `return structuredClone(make.date) !== make.date && structuredClone(make.bytes)[3] + '' + structuredClone([make.map, make.set, make.regexp, make.boxed, make.view, make.ints, make.error, make.dom]).length`,
  cloneTransfer: `structuredClone(1, { transfer: [make.buffer] }); return 'moved'`,
  cloneRefused: `try { structuredClone(make.fn); } catch (e) { return typeof e; }`,
  random: `return (crypto.getRandomValues(make.ints) === make.ints) + '' + (crypto.randomUUID()[14])`,
  tooRandom: `try { crypto.getRandomValues(make.proxy); } catch (e) { return typeof e; }`,
  timers: `const id = setTimeout(() => {}, '5', 'a'); clearTimeout(id); clearInterval('7'); return setInterval(() => {}, 1) - setImmediate(() => {})`,
  timersRefused: `try { setTimeout(5); } catch (e) { return typeof e; }`,
  console: `console.log('%s %d %i %f %o %O %j %c%%', 's', '1', 2.5, '3.5x', make.nested, make.circle, 5, 'css', make.map, make.set);
    console.error(make.date, make.badDate, make.regexp, make.bytes, make.view, make.boxed, make.fn, make.Class, make.weak);
    console.warn(make.proxy, 1n, -0, make.buffer.x, make.long); console.info(make.dom.x); return ''`,
  consoleOthers: `console.group('g'); console.count(); console.count('x'); console.countReset(); console.assert(false, 'no'); console.table(make.rows, make.list);
    console.table(make.rows); console.dir(make.nested, { depth: 0 }); console.groupEnd(); console.timeEnd('none'); return ''`,
  consoleObjects: `console.log(new URLSearchParams('a=b'), new Headers(make.pairs), new URL('https://h/'), new TextDecoder(), new Response()); return ''`,
  base64: `const { base64 } = make.utils; return base64.encode('é€') + base64.decode('w6nigqw') + base64.decode('_-8=')`,
  dates: `const { convert } = make.utils; const s = convert.toKinveyDateString(make.date); return s + convert.fromKinveyDateString(s, 'string') + convert.toKinveyDateString(make.badDate) +
    (typeof convert.fromKinveyDateString(s)) + convert.toKinveyDateString('1970-01-02')`,
  entities: `const e = make.utils.kinveyEntity(make.acl); e._acl.addReader('w').removeReader('u').addWriterGroup('g').setGloballyReadable(true);
    const r = e._acl.getReaders(); return r.length + r[0] + r[1] + e._acl.getWriterGroups()[0] + e._acl.creator + e._id.length + make.utils.kinveyEntity.isKinveyEntity(e)`,
  store: `const s = make.utils.tempObjectStore; s.set('a', 1); return s.get('a') + s.get('old') + '' + s.get('none') + s.getAll().a`,
  template: `return make.utils.renderTemplate(make.template, make.data)`,
};
