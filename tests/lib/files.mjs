// Temporary directories, and children that must not outlive the test.
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const children = new Set();
const directories = new Set();

// Whatever becomes of the test, nothing of it stays.
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** A directory that goes with the process, or earlier by `remove`. */
export function temporaryDirectory(what) {
  const directory = mkdtempSync(path.join(tmpdir(), `lode-${what}-`));
  // The one who makes it may be another than the one who works in it (see postgres.mjs).
  chmodSync(directory, 0o755);
  directories.add(directory);
  return directory;
}

export function remove(directory) {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

/** Writes `{path: text}` into a folder of its own, and says where. */
export function folderOf(files) {
  const directory = temporaryDirectory('app');
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return directory;
}

/** Ties a child to this process. */
export function tie(child) {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Ends a child by a signal and waits until it has ended. */
export async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}
