// Errors: those we throw at customers, and how a run's own error is told to the host.
(function (native, primordials, internal) {
  'use strict';
  const { Error, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeEndsWith } = primordials;

  const FINISH_ERROR = 2;
  const FINISH_ABORTED = 3;

  // What a developer can read at once; a megabyte of message would only fill logs.
  const MAX_MESSAGE = 4096;
  const MAX_STACK = 8192;

  const cut = (text, max) => (text.length <= max ? text
    : StringPrototypeSlice(text, 0, max) + '… (' + text.length + ' characters)');

  // Removes the frames of bootstrap files, and the native frames they called.
  internal.cleanStack = (stack) => {
    let clean = '';
    let natives = '';
    let start = 0;
    while (start < stack.length) {
      let end = StringPrototypeIndexOf(stack, '\n', start);
      if (end < 0) end = stack.length;
      const line = StringPrototypeSlice(stack, start, end);
      start = end + 1;
      if (StringPrototypeIndexOf(line, 'lode:') >= 0) {
        natives = '';
      } else if (StringPrototypeEndsWith(line, '(native)')) {
        natives += line + '\n';
      } else {
        clean += natives + line + '\n';
        natives = '';
      }
    }
    return clean + natives;
  };

  // Without what a customer's accessor or Error.prepareStackTrace makes of it.
  const stackOf = (error) => {
    const stack = internal.leaves?.stackOf(error);
    return typeof stack === 'string' ? stack : '';
  };

  const withCleanStack = (error) => {
    primordials.ObjectDefineProperty(error, 'stack', {
      __proto__: null,
      value: internal.cleanStack(stackOf(error)),
      writable: true,
      configurable: true,
    });
    return error;
  };

  // Throws a new Ctor(message) whose stack shows only the customer's frames.
  internal.fail = (Ctor, message) => {
    throw withCleanStack(new Ctor(message));
  };
  internal.failDom = (message, name) => {
    throw withCleanStack(new primordials.DOMException(message, name));
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
      stack: cut(internal.cleanStack(stackOf(thrown)), MAX_STACK),
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
    return withCleanStack(error);
  };
})
