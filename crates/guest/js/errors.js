// Errors: those we throw at customers, and how a run's own error is told to the host.
(function (native, primordials, internal) {
  'use strict';
  const { Error, StringPrototypeSlice } = primordials;

  const FINISH_ERROR = 2;
  const FINISH_ABORTED = 3;

  // What a developer can read at once; a megabyte of message would only fill logs.
  const MAX_MESSAGE = 4096;
  const MAX_STACK = 8192;

  const cut = (text, max) => (text.length <= max ? text
    : StringPrototypeSlice(text, 0, max) + '… (' + text.length + ' characters)');

  // Without what a customer's accessor or Error.prepareStackTrace makes of it.
  const stackOf = (error) => {
    const stack = internal.leaves?.stackOf(error);
    return typeof stack === 'string' ? stack : '';
  };

  // Throws a new Ctor(message). Stacks show only the customer's frames: c/frames.c.
  internal.fail = (Ctor, message) => {
    throw new Ctor(message);
  };
  internal.failDom = (message, name) => {
    throw new primordials.DOMException(message, name);
  };

  // A property of a hostile value, if it can be read and is a string.
  const stringOf = (value, key) => {
    try {
      const found = value[key];
      return typeof found === 'string' ? found : undefined;
    } catch {
      return undefined;
    }
  };

  const describe = (thrown) => {
    const kind = native.classOf(thrown);
    if (kind !== 'Error' && kind !== 'DOMException') {
      const message = typeof thrown === 'string' ? thrown : internal.inspect(thrown);
      return { __proto__: null, name: 'Error', message: cut(message, MAX_MESSAGE), stack: '' };
    }
    return {
      __proto__: null,
      name: cut(stringOf(thrown, 'name') ?? 'Error', MAX_MESSAGE),
      message: cut(stringOf(thrown, 'message') ?? '', MAX_MESSAGE),
      stack: cut(stackOf(thrown), MAX_STACK),
    };
  };

  const finish = (kind, { name, message, stack }) =>
    native.finish(kind, 0, 'name', name, 'message', message, 'stack', stack);
  internal.failed = (thrown) => finish(FINISH_ERROR, describe(thrown));
  internal.aborted = (thrown) => finish(FINISH_ABORTED, describe(thrown));

  // The error a host call rejects with: the host says {name?, message?}.
  internal.hostError = (reply) => {
    const error = new Error(stringOf(reply, 'message') ?? 'the host call failed');
    const name = stringOf(reply, 'name');
    if (name !== undefined) {
      primordials.ObjectDefineProperty(error, 'name', {
        __proto__: null,
        value: name,
        writable: true,
        configurable: true,
      });
    }
    return error;
  };
})
