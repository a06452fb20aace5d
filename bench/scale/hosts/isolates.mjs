// As many isolates as told, each with a context and an app's script in it, as one Node process holds them for apps that
// wait for their next run. Told a number by a message, it answers when it has so many; the script comes first.
import { createRequire } from 'node:module';

const ivm = createRequire(new URL('../../peers/package.json', import.meta.url))('isolated-vm');
const isolates = [];

process.on('message', async ({ source, count }) => {
  for (let i = isolates.length; i < count; i++) {
    const isolate = new ivm.Isolate({ memoryLimit: 64 });
    const context = await isolate.createContext();
    const script = await isolate.compileScript(`${source}\n// ${i}`);
    await script.run(context);
    isolates.push({ isolate, context, script });
  }
  process.send({ count: isolates.length });
});
