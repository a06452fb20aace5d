// The parts of inspection that hold no other values: names, strings, numbers, functions, errors, dates as
// text. Nothing here runs what a customer wrote: no getter, no Proxy trap, no toString.
(function (native, primordials, internal) {
  'use strict';
  const {
    BigIntPrototypeToString,
    DatePrototypeGetTime,
    DatePrototypeToISOString,
    DOMExceptionPrototypeGetMessage,
    DOMExceptionPrototypeGetName,
    ErrorPrototypeGetStack,
    FunctionPrototypeToString,
    NumberPrototypeToString,
    ObjectHasOwn,
    ObjectIs,
    ReflectGetOwnPropertyDescriptor,
    ReflectGetPrototypeOf,
    RegExpPrototypeGetDotAll,
    RegExpPrototypeGetGlobal,
    RegExpPrototypeGetHasIndices,
    RegExpPrototypeGetIgnoreCase,
    RegExpPrototypeGetMultiline,
    RegExpPrototypeGetSource,
    RegExpPrototypeGetSticky,
    RegExpPrototypeGetUnicode,
    RegExpPrototypeGetUnicodeSets,
    StringPrototypeCharCodeAt,
    StringPrototypeEndsWith,
    StringPrototypeIncludes,
    StringPrototypePadStart,
    StringPrototypeSlice,
    StringPrototypeStartsWith,
    SymbolPrototypeToString,
    SymbolToStringTag,
  } = primordials;

  const MAX_STRING = 10000;

  // A descriptor inherits from Object.prototype, so `value` and `get` are only trusted as its own.
  const isData = (descriptor) => ObjectHasOwn(descriptor, 'value');

  // A property's value if it is plain data: undefined for a getter, and for what is not there.
  const dataOf = (object, key) => {
    const found = ReflectGetOwnPropertyDescriptor(object, key);
    return found !== undefined && isData(found) ? found.value : undefined;
  };

  // The first of an object and its prototypes that has `key` as data. Ends at a Proxy.
  const inheritedData = (object, key) => {
    for (let at = object, i = 0; at !== null && i < 100; at = ReflectGetPrototypeOf(at), i++) {
      if (native.classOf(at) === 'Proxy') return undefined;
      const found = ReflectGetOwnPropertyDescriptor(at, key);
      if (found !== undefined) return isData(found) ? found.value : undefined;
    }
    return undefined;
  };

  const nameOf = (fn) => {
    const name = native.classOf(fn) === 'Function' ? dataOf(fn, 'name') : undefined;
    return typeof name === 'string' ? name : '';
  };

  const constructorName = (object) => {
    const constructor = inheritedData(object, 'constructor');
    return typeof constructor === 'function' ? nameOf(constructor) : '';
  };

  const ESCAPES = { __proto__: null, 8: '\\b', 9: '\\t', 10: '\\n', 12: '\\f', 13: '\\r', 92: '\\\\' };

  const quote = (text) => {
    let mark = "'";
    if (StringPrototypeIncludes(text, "'")) {
      if (!StringPrototypeIncludes(text, '"')) mark = '"';
      else if (!StringPrototypeIncludes(text, '`')) mark = '`';
    }
    const markCode = StringPrototypeCharCodeAt(mark, 0);
    let out = '';
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = StringPrototypeCharCodeAt(text, i);
      if (code >= 32 && code !== 92 && code !== markCode && (code < 127 || code > 159)) continue;
      out += StringPrototypeSlice(text, start, i) + (code === markCode ? '\\' + mark : ESCAPES[code] ??
        '\\x' + StringPrototypePadStart(NumberPrototypeToString(code, 16), 2, '0'));
      start = i + 1;
    }
    return mark + out + StringPrototypeSlice(text, start) + mark;
  };

  const moreThan = (length, max, what) => {
    const more = length - max;
    return more > 0 ? '... ' + more + ' more ' + what + (more === 1 ? '' : 's') : '';
  };
  const shorten = (text, dress) => (text.length <= MAX_STRING ? dress(text)
    : dress(StringPrototypeSlice(text, 0, MAX_STRING)) + moreThan(text.length, MAX_STRING, 'character'));

  const primitive = (v) => {
    switch (typeof v) {
      case 'string': return shorten(v, quote);
      case 'number': return ObjectIs(v, -0) ? '-0' : NumberPrototypeToString(v);
      case 'bigint': return BigIntPrototypeToString(v) + 'n';
      case 'symbol': return SymbolPrototypeToString(v);
      default: return v === null ? 'null' : v === undefined ? 'undefined' : v ? 'true' : 'false';
    }
  };

  const isIdentifier = (key) => {
    if (key === '') return false;
    for (let i = 0; i < key.length; i++) {
      const c = StringPrototypeCharCodeAt(key, i) | 32;
      const letter = (c >= 97 && c <= 122) || key[i] === '_' || key[i] === '$';
      if (!letter && (i === 0 || key[i] < '0' || key[i] > '9')) return false;
    }
    return true;
  };

  const keyText = (key) => (typeof key === 'symbol' ? '[' + SymbolPrototypeToString(key) + ']'
    : isIdentifier(key) ? key : shorten(key, quote));

  const isIndex = (key) => {
    if (typeof key !== 'string' || key === '') return false;
    for (let i = 0; i < key.length; i++) if (key[i] < '0' || key[i] > '9') return false;
    return true;
  };

  const regExpText = (v) => '/' + RegExpPrototypeGetSource(v) + '/' +
    (RegExpPrototypeGetHasIndices(v) ? 'd' : '') + (RegExpPrototypeGetGlobal(v) ? 'g' : '') +
    (RegExpPrototypeGetIgnoreCase(v) ? 'i' : '') + (RegExpPrototypeGetMultiline(v) ? 'm' : '') +
    (RegExpPrototypeGetDotAll(v) ? 's' : '') + (RegExpPrototypeGetUnicode(v) ? 'u' : '') +
    (RegExpPrototypeGetUnicodeSets(v) ? 'v' : '') + (RegExpPrototypeGetSticky(v) ? 'y' : '');

  const dateText = (v) => (DatePrototypeGetTime(v) === DatePrototypeGetTime(v) // NaN is not itself
    ? DatePrototypeToISOString(v) : 'Invalid Date');

  const functionText = (v) => {
    const name = nameOf(v);
    if (StringPrototypeStartsWith(FunctionPrototypeToString(v), 'class')) {
      const parent = ReflectGetPrototypeOf(v);
      const parentName = parent === null ? 'null' : nameOf(parent);
      const heritage = parentName === '' ? '' : ' extends ' + parentName;
      return '[class ' + (name === '' ? '(anonymous)' : name) + heritage + ']';
    }
    const tag = inheritedData(v, SymbolToStringTag);
    const what = typeof tag === 'string' ? tag : 'Function';
    return '[' + what + (name === '' ? ' (anonymous)' : ': ' + name) + ']';
  };

  const stackOf = (error) => {
    const own = dataOf(error, 'stack');
    return own === undefined ? ErrorPrototypeGetStack(error) : own;
  };

  // "Name: message" and the stack. QuickJS-ng's stack has only frames, V8's starts with the message.
  const errorText = (v, kind) => {
    const dom = kind === 'DOMException';
    const name = dom ? DOMExceptionPrototypeGetName(v) : inheritedData(v, 'name');
    const message = dom ? DOMExceptionPrototypeGetMessage(v) : inheritedData(v, 'message');
    let head = typeof name === 'string' ? name : 'Error';
    if (typeof message === 'string' && message !== '') head += ': ' + message;
    let stack = stackOf(v);
    if (typeof stack !== 'string' || stack === '') return '[' + head + ']';
    while (StringPrototypeEndsWith(stack, '\n')) stack = StringPrototypeSlice(stack, 0, -1);
    return StringPrototypeStartsWith(stack, head) ? stack : stack === '' ? head : head + '\n' + stack;
  };
  const boxed = (kind, value) => '[' + kind + ': ' + primitive(value) + ']';

  internal.leaves = {
    __proto__: null,
    boxed,
    constructorName,
    dateText,
    errorText,
    functionText,
    inheritedData,
    isData,
    isIndex,
    keyText,
    moreThan,
    primitive,
    regExpText,
    stackOf,
    shortened: (text) => shorten(text, (same) => same),
  };
})
