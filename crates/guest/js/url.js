// URL and URLSearchParams (url.spec.whatwg.org). Parsing URLs is the host's (Rust's `url`); the
// application/x-www-form-urlencoded format is here.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayPrototypeSort,
    ObjectDefineProperty,
    ReflectApply,
    ReflectGetOwnPropertyDescriptor,
    StringFromCharCode,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeSlice,
    StringPrototypeStartsWith,
    SymbolIterator,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetLength,
    Uint8Array,
  } = primordials;
  const { isObject, list, requireArguments, toArray, toUSVString } = internal;

  // ---- application/x-www-form-urlencoded ----

  const hexValue = (code) => {
    if (code >= 48 && code <= 57) return code - 48;
    const lower = code | 32;
    return lower >= 97 && lower <= 102 ? lower - 87 : -1;
  };

  const percentDecode = (text) => {
    if (StringPrototypeIndexOf(text, '%') < 0) return text;
    const bytes = native.utf8Encode(text);
    const length = TypedArrayPrototypeGetLength(bytes);
    let end = 0;
    for (let i = 0; i < length; i++) {
      let byte = bytes[i];
      if (byte === 37 && i + 2 < length) {
        const high = hexValue(bytes[i + 1]);
        const low = hexValue(bytes[i + 2]);
        if (high >= 0 && low >= 0) {
          byte = high * 16 + low;
          i += 2;
        }
      }
      bytes[end++] = byte;
    }
    return native.utf8Decode(new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), 0, end), false);
  };
  const decodePart = (text) => percentDecode(internal.replaceAll(text, '+', ' '));

  // A query as a flat list: name, value, name, value…
  const parseQuery = (query) => {
    const pairs = list();
    for (let start = 0; start < query.length;) {
      let end = StringPrototypeIndexOf(query, '&', start);
      if (end < 0) end = query.length;
      if (end > start) {
        const piece = StringPrototypeSlice(query, start, end);
        const equals = StringPrototypeIndexOf(piece, '=');
        pairs[pairs.length] = decodePart(equals < 0 ? piece : StringPrototypeSlice(piece, 0, equals));
        pairs[pairs.length] = equals < 0 ? '' : decodePart(StringPrototypeSlice(piece, equals + 1));
      }
      start = end + 1;
    }
    return pairs;
  };

  // (text[0] of an empty string would be looked for in String.prototype.)
  const withoutMark = (text) => (StringPrototypeStartsWith(text, '?') ? StringPrototypeSlice(text, 1) : text);

  const isPlain = (c) => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) ||
    c === 42 || c === 45 || c === 46 || c === 95; // * - . _

  const HEX_DIGITS = '0123456789ABCDEF';
  const encodePart = (text) => {
    let plain = 0;
    while (plain < text.length && isPlain(StringPrototypeCharCodeAt(text, plain))) plain++;
    if (plain === text.length) return text;
    let out = StringPrototypeSlice(text, 0, plain);
    const bytes = native.utf8Encode(StringPrototypeSlice(text, plain));
    const length = TypedArrayPrototypeGetLength(bytes);
    for (let i = 0; i < length; i++) {
      const byte = bytes[i];
      if (byte === 32) out += '+';
      else if (isPlain(byte)) out += StringFromCharCode(byte);
      else out += '%' + HEX_DIGITS[byte >> 4] + HEX_DIGITS[byte & 15];
    }
    return out;
  };

  const serializeQuery = (pairs) => {
    let out = '';
    for (let i = 0; i < pairs.length; i += 2) {
      out += (i === 0 ? '' : '&') + encodePart(pairs[i]) + '=' + encodePart(pairs[i + 1]);
    }
    return out;
  };

  // ---- URLSearchParams ----

  let newParams; // (query, onChange): the object of a URL
  let setQuery; // (params, query): when the URL's own query changed
  let pairsOf; // (value): its list; undefined if it is no URLSearchParams
  let searchIterators;

  class URLSearchParams {
    #pairs = list();
    #onChange; // of the URL this belongs to

    constructor(init = '') {
      const known = pairsOf(init);
      if (known !== undefined) {
        for (let i = 0; i < known.length; i++) this.#pairs[i] = known[i];
      } else if (isObject(init)) {
        internal.forEachPair(init, 'URLSearchParams', (name, value) => {
          // Converted before either is stored: conversion may throw.
          const key = toUSVString(name);
          const text = toUSVString(value);
          this.#pairs[this.#pairs.length] = key;
          this.#pairs[this.#pairs.length] = text;
        });
      } else {
        const text = toUSVString(init);
        this.#pairs = parseQuery(withoutMark(text));
      }
    }

    static {
      newParams = (query, onChange) => {
        const params = new URLSearchParams();
        params.#pairs = parseQuery(query);
        params.#onChange = onChange;
        return params;
      };
      setQuery = (params, query) => { params.#pairs = parseQuery(query); };
      pairsOf = (value) => (isObject(value) && #pairs in value ? value.#pairs : undefined);
      searchIterators = internal.pairIterators('URLSearchParams', (params, i) => {
        const pairs = params.#pairs;
        return 2 * i < pairs.length ? [pairs[2 * i], pairs[2 * i + 1]] : undefined;
      });
    }

    #changed() {
      if (this.#onChange !== undefined) this.#onChange(serializeQuery(this.#pairs));
    }
    static #check(value) {
      return pairsOf(value) ?? internal.illegalInvocation();
    }

    get size() {
      return URLSearchParams.#check(this).length / 2;
    }

    append(name, value) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 2, 'URLSearchParams.append');
      const key = toUSVString(name);
      const text = toUSVString(value);
      pairs[pairs.length] = key;
      pairs[pairs.length] = text;
      this.#changed();
    }

    delete(name, value = undefined) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 1, 'URLSearchParams.delete');
      const key = toUSVString(name);
      const text = value === undefined ? undefined : toUSVString(value);
      let kept = 0;
      for (let i = 0; i < pairs.length; i += 2) {
        if (pairs[i] === key && (text === undefined || pairs[i + 1] === text)) continue;
        pairs[kept++] = pairs[i];
        pairs[kept++] = pairs[i + 1];
      }
      pairs.length = kept;
      this.#changed();
    }

    get(name) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 1, 'URLSearchParams.get');
      const key = toUSVString(name);
      for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === key) return pairs[i + 1];
      return null;
    }

    getAll(name) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 1, 'URLSearchParams.getAll');
      const key = toUSVString(name);
      const found = list();
      for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === key) found[found.length] = pairs[i + 1];
      return toArray(found);
    }

    has(name, value = undefined) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 1, 'URLSearchParams.has');
      const key = toUSVString(name);
      const text = value === undefined ? undefined : toUSVString(value);
      for (let i = 0; i < pairs.length; i += 2) {
        if (pairs[i] === key && (text === undefined || pairs[i + 1] === text)) return true;
      }
      return false;
    }

    set(name, value) {
      const pairs = URLSearchParams.#check(this);
      requireArguments(arguments.length, 2, 'URLSearchParams.set');
      const key = toUSVString(name);
      const text = toUSVString(value);
      let kept = 0;
      let found = false;
      for (let i = 0; i < pairs.length; i += 2) {
        const same = pairs[i] === key;
        if (same && found) continue;
        const item = same ? text : pairs[i + 1];
        pairs[kept++] = pairs[i];
        pairs[kept++] = item;
        if (same) found = true;
      }
      pairs.length = kept;
      if (!found) {
        pairs[kept] = key;
        pairs[kept + 1] = text;
      }
      this.#changed();
    }

    sort() {
      const pairs = URLSearchParams.#check(this);
      const entries = list();
      for (let i = 0; i < pairs.length; i += 2) {
        entries[entries.length] = { __proto__: null, name: pairs[i], value: pairs[i + 1] };
      }
      // `<` compares UTF-16 code units, which is what the standard asks for.
      ArrayPrototypeSort(entries, (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
      for (let i = 0; i < entries.length; i++) {
        pairs[2 * i] = entries[i].name;
        pairs[2 * i + 1] = entries[i].value;
      }
      this.#changed();
    }

    forEach(callback, thisArg = undefined) {
      URLSearchParams.#check(this);
      requireArguments(arguments.length, 1, 'URLSearchParams.forEach');
      if (typeof callback !== 'function') internal.fail(TypeError, 'URLSearchParams.forEach: not a function');
      // Looked up anew each time: the callback may change the list.
      for (let i = 0; i < this.#pairs.length; i += 2) {
        ReflectApply(callback, thisArg, [this.#pairs[i + 1], this.#pairs[i], this]);
      }
    }

    entries() {
      URLSearchParams.#check(this);
      return searchIterators.entries(this);
    }
    keys() {
      URLSearchParams.#check(this);
      return searchIterators.keys(this);
    }
    values() {
      URLSearchParams.#check(this);
      return searchIterators.values(this);
    }

    toString() {
      return serializeQuery(URLSearchParams.#check(this));
    }
  }
  internal.define(URLSearchParams.prototype, SymbolIterator, URLSearchParams.prototype.entries, false);
  internal.defineInterface(URLSearchParams, 'URLSearchParams');
  internal.registerPlatform((value) => {
    const pairs = pairsOf(value);
    if (pairs === undefined) return undefined;
    return { __proto__: null, query: serializeQuery(pairs) };
  });

  // The query of a URLSearchParams, or undefined: for bodies.
  internal.formBody = (value) => {
    const pairs = pairsOf(value);
    return pairs === undefined ? undefined : serializeQuery(pairs);
  };

  // ---- URL ----

  // Where native.url() and native.urlSet() put each component.
  const FIELDS = [
    'href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search',
    'hash',
  ];
  const HREF = 0;
  const ORIGIN = 1;
  const SEARCH = 9;

  const parse = (url, base) =>
    native.url(toUSVString(url), base === undefined ? undefined : toUSVString(base));

  let partsOf; // (value, field): a component; undefined if it is no URL
  let setPart;

  class URL {
    #parts;
    #params;

    constructor(url, base = undefined) {
      requireArguments(arguments.length, 1, 'URL');
      this.#parts = parse(url, base);
      if (this.#parts === null) internal.fail(TypeError, 'Invalid URL');
    }

    static {
      partsOf = (value, field) => (isObject(value) && #parts in value ? value.#parts[field] : undefined);
      setPart = (url, field, given) => {
        if (partsOf(url, HREF) === undefined) internal.illegalInvocation();
        const text = toUSVString(given);
        const parts = native.urlSet(url.#parts[HREF], FIELDS[field], text);
        if (parts === null) {
          if (field === HREF) internal.fail(TypeError, 'Invalid URL');
          return;
        }
        url.#parts = parts;
        if (url.#params === undefined) return;
        if (field === HREF) setQuery(url.#params, StringPrototypeSlice(parts[SEARCH], 1));
        // From what was given: the URL's own query lacks tabs and line breaks.
        if (field === SEARCH) setQuery(url.#params, withoutMark(text));
      };
    }

    static parse(url, base = undefined) {
      requireArguments(arguments.length, 1, 'URL.parse');
      const parts = parse(url, base);
      return parts === null ? null : new URL(parts[HREF]);
    }
    static canParse(url, base = undefined) {
      requireArguments(arguments.length, 1, 'URL.canParse');
      return parse(url, base) !== null;
    }

    get searchParams() {
      if (partsOf(this, HREF) === undefined) internal.illegalInvocation();
      this.#params ??= newParams(StringPrototypeSlice(this.#parts[SEARCH], 1), (query) => {
        this.#parts = native.urlSet(this.#parts[HREF], 'search', query);
      });
      return this.#params;
    }

    toString() {
      return partsOf(this, HREF) ?? internal.illegalInvocation();
    }
    toJSON() {
      return partsOf(this, HREF) ?? internal.illegalInvocation();
    }
  }
  // The accessors differ in nothing but their names, which methods of computed name carry.
  for (let field = 0; field < FIELDS.length; field++) {
    const name = FIELDS[field];
    const accessor = {
      get [name]() { return partsOf(this, field) ?? internal.illegalInvocation(); },
      set [name](value) { setPart(this, field, value); },
    };
    const { get, set } = ReflectGetOwnPropertyDescriptor(accessor, name);
    ObjectDefineProperty(URL.prototype, name, {
      __proto__: null, get, set: field === ORIGIN ? undefined : set, enumerable: true, configurable: true,
    });
  }
  internal.defineInterface(URL, 'URL');
  internal.registerPlatform((value) => {
    if (partsOf(value, HREF) === undefined) return undefined;
    const shown = { __proto__: null };
    for (let field = 0; field < FIELDS.length; field++) shown[FIELDS[field]] = partsOf(value, field);
    return shown;
  });
  internal.parseUrl = parse;
})
