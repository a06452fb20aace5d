// HTTP requests: the global fetch (fetch.spec.whatwg.org) and Kinvey's `modules.request`, which has the
// shape of npm's `request`. Either is one host call, `egress.request`; what may be sent where is the
// broker's to say (docs/egress.md).
//  - which methods `modules.request` has and what its callback gets: "Request Module" of the Business Logic
//    reference (devcenter.kinvey.com/rest/reference/business-logic/reference.html#request-module).
//  - what its options mean: the README of github.com/request/request. Those that are not here are refused
//    by name where leaving them out would change what is sent.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayIsArray,
    Error,
    JSONParse,
    JSONStringify,
    ObjectHasOwn,
    Promise,
    ReflectOwnKeys,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeSlice,
    StringPrototypeStartsWith,
    StringPrototypeToLowerCase,
    StringFromCharCode,
    TypeError,
    TypedArrayPrototypeGetLength,
    Uint8Array,
    atob,
    btoa,
  } = primordials;
  const { define, isObject, list, requireArguments, toDOMString } = internal;
  const { Headers, itemsOf, valueIn } = internal.headers;

  const ask = native.call; // (name, args): the promise of a host call

  // ---- bodies ----

  const toBase64 = (bytes) =>
    btoa(internal.fromCodes(TypedArrayPrototypeGetLength(bytes), (i) => bytes[i]));

  const fromBase64 = (text) => {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = StringPrototypeCharCodeAt(binary, i);
    return bytes;
  };

  // Puts a string or bytes into the arguments of a call.
  const setBody = (args, body) => {
    if (typeof body === 'string') args.body = body;
    else if (body !== null && body !== undefined) args.bodyBase64 = toBase64(body);
  };

  // A string or a Uint8Array.
  const bodyOf = (reply) => (ObjectHasOwn(reply, 'body') ? reply.body : fromBase64(reply.bodyBase64));

  // ---- fetch ----

  const pairsOf = (items) => {
    const pairs = list();
    for (let i = 0; i < items.length; i += 2) {
      const pair = list();
      pair[0] = items[i];
      pair[1] = items[i + 1];
      pairs[i / 2] = pair;
    }
    return pairs;
  };

  const fetchArguments = (input, init) => {
    const { body, headers, method, redirect } = internal.toDictionary(init, 'fetch: init');
    const args = { __proto__: null, url: internal.toUSVString(input) };
    const items = itemsOf(new Headers(headers));
    const content = internal.contentOf(body);
    if (content.type !== undefined && valueIn(items, 'content-type') === null) {
      items[items.length] = 'content-type';
      items[items.length] = content.type;
    }
    args.headers = pairsOf(items);
    if (method !== undefined) args.method = toDOMString(method);
    if (redirect !== undefined) {
      args.redirect = toDOMString(redirect);
      if (args.redirect !== 'follow' && args.redirect !== 'error' && args.redirect !== 'manual') {
        internal.fail(TypeError, "fetch: redirect must be 'follow', 'error' or 'manual'");
      }
    }
    setBody(args, content.body);
    return args;
  };

  // Every failure of fetch is a TypeError; the broker's own error is its cause.
  const fetchFailure = (cause) => {
    try {
      return internal.fail(TypeError, 'fetch: ' + cause.message);
    } catch (error) {
      define(error, 'cause', cause, false);
      return error;
    }
  };

  const { fetch } = {
    fetch(input, init = undefined) {
      const given = arguments.length;
      return new Promise((resolve, reject) => {
        requireArguments(given, 1, 'fetch');
        const args = fetchArguments(input, init);
        native.then(ask('egress.request', args), (reply) => {
          resolve(internal.fetchedResponse(reply, bodyOf(reply)));
        }, (error) => { reject(fetchFailure(error)); });
      });
    },
  };
  define(globalThis, 'fetch', fetch, true);

  // ---- modules.request ----

  const isPlain = (c) => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) ||
    c === 45 || c === 46 || c === 95 || c === 126; // - . _ ~ (RFC 3986, section 2.3)

  const HEX_DIGITS = '0123456789ABCDEF';
  const percentEncode = (text) => {
    const bytes = native.utf8Encode(internal.toUSVString(text));
    let out = '';
    for (let i = 0; i < TypedArrayPrototypeGetLength(bytes); i++) {
      const byte = bytes[i];
      out += isPlain(byte) ? StringFromCharCode(byte)
        : '%' + HEX_DIGITS[byte >> 4] + HEX_DIGITS[byte & 15];
    }
    return out;
  };

  // As npm's `qs` writes objects: a=1, a[b]=2, a[0]=3; null is empty, undefined is left out.
  const queryOf = (value, name) => {
    if (value === undefined || typeof value === 'function') return '';
    if (!isObject(value)) {
      return percentEncode(name) + '=' + percentEncode(value === null ? '' : toDOMString(value));
    }
    if (native.classOf(value) === 'Date') {
      return percentEncode(name) + '=' + percentEncode(primordials.DatePrototypeToISOString(value));
    }
    let out = '';
    const keys = ReflectOwnKeys(value);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (typeof key === 'symbol' || (ArrayIsArray(value) && key === 'length')) continue;
      const part = queryOf(value[key], name === undefined ? key : name + '[' + key + ']');
      if (part !== '') out += (out === '' ? '' : '&') + part;
    }
    return out;
  };
  const formOf = (value) => {
    if (typeof value === 'string') return value;
    return internal.formBody(value) ?? queryOf(isObject(value) ? value : undefined, undefined);
  };

  const withQuery = (url, qs) => {
    const query = formOf(qs);
    if (query === '') return url;
    let end = StringPrototypeIndexOf(url, '#');
    if (end < 0) end = url.length;
    const head = StringPrototypeSlice(url, 0, end);
    return head + (StringPrototypeIndexOf(head, '?') < 0 ? '?' : '&') + query +
      StringPrototypeSlice(url, end);
  };

  const REFUSED = ['agent', 'agentOptions', 'aws', 'ca', 'cert', 'formData', 'har', 'hawk', 'httpSignature', 'jar',
    'key', 'multipart', 'oauth', 'pfx', 'proxy'];
  const refuse = (options) => {
    for (let i = 0; i < REFUSED.length; i++) {
      const value = options[REFUSED[i]];
      if (value !== undefined && value !== null && value !== false) {
        internal.fail(Error, 'request: the option ' + REFUSED[i] + ' is not supported');
      }
    }
    if (options.strictSSL === false || options.rejectUnauthorized === false) {
      internal.fail(Error, 'request: certificates are always checked: remove strictSSL and rejectUnauthorized');
    }
  };

  const urlOf = (options) => {
    let url = options.uri ?? options.url;
    if (isObject(url) && typeof url.href === 'string') url = url.href;
    if (typeof url !== 'string') internal.fail(Error, 'request: options.uri is a required argument');
    if (typeof options.baseUrl === 'string') {
      const slash = StringPrototypeStartsWith(url, '/') || url === '' ? '' : '/';
      const base = options.baseUrl;
      const bare = StringPrototypeCharCodeAt(base, base.length - 1) === 47
        ? StringPrototypeSlice(base, 0, -1) : base;
      url = bare + slash + url;
    }
    return options.qs === undefined || options.qs === null ? url : withQuery(url, options.qs);
  };

  const headersOf = (options) => {
    const headers = list();
    const given = options.headers;
    if (!isObject(given)) return headers;
    const names = ReflectOwnKeys(given);
    for (let i = 0; i < names.length; i++) {
      if (typeof names[i] === 'symbol' || given[names[i]] === undefined) continue;
      headers[headers.length] = names[i];
      headers[headers.length] = toDOMString(given[names[i]]);
    }
    return headers;
  };
  const has = (headers, name) => {
    for (let i = 0; i < headers.length; i += 2) {
      if (StringPrototypeToLowerCase(headers[i]) === name) return true;
    }
    return false;
  };
  const addMissing = (headers, name, value) => {
    if (has(headers, name)) return;
    headers[headers.length] = name;
    headers[headers.length] = value;
  };

  const jsonText = (value) => {
    const text = JSONStringify(value);
    return text === undefined ? internal.fail(TypeError, 'request: the body cannot be JSON') : text;
  };

  // The body to send; sets what headers follow from it.
  const content = (options, headers) => {
    const { body, form, json } = options;
    if (form !== undefined && form !== null) {
      addMissing(headers, 'content-type', 'application/x-www-form-urlencoded');
      return formOf(form);
    }
    const given = json === true ? body : json;
    if (json !== undefined && json !== null && json !== false && given !== undefined) {
      addMissing(headers, 'content-type', 'application/json');
      return jsonText(given);
    }
    if (body === undefined || body === null || typeof body === 'string') return body;
    const bytes = internal.bytesOf(body);
    return bytes === null
      ? internal.fail(TypeError, 'request: the body must be a string or bytes, or json must be true') : bytes;
  };

  const addAuth = (args, headers, auth) => {
    if (!isObject(auth) || has(headers, 'authorization')) return;
    if (auth.bearer !== undefined) {
      const token = typeof auth.bearer === 'function' ? auth.bearer() : auth.bearer;
      addMissing(headers, 'authorization', 'Bearer ' + toDOMString(token ?? ''));
    } else {
      args.auth = {
        __proto__: null,
        user: toDOMString(auth.user ?? auth.username ?? ''),
        pass: toDOMString(auth.pass ?? auth.password ?? ''),
      };
    }
  };

  const requestArguments = (options, method) => {
    refuse(options);
    const args = { __proto__: null, url: urlOf(options), method };
    const headers = headersOf(options);
    if (options.json !== undefined && options.json !== null && options.json !== false) {
      addMissing(headers, 'accept', 'application/json');
    }
    setBody(args, content(options, headers));
    addAuth(args, headers, options.auth);
    args.headers = pairsOf(headers);
    const isSafe = method === 'GET' || method === 'HEAD';
    const follows = options.followRedirect !== false && (isSafe || options.followAllRedirects === true);
    if (!follows) args.redirect = 'manual';
    if (options.maxRedirects !== undefined) args.maxRedirects = options.maxRedirects;
    if (options.timeout !== undefined && options.timeout !== null) args.timeout = +options.timeout;
    return args;
  };

  // As Node has them: names in lower case, values joined, `set-cookie` a list.
  const recordOf = (pairs) => {
    const record = {};
    for (let i = 0; i < pairs.length; i++) {
      const name = pairs[i][0];
      const value = pairs[i][1];
      if (name === 'set-cookie') {
        if (!ObjectHasOwn(record, name)) define(record, name, [], true);
        define(record[name], record[name].length, value, true);
      } else {
        define(record, name, ObjectHasOwn(record, name) ? record[name] + ', ' + value : value, true);
      }
    }
    return record;
  };

  const received = (reply, options, args) => {
    let body = bodyOf(reply);
    if (options.encoding === null) {
      if (typeof body === 'string') body = native.utf8Encode(body);
    } else if (typeof body !== 'string') {
      body = native.utf8Decode(body, false);
    }
    if (options.json && typeof body === 'string') {
      try {
        body = JSONParse(body);
      } catch {
        // As npm's: what is no JSON stays text.
      }
    }
    return {
      statusCode: reply.status,
      status: reply.status,
      statusMessage: reply.statusText,
      headers: recordOf(reply.headers),
      body,
      request: { method: args.method, href: reply.url, uri: { href: reply.url } },
    };
  };

  // What Node's errors are told apart by.
  const withCode = (error) => {
    if (error.name === 'TimeoutError') define(error, 'code', 'ETIMEDOUT', true);
    return error;
  };

  const send = (options, method) => new Promise((resolve, reject) => {
    if (!isObject(options)) internal.fail(TypeError, 'request: give it a URL or an options object');
    const args = requestArguments(options, method ?? toDOMString(options.method ?? 'GET'));
    native.then(ask('egress.request', args), (reply) => {
      try {
        resolve(received(reply, options, args));
      } catch (error) {
        reject(error);
      }
    }, (error) => { reject(withCode(error)); });
  });

  // (uri, options?, callback?) or (options, callback?). Without a callback: a promise of the response.
  const start = (uri, options, callback, method) => {
    let given = uri;
    let done = callback;
    if (typeof options === 'function') {
      done = options;
    } else if (isObject(options)) {
      given = { __proto__: options, uri: isObject(uri) && typeof uri.href !== 'string' ? uri.uri : uri };
    }
    if (typeof given === 'string') given = { __proto__: null, uri: given };
    else if (isObject(given) && typeof given.href === 'string') given = { __proto__: null, uri: given.href };
    if (done === undefined && isObject(given) && typeof given.callback === 'function') done = given.callback;
    const promise = send(given, method);
    if (done === undefined || done === null) return promise;
    if (typeof done !== 'function') internal.fail(TypeError, 'request: the callback is not a function');
    native.then(promise, (response) => { done(null, response, response.body); }, (error) => { done(error); });
    return undefined;
  };

  const METHODS = ['get', 'GET', 'post', 'POST', 'put', 'PUT', 'patch', 'PATCH', 'head', 'HEAD', 'del', 'DELETE',
    'delete', 'DELETE', 'options', 'OPTIONS'];
  const { request } = {
    request(uri, options = undefined, callback = undefined) { return start(uri, options, callback); },
  };
  define(request, 'request', request, true);
  for (let i = 0; i < METHODS.length; i += 2) {
    define(request, METHODS[i], (uri, options, callback) => start(uri, options, callback, METHODS[i + 1]), true);
  }
  internal.request = request;
})
