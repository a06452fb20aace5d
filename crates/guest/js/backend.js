// Kinvey's `modules.backendContext` and `modules.requestContext`: what a run knows of its app and of the
// request that it is part of. The API says it in the request's `backend` member, which internal.begin takes
// out before the script sees the request.
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

  // One run per sandbox: its state can be the file's.
  let request;
  let backend;
  let changed; // the custom request properties, once a script could have changed them

  internal.begin = (given) => {
    request = given;
    if (ObjectHasOwn(given, 'backend')) {
      backend = given.backend;
      delete given.backend;
    }
  };
  internal.currentRequest = () => request;
  internal.changedProperties = () => changed;

  const appKey = () => own(backend, 'appKey') ?? own(request, 'appKey');

  // Whoever uses an app's own credentials is called by its key.
  const userId = () => (backend === undefined ? own(request, 'userId')
    : own(own(backend, 'authenticated'), 'userId')) ?? appKey();
  const username = () => (backend === undefined ? own(request, 'username')
    : own(own(backend, 'authenticated'), 'username')) ?? appKey();
  const securityContext = () => own(backend, 'securityContext');
  internal.creator = userId;

  internal.backendContext = {
    getAppKey: () => appKey(),
    getAppSecret: () => own(backend, 'appSecretToken'),
    getMasterSecret: () => own(backend, 'masterToken'),
    getApiHost: () => own(backend, 'apiHost'),
    getAuthenticatedUserId: () => userId(),
    getAuthenticatedUsername: () => username(),
    getSecurityContext: () => securityContext(),
  };

  // ---- custom request properties ----

  const properties = () => {
    if (changed !== undefined) return changed;
    const given = own(backend, 'customRequestProperties');
    return isObject(given) ? given : {};
  };

  // ---- the client's version: major.minor.patch, each digits only or NaN ----

  const version = () => {
    const given = own(backend, 'clientAppVersion');
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
    getRequestId: () => own(backend, 'requestId') ?? own(own(request, 'headers'), 'x-kinvey-request-id'),
    getApiVersion: () => own(backend, 'apiVersion') ?? own(own(request, 'headers'), 'x-kinvey-api-version'),
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
