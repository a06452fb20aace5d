// One attack, tried as a customer would: an app of its own, requests, and what is checked of every answer.
import { setTimeout as pause } from 'node:timers/promises';
import { ask, basic, clientOf } from '../../lib/http.mjs';
import { deploy, makeApp, removeApp, settings } from './admin.mjs';
import { raw } from './raw.mjs';

/** What no answer is ever to hold: parts of this machine, of the platform's sources, of its engine and its database. */
const INTERNALS = /wasm|quickjs|tokio|axum|serde_|panick|\.rs\b|\/work\/|\/tmp\/|\/root\/|\/home\/|\/proc\/|primordials|lode:|<input>|run\.js|sqlite|near "|SELECT |nobody:|root:x/i;

const HANGS_AFTER = 60_000;

/** Whose fault an answer says it was. */
export function blameOf({ status, body }) {
  const error = body?.error;
  if (status < 400) return 'none';
  if (error === 'BLInternalError' || error === 'KinveyInternalErrorStop') return 'platform';
  if (error === 'BLViolationError' || error === 'TooManyRequests') return 'limit';
  if (error === 'BLTimeoutError') return /limit/.test(body.debug) ? 'limit' : 'script';
  if (/^BL/.test(error ?? '')) return 'script';
  if (status >= 500) return 'platform';
  return 'request';
}

/** Whether an answer is one of those expected: `{ok}`, `{error, debug?}`, `{status}`; more than one makes a list. */
function fits(answer, expected) {
  return [expected].flat().some(({ ok, error, status, debug, body }) => (
    (ok === undefined || (answer.status >= 200 && answer.status < 400))
    && (error === undefined || answer.body?.error === error)
    && (status === undefined || [status].flat().includes(answer.status))
    && (debug === undefined || debug.test(answer.body?.debug ?? ''))
    && (body === undefined || same(answer.body, body))));
}

const same = (a, b) => (typeof b === 'function' ? b(a) : JSON.stringify(a) === JSON.stringify(b));

const shown = (expected) => [expected].flat().map((one) => Object.entries(one).map(([k, v]) => `${k} ${v instanceof RegExp || typeof v === 'function' ? v : JSON.stringify(v)}`).join(', ')).join(' or ');

/** Runs an attack in `world` (`{server, neighbour, canary}`): `{outcomes, blames, ms, problems, answers}`. */
export async function run(world, attack) {
  const { server, neighbour } = world;
  const result = { outcomes: new Map(), blames: new Set(), ms: 0, answers: 0, problems: [] };
  const secrets = [world.canary, neighbour.app.masterSecret, neighbour.app.appSecret, server.adminToken()];

  /** Checks an answer, and counts it. */
  function judge(what, answer, expected, ms = 0) {
    result.answers++;
    result.ms = Math.max(result.ms, ms);
    const outcome = answer.body?.error ?? `${answer.status}`;
    result.outcomes.set(outcome, (result.outcomes.get(outcome) ?? 0) + 1);
    const blame = blameOf(answer);
    result.blames.add(blame);
    const problem = (why) => result.problems.push(`${what}: ${why}: ${answer.status} ${answer.text.slice(0, 400)}`);
    if (blame === 'platform' && !fits(answer, { error: 'KinveyInternalErrorRetry' })) problem('the platform takes the blame');
    const told = attack.echoes === undefined ? answer.text : answer.text.replaceAll(attack.echoes, '');
    const internal = INTERNALS.exec(told);
    if (internal !== null) problem(`the answer shows internals (${internal[0]})`);
    for (const secret of secrets) if (answer.text.includes(secret)) problem('the answer has a secret of another');
    if (expected !== undefined && !fits(answer, expected)) problem(`expected ${shown(expected)}`);
    return answer;
  }

  /** Times a request, and judges it. One that has no answer in a minute hangs. */
  async function request(what, send, expected) {
    const begun = performance.now();
    const timeout = new AbortController();
    const late = pause(HANGS_AFTER, 'late', { signal: timeout.signal }).catch(() => 'over');
    try {
      const answer = await Promise.race([send(), late]);
      if (answer === 'late') throw new Error('no answer in a minute');
      return judge(what, answer, expected, performance.now() - begun);
    } catch (error) {
      result.problems.push(`${what}: ${error.message} ${error.cause?.message ?? ''}`);
      return { status: 0, text: '', body: undefined, headers: new Headers() };
    } finally {
      timeout.abort();
    }
  }

  const app = await makeApp(server, attack.id.slice(0, 40), attack.settings);
  const client = clientOf(app);
  try {
    const tries = triesOf(attack);
    if (tries.length > 0 || attack.files !== undefined) {
      const files = { ...attack.files, ...Object.fromEntries(tries.map(({ file, source }) => [file, source])) };
      await request('deploy', () => deploy(server, app, files), { status: 201 });
    }
    for (const one of tries) {
      await request(one.text, () => client.master.run(one.endpoint, one.body), one.expect);
    }
    for (const [files, expect] of attack.deploys ?? []) {
      const text = typeof files === 'string' ? { 'endpoints/evil.mjs': `${files}\nexport function onRequest() { return 1; }` } : files;
      const made = await request(JSON.stringify(text).slice(0, 200), () => deploy(server, app, text), expect ?? attack.expect);
      // What deployed is run, too: whatever its top-level code left behind is the run's.
      if (made.status === 201 && made.body.handlers?.length > 0) await request(`run of ${Object.keys(text)[0]}`, () => client.master.run('evil'), attack.runs);
    }
    if (attack.attempt !== undefined) {
      await attack.attempt({
        world, server, app, client, request, judge,
        url: app.url,
        ask: (path, options, expected) => request(`${options?.method ?? 'GET'} ${path.slice(0, 200)}`, () => ask(`${app.url}${path}`, options), expected),
        owner: basic(app.key, app.masterSecret),
        deploy: (files, expected = { status: 201 }) => request('deploy', () => deploy(server, app, files), expected),
        settings: (body, expected) => request('settings', () => settings(server, app, body), expected),
        run: (endpoint, body, expected) => request(`run ${endpoint}`, () => client.master.run(endpoint, body), expected),
        raw: async (what, parts, expected, options) => {
          const begun = performance.now();
          const answer = await raw(app.url, parts, options);
          const ms = performance.now() - begun;
          const status = answer.statuses[0] ?? 0;
          if (status !== 0 || expected !== undefined) judge(what, { status, text: answer.text, body: bodyOf(answer.text) }, expected, ms);
          return answer;
        },
        check: (condition, what) => { if (!condition) result.problems.push(what); },
      });
    }
  } catch (error) {
    result.problems.push(`the attack itself: ${error.stack}`);
  } finally {
    // The operator's own doing is no part of the attack: a server with hundreds of apps would be another one.
    await removeApp(server, app).catch((error) => result.problems.push(`removing the app: ${error.message}`));
  }
  return result;
}

/** The JSON of the first answer on a raw connection. */
function bodyOf(text) {
  const at = text.indexOf('\r\n\r\n{');
  try {
    return at < 0 ? undefined : JSON.parse(text.slice(at + 4).split('\r\nHTTP/1')[0]);
  } catch {
    return undefined;
  }
}

/** An attack's scripts, each an endpoint: those of handlers in the modern form, in Kinvey's, and whole sources. */
function triesOf(attack) {
  const tries = [];
  const add = (prefix, suffix, wrap) => (entry) => {
    const [text, expect = attack.expect] = [entry].flat();
    const endpoint = `${prefix}${tries.length}`;
    tries.push({ endpoint, file: `endpoints/${endpoint}.${suffix}`, text, source: wrap(text), expect, body: attack.body ?? {} });
  };
  (attack.modern ?? []).forEach(add('m', 'mjs', (body) => `export async function onRequest(request, context) { ${body}\n}`));
  (attack.kinvey ?? []).forEach(add('k', 'js', (body) => `function onRequest(request, response, modules) { ${body}\n}`));
  (attack.sources ?? []).forEach(add('s', 'mjs', (source) => source));
  return tries;
}
