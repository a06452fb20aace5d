// crypto.getRandomValues and crypto.randomUUID (w3.org/TR/webcrypto). Randomness is the host's, per run:
// nothing random may be kept from deployment, where every run would share it.
(function (native, primordials, internal) {
  'use strict';
  const {
    NumberPrototypeToString,
    StringPrototypePadStart,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset,
    Uint8Array,
  } = primordials;

  const MAX_BYTES = 65536;

  const isIntegerArray = (kind) => internal.isTypedArrayClass(kind) &&
    kind !== 'Float16Array' && kind !== 'Float32Array' && kind !== 'Float64Array';

  const hexOf = (byte) => StringPrototypePadStart(NumberPrototypeToString(byte, 16), 2, '0');
  internal.hexOf = hexOf;

  let building = true;

  class Crypto {
    #brand;

    constructor() {
      if (!building) internal.fail(TypeError, 'Illegal constructor');
    }

    static #check(value) {
      if (!internal.isObject(value) || !(#brand in value)) internal.illegalInvocation();
    }
    static {
      internal.registerPlatform((value) => (#brand in value ? { __proto__: null } : undefined));
    }

    getRandomValues(array) {
      Crypto.#check(this);
      internal.requireArguments(arguments.length, 1, 'Crypto.getRandomValues');
      const kind = native.classOf(array);
      if (!isIntegerArray(kind)) {
        if (kind !== 'DataView' && !internal.isTypedArrayClass(kind)) {
          internal.fail(TypeError, 'Crypto.getRandomValues: the argument must be a typed array');
        }
        internal.failDom('The array must be of integers', 'TypeMismatchError');
      }
      const length = TypedArrayPrototypeGetByteLength(array);
      if (length > MAX_BYTES) {
        internal.failDom('The array has ' + length + ' bytes: at most ' + MAX_BYTES + ' can be asked for',
          'QuotaExceededError');
      }
      if (length > 0) {
        native.random(new Uint8Array(TypedArrayPrototypeGetBuffer(array),
          TypedArrayPrototypeGetByteOffset(array), length));
      }
      return array;
    }

    randomUUID() {
      Crypto.#check(this);
      const bytes = new Uint8Array(16);
      native.random(bytes);
      bytes[6] = (bytes[6] & 0x0F) | 0x40; // version 4
      bytes[8] = (bytes[8] & 0x3F) | 0x80; // the variant of RFC 9562
      let text = '';
      for (let i = 0; i < 16; i++) {
        if (i === 4 || i === 6 || i === 8 || i === 10) text += '-';
        text += hexOf(bytes[i]);
      }
      return text;
    }
  }
  internal.defineInterface(Crypto, 'Crypto');
  internal.defineGlobal('crypto', new Crypto());
  building = false;
})
