// Kinvey's `modules.utils`: internal.kinveyUtils(request) makes one. Where each rule comes from:
//  - which members there are (base64, renderTemplate, convert, kinveyEntity, tempObjectStore): the "Utils
//    Module" of the Business Logic reference (devcenter.kinvey.com/rest/reference/business-logic/
//    reference.html#utils-module), and published hooks that use them; that renderTemplate is Mustache:
//    InfoWorld's review of Kinvey (Martin Heller, September 2014).
//  - kinveyDate: "Kinvey Date", kinveyEntity and its _acl methods: "Kinvey Entity", tempObjectStore: "Temp
//    Object Store", all in the README of Kinvey's Flex SDK (github.com/Kinvey/flex-sdk), whose modules are
//    the later form of these. The role methods of _acl are that SDK's too.
//  - `convert` is Business Logic's name for what Flex calls `kinveyDate`, and Business Logic calls
//    `kinveyEntity(…)` itself where Flex has `kinveyEntity.entity(…)`: both names work.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayIsArray,
    atob,
    btoa,
    Date,
    DateNow,
    DatePrototypeGetTime,
    DatePrototypeToISOString,
    MathFloor,
    NumberPrototypeToString,
    ObjectHasOwn,
    StringPrototypeCharCodeAt,
    StringPrototypeEndsWith,
    StringPrototypePadStart,
    StringPrototypeSlice,
    StringPrototypeStartsWith,
    TypeError,
    TypedArrayPrototypeGetLength,
    Uint8Array,
  } = primordials;
  const { define, isObject, list, toDOMString } = internal;

  // ---- base64: of UTF-8, read as leniently as Node's Buffer reads it ----

  const encodeBase64 = (text) => {
    const bytes = native.utf8Encode(toDOMString(text));
    return btoa(internal.fromCodes(TypedArrayPrototypeGetLength(bytes), (i) => bytes[i]));
  };

  const isBase64 = (c) => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) ||
    c === 43 || c === 47;

  const decodeBase64 = (given) => {
    const text = toDOMString(given);
    const codes = list();
    for (let i = 0; i < text.length; i++) {
      let c = StringPrototypeCharCodeAt(text, i);
      if (c === 61) break; // nothing follows the padding
      if (c === 45) c = 43; // the URL-safe alphabet
      else if (c === 95) c = 47;
      if (isBase64(c)) codes[codes.length] = c;
    }
    if (codes.length % 4 === 1) codes.length--; // six bits are not a byte
    const binary = atob(internal.fromCodes(codes.length, (i) => codes[i]));
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = StringPrototypeCharCodeAt(binary, i);
    return native.utf8Decode(bytes, false);
  };

  // ---- dates: ISODate("…") strings ----

  const PREFIX = 'ISODate("';
  const SUFFIX = '")';
  const INVALID = 'Invalid date';

  const isoOf = (date) => {
    const time = DatePrototypeGetTime(date);
    return time === time ? DatePrototypeToISOString(date) : undefined; // NaN is not itself
  };

  const toKinveyDateString = (given) => {
    let iso;
    if (typeof given === 'string') {
      if (StringPrototypeStartsWith(given, PREFIX)) return given;
      iso = isoOf(new Date(given));
    } else if (native.classOf(given) === 'Date') {
      iso = isoOf(given);
    } else if (isObject(given) && given._isAMomentObject === true &&
        typeof given.toISOString === 'function') {
      // A script that bundles moment itself.
      iso = given.toISOString();
      if (typeof iso !== 'string') return null;
    } else {
      return null;
    }
    return iso === undefined ? INVALID : PREFIX + iso + SUFFIX;
  };

  const fromKinveyDateString = (given, format) => {
    if (typeof given !== 'string' || !StringPrototypeStartsWith(given, PREFIX) ||
        !StringPrototypeEndsWith(given, SUFFIX)) return INVALID;
    const text = StringPrototypeSlice(given, PREFIX.length, -SUFFIX.length);
    const date = new Date(text);
    if (isoOf(date) === undefined) return INVALID;
    switch (format) {
      case undefined: case null: case 'date': return date;
      case 'string': return text;
      case 'moment':
        return internal.library('moment')(date);
      default: return 'Invalid Format.';
    }
  };

  // ---- entities ----

  const hex = (bytes) => {
    let text = '';
    for (let i = 0; i < TypedArrayPrototypeGetLength(bytes); i++) text += internal.hexOf(bytes[i]);
    return text;
  };

  // Ids as MongoDB's drivers make them: seconds, five random bytes, a counter from a random start.
  const idMaker = () => {
    let unique;
    let counter;
    return () => {
      if (unique === undefined) {
        const bytes = new Uint8Array(8);
        native.random(bytes);
        counter = bytes[5] * 65536 + bytes[6] * 256 + bytes[7];
        unique = StringPrototypeSlice(hex(bytes), 0, 10);
      }
      counter = (counter + 1) % 0x1000000;
      const seconds = NumberPrototypeToString(MathFloor(DateNow() / 1000), 16);
      return StringPrototypePadStart(seconds, 8, '0') + unique +
        StringPrototypePadStart(NumberPrototypeToString(counter, 16), 6, '0');
    };
  };

  // [what the methods are called by, the member of _acl that holds the lists or undefined, the list].
  const LISTS = [
    { __proto__: null, name: 'Reader', group: undefined, key: 'r' },
    { __proto__: null, name: 'Writer', group: undefined, key: 'w' },
    { __proto__: null, name: 'ReaderGroup', group: 'groups', key: 'r' },
    { __proto__: null, name: 'WriterGroup', group: 'groups', key: 'w' },
    { __proto__: null, name: 'ReaderRole', group: 'roles', key: 'r' },
    { __proto__: null, name: 'UpdateRole', group: 'roles', key: 'u' },
    { __proto__: null, name: 'DeleteRole', group: 'roles', key: 'd' },
  ];

  const hidden = (target, key, value) => define(target, key, value, false);
  const own = (object, key) => (isObject(object) && ObjectHasOwn(object, key) ? object[key] : undefined);

  // The object at object[key], made when there is none.
  const ensure = (object, key, make) => {
    const found = own(object, key);
    if (isObject(found)) return found;
    const made = make();
    define(object, key, made, true);
    return made;
  };

  const indexIn = (items, wanted) => {
    for (let i = 0; i < items.length; i++) if (items[i] === wanted) return i;
    return -1;
  };

  const addListMethods = (acl, { name, group, key }) => {
    const found = () => {
      const items = own(group === undefined ? acl : own(acl, group), key);
      return ArrayIsArray(items) ? items : undefined;
    };
    hidden(acl, 'get' + name + 's', () => found() ?? []);
    hidden(acl, 'add' + name, (id) => {
      let items = found();
      if (items === undefined) {
        items = [];
        define(group === undefined ? acl : ensure(acl, group, () => ({})), key, items, true);
      }
      if (indexIn(items, id) < 0) define(items, items.length, id, true);
      return acl;
    });
    hidden(acl, 'remove' + name, (id) => {
      const items = found();
      if (items === undefined) return acl;
      let kept = 0;
      for (let i = 0; i < items.length; i++) if (items[i] !== id) define(items, kept++, items[i], true);
      items.length = kept;
      return acl;
    });
  };

  const addAclMethods = (acl) => {
    hidden(acl, 'getCreator', () => own(acl, 'creator'));
    for (let i = 0; i < LISTS.length; i++) addListMethods(acl, LISTS[i]);
    hidden(acl, 'getGloballyReadable', () => own(acl, 'gr') ?? null);
    hidden(acl, 'getGloballyWritable', () => own(acl, 'gw') ?? null);
    hidden(acl, 'setGloballyReadable', (allowed) => {
      define(acl, 'gr', allowed, true);
      return acl;
    });
    hidden(acl, 'setGloballyWritable', (allowed) => {
      define(acl, 'gw', allowed, true);
      return acl;
    });
  };

  const newId = idMaker();
  internal.newId = newId;

  const entityModule = (appKey) => {
    // entity(): a new one; entity(id): one with that _id; entity(object): the object, completed. Metadata
    // it has already is kept, only `lmt` becomes now.
    const entity = (given) => {
      let made = given;
      if (given === undefined || given === null) made = {};
      else if (typeof given === 'string') made = { _id: given };
      else if (typeof given !== 'object') internal.fail(TypeError, 'kinveyEntity: give it an object or an id');
      const now = DatePrototypeToISOString(new Date(DateNow()));
      const acl = ensure(made, '_acl', () => ({}));
      if (!ObjectHasOwn(acl, 'creator')) define(acl, 'creator', appKey, true);
      const kmd = ensure(made, '_kmd', () => ({}));
      define(kmd, 'lmt', now, true);
      if (!ObjectHasOwn(kmd, 'ect')) define(kmd, 'ect', now, true);
      if (!ObjectHasOwn(made, '_id')) define(made, '_id', newId(), true);
      addAclMethods(acl);
      return made;
    };

    const { kinveyEntity } = { kinveyEntity(given = undefined) { return entity(given); } };
    define(kinveyEntity, 'entity', entity, true);
    define(kinveyEntity, 'isKinveyEntity', (value) => isObject(value) && ObjectHasOwn(value, '_kmd') &&
      typeof own(own(value, '_acl'), 'getCreator') === 'function', true);
    return kinveyEntity;
  };

  // ---- what pre and post hooks of one request share ----

  const tempObjectStore = (request) => {
    const stored = () => ensure(request, 'tempObjectStore', () => ({}));
    return {
      get(key) {
        return own(stored(), toDOMString(key));
      },
      set(key, value) {
        define(stored(), toDOMString(key), value, true);
        return value;
      },
      getAll() {
        return stored();
      },
    };
  };

  internal.kinveyUtils = (request) => {
    const dates = () => ({ toKinveyDateString, fromKinveyDateString });
    return {
      base64: { encode: (text) => encodeBase64(text), decode: (text) => decodeBase64(text) },
      renderTemplate: (template, data) => internal.renderMustache(template, data),
      convert: dates(),
      kinveyDate: dates(),
      kinveyEntity: entityModule(own(request, 'appKey')),
      tempObjectStore: tempObjectStore(request),
    };
  };
})
