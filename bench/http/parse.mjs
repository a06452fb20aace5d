// Parse Server with the workload as Cloud Code. PORT, DATABASE and WORKERS are given by saves.mjs.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { runInThisContext } from 'node:vm';
import express from 'express';
import { ParseServer } from 'parse-server';
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
    },
    allowClientClassCreation: true,
    encodeParseObjectInCloudFunction: true,
    verbose: false,
    silent: true,
    logLevel: 'error',
    logsFolder: null,
  });
  await server.start();
  const app = express();
  app.use('/parse', server.app);
  await new Promise((resolve) => createServer(app).listen(Number(PORT), '127.0.0.1', resolve));
}

if (WORKERS > 1 && cluster.isPrimary) {
  // One after the other: the first one makes the tables.
  for (let worker = 0; worker < WORKERS; worker++) {
    const child = cluster.fork();
    await new Promise((resolve) => child.once('listening', resolve));
  }
  console.log('ready');
} else {
  await serve();
  if (cluster.isPrimary) console.log('ready');
}
