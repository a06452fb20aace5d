// Parse Server with the workload as Cloud Code. PORT, DATABASE and WORKERS are given by systems.mjs.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { runInThisContext } from 'node:vm';
import express from 'express';
import { ParseServer } from 'parse-server';
import { HOSTILITY } from './hostility.mjs';
import { source } from './workload.mjs';

const { PORT, DATABASE } = process.env;
const WORKERS = Number(process.env.WORKERS ?? 1);

async function serve() {
  // As a customer writes Cloud Code: the workload's functions, and two hooks that use them.
  const handler = runInThisContext(`(() => {${source}\nreturn handler; })()`, { filename: 'presave.js' });
  const server = new ParseServer({
    appId: 'bench',
    masterKey: 'bench-master',
    restAPIKey: 'bench-rest',
    serverURL: `http://127.0.0.1:${PORT}/parse`,
    databaseURI: DATABASE,
    cloud: (Parse) => {
      Parse.Cloud.beforeSave('Order', ({ object }) => {
        const { ok, order, errors } = handler(object.toJSON());
        if (!ok) throw new Parse.Error(Parse.Error.VALIDATION_ERROR, errors.join());
        object.set(order);
      });
      Parse.Cloud.afterSave('Order', () => {});
      Parse.Cloud.define('good', ({ params }) => handler(params));
      for (const [kind, text] of Object.entries(HOSTILITY)) {
        Parse.Cloud.define(kind, runInThisContext(`(() => {${text}})`, { filename: `${kind}.js` }));
      }
    },
    allowClientClassCreation: true,
    encodeParseObjectInCloudFunction: true,
    verbose: false,
    silent: true,
    logLevel: 'error',
    logsFolder: null,
  });
  await server.start();
  if (cluster.isWorker) {
    process.send('started');
    await new Promise((resolve) => process.once('message', resolve));
  }
  const app = express();
  app.use('/parse', server.app);
  await new Promise((resolve) => createServer(app).listen(Number(PORT), '127.0.0.1', resolve));
}

if (WORKERS > 1 && cluster.isPrimary) {
  const workers = [];
  // One after the other: the first one makes the tables.
  for (let worker = 0; worker < WORKERS; worker++) {
    const child = cluster.fork();
    await new Promise((resolve) => child.once('message', resolve));
    workers.push(child);
  }
  // All at once: an answer means that all of them are there.
  for (const child of workers) child.send('listen');
} else {
  await serve();
}
