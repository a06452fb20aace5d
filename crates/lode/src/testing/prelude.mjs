// The globals of a test file, and the handler that runs one of its tests.

class AssertionError extends Error {
  get name() { return 'AssertionError'; }
}

const show = (value) => {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? String(value) : text;
  } catch {
    return String(value);
  }
};

const same = (a, b) => {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
};

const fail = (message, otherwise) => {
  throw new AssertionError(message ?? otherwise);
};

const assert = (value, message) => {
  if (!value) fail(message, `${show(value)} is not true`);
};
Object.assign(assert, {
  ok: assert,
  equal(actual, expected, message) {
    if (!Object.is(actual, expected)) fail(message, `${show(actual)} is not ${show(expected)}`);
  },
  notEqual(actual, expected, message) {
    if (Object.is(actual, expected)) fail(message, `it is ${show(expected)}`);
  },
  deepEqual(actual, expected, message) {
    if (!same(actual, expected)) fail(message, `${show(actual)} is not ${show(expected)}`);
  },
  match(text, pattern, message) {
    if (!pattern.test(text)) fail(message, `${show(text)} does not match ${pattern}`);
  },
  async rejects(work, pattern, message) {
    try {
      await (typeof work === 'function' ? work() : work);
    } catch (error) {
      if (pattern !== undefined && !pattern.test(String(error))) {
        fail(message, `${String(error)} does not match ${pattern}`);
      }
      return;
    }
    fail(message, 'it did not fail');
  },
  throws(work, pattern, message) {
    try {
      work();
    } catch (error) {
      if (pattern !== undefined && !pattern.test(String(error))) {
        fail(message, `${String(error)} does not match ${pattern}`);
      }
      return;
    }
    fail(message, 'it did not throw');
  },
});

const tests = [];
globalThis.assert = assert;
globalThis.test = (name, work) => {
  if (typeof name !== 'string' || typeof work !== 'function') {
    throw new TypeError('test(name, function) is what a test looks like');
  }
  tests.push({ name, work });
};

export async function onRequest({ body }, context) {
  if (body.list) return { status: 200, body: tests.map(({ name }) => name) };
  const t = {
    run: (handler, request = {}, mocks = {}) =>
      context.hostCall('test.run', { handler, request, mocks }),
  };
  await tests[body.index].work(t);
  return { status: 200, body: null };
}
