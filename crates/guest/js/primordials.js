// The engine's built-ins as they were before any customer code ran. Customers may replace every method
// and every global, so what runs after them calls only what was kept here. Names follow Node's:
// `ArrayPrototypeJoin(array, separator)` is `array.join(separator)`, `MapPrototypeGetSize(map)` is
// `map.size`. Only what some file uses is kept: each costs memory in every snapshot.
//
// What must not run after customer code either, for what it looks up: `for`-`of` and array patterns and spread
// (the array iterator), a template literal with an expression (QuickJS calls String.prototype.concat for it),
// `array[i] = x` past the end (setters of Array.prototype), `text[i]` past the end (getters of
// String.prototype), a property descriptor or options object that inherits.
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

  for (const name of [
    'Array', 'ArrayBuffer', 'BigInt', 'BigInt64Array', 'BigUint64Array', 'Boolean',
    'DataView', 'Date', 'DOMException', 'Error', 'EvalError', 'Float32Array', 'Float64Array', 'Int8Array',
    'Int16Array', 'Int32Array', 'Map', 'Number', 'Object', 'Promise', 'RangeError', 'ReferenceError',
    'RegExp', 'Set', 'String', 'Symbol', 'SyntaxError', 'TypeError', 'URIError', 'Uint8Array',
    'Uint8ClampedArray', 'Uint16Array', 'Uint32Array', 'WeakMap', 'WeakSet', 'atob', 'btoa',
  ]) keep(name, globalThis[name]);
  if (typeof Float16Array === 'function') keep('Float16Array', Float16Array);

  keepStatics(Reflect, 'Reflect', ['apply', 'getOwnPropertyDescriptor', 'getPrototypeOf', 'has', 'ownKeys']);
  keepStatics(Object, 'Object', ['defineProperty', 'hasOwn', 'is', 'setPrototypeOf']);
  keepStatics(JSON, 'JSON', ['parse', 'stringify']);
  keepStatics(Math, 'Math', ['floor', 'trunc']);
  keepStatics(Number, 'Number', ['isInteger', 'parseFloat', 'parseInt']);
  keepStatics(String, 'String', ['fromCharCode']);
  keepStatics(Array, 'Array', ['isArray', 'prototype']);
  keepStatics(Date, 'Date', ['now']);
  keepStatics(Symbol, 'Symbol', ['iterator', 'toStringTag']);
  keep('PromiseResolve', bind.call(Promise.resolve, Promise)); // it needs its receiver

  keepMethods(Array.prototype, 'ArrayPrototype', ['join', 'sort']);
  keepMethods(ArrayBuffer.prototype, 'ArrayBufferPrototype', ['transfer']);
  keepMethods(BigInt.prototype, 'BigIntPrototype', ['toString', 'valueOf']);
  keepMethods(Boolean.prototype, 'BooleanPrototype', ['valueOf']);
  keepMethods(Date.prototype, 'DatePrototype', ['getTime', 'toISOString']);
  keepMethods(Function.prototype, 'FunctionPrototype', ['toString']);
  keepMethods(Map.prototype, 'MapPrototype', ['delete', 'forEach', 'get', 'set']);
  keepMethods(Number.prototype, 'NumberPrototype', ['toFixed', 'toString', 'valueOf']);
  keepMethods(RegExp.prototype, 'RegExpPrototype', ['exec']);
  keepMethods(Set.prototype, 'SetPrototype', ['add', 'forEach', 'has']);
  keepMethods(String.prototype, 'StringPrototype', [
    'charCodeAt', 'endsWith', 'includes', 'indexOf', 'isWellFormed', 'lastIndexOf', 'padEnd',
    'padStart', 'repeat', 'slice', 'startsWith', 'toLowerCase', 'toWellFormed', 'trim',
    'valueOf',
  ]);
  keepMethods(Symbol.prototype, 'SymbolPrototype', ['toString', 'valueOf']);
  keepMethods(WeakMap.prototype, 'WeakMapPrototype', ['get', 'set']);
  keepMethods(WeakRef.prototype, 'WeakRefPrototype', ['deref']);

  const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
  keepMethods(typedArray, 'TypedArrayPrototype', ['set']);
  keepGetters(typedArray, 'TypedArrayPrototype', ['buffer', 'byteLength', 'byteOffset', 'length']);
  keepGetters(DataView.prototype, 'DataViewPrototype', ['buffer', 'byteLength', 'byteOffset']);
  keepGetters(ArrayBuffer.prototype, 'ArrayBufferPrototype', [
    'byteLength', 'detached', 'maxByteLength', 'resizable',
  ]);
  keepGetters(DOMException.prototype, 'DOMExceptionPrototype', ['message', 'name']);
  keepGetters(Map.prototype, 'MapPrototype', ['size']);
  keepGetters(Set.prototype, 'SetPrototype', ['size']);
  // Each flag has its own getter because `flags` itself reads the others through the prototype.
  keepGetters(RegExp.prototype, 'RegExpPrototype', [
    'dotAll', 'global', 'hasIndices', 'ignoreCase', 'multiline', 'source', 'sticky', 'unicode', 'unicodeSets',
  ]);
  // QuickJS-ng keeps an error's stack behind an accessor of the prototype, V8 on the error itself.
  const stack = Object.getOwnPropertyDescriptor(Error.prototype, 'stack')?.get;
  primordials.ErrorPrototypeGetStack = stack === undefined ? () => undefined : uncurryThis(stack);

  primordials.IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
})
