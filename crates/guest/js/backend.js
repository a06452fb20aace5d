// Kinvey's `modules.backendContext` and `modules.requestContext`: what a run knows of its app and of the
// request that it is part of. The API says it in the request's `backend` member, which is taken out (run.js)
// before the script sees the request.
//  - "BackendContext Module" and "RequestContext Module" of the Business Logic reference
//    (devcenter.kinvey.com/rest/reference/business-logic/reference.html), and the same in the README of
//    Kinvey's Flex SDK (github.com/Kinvey/flex-sdk); that backendContext once had what requestContext has:
//    the README of Kinvey's business-logic-testing-library, and published hooks.
//  - the secrets are not the app's: they are tokens that our own API takes for it until the run's deadline.
(function (native, primordials, internal) {
  'use strict';
  const {
    NumberParseInt,
    ObjectHasOwn,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeSlice,
  } = primordials;
  const { define, isObject, toDOMString } = internal;

  const own = (object, key) => (isObject(object) && ObjectHasOwn(object, key) ? object[key] : undefined);

  // run.js keeps them, with the rest of what a run changes: one page to copy back.
  const requestOf = () => internal.currentRequest();
  const backendOf = () => internal.currentBackend();

  const appKey = () => own(backendOf(), 'appKey') ?? own(requestOf(), 'appKey');

  // Whoever uses an app's own credentials is called by its key.
  const ofUser = (key) => (backendOf() === undefined ? own(requestOf(), key)
    : own(own(backendOf(), 'authenticated'), key)) ?? appKey();
  const userId = () => ofUser('userId');
  const username = () => ofUser('username');
  const securityContext = () => own(backendOf(), 'securityContext');
  internal.creator = userId;

  internal.backendContext = {
    getAppKey: () => appKey(),
    getAppSecret: () => own(backendOf(), 'appSecretToken'),
    getMasterSecret: () => own(backendOf(), 'masterToken'),
    getApiHost: () => own(backendOf(), 'apiHost'),
    getAuthenticatedUserId: () => userId(),
    getAuthenticatedUsername: () => username(),
    getSecurityContext: () => securityContext(),
  };

  // ---- custom request properties ----

  let changed; // once a script could have changed them
  internal.changedProperties = () => changed;

  const properties = () => {
    if (changed !== undefined) return changed;
    const given = own(backendOf(), 'customRequestProperties');
    return isObject(given) ? given : {};
  };

  // ---- the client's version: major.minor.patch, each digits only or NaN ----

  const version = () => {
    const given = own(backendOf(), 'clientAppVersion');
    return typeof given === 'string' && given !== '' ? given : null;
  };

  const part = (index) => {
    let rest = version() ?? '';
    for (let i = 0; i < index; i++) {
      const dot = StringPrototypeIndexOf(rest, '.');
      if (dot < 0) return NaN;
      rest = StringPrototypeSlice(rest, dot + 1);
    }
    const end = StringPrototypeIndexOf(rest, '.');
    const text = end < 0 ? rest : StringPrototypeSlice(rest, 0, end);
    for (let i = 0; i < text.length; i++) {
      const c = StringPrototypeCharCodeAt(text, i);
      if (c < 48 || c > 57) return NaN;
    }
    return text === '' ? NaN : NumberParseInt(text, 10);
  };

  internal.requestContext = {
    getAuthenticatedUserId: () => userId(),
    getAuthenticatedUsername: () => username(),
    getAuthoritativeUsername: () => username(),
    getSecurityContext: () => securityContext(),
    getRequestId: () => own(backendOf(), 'requestId') ?? own(own(requestOf(), 'headers'), 'x-kinvey-request-id'),
    getApiVersion: () => own(backendOf(), 'apiVersion') ?? own(own(requestOf(), 'headers'), 'x-kinvey-api-version'),
    getCustomRequestProperty: (name) => own(properties(), toDOMString(name)),
    setCustomRequestProperty: (name, value) => {
      changed = properties();
      define(changed, toDOMString(name), value, true);
      return value;
    },
    getCustomRequestProperties: () => {
      changed = properties();
      return changed;
    },
    clientAppVersion: {
      stringValue: () => version(),
      majorVersion: () => part(0),
      minorVersion: () => part(1),
      patchVersion: () => part(2),
    },
  };
})
