// structuredClone (HTML, "safe passing of structured data"). Objects wait in a list for their contents
// instead of being entered by recursion, so that depth is bounded by memory and not by the engine's stack.
(function (native, primordials, internal) {
  'use strict';
  const {
    Array,
    ArrayBuffer,
    ArrayBufferPrototypeGetByteLength,
    ArrayBufferPrototypeGetDetached,
    ArrayBufferPrototypeGetMaxByteLength,
    ArrayBufferPrototypeGetResizable,
    ArrayBufferPrototypeTransfer,
    BigIntPrototypeValueOf,
    BooleanPrototypeValueOf,
    DataView,
    DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset,
    Date,
    DatePrototypeGetTime,
    DOMException,
    DOMExceptionPrototypeGetMessage,
    DOMExceptionPrototypeGetName,
    Map,
    MapPrototypeForEach,
    MapPrototypeGet,
    MapPrototypeSet,
    NumberPrototypeValueOf,
    Object,
    ReflectGetOwnPropertyDescriptor,
    ReflectOwnKeys,
    RegExp,
    Set,
    SetPrototypeAdd,
    SetPrototypeForEach,
    SetPrototypeHas,
    StringPrototypeLastIndexOf,
    StringPrototypeSlice,
    StringPrototypeValueOf,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetLength,
    TypedArrayPrototypeSet,
    Uint8Array,
  } = primordials;
  const { define, list } = internal;
  const { isData, regExpText, stackOf } = internal.leaves;

  const ERRORS = { __proto__: null };
  const VIEWS = { __proto__: null };
  const keepClasses = (table, names) => {
    for (let i = 0; i < names.length; i++) {
      if (primordials[names[i]] !== undefined) table[names[i]] = primordials[names[i]];
    }
  };
  keepClasses(ERRORS, [
    'Error', 'EvalError', 'RangeError', 'ReferenceError', 'SyntaxError', 'TypeError', 'URIError',
  ]);
  keepClasses(VIEWS, [
    'BigInt64Array', 'BigUint64Array', 'Float16Array', 'Float32Array', 'Float64Array', 'Int8Array',
    'Int16Array', 'Int32Array', 'Uint8Array', 'Uint8ClampedArray', 'Uint16Array', 'Uint32Array',
  ]);

  const refuse = (value) =>
    internal.failDom(internal.inspect(value, 0) + ' could not be cloned.', 'DataCloneError');

  const emptyLike = (buffer) => {
    if (ArrayBufferPrototypeGetDetached(buffer)) {
      internal.failDom('An ArrayBuffer is detached and could not be cloned.', 'DataCloneError');
    }
    const length = ArrayBufferPrototypeGetByteLength(buffer);
    return ArrayBufferPrototypeGetResizable(buffer)
      ? new ArrayBuffer(length, {
        __proto__: null, maxByteLength: ArrayBufferPrototypeGetMaxByteLength(buffer),
      })
      : new ArrayBuffer(length);
  };
  const copyBytes = (from, to) => TypedArrayPrototypeSet(new Uint8Array(to), new Uint8Array(from));

  // One cloning: `seen` maps originals to clones, `waiting` holds [original, clone, what fills it] in turn.
  const remember = (state, original, clone, fill) => {
    MapPrototypeSet(state.seen, original, clone);
    if (fill !== undefined) {
      const { waiting } = state;
      waiting[waiting.length] = original;
      waiting[waiting.length] = clone;
      waiting[waiting.length] = fill;
    }
    return clone;
  };

  const fillProperties = (state, original, clone) => {
    const keys = ReflectOwnKeys(original);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (typeof key !== 'string') continue;
      // Looked up anew each time: an earlier getter may have changed what is there.
      const found = ReflectGetOwnPropertyDescriptor(original, key);
      if (found === undefined || !found.enumerable) continue;
      define(clone, key, cloneOf(state, isData(found) ? found.value : original[key]), true);
    }
  };

  // Entries are taken before any is cloned, as getters inside them may change the collection.
  const fillMap = (state, original, clone) => {
    const items = list();
    MapPrototypeForEach(original, (value, key) => {
      items[items.length] = key;
      items[items.length] = value;
    });
    for (let i = 0; i < items.length; i += 2) {
      MapPrototypeSet(clone, cloneOf(state, items[i]), cloneOf(state, items[i + 1]));
    }
  };
  const fillSet = (state, original, clone) => {
    const items = list();
    SetPrototypeForEach(original, (value) => { items[items.length] = value; });
    for (let i = 0; i < items.length; i++) SetPrototypeAdd(clone, cloneOf(state, items[i]));
  };

  const hidden = (target, key, value) => define(target, key, value, false);

  const fillError = (state, original, clone) => {
    const message = ReflectGetOwnPropertyDescriptor(original, 'message');
    if (message !== undefined && isData(message)) {
      hidden(clone, 'message', internal.toDOMString(message.value));
    }
    const cause = ReflectGetOwnPropertyDescriptor(original, 'cause');
    if (cause !== undefined && isData(cause)) hidden(clone, 'cause', cloneOf(state, cause.value));
    const stack = stackOf(original);
    if (typeof stack === 'string') hidden(clone, 'stack', stack);
  };

  const cloneError = (state, original) => {
    const { name } = original;
    const known = typeof name === 'string' ? ERRORS[name] : undefined;
    return remember(state, original, new (known ?? ERRORS.Error)(), fillError);
  };

  const cloneDomException = (state, original) => {
    const clone = new DOMException(DOMExceptionPrototypeGetMessage(original),
      DOMExceptionPrototypeGetName(original));
    const stack = stackOf(original);
    if (typeof stack === 'string') hidden(clone, 'stack', stack);
    return remember(state, original, clone);
  };

  const cloneBuffer = (state, original) => {
    const clone = emptyLike(original);
    copyBytes(original, clone);
    return remember(state, original, clone);
  };

  const cloneView = (state, original, kind) => {
    if (kind === 'DataView') {
      const buffer = cloneOf(state, DataViewPrototypeGetBuffer(original));
      return remember(state, original, new DataView(buffer, DataViewPrototypeGetByteOffset(original),
        DataViewPrototypeGetByteLength(original)));
    }
    const buffer = cloneOf(state, TypedArrayPrototypeGetBuffer(original));
    return remember(state, original, new VIEWS[kind](buffer, TypedArrayPrototypeGetByteOffset(original),
      TypedArrayPrototypeGetLength(original)));
  };

  const cloneRegExp = (state, original) => {
    // The source may hold slashes, the flags cannot.
    const text = regExpText(original);
    const end = StringPrototypeLastIndexOf(text, '/');
    return remember(state, original,
      new RegExp(StringPrototypeSlice(text, 1, end), StringPrototypeSlice(text, end + 1)));
  };

  const cloneObject = (state, original) => {
    const kind = native.classOf(original);
    switch (kind) {
      case 'Array': {
        const clone = new Array(original.length);
        return remember(state, original, clone, fillProperties);
      }
      case 'Object':
        if (internal.describePlatform(original) !== undefined) refuse(original);
        return remember(state, original, {}, fillProperties);
      case 'Arguments': return remember(state, original, {}, fillProperties);
      case 'Map': return remember(state, original, new Map(), fillMap);
      case 'Set': return remember(state, original, new Set(), fillSet);
      case 'Error': return cloneError(state, original);
      case 'DOMException': return cloneDomException(state, original);
      case 'Date': return remember(state, original, new Date(DatePrototypeGetTime(original)));
      case 'RegExp': return cloneRegExp(state, original);
      case 'Number': return remember(state, original, Object(NumberPrototypeValueOf(original)));
      case 'String': return remember(state, original, Object(StringPrototypeValueOf(original)));
      case 'Boolean': return remember(state, original, Object(BooleanPrototypeValueOf(original)));
      case 'BigInt': return remember(state, original, Object(BigIntPrototypeValueOf(original)));
      case 'ArrayBuffer': return cloneBuffer(state, original);
      default:
        if (kind === 'DataView' || internal.isTypedArrayClass(kind)) return cloneView(state, original, kind);
        return refuse(original);
    }
  };

  const cloneOf = (state, value) => {
    if (!internal.isObject(value)) return typeof value === 'symbol' ? refuse(value) : value;
    const found = MapPrototypeGet(state.seen, value);
    return found === undefined ? cloneObject(state, value) : found;
  };

  const transfersOf = (options) => {
    const buffers = list();
    const { transfer } = internal.toDictionary(options, 'structuredClone: options');
    if (transfer === undefined) return buffers;
    const known = new Set();
    const isSequence = internal.isObject(transfer) && internal.iterate(transfer, (item) => {
      if (!internal.isObject(item)) {
        internal.fail(TypeError, 'structuredClone: only objects can be transferred');
      }
      if (native.classOf(item) !== 'ArrayBuffer') {
        internal.failDom('Value could not be transferred.', 'DataCloneError');
      }
      if (SetPrototypeHas(known, item)) {
        internal.failDom('An ArrayBuffer is listed twice for transfer.', 'DataCloneError');
      }
      SetPrototypeAdd(known, item);
      buffers[buffers.length] = item;
    });
    if (!isSequence) internal.fail(TypeError, 'structuredClone: transfer must be a sequence');
    return buffers;
  };

  const { structuredClone } = {
    structuredClone(value, options = undefined) {
      internal.requireArguments(arguments.length, 1, 'structuredClone');
      const buffers = transfersOf(options);
      const state = { __proto__: null, seen: new Map(), waiting: list() };
      // A clone that fails must leave every buffer attached, so bytes move only at the end.
      for (let i = 0; i < buffers.length; i++) remember(state, buffers[i], emptyLike(buffers[i]));
      const result = cloneOf(state, value);
      const { waiting } = state;
      for (let i = 0; i < waiting.length; i += 3) waiting[i + 2](state, waiting[i], waiting[i + 1]);
      for (let i = 0; i < buffers.length; i++) {
        if (ArrayBufferPrototypeGetDetached(buffers[i])) {
          internal.failDom('An ArrayBuffer is detached and could not be transferred.', 'DataCloneError');
        }
        copyBytes(buffers[i], MapPrototypeGet(state.seen, buffers[i]));
        ArrayBufferPrototypeTransfer(buffers[i], 0);
      }
      return result;
    },
  };
  internal.defineGlobal('structuredClone', structuredClone);
})
