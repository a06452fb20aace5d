// What happened, written down outside of the system under test: one JSON line for each thing, in a file and in memory.
// Scripts tell it of their side effects over HTTP.
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { temporaryDirectory } from '../lib/files.mjs';

export async function openJournal(address) {
  const file = path.join(temporaryDirectory('journal'), 'journal.jsonl');
  const handle = openSync(file, 'a');
  const begun = Date.now();
  const write = (what, line) => writeSync(handle, `${JSON.stringify({ what, at: Date.now() - begun, ...line })}\n`);
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const part of request.setEncoding('utf8')) text += part;
    // Before it is answered: a script that goes on has had its effect.
    write('effect', JSON.parse(text));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.keepAliveTimeout = 120_000;
  server.listen(0, address);
  await once(server, 'listening');
  return {
    file,
    url: `http://${address}:${server.address().port}`,
    now: () => Date.now() - begun,
    write,
    /** All lines so far, read from the file. */
    lines: () => readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line)),
    close() {
      server.close();
      server.closeAllConnections();
      closeSync(handle);
    },
  };
}
