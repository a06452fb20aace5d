// What the web's interfaces have in common (WebIDL): conversions, iteration, the shape of classes; and
// lists that no customer's setter can reach.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayBufferPrototypeGetDetached,
    ArrayIsArray,
    ArrayPrototype,
    DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset,
    IteratorPrototype,
    ObjectDefineProperty,
    ObjectHasOwn,
    ObjectSetPrototypeOf,
    ReflectApply,
    ReflectGetOwnPropertyDescriptor,
    ReflectGetPrototypeOf,
    ReflectOwnKeys,
    String,
    StringFromCharCode,
    StringPrototypeIndexOf,
    StringPrototypeSlice,
    StringPrototypeToWellFormed,
    SymbolIterator,
    SymbolToStringTag,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset,
    Uint8Array,
    WeakMap,
    WeakMapPrototypeGet,
    WeakMapPrototypeSet,
  } = primordials;

  const isObject = (v) => (typeof v === 'object' && v !== null) || typeof v === 'function';
  internal.isObject = isObject;

  // An array with nothing above it: `list[list.length] = x` meets no setter a customer put on
  // Array.prototype, as push would. toArray() makes it one that customers can have.
  const list = () => ObjectSetPrototypeOf([], null);
  internal.list = list;
  internal.toArray = (items) => ObjectSetPrototypeOf(items, ArrayPrototype);

  const define = (target, key, value, enumerable) => ObjectDefineProperty(target, key, {
    __proto__: null, value, writable: true, enumerable, configurable: true,
  });
  internal.define = define;
  internal.defineGlobal = (name, value) => define(globalThis, name, value, false);

  // `text.replaceAll(from, to)` for a one-character `from`: the built-in asks String.prototype for
  // Symbol.replace, which a customer may have put there.
  internal.replaceAll = (text, from, to) => {
    let at = StringPrototypeIndexOf(text, from);
    if (at < 0) return text;
    let out = '';
    let start = 0;
    for (; at >= 0; at = StringPrototypeIndexOf(text, from, start)) {
      out += StringPrototypeSlice(text, start, at) + to;
      start = at + 1;
    }
    return out + StringPrototypeSlice(text, start);
  };

  // ---- conversions ----

  const toDOMString = (v) => {
    if (typeof v === 'string') return v;
    if (typeof v === 'symbol') internal.fail(TypeError, 'Cannot convert a Symbol value to a string');
    return String(v);
  };
  internal.toDOMString = toDOMString;
  internal.toUSVString = (v) => StringPrototypeToWellFormed(toDOMString(v));

  internal.toNumber = (v) => {
    if (typeof v === 'number') return v;
    if (typeof v === 'symbol' || typeof v === 'bigint') {
      internal.fail(TypeError, 'Cannot convert a ' + typeof v + ' to a number');
    }
    return +v;
  };

  // An options bag: null and undefined are an empty one, which has not even Object.prototype's members.
  const NONE = { __proto__: null };
  internal.toDictionary = (v, what) => {
    if (v === undefined || v === null) return NONE;
    if (!isObject(v)) internal.fail(TypeError, what + ' must be an object');
    return v;
  };

  internal.requireArguments = (given, needed, what) => {
    if (given < needed) {
      internal.fail(TypeError,
        what + ': ' + needed + (needed === 1 ? ' argument' : ' arguments') + ' required, but only ' + given +
        ' present');
    }
  };

  // Calls callback(item) for each; false if `value` cannot be iterated. Real arrays go by index, so that
  // a customer who replaced their iterator (polyfills do) does not break our constructors.
  internal.iterate = (value, callback) => {
    if (ArrayIsArray(value) && ReflectGetPrototypeOf(value) === ArrayPrototype &&
        !ObjectHasOwn(value, SymbolIterator)) {
      for (let i = 0; i < value.length; i++) callback(value[i]);
      return true;
    }
    const method = value[SymbolIterator];
    if (method === undefined || method === null) return false;
    if (typeof method !== 'function') internal.fail(TypeError, 'Symbol.iterator is not a function');
    const iterator = ReflectApply(method, value, []);
    if (!isObject(iterator)) internal.fail(TypeError, 'Symbol.iterator did not return an object');
    const { next } = iterator;
    if (typeof next !== 'function') internal.fail(TypeError, 'the iterator has no next()');
    for (;;) {
      const step = ReflectApply(next, iterator, []);
      if (!isObject(step)) internal.fail(TypeError, 'the iterator did not return an object');
      if (step.done) return true;
      callback(step.value);
    }
  };

  // The name-value pairs of a sequence of pairs or a record (Headers, URLSearchParams).
  internal.forEachPair = (init, what, callback) => {
    const wasSequence = internal.iterate(init, (pair) => {
      const parts = list();
      if (!isObject(pair) || !internal.iterate(pair, (part) => { parts[parts.length] = part; })) {
        internal.fail(TypeError, what + ': each pair must be iterable');
      }
      if (parts.length !== 2) internal.fail(TypeError, what + ': each pair must be a name and a value');
      callback(parts[0], parts[1]);
    });
    if (wasSequence) return;
    const keys = ReflectOwnKeys(init);
    for (let i = 0; i < keys.length; i++) {
      const described = ReflectGetOwnPropertyDescriptor(init, keys[i]);
      if (described !== undefined && described.enumerable) callback(keys[i], init[keys[i]]);
    }
  };

  // ---- bytes ----

  internal.isTypedArrayClass = (name) => {
    switch (name) {
      case 'Int8Array': case 'Uint8Array': case 'Uint8ClampedArray': case 'Int16Array':
      case 'Uint16Array': case 'Int32Array': case 'Uint32Array': case 'BigInt64Array':
      case 'BigUint64Array': case 'Float16Array': case 'Float32Array': case 'Float64Array':
        return true;
      default:
        return false;
    }
  };

  // A Uint8Array over the very bytes of an ArrayBuffer or view (detached: none); null if neither.
  internal.bytesOf = (source) => {
    const kind = native.classOf(source);
    let buffer = source;
    let offset = 0;
    let length;
    if (kind === 'DataView') {
      buffer = DataViewPrototypeGetBuffer(source);
      if (ArrayBufferPrototypeGetDetached(buffer)) return new Uint8Array(0);
      offset = DataViewPrototypeGetByteOffset(source);
      length = DataViewPrototypeGetByteLength(source);
    } else if (internal.isTypedArrayClass(kind)) {
      buffer = TypedArrayPrototypeGetBuffer(source);
      offset = TypedArrayPrototypeGetByteOffset(source);
      length = TypedArrayPrototypeGetByteLength(source);
    } else if (kind !== 'ArrayBuffer') {
      return null;
    }
    if (ArrayBufferPrototypeGetDetached(buffer)) return new Uint8Array(0);
    return new Uint8Array(buffer, offset, length);
  };

  // Characters are gathered in chunks: a million arguments would overflow the engine's stack.
  const CHUNK = 4096;
  internal.fromCodes = (count, codeAt) => {
    let text = '';
    for (let start = 0; start < count; start += CHUNK) {
      const end = start + CHUNK < count ? start + CHUNK : count;
      const codes = list();
      for (let i = start; i < end; i++) codes[i - start] = codeAt(i);
      text += ReflectApply(StringFromCharCode, undefined, codes);
    }
    return text;
  };

  // ---- the shape of interfaces ----

  const showMembers = (owner) => {
    const keys = ReflectOwnKeys(owner);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (typeof key === 'symbol' || key === 'constructor' || key === 'prototype' || key === 'name' ||
          key === 'length') continue;
      ObjectDefineProperty(owner, key, { __proto__: null, enumerable: true });
    }
  };
  internal.tag = (prototype, name) => ObjectDefineProperty(prototype, SymbolToStringTag, {
    __proto__: null, value: name, writable: false, enumerable: false, configurable: true,
  });
  // Members enumerable, tagged, global: what WebIDL makes of an interface.
  internal.defineInterface = (Class, name) => {
    showMembers(Class);
    showMembers(Class.prototype);
    internal.tag(Class.prototype, name);
    internal.defineGlobal(name, Class);
  };

  internal.illegalInvocation = () => internal.fail(TypeError, 'Illegal invocation');

  // entries(), keys() and values() for a class whose pairs pairAt(target, index) gives: [name, value], or
  // undefined past the last. One function per kind makes an iterator over a target.
  internal.pairIterators = (name, pairAt) => {
    const states = new WeakMap();
    const prototype = {
      __proto__: IteratorPrototype,
      next() {
        const state = isObject(this) ? WeakMapPrototypeGet(states, this) : undefined;
        if (state === undefined) internal.illegalInvocation();
        const pair = pairAt(state.target, state.index);
        if (pair === undefined) return { value: undefined, done: true };
        state.index++;
        return { value: state.pick(pair), done: false };
      },
    };
    ObjectDefineProperty(prototype, 'next', { __proto__: null, enumerable: true });
    internal.tag(prototype, name + ' Iterator');
    const maker = (pick) => (target) => {
      const iterator = { __proto__: prototype };
      WeakMapPrototypeSet(states, iterator, { __proto__: null, target, index: 0, pick });
      return iterator;
    };
    return {
      __proto__: null,
      entries: maker((pair) => [pair[0], pair[1]]),
      keys: maker((pair) => pair[0]),
      values: maker((pair) => pair[1]),
    };
  };

  // ---- platform objects ----

  // describe(value) gives undefined for other classes' objects, else what console shows of one. It is also
  // how structuredClone knows what it must refuse.
  const platform = list();
  internal.registerPlatform = (describe) => { platform[platform.length] = describe; };
  internal.describePlatform = (value) => {
    for (let i = 0; i < platform.length; i++) {
      const shown = platform[i](value);
      if (shown !== undefined) return shown;
    }
    return undefined;
  };
})
