// Bundles each library of package.json into one file for the sandbox: `node bundle.mjs NODE_MODULES OUT`
// (build/libraries.rs). Nothing is renamed, so that a name in a profile or an error is the library's own.
//
// A file is an expression whose value is a bootstrap file's function (c/lode.c, lode_bootstrap). The
// library's code stands outside that function: it sees `module`, `exports` and the customer's globals, and
// nothing of ours.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const [nodeModules, out] = process.argv.slice(2).map((argument) => path.resolve(argument));
const { build } = createRequire(path.join(nodeModules, 'bundle.js'))('esbuild');
const { dependencies } = JSON.parse(fs.readFileSync(new URL('package.json', import.meta.url), 'utf8'));

// What a library needs beside its own main file.
const ENTRIES = {
  // Its name until version 5, under which Kinvey's scripts know it.
  bson: "const bson = require('bson'); module.exports = { ObjectID: bson.ObjectId, ...bson };",
};

for (const name of Object.keys(dependencies)) {
  const { outputFiles, warnings } = await build({
    stdin: {
      contents: ENTRIES[name] ?? `module.exports = require('${name}');`,
      resolveDir: path.dirname(nodeModules),
    },
    // Paths inside a bundle are relative to it: the same on every machine.
    absWorkingDir: path.dirname(nodeModules),
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'neutral',
    mainFields: ['main'],
    external: ['async_hooks'], // bluebird asks for it in Node alone
    target: 'es2022',
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'inline', // licences ask that their notice stays
    logLevel: 'warning',
  });
  if (warnings.length > 0) throw new Error(`${name}: esbuild warns: see above`);
  const [{ text }] = outputFiles;
  fs.writeFileSync(path.join(out, `${name}.js`), `(() => {
const load = (module, exports) => {
${text}
};
return (native, primordials, internal) => { internal.addLibrary('${name}', load); };
})()
`);
}
