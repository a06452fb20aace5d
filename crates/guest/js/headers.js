// Headers (fetch.spec.whatwg.org). Names are kept in lower case, which is how HTTP compares them and how
// iteration shows them.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayPrototypeSort,
    ReflectApply,
    StringFromCharCode,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeSlice,
    StringPrototypeToLowerCase,
    SymbolIterator,
    TypeError,
  } = primordials;
  const { isObject, list, requireArguments, toArray, toDOMString } = internal;

  // ---- names and values ----

  const TOKEN_MARKS = "!#$%&'*+-.^_`|~";
  const isTokenCharacter = (c) => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) ||
    StringPrototypeIndexOf(TOKEN_MARKS, StringFromCharCode(c)) >= 0;

  const headerName = (given, what) => {
    const name = toDOMString(given);
    let valid = name !== '';
    for (let i = 0; i < name.length && valid; i++) {
      valid = isTokenCharacter(StringPrototypeCharCodeAt(name, i));
    }
    if (!valid) internal.fail(TypeError, what + ': ' + internal.inspect(name) + ' is not a header name');
    return StringPrototypeToLowerCase(name);
  };

  const isSpace = (c) => c === 32 || c === 9 || c === 10 || c === 13;

  const headerValue = (given, what) => {
    const text = toDOMString(given);
    let start = 0;
    let end = text.length;
    while (start < end && isSpace(StringPrototypeCharCodeAt(text, start))) start++;
    while (end > start && isSpace(StringPrototypeCharCodeAt(text, end - 1))) end--;
    for (let i = start; i < end; i++) {
      const c = StringPrototypeCharCodeAt(text, i);
      if (c === 0 || c === 10 || c === 13 || c > 255) {
        internal.fail(TypeError, what + ': ' + internal.inspect(text) + ' is not a header value');
      }
    }
    return StringPrototypeSlice(text, start, end);
  };

  // ---- Headers ----

  let itemsOf; // (value): its flat list of lower-case names and values; undefined if it is no Headers
  let combined; // (headers): sorted [name, value] pairs, as iteration shows them
  let freeze;
  let headerIterators;

  const valueIn = (items, name) => {
    let found = null;
    for (let i = 0; i < items.length; i += 2) {
      if (items[i] === name) found = found === null ? items[i + 1] : found + ', ' + items[i + 1];
    }
    return found;
  };

  class Headers {
    #items = list();
    #immutable = false;
    #sorted; // what combined() made, until the next change

    constructor(init = undefined) {
      if (init === undefined) return;
      const known = itemsOf(init);
      if (known !== undefined) {
        for (let i = 0; i < known.length; i++) this.#items[i] = known[i];
      } else if (isObject(init)) {
        internal.forEachPair(init, 'Headers', (name, value) => this.#append(name, value, 'Headers'));
      } else {
        internal.fail(TypeError, 'Headers: init must be a record, a sequence of pairs or Headers');
      }
    }

    static {
      itemsOf = (value) => (isObject(value) && #items in value ? value.#items : undefined);
      freeze = (headers) => { headers.#immutable = true; };
      combined = (headers) => {
        if (headers.#sorted !== undefined) return headers.#sorted;
        const items = headers.#items;
        const done = { __proto__: null };
        const pairs = list();
        for (let i = 0; i < items.length; i += 2) {
          const name = items[i];
          if (name !== 'set-cookie') {
            if (name in done) continue;
            done[name] = true;
          }
          pairs[pairs.length] = {
            __proto__: null, 0: name, 1: name === 'set-cookie' ? items[i + 1] : valueIn(items, name),
          };
        }
        ArrayPrototypeSort(pairs, (a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
        headers.#sorted = pairs;
        return pairs;
      };
      headerIterators = internal.pairIterators('Headers', (headers, i) => {
        const pairs = combined(headers);
        return i < pairs.length ? pairs[i] : undefined;
      });
    }

    static #check(value) {
      return itemsOf(value) ?? internal.illegalInvocation();
    }
    #changing(what) {
      if (this.#immutable) internal.fail(TypeError, what + ': these headers are immutable');
      this.#sorted = undefined;
    }
    #append(name, value, what) {
      const key = headerName(name, what);
      const text = headerValue(value, what);
      this.#changing(what);
      this.#items[this.#items.length] = key;
      this.#items[this.#items.length] = text;
    }

    append(name, value) {
      Headers.#check(this);
      requireArguments(arguments.length, 2, 'Headers.append');
      this.#append(name, value, 'Headers.append');
    }

    delete(name) {
      const items = Headers.#check(this);
      requireArguments(arguments.length, 1, 'Headers.delete');
      const key = headerName(name, 'Headers.delete');
      this.#changing('Headers.delete');
      let kept = 0;
      for (let i = 0; i < items.length; i += 2) {
        if (items[i] === key) continue;
        items[kept++] = items[i];
        items[kept++] = items[i + 1];
      }
      items.length = kept;
    }

    get(name) {
      const items = Headers.#check(this);
      requireArguments(arguments.length, 1, 'Headers.get');
      return valueIn(items, headerName(name, 'Headers.get'));
    }

    getSetCookie() {
      const items = Headers.#check(this);
      const cookies = list();
      for (let i = 0; i < items.length; i += 2) {
        if (items[i] === 'set-cookie') cookies[cookies.length] = items[i + 1];
      }
      return toArray(cookies);
    }

    has(name) {
      const items = Headers.#check(this);
      requireArguments(arguments.length, 1, 'Headers.has');
      return valueIn(items, headerName(name, 'Headers.has')) !== null;
    }

    set(name, value) {
      const items = Headers.#check(this);
      requireArguments(arguments.length, 2, 'Headers.set');
      const key = headerName(name, 'Headers.set');
      const text = headerValue(value, 'Headers.set');
      this.#changing('Headers.set');
      let kept = 0;
      let found = false;
      for (let i = 0; i < items.length; i += 2) {
        const same = items[i] === key;
        if (same && found) continue;
        const item = same ? text : items[i + 1];
        items[kept++] = items[i];
        items[kept++] = item;
        if (same) found = true;
      }
      items.length = kept;
      if (found) return;
      items[kept] = key;
      items[kept + 1] = text;
    }

    forEach(callback, thisArg = undefined) {
      Headers.#check(this);
      requireArguments(arguments.length, 1, 'Headers.forEach');
      if (typeof callback !== 'function') internal.fail(TypeError, 'Headers.forEach: not a function');
      // Looked up anew each time: the callback may change them.
      for (let i = 0; i < combined(this).length; i++) {
        const pair = combined(this)[i];
        ReflectApply(callback, thisArg, [pair[1], pair[0], this]);
      }
    }

    entries() {
      Headers.#check(this);
      return headerIterators.entries(this);
    }
    keys() {
      Headers.#check(this);
      return headerIterators.keys(this);
    }
    values() {
      Headers.#check(this);
      return headerIterators.values(this);
    }
  }
  internal.define(Headers.prototype, SymbolIterator, Headers.prototype.entries, false);
  internal.defineInterface(Headers, 'Headers');

  const recordOf = (headers) => {
    const pairs = combined(headers);
    const record = { __proto__: null };
    for (let i = 0; i < pairs.length; i++) {
      const name = pairs[i][0];
      record[name] = name in record ? record[name] + ', ' + pairs[i][1] : pairs[i][1];
    }
    return record;
  };
  internal.registerPlatform((value) => (itemsOf(value) === undefined ? undefined : recordOf(value)));

  // For Response, in the next file.
  internal.headers = { __proto__: null, Headers, freeze, itemsOf, recordOf, valueIn };
})
