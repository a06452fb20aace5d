// background-task as a process: `node peer.mjs worker|client`, told by the environment. A worker echoes each task; a
// client sends tasks of BYTES bytes, CONCURRENCY at a time, for DURATION seconds, and prints one JSON object.
import { randomBytes } from 'node:crypto';
import backgroundTask from 'background-task';

const { REDIS_HOST: host, REDIS_PORT: port, LIMIT } = process.env;
const options = { redisOptions: { host, port: Number(port) }, taskKey: 'app', timeout: 30_000 };
const now = () => Number(process.hrtime.bigint()) / 1000;

function work() {
  const worker = backgroundTask.connect({ ...options, isWorker: true });
  worker.on('TASK_AVAILABLE', (id) => {
    worker.acceptTask(id, (task) => {
      if (!(task instanceof Error)) worker.completeTask(id, 'SUCCESS', task);
    });
  });
  worker.notificationBus.subClient.client.once('ready', () => setTimeout(() => console.log('ready'), 200));
}

async function measure() {
  const concurrency = Number(process.env.CONCURRENCY);
  const seconds = Number(process.env.DURATION);
  // Its own bound on a key's tasks, which it checks for each one; -1 turns it off.
  const client = backgroundTask.connect({ ...options, maxTasksPerKey: Number(LIMIT ?? 100_000) });
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  const text = randomBytes(Number(process.env.BYTES)).toString('hex');
  const task = { app: 'bench', text: text.slice(0, Number(process.env.BYTES)) };
  const once = () => new Promise((resolve, reject) => {
    client.addTask(task, (_, answer) => {
      if (answer instanceof Error || answer.text !== task.text) reject(answer);
      else resolve();
    });
  });
  const begin = now() + seconds * 1e6 / 4;
  const end = begin + seconds * 1e6;
  const took = [];
  await Promise.all(Array.from({ length: concurrency }, async () => {
    for (let sent = now(); sent < end; sent = now()) {
      await once();
      if (sent >= begin) took.push(now() - sent);
    }
  }));
  const elapsed = (now() - begin) / 1e6;
  took.sort((a, b) => a - b);
  const quantile = (q) => Math.round(took[Math.min(took.length - 1, Math.ceil(q * took.length) - 1)]);
  console.log(JSON.stringify({ perSecond: Math.round(took.length / elapsed), p50Us: quantile(0.5), p99Us: quantile(0.99) }));
  process.exit(0);
}

if (process.argv[2] === 'worker') work();
else await measure();
