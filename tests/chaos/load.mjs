// Hooks, endpoint calls and asynchronous runs, sent at fixed rates whatever becomes of them, and written into a journal.
import { Agent, request as send } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { basic } from '../lib/http.mjs';

/** Of each kind, per second and API host. */
const RATES = { save: 12, call: 8, later: 4 };

/** What one request may take in all; the app is set up so. */
export const BUDGET_MS = 12_000;

/** Two side effects of a run: to the journal, and into a collection. Each run of a script calls itself something else. */
const EFFECT = (journal) => `
  function effect(modules, request, kind, done) {
    var line = { kind: kind, id: request.body.rid, run: String(Math.random()), taskId: request.taskId };
    modules.request.post({ uri: '${journal}', json: line }, function (error) {
      if (error) return done(error);
      modules.collectionAccess.collection('effects').insert(line, done);
    });
  }
  function after(request, done) {
    if (request.body.waitMs > 0) setTimeout(done, request.body.waitMs); else done();
  }`;

const hook = (name, kind) => (journal) => `${EFFECT(journal)}
  function ${name}(request, response, modules) {
    effect(modules, request, '${kind}', function (error) {
      if (error) return response.error(error.message);
      after(request, function () { response.continue(); });
    });
  }`;

export function scripts(journal) {
  return {
    'collections/orders/onPreSave.js': hook('onPreSave', 'pre')(journal),
    'collections/orders/onPostSave.js': hook('onPostSave', 'post')(journal),
    'endpoints/call.js': `${EFFECT(journal)}
      function onRequest(request, response, modules) {
        effect(modules, request, 'call', function (error) {
          if (error) return response.error(error.message);
          after(request, function () { response.body = { rid: request.body.rid }; response.complete(200); });
        });
      }`,
    'endpoints/later.js': `${EFFECT(journal)}
      function onRequest(request, response, modules) {
        effect(modules, request, 'began', function (error) {
          if (error) return response.error(error.message);
          after(request, function () {
            effect(modules, request, 'done', function (error) {
              if (error) return response.error(error.message);
              response.body = { rid: request.body.rid };
              response.complete(200);
            });
          });
        });
      }`,
  };
}

/** `hosts`: API hosts by name, `{name: origin}`. */
export function startLoad({ app, hosts, journal }) {
  const agents = Object.fromEntries(Object.keys(hosts).map((name) => [name, new Agent({ keepAlive: true, maxSockets: 2000 })]));
  const gone = new Set();
  const open = new Set();
  let number = 0;
  let over = false;

  function ask(host, kind, id, path, body, headers = {}) {
    const text = JSON.stringify(body);
    const url = new URL(path, hosts[host]);
    const answered = new Promise((resolve) => {
      journal.write('sent', { kind, id, rid: body.rid, host, key: headers['idempotency-key'] });
      const end = (what, line) => {
        clearTimeout(overdue);
        journal.write(what, { id, ...line });
        resolve();
      };
      const asked = send(url, {
        method: 'POST',
        agent: agents[host],
        headers: {
          authorization: basic(app.key, app.masterSecret), 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers,
        },
      }, async (response) => {
        try {
          let answer = '';
          for await (const part of response.setEncoding('utf8')) answer += part;
          end('answered', { status: response.statusCode, body: answer.slice(0, 500), retryAfter: response.headers['retry-after'] });
        } catch (error) {
          end('broken', { error: error.message });
        }
      });
      asked.once('error', (error) => end('broken', { error: error.message }));
      // Far beyond its deadline: it counts as never answered.
      const overdue = setTimeout(() => asked.destroy(new Error('no answer')), BUDGET_MS * 2);
      asked.end(text);
    });
    open.add(answered);
    answered.then(() => open.delete(answered));
  }

  function one(host, kind) {
    const n = ++number;
    const rid = `${kind}-${n}`;
    // Some are under way for a while: a fault is to find them so.
    const body = { rid, waitMs: n % 3 === 0 ? 50 + (n * 37) % 350 : 0 };
    if (kind === 'save') ask(host, kind, rid, `/appdata/${app.key}/orders`, { _id: rid, ...body });
    if (kind === 'call') ask(host, kind, rid, `/rpc/${app.key}/custom/call`, body);
    if (kind === 'later') {
      const headers = { prefer: 'respond-async', 'idempotency-key': rid };
      ask(host, kind, rid, `/rpc/${app.key}/custom/later`, body, headers);
      // Sent by a client that is not sure: the other host knows the key, too.
      if (n % 4 === 0) {
        const other = Object.keys(hosts).find((name) => name !== host && !gone.has(name)) ?? host;
        ask(other, kind, `${rid}-again`, `/rpc/${app.key}/custom/later`, body, headers);
      }
    }
  }

  async function beat(host, kind, perSecond) {
    const begun = performance.now();
    for (let sent = 0; !over && !gone.has(host); sent++) {
      const left = begun + (sent * 1000) / perSecond - performance.now();
      if (left > 0) await pause(left);
      if (!over && !gone.has(host)) one(host, kind);
    }
  }

  const beats = Object.keys(hosts).flatMap((host) => Object.entries(RATES).map(([kind, rate]) => beat(host, kind, rate)));
  return {
    /** Nothing more is sent to a host. */
    leave: (host) => gone.add(host),
    /** Sends nothing more, and waits for what is open: none waits longer than it is allowed to. */
    async end() {
      over = true;
      await Promise.all(beats);
      await Promise.all(open);
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}
