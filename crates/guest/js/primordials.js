// The engine's built-ins as they were before any customer code ran. Customers may replace every method
// and every global, so what runs after them calls only what was kept here. Names follow Node's:
// `ArrayPrototypeJoin(array, separator)` is `array.join(separator)`, `MapPrototypeGetSize(map)` is
// `map.size`. Only what some file uses is kept: each costs memory in every snapshot.
(function (native, primordials, internal) {
  'use strict';

  const { bind, call } = Function.prototype;
  // uncurryThis(f)(self, ...args) is f.call(self, ...args), whatever becomes of Function.prototype.
  const uncurryThis = bind.bind(call);

  const keep = (name, value) => {
    // A misspelt or missing built-in must fail the engine's build, not a customer's run.
    if (value === undefined) throw new Error(`this engine has no ${name}`);
    primordials[name] = value;
  };
  const capital = (name) => name[0].toUpperCase() + name.slice(1);

  const keepStatics = (owner, prefix, names) => {
    for (const name of names) keep(prefix + capital(name), owner[name]);
  };
  const keepMethods = (prototype, prefix, names) => {
    for (const name of names) {
      if (typeof prototype[name] !== 'function') throw new Error(`this engine has no ${prefix}.${name}`);
      keep(prefix + capital(name), uncurryThis(prototype[name]));
    }
  };
  const keepGetters = (prototype, prefix, names) => {
    for (const name of names) {
      const get = Object.getOwnPropertyDescriptor(prototype, name)?.get;
      if (get === undefined) throw new Error(`this engine has no getter ${prefix}.${name}`);
      keep(`${prefix}Get${capital(name)}`, uncurryThis(get));
    }
  };

  keep('uncurryThis', uncurryThis);
  for (const name of [
    'AggregateError', 'Array', 'ArrayBuffer', 'BigInt', 'BigInt64Array', 'BigUint64Array', 'Boolean',
    'DataView', 'Date', 'DOMException', 'Error', 'EvalError', 'Float32Array', 'Float64Array', 'Int8Array',
    'Int16Array', 'Int32Array', 'Map', 'Number', 'Object', 'Promise', 'RangeError', 'ReferenceError',
    'RegExp', 'Set', 'String', 'Symbol', 'SyntaxError', 'TypeError', 'URIError', 'Uint8Array',
    'Uint8ClampedArray', 'Uint16Array', 'Uint32Array', 'WeakMap', 'WeakSet', 'atob', 'btoa',
  ]) keep(name, globalThis[name]);
  if (typeof Float16Array === 'function') keep('Float16Array', Float16Array);

  keepStatics(Reflect, 'Reflect', [
    'apply', 'construct', 'defineProperty', 'deleteProperty', 'get', 'getOwnPropertyDescriptor',
    'getPrototypeOf', 'has', 'ownKeys', 'set', 'setPrototypeOf',
  ]);
  keepStatics(Object, 'Object', [
    'create', 'defineProperty', 'freeze', 'getPrototypeOf', 'hasOwn', 'is', 'keys', 'setPrototypeOf',
  ]);
  keepStatics(JSON, 'JSON', ['parse', 'stringify']);
  keepStatics(Math, 'Math', ['abs', 'floor', 'max', 'min', 'trunc']);
  keepStatics(Number, 'Number', [
    'isFinite', 'isInteger', 'isNaN', 'isSafeInteger', 'parseFloat', 'parseInt',
  ]);
  keepStatics(String, 'String', ['fromCharCode']);
  keepStatics(Array, 'Array', ['isArray', 'prototype']);
  keepStatics(Object, 'Object', ['prototype']);
  keepStatics(Function, 'Function', ['prototype']);
  keepStatics(ArrayBuffer, 'ArrayBuffer', ['isView']);
  keepStatics(Date, 'Date', ['now']);
  keepStatics(Symbol, 'Symbol', ['asyncIterator', 'hasInstance', 'iterator', 'toPrimitive', 'toStringTag']);
  // Promise's statics need their receiver.
  for (const name of ['resolve', 'reject', 'withResolvers']) {
    if (typeof Promise[name] === 'function') {
      keep(`Promise${capital(name)}`, bind.call(Promise[name], Promise));
    }
  }

  keepMethods(Array.prototype, 'ArrayPrototype', ['indexOf', 'join', 'push', 'sort']);
  keepMethods(ArrayBuffer.prototype, 'ArrayBufferPrototype', ['transfer']);
  keepMethods(BigInt.prototype, 'BigIntPrototype', ['toString', 'valueOf']);
  keepMethods(Boolean.prototype, 'BooleanPrototype', ['valueOf']);
  keepMethods(Date.prototype, 'DatePrototype', ['getTime', 'toISOString']);
  keepMethods(Error.prototype, 'ErrorPrototype', ['toString']);
  keepMethods(Function.prototype, 'FunctionPrototype', ['toString']);
  keepMethods(Map.prototype, 'MapPrototype', ['clear', 'delete', 'forEach', 'get', 'has', 'set']);
  keepMethods(Number.prototype, 'NumberPrototype', ['toFixed', 'toString', 'valueOf']);
  keepMethods(Promise.prototype, 'PromisePrototype', ['then']);
  keepMethods(RegExp.prototype, 'RegExpPrototype', ['exec']);
  keepMethods(Set.prototype, 'SetPrototype', ['add', 'delete', 'forEach', 'has']);
  keepMethods(String.prototype, 'StringPrototype', [
    'charCodeAt', 'codePointAt', 'endsWith', 'includes', 'indexOf', 'isWellFormed', 'lastIndexOf', 'padEnd',
    'padStart', 'repeat', 'slice', 'startsWith', 'toLowerCase', 'toUpperCase', 'toWellFormed', 'trim',
    'valueOf',
  ]);
  keepMethods(Symbol.prototype, 'SymbolPrototype', ['toString', 'valueOf']);
  keepMethods(WeakMap.prototype, 'WeakMapPrototype', ['get', 'has', 'set']);
  keepMethods(WeakRef.prototype, 'WeakRefPrototype', ['deref']);
  keepMethods(WeakSet.prototype, 'WeakSetPrototype', ['add', 'has']);

  const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
  keepMethods(typedArray, 'TypedArrayPrototype', ['fill', 'set']);
  keepGetters(typedArray, 'TypedArrayPrototype', ['buffer', 'byteLength', 'byteOffset', 'length']);
  keepGetters(DataView.prototype, 'DataViewPrototype', ['buffer', 'byteLength', 'byteOffset']);
  keepGetters(ArrayBuffer.prototype, 'ArrayBufferPrototype', [
    'byteLength', 'detached', 'maxByteLength', 'resizable',
  ]);
  keepGetters(DOMException.prototype, 'DOMExceptionPrototype', ['message', 'name']);
  keepGetters(Map.prototype, 'MapPrototype', ['size']);
  keepGetters(Set.prototype, 'SetPrototype', ['size']);
  keepGetters(Symbol.prototype, 'SymbolPrototype', ['description']);
  // Each flag has its own getter because `flags` itself reads the others through the prototype.
  keepGetters(RegExp.prototype, 'RegExpPrototype', [
    'dotAll', 'global', 'hasIndices', 'ignoreCase', 'multiline', 'source', 'sticky', 'unicode', 'unicodeSets',
  ]);
  // QuickJS-ng keeps an error's stack behind an accessor of the prototype, V8 on the error itself.
  const stack = Object.getOwnPropertyDescriptor(Error.prototype, 'stack')?.get;
  primordials.ErrorPrototypeGetStack = stack === undefined ? () => undefined : uncurryThis(stack);

  primordials.IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
})
