// isolated-vm: V8 isolates of their own, in the host's process. Calls are the
// synchronous ones (the quickest); a program that awaits the host needs the
// asynchronous ones, which change threads.
//
// Isolate.createSnapshot is not used: on Node 20 isolates made from a snapshot mix
// up one-character strings ("_ is not defined", wrong slugs), and the library's
// author advises against it (laverdet/isolated-vm#352).

// A host function that answers later is reached through a reference.
const HOST_GLUE = `
const __host = (...parts) => __hostReference.apply(undefined, parts, { result: { promise: true } });
`;

async function library() {
  return (await import('isolated-vm')).default;
}

/** The way to call `entry`, a reference to the program's function. */
function caller(program, entry) {
  if (program.async) return (text) => entry.apply(undefined, [text], { result: { promise: true } });
  return (text) => entry.applySync(undefined, [text]);
}

function newContext(isolate, program) {
  const context = isolate.createContextSync();
  if (program.async) context.global.setSync('__hostReference', program.host, { reference: true });
  return context;
}

const sourceOf = (program) => (program.async ? HOST_GLUE : '') + program.source;
const entryOf = (script, context) => script.runSync(context, { reference: true });

/** Passes a result on, `after` having been called: now, or when a promised one is there. */
function finishing(result, after) {
  if (typeof result === 'string') {
    after();
    return result;
  }
  return result.finally(after);
}

function runInFreshContext(isolate, script, program, text, after = () => {}) {
  const context = newContext(isolate, program);
  const entry = entryOf(script, context);
  return finishing(caller(program, entry)(text), () => {
    entry.release();
    context.release();
    after();
  });
}

export default {
  package: 'isolated-vm',
  load: library,
  nodeFlags: ['--no-node-snapshot'],
  modes: {
    'fresh-isolate': {
      note: 'source compiled in each isolate from V8 code cache (cachedData)',
      async open(program) {
        const ivm = await library();
        const source = sourceOf(program);
        const { cachedData } = new ivm.Isolate().compileScriptSync(source, { produceCachedData: true });
        return {
          run(text) {
            const isolate = new ivm.Isolate();
            const script = isolate.compileScriptSync(source, { cachedData });
            return runInFreshContext(isolate, script, program, text, () => isolate.dispose());
          },
        };
      },
    },
    'fresh-context': {
      note: 'one isolate, source compiled once in it: contexts share a heap and its limits',
      async open(program) {
        const ivm = await library();
        const isolate = new ivm.Isolate();
        const script = isolate.compileScriptSync(sourceOf(program));
        return { run: (text) => runInFreshContext(isolate, script, program, text) };
      },
    },
    warm: {
      note: 'one isolate, one context',
      async open(program) {
        const ivm = await library();
        const isolate = new ivm.Isolate();
        const script = isolate.compileScriptSync(sourceOf(program));
        return { run: caller(program, entryOf(script, newContext(isolate, program))) };
      },
    },
  },
};
