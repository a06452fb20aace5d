// Plain HTTP to an app, for what the SDKs hide.

export const basic = (name, secret) => `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;

/** Asks as somebody: `{status, headers, body}`, the body parsed if it is JSON. */
export async function ask(url, { method = 'GET', authorization, body, headers = {} } = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
  return { status: response.status, headers: response.headers, text, body: isJson && text !== '' ? JSON.parse(text) : text };
}

/** A client of an app: asks with its secrets or as one of its users. */
export function clientOf(app) {
  const as = (authorization) => {
    const at = (path, options) => ask(`${app.url}${path}`, { authorization, ...options });
    return {
      at,
      get: (collection, path = '', options = {}) => at(`/appdata/${app.key}/${collection}${path}`, options),
      save: (collection, body, options = {}) => at(`/appdata/${app.key}/${collection}`, { method: 'POST', body, ...options }),
      replace: (collection, id, body, options = {}) => (
        at(`/appdata/${app.key}/${collection}/${id}`, { method: 'PUT', body, ...options })),
      remove: (collection, id, options = {}) => at(`/appdata/${app.key}/${collection}/${id}`, { method: 'DELETE', ...options }),
      run: (endpoint, body = {}, options = {}) => (
        at(`/rpc/${app.key}/custom/${endpoint}`, { method: 'POST', body, ...options })),
    };
  };
  return {
    app: as(basic(app.key, app.appSecret)),
    master: as(basic(app.key, app.masterSecret)),
    nobody: as(undefined),
    /** Signs a user up: a client that asks as them. */
    async user(username) {
      const signed = await ask(`${app.url}/user/${app.key}`, {
        method: 'POST', authorization: basic(app.key, app.appSecret), body: { username, password: `${username}-password` },
      });
      if (signed.status !== 201) throw new Error(`sign-up of ${username}: ${signed.status} ${signed.text}`);
      return { ...as(`Kinvey ${signed.body._kmd.authtoken}`), id: signed.body._id, username, token: signed.body._kmd.authtoken };
    },
  };
}
