// Evaluates one test; the same text runs inside the sandbox and natively. Tests replace built-ins, so
// what is needed afterwards is taken first. Gives {prepare, run, describe}.
(function () {
  'use strict';
  const globalEval = eval;
  const { String: toText } = globalThis;
  const detach = Function.prototype.call.bind(ArrayBuffer.prototype.transfer);
  const startsWith = Function.prototype.call.bind(String.prototype.startsWith);
  const slice = Function.prototype.call.bind(String.prototype.slice);
  const FAILURE = 'Test262:AsyncTestFailure:';

  // "Class: message" of anything that can be thrown.
  const describe = (error) => {
    try {
      if (error === null || typeof error !== 'object') return `${typeof error}: ${toText(error)}`;
      return `${error.constructor.name}: ${error.message}`;
    } catch {
      return 'unreadable: the error cannot be described';
    }
  };

  // Installs what test262 calls the host. `answer` gets an asynchronous test's verdict.
  const prepare = (answer) => {
    globalThis.print = (line) => {
      const text = toText(line);
      if (text === 'Test262:AsyncTestComplete') answer('ok');
      else if (startsWith(text, FAILURE)) answer(slice(text, FAILURE.length));
    };
    globalThis.$262 = {
      global: globalThis,
      evalScript: (source) => globalEval(source),
      detachArrayBuffer: (buffer) => { detach(buffer); return null; },
    };
  };

  // Runs a script; `waits` when $DONE says how it ended.
  const run = (source, waits, answer) => {
    let verdict = 'ok';
    prepare(answer);
    try {
      globalEval(source);
    } catch (error) {
      verdict = describe(error);
    }
    if (!waits || verdict !== 'ok') answer(verdict);
  };

  return { __proto__: null, prepare, run, describe };
})()
