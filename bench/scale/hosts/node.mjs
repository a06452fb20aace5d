// What a Node program does that runs its customers' code by itself: HTTP, and a sandbox per app. By the environment:
// SANDBOX is isolated-vm or node-vm, PORT where it listens. POST /NAME runs the app NAME: the hostile ones, or presave
// for any other name. An isolate per app, a context per run; both have limits as far as the library knows them, and
// whoever never answers is answered for after WALL_MS.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import vm from 'node:vm';
import { HOSTILITY } from '../../http/hostility.mjs';
import { source as presave } from '../../http/workload.mjs';

// Lode's own defaults: 100 ms of processor time, 64 MiB. Its 10 s in all are cut to one, as a hang counts from 5 s on.
const CPU_MS = 100;
const MEMORY_MB = 64;
const WALL_MS = 1000;

const sourceOf = (name) => `${name in HOSTILITY ? `function handler() {${HOSTILITY[name]}}` : presave}
async function __run(text) { return JSON.stringify((await handler(JSON.parse(text))) ?? null); }`;

function isolatedVm() {
  const ivm = createRequire(new URL('../../peers/package.json', import.meta.url))('isolated-vm');
  const timers = `globalThis.setTimeout = (f, ms) => { __sleep.apply(undefined, [ms], { result: { promise: true } }).then(f); };\n`;
  const apps = new Map();
  const open = async (name) => {
    const isolate = new ivm.Isolate({ memoryLimit: MEMORY_MB });
    return { isolate, script: await isolate.compileScript(`${timers}${sourceOf(name)}\n__run;`) };
  };
  return async (name, text) => {
    // One that reached its limit of memory is gone, and is made again.
    if (!apps.has(name) || apps.get(name).isolate.isDisposed) apps.set(name, await open(name));
    const { isolate, script } = apps.get(name);
    const context = await isolate.createContext();
    try {
      await context.global.set('__sleep', (ms) => new Promise((resolve) => { setTimeout(resolve, ms); }), { reference: true });
      const entry = await script.run(context, { reference: true, timeout: CPU_MS });
      return await entry.apply(undefined, [text], { timeout: CPU_MS, result: { promise: true } });
    } finally {
      if (!isolate.isDisposed) context.release();
    }
  };
}

function nodeVm() {
  const apps = new Map();
  return (name, text) => {
    if (!apps.has(name)) apps.set(name, new vm.Script(`${sourceOf(name)}\n__run(__text)`));
    return apps.get(name).runInNewContext({ __text: text, setTimeout }, { timeout: CPU_MS });
  };
}

const run = process.env.SANDBOX === 'isolated-vm' ? isolatedVm() : nodeVm();

createServer(async (request, response) => {
  let text = '';
  for await (const part of request.setEncoding('utf8')) text += part;
  let patience;
  try {
    const late = new Promise((_, reject) => { patience = setTimeout(reject, WALL_MS, new Error('no answer')); });
    const answer = await Promise.race([run(request.url.slice(1), text), late]);
    response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
  } catch (error) {
    response.writeHead(500).end(String(error?.message ?? error));
  } finally {
    clearTimeout(patience);
  }
}).listen(Number(process.env.PORT), '127.0.0.1');
