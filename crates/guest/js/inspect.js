// internal.inspect: any value as text for developers, as Node's util.inspect writes it. It shows what is
// there and runs nothing of the customer's: no getter, no Proxy trap, no toString, no toJSON. So it can be
// used on what a hostile script throws, and it never throws itself.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayBufferPrototypeGetDetached,
    ArrayPrototypeJoin,
    BigIntPrototypeValueOf,
    BooleanPrototypeValueOf,
    DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset,
    MapPrototypeForEach,
    MapPrototypeGetSize,
    NumberPrototypeToString,
    NumberPrototypeValueOf,
    ReflectGetOwnPropertyDescriptor,
    ReflectGetPrototypeOf,
    ReflectOwnKeys,
    SetPrototypeForEach,
    SetPrototypeGetSize,
    StringPrototypeIncludes,
    StringPrototypePadStart,
    StringPrototypeSlice,
    StringPrototypeStartsWith,
    StringPrototypeValueOf,
    SymbolPrototypeValueOf,
    SymbolToStringTag,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetLength,
    Uint8Array,
    WeakRefPrototypeDeref,
  } = primordials;
  const { list, replaceAll } = internal;
  const {
    boxed, constructorName, dateText, errorText, functionText, inheritedData, isData, isIndex, keyText,
    moreThan, primitive, regExpText,
  } = internal.leaves;

  const MAX_OUTPUT = 16 * 1024;
  const MAX_ITEMS = 100;
  const MAX_BYTES = 50;
  const MAX_LISTED = 1000; // longer arrays' extra properties are not looked for among their indices
  const DEFAULT_DEPTH = 3;
  const DEEPEST = 50; // the engine's stack is finite
  const LINE = 72;
  const UNSHOWN = '[a value that cannot be shown]';

  // `state.left` counts down the characters still wanted: past zero every part is '…', so that no object,
  // however wide or deep, costs much more than what is shown of it.
  const spend = (state, text) => {
    state.left -= text.length;
    return text;
  };

  const accessorText = (descriptor) => (descriptor.get === undefined ? '[Setter]'
    : descriptor.set === undefined ? '[Getter]' : '[Getter/Setter]');

  const formatProperty = (state, descriptor, depth) => (isData(descriptor)
    ? format(state, descriptor.value, depth + 1) : spend(state, accessorText(descriptor)));

  const addProperties = (state, parts, value, depth, skip) => {
    const keys = ReflectOwnKeys(value);
    for (let i = 0; i < keys.length; i++) {
      if (skip !== undefined && skip(keys[i])) continue;
      const descriptor = ReflectGetOwnPropertyDescriptor(value, keys[i]);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      if (state.left <= 0) {
        parts[parts.length] = '…';
        return;
      }
      const key = spend(state, keyText(keys[i]) + ': ');
      parts[parts.length] = key + formatProperty(state, descriptor, depth);
    }
  };

  const addMore = (parts, length, shown) => {
    if (length > shown) parts[parts.length] = moreThan(length, shown, 'item');
  };

  const addElements = (state, parts, value, depth) => {
    const { length } = value;
    let keys; // only looked at in an array with holes, where it saves counting to 2^32
    let k = 0;
    let i = 0;
    while (i < length && parts.length < MAX_ITEMS && state.left > 0) {
      const descriptor = ReflectGetOwnPropertyDescriptor(value, i);
      if (descriptor !== undefined) {
        parts[parts.length] = formatProperty(state, descriptor, depth);
        i++;
        continue;
      }
      keys ??= ReflectOwnKeys(value);
      while (k < keys.length && isIndex(keys[k]) && +keys[k] < i) k++;
      const next = k < keys.length && isIndex(keys[k]) ? +keys[k] : length;
      const holes = next - i;
      parts[parts.length] = spend(state, '<' + holes + ' empty item' + (holes === 1 ? '' : 's') + '>');
      i = next;
    }
    addMore(parts, length, i);
  };

  const addTyped = (state, parts, value) => {
    const length = TypedArrayPrototypeGetLength(value);
    let i = 0;
    for (; i < length && i < MAX_ITEMS && state.left > 0; i++) parts[i] = spend(state, primitive(value[i]));
    addMore(parts, length, i);
  };

  const addMap = (state, parts, map, depth) => {
    let seen = 0;
    // forEach cannot be left early, but what is not shown costs almost nothing.
    MapPrototypeForEach(map, (item, key) => {
      if (seen >= MAX_ITEMS || state.left <= 0) return;
      parts[seen++] = format(state, key, depth + 1) + ' => ' + format(state, item, depth + 1);
    });
    addMore(parts, MapPrototypeGetSize(map), seen);
  };

  const addSet = (state, parts, set, depth) => {
    let seen = 0;
    SetPrototypeForEach(set, (item) => {
      if (seen < MAX_ITEMS && state.left > 0) parts[seen++] = format(state, item, depth + 1);
    });
    addMore(parts, SetPrototypeGetSize(set), seen);
  };

  const addPromise = (state, parts, promise, depth) => {
    const stateOf = native.promiseState(promise);
    if (stateOf[0] === 0) parts[0] = '<pending>';
    else parts[0] = (stateOf[0] === 2 ? '<rejected> ' : '') + format(state, stateOf[1], depth + 1);
  };

  const addBuffer = (state, parts, buffer) => {
    const bytes = internal.bytesOf(buffer);
    const length = TypedArrayPrototypeGetLength(bytes);
    const shown = list();
    for (let i = 0; i < length && i < MAX_BYTES; i++) {
      shown[i] = StringPrototypePadStart(NumberPrototypeToString(bytes[i], 16), 2, '0');
    }
    const more = length > MAX_BYTES ? ' ' + moreThan(length, MAX_BYTES, 'byte') : '';
    parts[0] = ArrayBufferPrototypeGetDetached(buffer) ? '(detached)'
      : spend(state, '[Uint8Contents]: <' + ArrayPrototypeJoin(shown, ' ') + more + '>');
    parts[1] = 'byteLength: ' + length;
  };

  // What stands for a value whose class has a text of its own, else undefined.
  const textOf = (value, kind) => {
    switch (kind) {
      case 'Function': return functionText(value);
      case 'Error': case 'DOMException': return errorText(value, kind);
      case 'RegExp': return regExpText(value);
      case 'Date': return dateText(value);
      case 'Number': return boxed(kind, NumberPrototypeValueOf(value));
      case 'Boolean': return boxed(kind, BooleanPrototypeValueOf(value));
      case 'BigInt': return boxed(kind, BigIntPrototypeValueOf(value));
      case 'Symbol': return boxed(kind, SymbolPrototypeValueOf(value));
      case 'String': return boxed(kind, StringPrototypeValueOf(value));
      default: return undefined;
    }
  };

  const addContents = (state, parts, value, kind, depth) => {
    switch (kind) {
      case 'Map': return addMap(state, parts, value, depth);
      case 'Set': return addSet(state, parts, value, depth);
      case 'WeakMap': case 'WeakSet': parts[0] = '<items unknown>'; return undefined;
      case 'WeakRef': parts[0] = format(state, WeakRefPrototypeDeref(value), depth + 1); return undefined;
      case 'Promise': return addPromise(state, parts, value, depth);
      case 'ArrayBuffer': return addBuffer(state, parts, value);
      case 'DataView':
        parts[0] = 'byteLength: ' + DataViewPrototypeGetByteLength(value);
        parts[1] = 'byteOffset: ' + DataViewPrototypeGetByteOffset(value);
        return undefined;
      case 'Object': {
        const platform = internal.describePlatform(value);
        return platform === undefined ? undefined : addProperties(state, parts, platform, depth);
      }
      default: return undefined;
    }
  };

  const labelOf = (value, kind) => {
    const name = constructorName(value);
    let label = name;
    if (name === '') {
      label = ReflectGetPrototypeOf(value) === null ? '[' + kind + ': null prototype]' : kind;
    }
    if (kind === 'Map') label += '(' + MapPrototypeGetSize(value) + ')';
    if (kind === 'Set') label += '(' + SetPrototypeGetSize(value) + ')';
    const tag = inheritedData(value, SymbolToStringTag);
    if (typeof tag === 'string' && tag !== '' && tag !== name && tag !== label) label += ' [' + tag + ']';
    return label;
  };

  const enclose = (prefix, open, parts, close) => {
    if (parts.length === 0) return prefix + open + close;
    let width = prefix.length + parts.length * 2;
    let oneLine = true;
    for (let i = 0; i < parts.length; i++) {
      width += parts[i].length;
      if (width > LINE || StringPrototypeIncludes(parts[i], '\n')) oneLine = false;
    }
    if (oneLine) return prefix + open + ' ' + ArrayPrototypeJoin(parts, ', ') + ' ' + close;
    for (let i = 0; i < parts.length; i++) parts[i] = replaceAll(parts[i], '\n', '\n  ');
    return prefix + open + '\n  ' + ArrayPrototypeJoin(parts, ',\n  ') + '\n' + close;
  };

  const formatArray = (state, value, kind, depth) => {
    const isArray = kind === 'Array';
    const length = isArray ? value.length : TypedArrayPrototypeGetLength(value);
    const name = constructorName(value);
    const label = name === '' ? kind : name;
    if (depth > state.depth) return '[' + label + ']';
    const parts = list();
    if (isArray) addElements(state, parts, value, depth);
    else addTyped(state, parts, value);
    if (isArray && length <= MAX_LISTED) addProperties(state, parts, value, depth, isIndex);
    return enclose(label === 'Array' ? '' : label + '(' + length + ') ', '[', parts, ']');
  };

  const isErrorDetail = (key) => key === 'stack' || key === 'cause' || key === 'errors';

  const formatObject = (state, value, depth) => {
    const kind = native.classOf(value);
    if (kind === 'Array' || internal.isTypedArrayClass(kind)) return formatArray(state, value, kind, depth);
    const text = textOf(value, kind);
    const parts = list();
    if (text === undefined) {
      const label = labelOf(value, kind);
      if (depth > state.depth) return StringPrototypeStartsWith(label, '[') ? label : '[' + label + ']';
      addContents(state, parts, value, kind, depth);
      addProperties(state, parts, value, depth);
      return enclose(label === 'Object' ? '' : label + ' ', '{', parts, '}');
    }
    spend(state, text);
    if (depth > state.depth) return text;
    if (kind === 'Error' || kind === 'DOMException') {
      const cause = ReflectGetOwnPropertyDescriptor(value, 'cause');
      if (cause !== undefined) parts[0] = '[cause]: ' + formatProperty(state, cause, depth);
      const errors = ReflectGetOwnPropertyDescriptor(value, 'errors');
      if (errors !== undefined) parts[parts.length] = '[errors]: ' + formatProperty(state, errors, depth);
      addProperties(state, parts, value, depth, isErrorDetail);
    } else {
      addProperties(state, parts, value, depth, kind === 'String' ? isIndex : undefined);
    }
    return parts.length === 0 ? text : enclose(text + ' ', '{', parts, '}');
  };

  const format = (state, given, depth) => {
    if (!internal.isObject(given)) return spend(state, primitive(given));
    if (state.left <= 0) return '…';
    state.left -= 2; // an empty object is not free either
    let value = given;
    while (native.classOf(value) === 'Proxy') {
      value = native.proxyTarget(value);
      if (value === undefined) return '<Revoked Proxy>';
    }
    const { path } = state;
    for (let i = 0; i < path.length; i++) {
      if (path[i].value !== value) continue;
      if (path[i].mark === 0) path[i].mark = ++state.marks;
      return '[Circular *' + path[i].mark + ']';
    }
    const here = { __proto__: null, value, mark: 0 };
    const level = path.length;
    path[level] = here;
    let text;
    try {
      text = formatObject(state, value, depth);
    } catch {
      text = UNSHOWN; // out of stack or memory: what is around it can still be shown
    }
    path.length = level;
    return here.mark === 0 ? text : '<ref *' + here.mark + '> ' + text;
  };

  internal.inspect = (value, depth = DEFAULT_DEPTH) => {
    try {
      const deepest = depth < DEEPEST ? depth : DEEPEST; // also what NaN and Infinity become
      return format({ __proto__: null, left: MAX_OUTPUT, depth: deepest, marks: 0, path: list() }, value, 0);
    } catch {
      return UNSHOWN;
    }
  };

  // Cuts text to the most UTF-8 bytes that one log entry may have.
  internal.limitText = (text) => {
    if (text.length * 3 <= MAX_OUTPUT) return text;
    const bytes = native.utf8Encode(StringPrototypeSlice(text, 0, MAX_OUTPUT + 1));
    if (TypedArrayPrototypeGetLength(bytes) <= MAX_OUTPUT) return text;
    let end = MAX_OUTPUT;
    while ((bytes[end] & 0xC0) === 0x80) end--;
    const kept = new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), 0, end);
    return native.utf8Decode(kept, false) + '... (cut)';
  };
})
