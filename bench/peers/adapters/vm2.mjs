// vm2: a Node `vm` context behind a membrane of proxies, in the host's isolate.
const NOTE = 'same process and isolate as the host; declared unmaintained and insecure in 2023, released again since; its own README says more escapes are to be expected';

async function library() {
  return (await import('vm2')).default;
}

async function prepare(program) {
  const { VM, VMScript } = await library();
  const script = new VMScript(program.source, `${program.name}.js`);
  return () => new VM({ sandbox: program.async ? { __host: program.host } : {} }).run(script);
}

export default {
  package: 'vm2',
  load: library,
  modes: {
    'fresh-vm': {
      note: `VMScript compiled once and shared; ${NOTE}`,
      async open(program) {
        const newWorld = await prepare(program);
        return { run: (text) => newWorld()(text) };
      },
    },
    warm: {
      note: NOTE,
      async open(program) {
        return { run: (await prepare(program))() };
      },
    },
  },
};
