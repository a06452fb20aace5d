// Another app on the same server, asked at a constant light rate whatever happens beside it.
import { clientOf } from '../../lib/http.mjs';
import { deploy, makeApp } from './admin.mjs';

const FILES = {
  'endpoints/compute.js': `function onRequest(request, response, modules) {
    var sum = 0;
    for (var i = 0; i < 1000; i++) sum += i % request.body.n;
    response.body = { n: request.body.n, sum: sum };
    response.complete(200);
  }`,
};

const expected = (n) => Array.from({ length: 1000 }, (_, i) => i % n).reduce((a, b) => a + b, 0);

/** `canary`: a text in its data that nobody else is to see. */
export async function startNeighbour(server, { perSecond = 20, canary }) {
  const app = await makeApp(server, 'neighbour');
  const made = await deploy(server, app, FILES);
  if (made.status !== 201) throw new Error(`the neighbour is not deployed: ${made.text}`);
  const { master } = clientOf(app);
  const saved = await master.save('secrets', { _id: 'canary', text: canary });
  if (saved.status !== 201) throw new Error(`the neighbour's canary is not saved: ${saved.text}`);
  const asked = [];
  const waiting = new Set();
  let number = 1;

  async function once() {
    const n = (number++ % 97) + 2;
    const begun = performance.now();
    let wrong;
    try {
      const answer = await master.run('compute', { n });
      if (answer.status !== 200 || answer.body.sum !== expected(n)) wrong = `${answer.status} ${answer.text.slice(0, 300)}`;
    } catch (error) {
      wrong = `${error.message} ${error.cause?.message ?? ''}`;
    }
    asked.push({ begun, ms: performance.now() - begun, wrong });
  }

  // The beat does not wait for answers: a slow server is not asked less.
  const beat = setInterval(() => {
    const one = once().finally(() => waiting.delete(one));
    waiting.add(one);
  }, 1000 / perSecond);

  return {
    app,
    /** What became of the requests that began since `from` (a `performance.now()`): counts and latencies. */
    since(from) {
      const of = asked.filter(({ begun }) => begun >= from);
      const times = of.map(({ ms }) => ms).sort((a, b) => a - b);
      const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
      return { requests: of.length, p50: at(0.5), p99: at(0.99), wrong: of.filter(({ wrong }) => wrong !== undefined).map(({ wrong }) => wrong) };
    },
    async stop() {
      clearInterval(beat);
      await Promise.all(waiting);
    },
  };
}
