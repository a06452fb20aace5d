// What a test file of `lode test` sees: `*.test.js` beside an app's scripts.

/** How a handler's run ended. */
interface LodeOutcome {
  kind: 'completed' | 'continued' | 'error' | 'limit' | 'neverCompleted';
  /** Of `completed`: the HTTP status. */
  status?: number;
  headers?: Record<string, string>;
  /** Of `completed` and `continued`. */
  body?: any;
  /** Of `continued`. */
  params?: any;
  tempObjectStore?: any;
  /** Of `error`. */
  name?: string;
  message?: string;
  stack?: string;
  /** Of `limit`: which one. */
  limit?: string;
}

/** One run of a handler, as a test sees it. */
interface LodeTestRun {
  outcome: LodeOutcome;
  /** What it logged. */
  logs: string[];
  /** The host calls it made, in order. */
  calls: { name: string; args: any }[];
}

interface LodeTest {
  /**
   * Runs one of the app's handlers in a sandbox of its own.
   * @param handler `orders/onPreSave`, or an endpoint's name
   * @param request what the handler gets: `body`, `params`, `headers`, `username`, …
   * @param mocks what its host calls are answered with, by name: a value; `{sequence: [...]}` for one
   *   after the other; `{error: {name, message}}` to fail
   */
  run(handler: string, request?: object, mocks?: Record<string, unknown>): Promise<LodeTestRun>;
}

declare function test(name: string, work: (t: LodeTest) => void | Promise<void>): void;

declare const assert: {
  (value: unknown, message?: string): void;
  ok(value: unknown, message?: string): void;
  equal(actual: unknown, expected: unknown, message?: string): void;
  notEqual(actual: unknown, expected: unknown, message?: string): void;
  deepEqual(actual: unknown, expected: unknown, message?: string): void;
  match(text: string, pattern: RegExp, message?: string): void;
  throws(work: () => unknown, pattern?: RegExp, message?: string): void;
  rejects(work: Promise<unknown> | (() => Promise<unknown>), pattern?: RegExp, message?: string): Promise<void>;
};
