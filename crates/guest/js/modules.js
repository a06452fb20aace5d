// What handlers get: Kinvey's `modules`, and `context`, which is the same for the modern form; and the
// libraries that Kinvey had among its modules. internal.addLibrary(name, load) is called while deploying
// (libraries/bundle.mjs), for those that the app's scripts mention.
(function (native, primordials, internal) {
  'use strict';
  const { Error, ObjectDefineProperty, ReflectOwnKeys, String, TypeError } = primordials;
  const { define } = internal;

  const ask = native.call; // (name, args): the promise of a host call

  // ---- libraries ----

  const libraries = { __proto__: null };
  let resolveWith; // bluebird's own, where an app has bluebird

  internal.addLibrary = (name, load) => {
    const module = { exports: {} };
    load(module, module.exports);
    libraries[name] = module.exports;
    if (name === 'bluebird') {
      const { resolve } = module.exports;
      resolveWith = (promise) => primordials.ReflectApply(resolve, libraries.bluebird, [promise]);
    }
  };
  internal.hasLibrary = (name) => name in libraries;
  internal.library = (name) => {
    if (name in libraries) return libraries[name];
    return internal.fail(Error, 'the library ' + name + ' is not in this deployment: it comes with scripts in ' +
      'whose source its name stands as a word of its own');
  };

  // The promise that an `…Async` method gives: bluebird's, as Kinvey's were, where an app has it.
  internal.promiseFor = (promise) => (resolveWith === undefined ? promise : resolveWith(promise));

  // require(name): a library, or what common code of that name exports. There is nothing else to load.
  const { require } = {
    require(name) {
      if (typeof name !== 'string') internal.fail(TypeError, 'require: give it a name');
      if (name in libraries) return libraries[name];
      const found = native.require(name);
      if (found !== undefined) return found;
      if (internal.isLibrary(name)) return internal.library(name);
      try {
        return internal.fail(Error, "Cannot find module '" + name + "' in this deployment");
      } catch (error) {
        define(error, 'code', 'MODULE_NOT_FOUND', true);
        throw error;
      }
    },
  };
  internal.defineGlobal('require', require);

  // ---- logging and host calls ----

  const logger = { __proto__: null };
  const levels = { __proto__: null, debug: 0, trace: 0, info: 1, log: 1, warn: 2, error: 3, fatal: 3 };
  const levelNames = ReflectOwnKeys(levels);
  for (let i = 0; i < levelNames.length; i++) {
    const level = levels[levelNames[i]];
    logger[levelNames[i]] = { log(...args) { native.log(level, internal.format(args)); } }.log;
  }

  // hostCall(name, args, callback?): asks the host. A promise, or Kinvey's callback(error, result).
  const hostCall = (name, args, callback) => {
    const promise = ask(String(name), args === undefined ? null : args);
    if (callback === undefined) return promise;
    if (typeof callback !== 'function') internal.fail(TypeError, 'the callback is not a function');
    native.then(promise, (result) => { callback(null, result); }, (error) => { callback(error); });
    return undefined;
  };

  // ---- the two objects ----

  // What a run needs to make is made when it is first asked for.
  let utils;
  const utilsOf = () => {
    utils ??= internal.kinveyUtils(internal.currentRequest());
    return utils;
  };
  const kinveyOf = () => {
    const { kinveyEntity, kinveyDate } = utilsOf();
    return {
      entity: kinveyEntity.entity,
      isKinveyEntity: kinveyEntity.isKinveyEntity,
      toKinveyDateString: kinveyDate.toKinveyDateString,
      fromKinveyDateString: kinveyDate.fromKinveyDateString,
    };
  };

  const LIBRARIES = ['async', 'bluebird', 'bson', 'lodash', 'moment', 'underscore', 'validator'];
  internal.isLibrary = (name) => {
    for (let i = 0; i < LIBRARIES.length; i++) if (LIBRARIES[i] === name) return true;
    return false;
  };

  const lazily = (target, name, make) => {
    ObjectDefineProperty(target, name, {
      __proto__: null,
      configurable: true,
      enumerable: true,
      get() {
        const value = make();
        define(target, name, value, true);
        return value;
      },
      set(value) {
        define(target, name, value, true);
      },
    });
  };

  const modulesObject = (first) => {
    const target = first;
    target.logger = logger;
    target.hostCall = hostCall;
    target.request = internal.request;
    target.collectionAccess = internal.collectionAccess;
    target.backendContext = internal.backendContext;
    target.requestContext = internal.requestContext;
    target.validation = internal.validation;
    target.email = internal.email;
    target.push = internal.push;
    lazily(target, 'utils', utilsOf);
    lazily(target, 'kinvey', kinveyOf);
    lazily(target, 'kinveyEntity', () => utilsOf().kinveyEntity);
    lazily(target, 'kinveyDate', () => utilsOf().kinveyDate);
    lazily(target, 'tempObjectStore', () => utilsOf().tempObjectStore);
    for (let i = 0; i < LIBRARIES.length; i++) {
      const name = LIBRARIES[i];
      lazily(target, name, () => internal.library(name));
    }
    return target;
  };
  internal.modules = modulesObject({});
  internal.context = modulesObject({ fetch: globalThis.fetch });
})
