// Timers, with Node's rules: a delay is at least 1 ms, and one out of range is 1 ms. They die with the run.
(function (native, primordials, internal) {
  'use strict';
  const { MathTrunc, NumberIsInteger, ReflectOwnKeys, TypeError } = primordials;

  const MAX_DELAY = 2147483647;

  const requireFunction = (callback) => {
    if (typeof callback !== 'function') {
      internal.fail(TypeError,
        'The "callback" argument must be of type function. Received ' + internal.inspect(callback, 0));
    }
  };

  const delayOf = (given) => {
    const delay = given === undefined ? 1 : internal.toNumber(given);
    return delay >= 1 && delay <= MAX_DELAY ? MathTrunc(delay) : 1;
  };

  const start = (callback, delay, repeat, args) => {
    requireFunction(callback);
    return native.setTimer(callback, delayOf(delay), repeat, args);
  };

  // Anything may be cleared; what was never an id clears nothing. One id space, as in browsers.
  const clear = (id) => {
    const number = typeof id === 'string' ? +id : id;
    if (NumberIsInteger(number) && number >= 1 && number <= MAX_DELAY) native.clearTimer(number);
  };

  // Methods rather than functions, so that `new setTimeout()` fails as it does on native ones.
  const globals = {
    __proto__: null,
    setTimeout(callback, delay = undefined, ...args) { return start(callback, delay, false, args); },
    setInterval(callback, delay = undefined, ...args) { return start(callback, delay, true, args); },
    setImmediate(callback, ...args) {
      requireFunction(callback);
      return native.setTimer(callback, 0, false, args);
    },
    clearTimeout(id = undefined) { clear(id); },
    clearInterval(id = undefined) { clear(id); },
    clearImmediate(id = undefined) { clear(id); },
  };
  const names = ReflectOwnKeys(globals);
  for (let i = 0; i < names.length; i++) internal.defineGlobal(names[i], globals[names[i]]);
})
