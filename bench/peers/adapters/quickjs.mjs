// QuickJS compiled to WebAssembly, under V8's WebAssembly compiler. Two engines
// through one API: Bellard's QuickJS (quickjs-emscripten's default) and QuickJS-ng.
// The API has no way to carry compiled code from one context to another, so
// every fresh world parses the source again.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const NOTE = 'interpreter under V8\'s WebAssembly compiler; source parsed in each world (the API shares no bytecode)';

async function library(variantPackage) {
  const [core, { default: variant }] = await Promise.all([import('quickjs-emscripten'), import(variantPackage)]);
  return { core, variant };
}

function defineHost(context, program) {
  const host = context.newFunction('__host', (name, query) => {
    const answer = context.newPromise();
    program.host(context.getString(name), context.getString(query)).then((text) => {
      context.newString(text).consume((handle) => answer.resolve(handle));
      context.runtime.executePendingJobs();
    });
    return answer.handle;
  });
  host.consume((handle) => context.setProp(context.global, '__host', handle));
}

function enter(context, program) {
  if (program.async) defineHost(context, program);
  return context.unwrapResult(context.evalCode(program.source, `${program.name}.js`));
}

function call(context, entry, text) {
  const argument = context.newString(text);
  const result = context.unwrapResult(context.callFunction(entry, context.undefined, argument));
  argument.dispose();
  return result;
}

const takeString = (context, handle) => handle.consume((value) => context.getString(value));

async function settle(context, promise) {
  const settled = context.resolvePromise(promise);
  promise.dispose();
  context.runtime.executePendingJobs();
  return takeString(context, context.unwrapResult(await settled));
}

function caller(context, entry, program) {
  if (program.async) return (text) => settle(context, call(context, entry, text));
  return (text) => takeString(context, call(context, entry, text));
}

/** One run in a context of its own; `after` releases the context. */
function runOnce(context, program, text, after) {
  const entry = enter(context, program);
  const close = () => {
    entry.dispose();
    after();
  };
  if (program.async) return caller(context, entry, program)(text).finally(close);
  const result = caller(context, entry, program)(text);
  close();
  return result;
}

/** The engine's WebAssembly, compiled once for many instances. */
async function compileEngine(variantPackage) {
  return WebAssembly.compile(await readFile(fileURLToPath(import.meta.resolve(`${variantPackage}/wasm`))));
}

/** The adapter for one engine: `variantPackage` is the npm package that holds its WebAssembly. */
export default function quickjs(variantPackage, engine) {
  const note = `${engine}: ${NOTE}`;
  return {
    package: variantPackage,
    load: () => library(variantPackage),
    modes: {
      'fresh-instance': {
        note: `${note}; a new WebAssembly instance (its own memory), module compiled once`,
        async open(program) {
          const { core, variant } = await library(variantPackage);
          const wasmModule = await compileEngine(variantPackage);
          const instance = core.newVariant(variant, { wasmModule });
          return {
            async run(text) {
              const context = (await core.newQuickJSWASMModuleFromVariant(instance)).newContext();
              return runOnce(context, program, text, () => context.dispose());
            },
          };
        },
      },
      'fresh-runtime': {
        note: `${note}; runtimes share one WebAssembly memory`,
        async open(program) {
          const { core, variant } = await library(variantPackage);
          const engineModule = await core.newQuickJSWASMModuleFromVariant(variant);
          return {
            run(text) {
              const context = engineModule.newContext();
              return runOnce(context, program, text, () => context.dispose());
            },
          };
        },
      },
      'fresh-context': {
        note: `${note}; contexts share one runtime and its heap`,
        async open(program) {
          const { core, variant } = await library(variantPackage);
          const runtime = (await core.newQuickJSWASMModuleFromVariant(variant)).newRuntime();
          return {
            run(text) {
              const context = runtime.newContext();
              return runOnce(context, program, text, () => context.dispose());
            },
          };
        },
      },
      warm: {
        note: `${note}; one context`,
        async open(program) {
          const { core, variant } = await library(variantPackage);
          const context = (await core.newQuickJSWASMModuleFromVariant(variant)).newContext();
          return { run: caller(context, enter(context, program), program) };
        },
      },
    },
  };
}
