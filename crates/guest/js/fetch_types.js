// As much of Response as a handler needs to answer with one (fetch.spec.whatwg.org). Bodies are whole,
// never streams: a run has one answer, and it leaves the sandbox in one piece.
(function (native, primordials, internal) {
  'use strict';
  const {
    JSONParse,
    JSONStringify,
    RangeError,
    ReflectGetOwnPropertyDescriptor,
    StringPrototypeCharCodeAt,
    StringPrototypeSlice,
    SyntaxError,
    TypeError,
    TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetLength,
    TypedArrayPrototypeSet,
    Uint8Array,
  } = primordials;
  const { isObject, requireArguments, toDOMString } = internal;
  const { Headers, freeze, itemsOf, recordOf, valueIn } = internal.headers;

  const copyOf = (bytes) => {
    const copy = new Uint8Array(TypedArrayPrototypeGetLength(bytes));
    TypedArrayPrototypeSet(copy, bytes);
    return copy;
  };

  // A body is null, a string or a Uint8Array of its own; `type` is the content type its kind implies.
  const content = (body, type) => ({ __proto__: null, body, type });
  const contentOf = (given) => {
    if (given === undefined || given === null) return content(null);
    const form = internal.formBody(given);
    if (form !== undefined) return content(form, 'application/x-www-form-urlencoded;charset=UTF-8');
    const bytes = internal.bytesOf(given);
    if (bytes !== null) return content(copyOf(bytes));
    return content(internal.toUSVString(given), 'text/plain;charset=UTF-8');
  };
  internal.contentOf = contentOf; // for fetch, in egress.js
  const jsonContent = (data) => {
    const text = JSONStringify(data);
    if (text === undefined) internal.fail(TypeError, 'Response.json: the value cannot be JSON');
    return content(text, 'application/json');
  };

  const decode = (body) =>
    (body === null || typeof body === 'string' ? body : native.utf8Decode(body, false));
  const textOf = (body) => {
    const text = decode(body) ?? '';
    return StringPrototypeCharCodeAt(text, 0) === 0xFEFF ? StringPrototypeSlice(text, 1) : text;
  };
  const bytesOfBody = (body) => (typeof body === 'string' ? native.utf8Encode(body)
    : body === null ? new Uint8Array(0) : copyOf(body));

  const reasonPhrase = (given) => {
    const text = toDOMString(given);
    for (let i = 0; i < text.length; i++) {
      const c = StringPrototypeCharCodeAt(text, i);
      if ((c < 32 && c !== 9) || c === 127 || c > 255) {
        internal.fail(TypeError, 'Response: invalid statusText');
      }
    }
    return text;
  };

  // WebIDL's unsigned short.
  const toUint16 = (given) => internal.toNumber(given) & 0xFFFF;

  const hasNoBody = (status) => status === 204 || status === 205 || status === 304;
  const isRedirect = (status) => status === 301 || status === 302 || status === 303 || status === 307 ||
    status === 308;

  class Response {
    #status = 200;
    #statusText = '';
    #headers;
    #body = null;
    #used = false;
    #type = 'default';
    #url = '';
    #redirected = false;

    constructor(body = null, init = undefined) {
      this.#initialize(contentOf(body), init);
    }

    #initialize(given, init) {
      const { headers, status, statusText } = internal.toDictionary(init, 'Response: init');
      this.#headers = new Headers(headers);
      if (status !== undefined) this.#status = toUint16(status);
      if (statusText !== undefined) this.#statusText = reasonPhrase(statusText);
      if (this.#status < 200 || this.#status > 599) {
        internal.fail(RangeError, 'Response: the status must be from 200 to 599');
      }
      if (given.body === null) return;
      if (hasNoBody(this.#status)) {
        internal.fail(TypeError, 'Response: a response with status ' + this.#status + ' has no body');
      }
      this.#body = given.body;
      const items = itemsOf(this.#headers);
      if (given.type === undefined || valueIn(items, 'content-type') !== null) return;
      items[items.length] = 'content-type';
      items[items.length] = given.type;
    }

    static json(data, init = undefined) {
      requireArguments(arguments.length, 1, 'Response.json');
      const response = new Response();
      response.#initialize(jsonContent(data), init);
      return response;
    }

    static error() {
      const response = new Response();
      response.#type = 'error';
      response.#status = 0;
      freeze(response.#headers);
      return response;
    }

    static redirect(url, status = 302) {
      requireArguments(arguments.length, 1, 'Response.redirect');
      const parts = internal.parseUrl(url);
      if (parts === null) internal.fail(TypeError, 'Response.redirect: invalid URL');
      const code = toUint16(status);
      if (!isRedirect(code)) {
        internal.fail(RangeError, 'Response.redirect: ' + code + ' is no redirect status');
      }
      const response = new Response();
      response.#status = code;
      const items = itemsOf(response.#headers);
      items[0] = 'location';
      items[1] = parts[0];
      freeze(response.#headers);
      return response;
    }

    static #check(value) {
      if (!isObject(value) || !(#body in value)) internal.illegalInvocation();
      return value;
    }

    get type() {
      return Response.#check(this).#type;
    }
    get url() {
      return Response.#check(this).#url;
    }
    get redirected() {
      return Response.#check(this).#redirected;
    }
    get status() {
      return Response.#check(this).#status;
    }
    get ok() {
      const status = Response.#check(this).#status;
      return status >= 200 && status <= 299;
    }
    get statusText() {
      return Response.#check(this).#statusText;
    }
    get headers() {
      return Response.#check(this).#headers;
    }
    get bodyUsed() {
      return Response.#check(this).#used;
    }

    static #take(response) {
      Response.#check(response);
      if (response.#used) internal.fail(TypeError, 'Response: the body has already been used');
      response.#used = response.#body !== null;
      return response.#body;
    }

    async text() {
      return textOf(Response.#take(this));
    }

    async json() {
      const text = textOf(Response.#take(this));
      try {
        return JSONParse(text);
      } catch (error) {
        // The engine's own message, without our frames.
        const message = ReflectGetOwnPropertyDescriptor(error, 'message')?.value;
        return internal.fail(SyntaxError,
          typeof message === 'string' ? message : 'Response.json: invalid JSON');
      }
    }

    async arrayBuffer() {
      return TypedArrayPrototypeGetBuffer(bytesOfBody(Response.#take(this)));
    }

    async bytes() {
      return bytesOfBody(Response.#take(this));
    }

    clone() {
      Response.#check(this);
      if (this.#used) internal.fail(TypeError, 'Response.clone: the body has already been used');
      const copy = new Response();
      copy.#type = this.#type;
      copy.#status = this.#status;
      copy.#statusText = this.#statusText;
      copy.#headers = new Headers(this.#headers);
      copy.#url = this.#url;
      copy.#redirected = this.#redirected;
      copy.#body = this.#body; // never written to, so it can be shared
      return copy;
    }

    static {
      internal.registerPlatform((value) => (#body in value ? {
        __proto__: null,
        status: value.#status,
        statusText: value.#statusText,
        headers: value.#headers,
        bodyUsed: value.#used,
      } : undefined));

      // What a host call brought: {status, statusText, headers: pairs, url, redirected}, its body a string or
      // bytes that nobody else has.
      internal.fetchedResponse = (reply, body) => {
        const response = new Response();
        response.#type = 'basic';
        response.#status = reply.status;
        response.#statusText = reply.statusText;
        response.#url = reply.url;
        response.#redirected = reply.redirected;
        response.#body = hasNoBody(reply.status) ? null : body;
        const items = itemsOf(response.#headers);
        for (let i = 0; i < reply.headers.length; i++) {
          items[items.length] = reply.headers[i][0];
          items[items.length] = reply.headers[i][1];
        }
        freeze(response.#headers);
        return response;
      };

      // What an answer is made of, or null if the value is no Response. Throws when the body is gone.
      internal.responseParts = (value) => {
        if (!isObject(value) || !(#body in value)) return null;
        if (value.#type === 'error') internal.fail(TypeError, 'Response.error() cannot be an answer');
        return {
          __proto__: null,
          status: value.#status,
          headers: recordOf(value.#headers),
          body: decode(Response.#take(value)),
        };
      };
    }
  }
  internal.defineInterface(Response, 'Response');
})
