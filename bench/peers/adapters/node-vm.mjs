// Node's own `vm`: contexts in the host's isolate. Not a security boundary; it
// is the reference for results, and the floor for what V8 takes per context.
import vm from 'node:vm';

function newWorld(script, program) {
  return script.runInContext(vm.createContext(program.async ? { __host: program.host } : {}));
}

export default {
  package: null,
  modes: {
    'fresh-context': {
      note: 'vm.Script compiled once and shared; not a security boundary',
      async open(program) {
        const script = new vm.Script(program.source, { filename: program.name });
        return { run: (text) => newWorld(script, program)(text) };
      },
    },
    warm: {
      note: 'not a security boundary',
      async open(program) {
        return { run: newWorld(new vm.Script(program.source, { filename: program.name }), program) };
      },
    },
  },
};
