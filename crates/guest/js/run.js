// The handler contract: which functions of an app are handlers, what they are called with, and how
// what they do becomes the run's one outcome. Rules: design.md section 7; Kinvey's Business Logic
// reference for (request, response, modules).
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayIsArray,
    NumberIsInteger,
    ObjectDefineProperty,
    ObjectHasOwn,
    PromiseResolve,
    RangeError,
    JSONParse,
    ReflectOwnKeys,
    StringPrototypeIndexOf,
    StringPrototypeStartsWith,
    TypeError,
  } = primordials;

  const FINISH_COMPLETED = 0;
  const FINISH_CONTINUED = 1;

  const HANDLER_NAMES = [
    'onPreSave', 'onPostSave', 'onPreFetch', 'onPostFetch', 'onPreDelete', 'onPostDelete',
    'onPreInsert', 'onPostInsert', 'onPreUpdate', 'onPostUpdate', 'onPreLogin', 'onPostLogin',
    'onRequest',
  ];

  // What closes a classic script's wrapper (c/modules.c): hands out the handlers it declared.
  let tail = '\n;return {__proto__: null';
  for (let i = 0; i < HANDLER_NAMES.length; i++) {
    const name = HANDLER_NAMES[i];
    tail += ', ' + name + ': typeof ' + name + " === 'function' ? " + name + ' : void 0';
  }
  internal.scriptTail = tail + '}})';

  const PRE = 0;
  const POST = 1;
  const ENDPOINT = 2;

  const handlers = []; // filled while deploying, before any hostile setter can matter to a run
  internal.register = (script, isModule, exports) => {
    const names = ReflectOwnKeys(exports);
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      const handler = exports[name];
      if (typeof name !== 'string' || typeof handler !== 'function') continue;
      if (!isModule && handler === globalThis[name]) continue; // common code's: no handler of this script
      const phase = StringPrototypeStartsWith(name, 'onPre') ? PRE
        : StringPrototypeStartsWith(name, 'onPost') ? POST : ENDPOINT;
      ObjectDefineProperty(handlers, handlers.length, {
        __proto__: null,
        value: { __proto__: null, script, name, isModule, handler, phase },
        enumerable: true,
      });
    }
  };
  internal.listHandlers = () => {
    // Without prototypes, on which top-level code may have left a `toJSON`.
    const list = internal.list();
    for (let i = 0; i < handlers.length; i++) {
      const { script, name, isModule } = handlers[i];
      const entry = internal.list();
      entry[0] = script;
      entry[1] = name;
      entry[2] = isModule ? 'module' : 'script';
      list[i] = entry;
    }
    native.finish(FINISH_COMPLETED, 0, 'handlers', list);
  };

  // One run per sandbox: its state can be the file's.
  let current;
  let request;
  let response;
  let backend; // what the API tells the modules, if it does: backend.js
  internal.currentRequest = () => request;
  internal.currentBackend = () => backend;

  const complete = (status, body, headers) => {
    if (!NumberIsInteger(status) || status < 100 || status > 599) {
      internal.fail(RangeError, internal.inspect(status) + ' is not an HTTP status (100 to 599)');
    }
    native.finish(FINISH_COMPLETED, status, 'body', body, 'headers', headers,
      'customRequestProperties', internal.changedProperties());
  };

  const goOnWith = (body, params) => {
    native.finish(FINISH_CONTINUED, 0, 'body', body, 'params', params,
      'tempObjectStore', request.tempObjectStore,
      'customRequestProperties', internal.changedProperties());
  };

  // Goes on with the request (before the operation) or the response (after it) as it now stands.
  const goOn = () => {
    if (current.phase === ENDPOINT) complete(response.statusCode, response.body, response.headers);
    const isPre = current.phase === PRE;
    goOnWith(isPre ? request.body : response?.body, isPre ? request.params : undefined);
  };

  // ---- Kinvey's form: (request, response, modules) ----

  const responseMethods = {
    __proto__: null,
    // complete(status?, body?): answers the client now.
    complete(status, body) {
      complete(status === undefined ? response.statusCode : +status,
        body === undefined ? response.body : body, response.headers);
    },
    continue() {
      goOn();
    },
    next() {
      goOn();
    },
    error(problem) {
      internal.failed(problem === undefined ? 'the script called response.error()' : problem);
    },
  };

  const newResponse = (initial) => {
    const { complete: c, continue: go, next, error } = responseMethods;
    return {
      body: initial?.body ?? {},
      statusCode: initial?.statusCode ?? 200,
      headers: initial?.headers ?? {},
      complete: c,
      continue: go,
      next,
      error,
    };
  };

  // ---- the modern form: (request, context) ----

  // {status, headers?, body?} and nothing else: a document with a `status` field is a document.
  const isResponseLike = (value) => {
    if (!NumberIsInteger(value.status)) return false;
    const keys = ReflectOwnKeys(value);
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] !== 'status' && keys[i] !== 'headers' && keys[i] !== 'body') return false;
    }
    return true;
  };

  // A Response holds text; an outcome's body is JSON.
  const bodyOf = (parts) => {
    const type = parts.headers['content-type'];
    const isJson = type !== undefined && StringPrototypeIndexOf(type, 'json') >= 0;
    if (parts.body === null) return undefined;
    return isJson ? JSONParse(parts.body) : parts.body;
  };

  const returned = (value) => {
    if (value === undefined || value === null) {
      if (current.phase === ENDPOINT) complete(204);
      goOn();
    }
    if (typeof value === 'object') {
      const parts = internal.responseParts(value);
      if (parts !== null) complete(parts.status, bodyOf(parts), parts.headers);
      if (isResponseLike(value)) complete(value.status, value.body, value.headers);
    }
    if (current.phase === ENDPOINT) complete(200, value);
    if (typeof value !== 'object') {
      internal.fail(TypeError, current.name + ' returned a ' + typeof value +
        ': return the changed document, a Response, or nothing');
    }
    goOnWith(value, current.phase === PRE ? request.params : undefined);
  };

  // ---- what C calls (c/lode.c) ----

  // Says which handler is called next, and with what.
  internal.prepare = (index, given) => {
    current = handlers[index];
    request = given;
    if (request === null || typeof request !== 'object' || ArrayIsArray(request)) {
      internal.fail(TypeError, 'the request is not a JSON object');
    }
    if (ObjectHasOwn(request, 'backend')) {
      backend = request.backend;
      delete request.backend;
    }
    const initial = request.response;
    if (initial !== undefined) delete request.response;
    if (current.isModule) {
      response = initial;
      native.handle(current.handler, request, internal.context, undefined);
      return;
    }
    response = newResponse(initial);
    native.handle(current.handler, request, response, internal.modules);
  };

  // What a module's handler returned, or its promise came to. Kinvey's form answers through `response`
  // alone.
  internal.returned = (result) => {
    if (!current.isModule) return;
    if (result !== null && typeof result === 'object' && typeof result.then === 'function') {
      native.then(PromiseResolve(result), returned, internal.failed);
    } else {
      returned(result);
    }
  };

  // Deterministic by construction: no shared memory, and a clock only the host moves.
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
})
