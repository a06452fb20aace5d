// TextEncoder and TextDecoder (encoding.spec.whatwg.org): UTF-8, UTF-16LE and windows-1252, which is what
// 'latin1' and 'ascii' mean on the web.
(function (native, primordials, internal) {
  'use strict';
  const {
    RangeError,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeIsWellFormed,
    StringPrototypeSlice,
    StringPrototypeToLowerCase,
    StringPrototypeToWellFormed,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetLength,
    TypedArrayPrototypeSet,
    Uint8Array,
  } = primordials;
  const { isObject } = internal;

  // ---- TextEncoder ----

  class TextEncoder {
    #brand;

    static #check(value) {
      if (!isObject(value) || !(#brand in value)) internal.illegalInvocation();
    }
    static {
      internal.registerPlatform((value) =>
        (#brand in value ? { __proto__: null, encoding: 'utf-8' } : undefined));
    }

    get encoding() {
      TextEncoder.#check(this);
      return 'utf-8';
    }

    encode(input = '') {
      TextEncoder.#check(this);
      return native.utf8Encode(internal.toDOMString(input));
    }

    encodeInto(source, destination) {
      TextEncoder.#check(this);
      internal.requireArguments(arguments.length, 2, 'TextEncoder.encodeInto');
      const text = internal.toDOMString(source);
      if (native.classOf(destination) !== 'Uint8Array') {
        internal.fail(TypeError, 'TextEncoder.encodeInto: the destination must be a Uint8Array');
      }
      const room = TypedArrayPrototypeGetLength(destination);
      // Every code unit takes a byte at least, so no later one can fit.
      const bytes = native.utf8Encode(text.length > room ? StringPrototypeSlice(text, 0, room) : text);
      let written = TypedArrayPrototypeGetLength(bytes);
      if (written > room) {
        written = room;
        while ((bytes[written] & 0xC0) === 0x80) written--;
      }
      let read = 0;
      for (let i = 0; i < written; i++) {
        if ((bytes[i] & 0xC0) !== 0x80) read += bytes[i] >= 0xF0 ? 2 : 1;
      }
      TypedArrayPrototypeSet(destination, new Uint8Array(TypedArrayPrototypeGetBuffer(bytes),
        TypedArrayPrototypeGetByteOffset(bytes), written));
      return { read, written };
    }
  }
  internal.defineInterface(TextEncoder, 'TextEncoder');

  // ---- TextDecoder ----

  const ENCODINGS = { __proto__: null };
  const addLabels = (encoding, labels) => {
    for (let i = 0; i < labels.length; i++) ENCODINGS[labels[i]] = encoding;
  };
  addLabels('utf-8', [
    'unicode-1-1-utf-8', 'unicode11utf8', 'unicode20utf8', 'utf-8', 'utf8', 'x-unicode20utf8',
  ]);
  addLabels('utf-16le', [
    'csunicode', 'iso-10646-ucs-2', 'ucs-2', 'unicode', 'unicodefeff', 'utf-16', 'utf-16le',
  ]);
  addLabels('windows-1252', [
    'ansi_x3.4-1968', 'ascii', 'cp1252', 'cp819', 'csisolatin1', 'ibm819', 'iso-8859-1', 'iso-ir-100',
    'iso8859-1', 'iso88591', 'iso_8859-1', 'iso_8859-1:1987', 'l1', 'latin1', 'us-ascii', 'windows-1252',
    'x-cp1252',
  ]);

  // Bytes 0x80 to 0x9F of windows-1252; the others are their own code points.
  const WINDOWS_1252 = '\u20AC\x81\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152' +
    '\x8D\u017D\x8F\x90\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\x9D\u017E\u0178';

  const SPACES = '\t\n\f\r ';
  const trimLabel = (label) => {
    let start = 0;
    let end = label.length;
    while (start < end && StringPrototypeIndexOf(SPACES, label[start]) >= 0) start++;
    while (end > start && StringPrototypeIndexOf(SPACES, label[end - 1]) >= 0) end--;
    return StringPrototypeToLowerCase(StringPrototypeSlice(label, start, end));
  };

  // How many bytes at the end begin a UTF-8 sequence that more bytes could complete.
  const unfinishedUtf8 = (bytes, length) => {
    for (let back = 1; back <= 3 && back <= length; back++) {
      const lead = bytes[length - back];
      if ((lead & 0xC0) === 0x80) continue;
      const needed = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3
        : lead >= 0xF0 && lead <= 0xF4 ? 4 : 1;
      if (needed <= back) return 0;
      if (back > 1) {
        // Some second bytes can never follow (overlong forms, surrogates, past U+10FFFF).
        const second = bytes[length - back + 1];
        if ((lead === 0xE0 && second < 0xA0) || (lead === 0xED && second > 0x9F) ||
            (lead === 0xF0 && second < 0x90) || (lead === 0xF4 && second > 0x8F)) return 0;
      }
      return back;
    }
    return 0;
  };

  // Likewise of UTF-16LE: half a code unit, and a lead surrogate before it.
  const unfinishedUtf16 = (bytes, length) => {
    const odd = length % 2;
    const hasLead = length - odd >= 2 && (bytes[length - odd - 1] & 0xFC) === 0xD8;
    return odd + (hasLead ? 2 : 0);
  };

  const decodeUtf16 = (bytes, length) => internal.fromCodes(length >> 1,
    (i) => bytes[2 * i] | (bytes[2 * i + 1] << 8));

  const decode1252 = (bytes, length) => internal.fromCodes(length, (i) => {
    const byte = bytes[i];
    return byte >= 0x80 && byte < 0xA0 ? StringPrototypeCharCodeAt(WINDOWS_1252, byte - 0x80) : byte;
  });

  const NOTHING = new Uint8Array(0);
  const part = (bytes, start, end) => new Uint8Array(TypedArrayPrototypeGetBuffer(bytes),
    TypedArrayPrototypeGetByteOffset(bytes) + start, end - start);
  const joined = (first, second) => {
    const length = TypedArrayPrototypeGetLength(first);
    if (length === 0) return second;
    const all = new Uint8Array(length + TypedArrayPrototypeGetLength(second));
    TypedArrayPrototypeSet(all, first);
    TypedArrayPrototypeSet(all, second, length);
    return all;
  };

  class TextDecoder {
    #encoding;
    #fatal;
    #ignoreBOM;
    #held = NOTHING; // bytes of a sequence that the next chunk may complete
    #started = false; // whether a byte order mark would be a character now
    #streaming = false;

    constructor(label = 'utf-8', options = undefined) {
      const name = internal.toDOMString(label);
      const encoding = ENCODINGS[trimLabel(name)];
      if (encoding === undefined) {
        internal.fail(RangeError, 'The "' + name + '" encoding is not supported');
      }
      const given = internal.toDictionary(options, 'TextDecoder: options');
      this.#encoding = encoding;
      this.#fatal = !!given.fatal;
      this.#ignoreBOM = !!given.ignoreBOM;
    }

    static #check(value) {
      if (!isObject(value) || !(#encoding in value)) internal.illegalInvocation();
    }
    static {
      internal.registerPlatform((value) => (#encoding in value ? {
        __proto__: null,
        encoding: value.#encoding,
        fatal: value.#fatal,
        ignoreBOM: value.#ignoreBOM,
      } : undefined));
    }

    get encoding() {
      TextDecoder.#check(this);
      return this.#encoding;
    }
    get fatal() {
      TextDecoder.#check(this);
      return this.#fatal;
    }
    get ignoreBOM() {
      TextDecoder.#check(this);
      return this.#ignoreBOM;
    }

    decode(input = undefined, options = undefined) {
      TextDecoder.#check(this);
      let bytes = NOTHING;
      if (input !== undefined) {
        bytes = internal.bytesOf(input);
        if (bytes === null) {
          internal.fail(TypeError, 'TextDecoder.decode: the input must be an ArrayBuffer or a view');
        }
      }
      const stream = !!internal.toDictionary(options, 'TextDecoder.decode: options').stream;
      if (!this.#streaming) {
        this.#held = NOTHING;
        this.#started = false;
      }
      this.#streaming = stream;
      let text = this.#decode(joined(this.#held, bytes), stream);
      if (text !== '' && !this.#started && this.#encoding !== 'windows-1252') {
        this.#started = true;
        if (!this.#ignoreBOM && StringPrototypeCharCodeAt(text, 0) === 0xFEFF) {
          text = StringPrototypeSlice(text, 1);
        }
      }
      return text;
    }

    #decode(bytes, stream) {
      const length = TypedArrayPrototypeGetLength(bytes);
      if (this.#encoding === 'windows-1252') return decode1252(bytes, length);
      const utf16 = this.#encoding === 'utf-16le';
      const unfinished = utf16 ? unfinishedUtf16(bytes, length)
        : stream ? unfinishedUtf8(bytes, length) : 0; // its decoder replaces them itself
      const end = length - unfinished;
      // A copy: what was passed in may change before the next chunk comes.
      this.#held = stream ? new Uint8Array(part(bytes, end, length)) : NOTHING;
      if (!utf16) {
        try {
          return native.utf8Decode(part(bytes, 0, end), this.#fatal);
        } catch (error) {
          if (!this.#fatal) throw error; // want of memory
          this.#invalid();
        }
      }
      const text = decodeUtf16(bytes, end);
      const cutOff = !stream && unfinished > 0;
      if (this.#fatal && (cutOff || !StringPrototypeIsWellFormed(text))) this.#invalid();
      return StringPrototypeToWellFormed(text) + (cutOff ? '\uFFFD' : '');
    }

    #invalid() {
      this.#streaming = false; // what follows starts anew
      internal.fail(TypeError, 'The encoded data was not valid for encoding ' + this.#encoding);
    }
  }
  internal.defineInterface(TextDecoder, 'TextDecoder');
})
