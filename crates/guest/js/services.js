// Kinvey's `modules.validation`, `modules.email` and `modules.push`.
//  - validation.doValidation(spec, object): the rules required, min, max and pattern, and that a violation
//    is {attr, valid: false, msg}: "Validation Module" of the Business Logic reference
//    (devcenter.kinvey.com/rest/reference/business-logic/reference.html#validation-module).
//  - email.send and push's methods: "Email Module" and "Push Module" there, and in the README of Kinvey's
//    Flex SDK (github.com/Kinvey/flex-sdk). Sending is the broker's: one that is not configured says so.
(function (native, primordials, internal) {
  'use strict';
  const { ArrayIsArray, Error, ReflectOwnKeys, RegExp, RegExpPrototypeExec, TypeError } = primordials;
  const { define, isObject, toDOMString } = internal;

  const ask = native.call; // (name, args): the promise of a host call

  // ---- validation ----

  const isMissing = (value) => value === undefined || value === null;

  const patternsOf = (given) => {
    const patterns = internal.list();
    if (!isObject(given) || native.classOf(given) === 'RegExp') {
      patterns[0] = given;
      return patterns;
    }
    const keys = ReflectOwnKeys(given);
    for (let i = 0; i < keys.length; i++) {
      if (typeof keys[i] === 'symbol' || (ArrayIsArray(given) && keys[i] === 'length')) continue;
      patterns[patterns.length] = given[keys[i]];
    }
    return patterns;
  };

  // What is wrong with a value by one rule; undefined if nothing is. A value that is not there has no
  // smallest or largest, and so breaks those rules too.
  const RULES = {
    __proto__: null,
    required: (name, value) => (isMissing(value) ? name + ' is required' : undefined),
    min: (name, value, least) => (isMissing(value) || value < least
      ? name + ' must be greater than or equal to ' + toDOMString(least) : undefined),
    max: (name, value, most) => (isMissing(value) || value > most
      ? name + ' must be less than or equal to ' + toDOMString(most) : undefined),
    pattern: (name, value, given) => {
      const patterns = patternsOf(given);
      const broken = [];
      for (let i = 0; i < patterns.length; i++) {
        // Made anew even of a RegExp: its lastIndex and its methods may be anybody's.
        const regexp = new RegExp(patterns[i]);
        if (value === undefined || RegExpPrototypeExec(regexp, toDOMString(value)) === null) {
          define(broken, broken.length, name + ' must match regex of ' + toDOMString(patterns[i]), true);
        }
      }
      return broken.length === 0 ? undefined : broken;
    },
  };

  internal.validation = {
    doValidation: (spec, object) => {
      if (!isObject(spec) || !isObject(object)) {
        internal.fail(Error, 'doValidation: give it a specification and an object');
      }
      const problems = [];
      const names = ReflectOwnKeys(spec);
      for (let i = 0; i < names.length; i++) {
        const rules = spec[names[i]];
        if (typeof names[i] === 'symbol' || !isObject(rules)) continue;
        const kinds = ReflectOwnKeys(rules);
        for (let j = 0; j < kinds.length; j++) {
          const rule = typeof kinds[j] === 'symbol' ? undefined : RULES[kinds[j]];
          if (rule === undefined || rules[kinds[j]] === false) continue;
          const msg = rule(names[i], object[names[i]], rules[kinds[j]]);
          if (msg !== undefined) define(problems, problems.length, { attr: names[i], valid: false, msg }, true);
        }
      }
      return problems;
    },
  };

  // ---- e-mail and push ----

  // Without a callback nobody hears of a failure: it is logged.
  const WARN = 2;
  const send = (name, args, callback) => {
    if (callback !== undefined && typeof callback !== 'function') {
      internal.fail(TypeError, name + ': the callback is not a function');
    }
    native.then(ask(name, args), (result) => {
      if (callback !== undefined) callback(null, result);
    }, (error) => {
      if (callback !== undefined) callback(error);
      else native.log(WARN, name + ': ' + toDOMString(error.message));
    });
  };

  const OPTIONAL = ['replyTo', 'html', 'cc', 'bcc'];
  const { email } = {
    email: {
      // send(from, to, subject, body, replyTo?, html?, cc?, bcc?, callback?)
      send(from, to, subject, body, ...args) {
        if (!from || !to || !subject || !body) {
          internal.fail(Error, 'email.send: from, to, subject and the body must be given');
        }
        const message = { __proto__: null, from, to, subject, body };
        let callback;
        for (let i = 0; i < args.length; i++) {
          if (typeof args[i] === 'function') {
            callback = args[i];
            break;
          }
          if (i < OPTIONAL.length && args[i]) message[OPTIONAL[i]] = args[i];
        }
        send('email.send', message, callback);
      },
    },
  };
  internal.email = email;

  const need = (value, what) => {
    if (isMissing(value)) internal.fail(TypeError, 'push: ' + what + ' must be given');
    return value;
  };
  const toUsers = (users, message, callback) => {
    const to = need(users, 'the users');
    send('push.send', {
      __proto__: null, users: ArrayIsArray(to) ? to : [to], message: need(message, 'the message'),
    }, callback);
  };
  const toAll = (message, callback) => {
    send('push.broadcast', { __proto__: null, message: need(message, 'the message') }, callback);
  };
  const payload = (iOSAps, iOSExtras, androidPayload) => ({ __proto__: null, iOSAps, iOSExtras, androidPayload });
  internal.push = {
    send: toUsers,
    sendMessage: toUsers,
    broadcast: toAll,
    broadcastMessage: toAll,
    sendPayload: (users, iOSAps, iOSExtras, androidPayload, callback) => {
      toUsers(users, payload(iOSAps, iOSExtras, androidPayload), callback);
    },
    broadcastPayload: (iOSAps, iOSExtras, androidPayload, callback) => {
      toAll(payload(iOSAps, iOSExtras, androidPayload), callback);
    },
  };
})
