// Kinvey's `modules.collectionAccess`: an app's own data, past access control and hooks. Each method is one
// host call `data.*`, which the broker answers for this app alone.
//  - which methods there are and that each has a form with `Async` at its end that gives a promise: the
//    "Collection Access Module" of the Business Logic reference (devcenter.kinvey.com/rest/reference/
//    business-logic/reference.html#collectionaccess-module), and published hooks that use it.
//  - what their arguments mean: MongoDB's driver for Node, version 1.4, whose collections Kinvey's were
//    (mongodb.github.io/node-mongodb-native/1.4/api-generated/collection.html).
// All of it is made before any customer code and holds nothing of a run: a run that does not touch it pays
// nothing for it.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayIsArray,
    Error,
    JSONParse,
    JSONStringify,
    Map,
    MapPrototypeGet,
    MapPrototypeSet,
    ObjectHasOwn,
    ObjectSetPrototypeOf,
    Promise,
    RegExpPrototypeGetIgnoreCase,
    RegExpPrototypeGetMultiline,
    RegExpPrototypeGetDotAll,
    RegExpPrototypeGetSource,
    ReflectOwnKeys,
    StringPrototypeStartsWith,
    SymbolToStringTag,
    TypeError,
  } = primordials;
  const { define, isObject, toDOMString } = internal;

  const ask = native.call; // (name, args): the promise of a host call

  // ---- what is sent ----

  // Deeper than any query or document that the store accepts: a circle must not exhaust the stack.
  const MAX_DEPTH = 100;

  const regexOf = (regexp) => {
    let flags = '';
    if (RegExpPrototypeGetIgnoreCase(regexp)) flags += 'i';
    if (RegExpPrototypeGetMultiline(regexp)) flags += 'm';
    if (RegExpPrototypeGetDotAll(regexp)) flags += 's';
    return { __proto__: null, $regex: RegExpPrototypeGetSource(regexp), $options: flags };
  };

  // A copy in which regular expressions are $regex conditions: as JSON they would be {}. What has a toJSON
  // (dates, ids) is left to it.
  const conditionsOf = (value, depth) => {
    if (!isObject(value) || typeof value === 'function') return value;
    const kind = native.classOf(value);
    if (kind === 'RegExp') return regexOf(value);
    if (kind !== 'Array' && kind !== 'Object' || typeof value.toJSON === 'function') return value;
    if (depth === MAX_DEPTH) internal.fail(TypeError, 'the query is nested too deeply, or in a circle');
    if (kind === 'Array') {
      const copy = internal.list();
      for (let i = 0; i < value.length; i++) copy[i] = conditionsOf(value[i], depth + 1);
      return copy;
    }
    const copy = { __proto__: null };
    const keys = ReflectOwnKeys(value);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (typeof key === 'symbol') continue;
      const part = value[key];
      if (key === '$regex' && isObject(part) && native.classOf(part) === 'RegExp') {
        const { $regex, $options } = regexOf(part);
        define(copy, key, $regex, true);
        if (!ObjectHasOwn(value, '$options')) define(copy, '$options', $options, true);
      } else {
        define(copy, key, conditionsOf(part, depth + 1), true);
      }
    }
    return copy;
  };

  const queryOf = (given) => {
    if (given === undefined || given === null) return {};
    if (typeof given !== 'object' || ArrayIsArray(given)) internal.fail(TypeError, 'the query is not an object');
    return conditionsOf(given, 0);
  };

  const documentOf = (given, what) => {
    if (!isObject(given) || typeof given === 'function' || ArrayIsArray(given)) {
      internal.fail(TypeError, what + ': give it a document');
    }
    return given;
  };

  // As the driver does: a document has its id as soon as it is sent.
  const withId = (document) => {
    if (!ObjectHasOwn(document, '_id')) define(document, '_id', internal.newId(), true);
    return document;
  };

  const OPTIONS = ['limit', 'skip', 'sort', 'fields', 'hint', 'explain', 'timeout', 'batchSize', 'raw', 'readPreference'];
  const isOptions = (given) => {
    for (let i = 0; i < OPTIONS.length; i++) if (ObjectHasOwn(given, OPTIONS[i])) return true;
    return false;
  };

  // (options) or (fields) or (fields, options): what is no option is a list of fields.
  const findOptions = (first, second) => {
    let given = second;
    let fields;
    if (isObject(first)) {
      if (second === undefined && !ArrayIsArray(first) && isOptions(first)) given = first;
      else fields = first;
    }
    const options = { __proto__: null };
    if (fields !== undefined && (ArrayIsArray(fields) ? fields.length : ReflectOwnKeys(fields).length) > 0) {
      options.fields = fields;
    }
    if (isObject(given)) {
      if (given.limit) options.limit = given.limit; // 0: no limit
      if (given.skip) options.skip = given.skip;
      if (given.sort !== undefined && given.sort !== null) options.sort = given.sort;
      if (given.fields !== undefined && given.fields !== null) options.fields = given.fields;
    }
    return options;
  };

  const flags = (given, names) => {
    const options = { __proto__: null };
    if (!isObject(given)) return options;
    for (let i = 0; i < names.length; i++) if (given[names[i]]) options[names[i]] = true;
    return options;
  };

  // What an update's $[name] stands for: `arrayFilters`, as later drivers have it.
  const updateFlags = (given, names) => {
    const options = flags(given, names);
    const filters = isObject(given) ? given.arrayFilters : undefined;
    if (filters !== undefined && filters !== null) options.arrayFilters = conditionsOf(filters, 0);
    return options;
  };

  // ---- grouping by functions: done here, as they are the script's ----

  const keyOf = (keys, document) => {
    if (typeof keys === 'function') return keys(document);
    const key = {};
    const names = ArrayIsArray(keys) ? keys : ReflectOwnKeys(keys);
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      define(key, name, ObjectHasOwn(document, name) ? document[name] : null, true);
    }
    return key;
  };

  const grouped = (documents, keys, initial, reduce, finalize) => {
    const groups = new Map();
    const order = internal.list();
    const start = JSONStringify(initial);
    for (let i = 0; i < documents.length; i++) {
      const key = keyOf(keys, documents[i]);
      const name = JSONStringify(key);
      let group = MapPrototypeGet(groups, name);
      if (group === undefined) {
        group = isObject(key) ? key : {};
        const first = JSONParse(start);
        const names = ReflectOwnKeys(first);
        for (let j = 0; j < names.length; j++) define(group, names[j], first[names[j]], true);
        MapPrototypeSet(groups, name, group);
        order[order.length] = group;
      }
      reduce(documents[i], group);
    }
    if (typeof finalize === 'function') {
      for (let i = 0; i < order.length; i++) order[i] = finalize(order[i]) ?? order[i];
    }
    return internal.toArray(order);
  };

  const group = (collection, given) => {
    const keys = given[0];
    const condition = queryOf(given[1]);
    const initial = given[2] ?? {};
    const reduce = given[3];
    if (typeof reduce !== 'function') {
      return ask('data.group', { __proto__: null, collection, key: keys, condition, initial, reduce });
    }
    if (!isObject(keys)) internal.fail(TypeError, 'group: the keys are names in a list or an object, or a function');
    const query = ask('data.find', { __proto__: null, collection, query: condition });
    return [query, (documents) => grouped(documents, keys, initial, reduce, given[4])];
  };

  // ---- the methods: (collection, arguments without the callback) => a host call, or [it, what its answer
  // is made into] ----

  const unsupported = (name) => () =>
    internal.fail(Error, 'collectionAccess: ' + name + ' is not supported: use find, group or distinct');

  const upsertable = (what, given) => (isObject(given) ? given
    : internal.fail(TypeError, what + ': the update is not an object'));

  const verbs = {
    __proto__: null,
    find: (collection, given) => ask('data.find', {
      __proto__: null, collection, query: queryOf(given[0]), options: findOptions(given[1], given[2]),
    }),
    findOne: (collection, given) => ask('data.findOne', {
      __proto__: null, collection, query: queryOf(given[0]), options: findOptions(given[1], given[2]),
    }),
    count: (collection, given) => ask('data.count', { __proto__: null, collection, query: queryOf(given[0]) }),
    distinct: (collection, given) => ask('data.distinct', {
      __proto__: null, collection, field: toDOMString(given[0]), query: queryOf(given[1]),
    }),
    group,
    insert: (collection, given) => {
      const documents = internal.list();
      const many = ArrayIsArray(given[0]) ? given[0] : [given[0]];
      for (let i = 0; i < many.length; i++) documents[i] = withId(documentOf(many[i], 'insert'));
      return ask('data.insert', { __proto__: null, collection, documents, creator: internal.creator() });
    },
    save: (collection, given) => ask('data.save', {
      __proto__: null, collection, document: withId(documentOf(given[0], 'save')), creator: internal.creator(),
    }),
    update: (collection, given) => [ask('data.update', {
      __proto__: null,
      collection,
      query: queryOf(given[0]),
      update: conditionsOf(upsertable('update', given[1]), 0),
      options: updateFlags(given[2], ['multi', 'upsert']),
      creator: internal.creator(),
    }), (reply) => reply.matched + (reply.upserted === null || reply.upserted === undefined ? 0 : 1)],
    remove: (collection, given) => ask('data.remove', {
      __proto__: null,
      collection,
      query: queryOf(given[0]),
      options: isObject(given[1]) && (given[1].single || given[1].justOne) ? { __proto__: null, single: true } : {},
    }),
    findAndModify: (collection, given) => {
      const options = updateFlags(given[3], ['new', 'remove', 'upsert']);
      if (isObject(given[3]) && given[3].fields !== undefined) options.fields = given[3].fields;
      return ask('data.findAndModify', {
        __proto__: null,
        collection,
        query: queryOf(given[0]),
        sort: given[1] ?? [],
        update: options.remove ? undefined : conditionsOf(upsertable('findAndModify', given[2]), 0),
        options,
        creator: internal.creator(),
      });
    },
    findAndRemove: (collection, given) => ask('data.findAndModify', {
      __proto__: null,
      collection,
      query: queryOf(given[0]),
      sort: given[1] ?? [],
      options: { __proto__: null, remove: true },
    }),
    geoNear: (collection, given) => {
      const { distanceMultiplier, limit, maxDistance, num, query, spherical } =
        isObject(given[2]) ? given[2] : { __proto__: null };
      return ask('data.geoNear', {
        __proto__: null,
        collection,
        near: [given[0], given[1]],
        query: queryOf(query),
        limit: num ?? limit,
        maxDistance,
        spherical,
        distanceMultiplier,
      });
    },
    aggregate: unsupported('aggregate'),
    mapReduce: unsupported('mapReduce'),
    geoHaystackSearch: unsupported('geoHaystackSearch'),
  };

  // ---- how they are called ----

  // What MongoDB's errors are told apart by.
  const withCode = (error) => {
    if (error.name === 'MongoError' && StringPrototypeStartsWith(error.message, 'E11000')) {
      define(error, 'code', 11000, true);
    }
    return error;
  };

  const start = (verb, collection, given) => new Promise((resolve, reject) => {
    const asked = verb(collection, given);
    const plain = !ArrayIsArray(asked);
    native.then(plain ? asked : asked[0], (reply) => {
      try {
        resolve(plain ? reply : asked[1](reply));
      } catch (error) {
        reject(error);
      }
    }, (error) => { reject(withCode(error)); });
  });

  const ignore = () => {};

  // The last function among the arguments is the callback; without one, what is returned is a promise whose
  // failure may go unheard.
  const finish = (promise, callback) => {
    if (callback !== undefined) {
      native.then(promise, (result) => { callback(null, result); }, (error) => { callback(error); });
      return undefined;
    }
    native.then(promise, ignore, ignore);
    return promise;
  };

  const toArray = (promise) => {
    define(promise, 'toArray', (callback) => finish(promise, callback), false);
    return promise;
  };

  // Takes it from the list of arguments.
  const callbackIn = (args) => {
    let count = args.length;
    while (count > 0 && args[count - 1] === undefined) count--;
    if (count === 0 || typeof args[count - 1] !== 'function') return undefined;
    const callback = args[count - 1];
    args.length = count - 1;
    return callback;
  };

  class Collection {
    #name;
    constructor(name) {
      this.#name = name;
    }
    collectionName() {
      return this.#name;
    }
    static nameOf(collection) {
      return isObject(collection) && #name in collection ? collection.#name : internal.illegalInvocation();
    }
  }
  const { nameOf } = Collection;
  delete Collection.nameOf;
  define(Collection.prototype, SymbolToStringTag, 'Collection', false);

  const names = ReflectOwnKeys(verbs);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const verb = verbs[name];
    const methods = {
      plain(...args) {
        const collection = nameOf(this);
        // group(keys, condition, initial, reduce, callback): the reducer is no callback.
        const given = ObjectSetPrototypeOf(args, null); // past its end is nothing, not Array.prototype
        const callback = name === 'group' && given.length < 5 ? undefined : callbackIn(given);
        const promise = start(verb, collection, given);
        return name === 'find' && callback === undefined ? toArray(finish(promise)) : finish(promise, callback);
      },
      promised(...args) {
        return internal.promiseFor(start(verb, nameOf(this), ObjectSetPrototypeOf(args, null)));
      },
    };
    define(Collection.prototype, name, methods.plain, false);
    define(Collection.prototype, name + 'Async', methods.promised, false);
  }

  // ---- ids ----

  // Ids are strings in documents here. One made by objectID() is written as its string wherever it is sent.
  class ObjectID {
    #text;
    constructor(text) {
      this.#text = text;
    }
    toString() {
      return this.#text;
    }
    toHexString() {
      return this.#text;
    }
    toJSON() {
      return this.#text;
    }
    valueOf() {
      return this.#text;
    }
    equals(other) {
      if (isObject(other)) return #text in other && other.#text === this.#text;
      return other === this.#text;
    }
  }

  const objectID = (text) => {
    if (text === undefined || text === null) return new ObjectID(internal.newId());
    return new ObjectID(toDOMString(text));
  };

  const exists = (name) => ask('data.collectionExists', { __proto__: null, collection: toDOMString(name) });

  internal.collectionAccess = {
    collection: (name) => {
      if (typeof name !== 'string' || name === '') {
        internal.fail(TypeError, 'collectionAccess.collection: give it the name of a collection');
      }
      return new Collection(name);
    },
    collectionExists: (name, callback) => finish(start(exists, name), callback),
    collectionExistsAsync: (name) => internal.promiseFor(start(exists, name)),
    objectID,
  };
})
