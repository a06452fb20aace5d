// What a Deno program does that runs its customers' code by itself: a Worker per app, made at its first request, with no
// permissions, ended when it does not answer within WALL_MS. POST /NAME runs the app NAME; PORT says where.
import { HOSTILITY } from '../../http/hostility.mjs';
import { source as presave } from '../../http/workload.mjs';

const WALL_MS = 1000;

const sourceOf = (name) => `${name in HOSTILITY ? `function handler() {${HOSTILITY[name]}}` : presave}
self.onmessage = async ({ data: [id, text] }) => {
  try {
    self.postMessage([id, JSON.stringify((await handler(JSON.parse(text))) ?? null)]);
  } catch (error) {
    self.postMessage([id, null, String(error)]);
  }
};`;

const apps = new Map();
let ids = 0;

function open(name) {
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(sourceOf(name))}`, { type: 'module', deno: { permissions: 'none' } });
  const app = { worker, waiting: new Map() };
  const gone = (why) => {
    apps.delete(name);
    worker.terminate();
    for (const { reject } of app.waiting.values()) reject(new Error(why));
  };
  worker.onmessage = ({ data: [id, text, error] }) => {
    const { resolve, reject } = app.waiting.get(id) ?? {};
    app.waiting.delete(id);
    if (error === undefined) resolve?.(text);
    else reject?.(new Error(error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    gone('the worker failed');
  };
  app.gone = gone;
  return app;
}

function run(name, text) {
  if (!apps.has(name)) apps.set(name, open(name));
  const app = apps.get(name);
  const id = ids++;
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => app.gone('no answer'), WALL_MS);
    const then = (end) => (value) => { clearTimeout(patience); end(value); };
    app.waiting.set(id, { resolve: then(resolve), reject: then(reject) });
    app.worker.postMessage([id, text]);
  });
}

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.env.get('PORT')), onListen() {} }, async (request) => {
  try {
    const answer = await run(new URL(request.url).pathname.slice(1), await request.text());
    return new Response(answer, { headers: { 'content-type': 'application/json' } });
  } catch (error) {
    return new Response(String(error?.message ?? error), { status: 500 });
  }
});
