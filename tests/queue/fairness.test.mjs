// Quotas hold on all hosts together, and no app takes another's turn.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCluster } from '../lib/cluster.mjs';
import { clientOf } from '../lib/http.mjs';
import { endpoint } from './scripts.mjs';

const SCRIPTS = {
  'endpoints/fine.js': endpoint('response.body = { fine: true }; response.complete(200);'),
  // Some 20 ms of processor time.
  'endpoints/busy.js': endpoint('var sum = 0; for (var i = 0; i < 400000; i++) sum += i % 7; response.complete(200);'),
  'endpoints/slow.js': endpoint('setTimeout(function () { response.complete(200); }, 3000);'),
};

/** FNV-1a: which of the queue's 7 lanes an app is in, but for what is too much of it. */
function laneOf(app) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(app)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return Number(hash % 7n);
}

function keyIn(lane, not) {
  for (let n = 0; ; n++) {
    const key = `kid_lane${n}`;
    if (laneOf(key) === lane && key !== not) return key;
  }
}

describe('fairness', { concurrency: false, timeout: 180_000 }, () => {
  let cluster;
  before(async () => { cluster = await startCluster({ apis: 2, workers: 2 }); });
  after(() => cluster?.stop());

  it('an app\'s rate is one rate, on all hosts together', async () => {
    const app = await cluster.app(SCRIPTS, { quota: { rate: 5 } });
    const begun = Date.now();
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => clientOf(app.at(i % 2)).master.run('fine')));
    const seconds = (Date.now() - begun) / 1000;
    const done = answers.filter(({ status }) => status === 200).length;
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(done + refused.length, 60, answers.map(({ status }) => status).join());
    // One second's at once, and five for each second that all of it took.
    assert.ok(done >= 1 && done <= Math.ceil(5 + 5 * seconds), `${done} in ${seconds} s`);
    for (const answer of refused) {
      assert.equal(answer.body.error, 'TooManyRequests');
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
    }
  });

  it('an app has so many under way and waiting, on all hosts together', async () => {
    const app = await cluster.app(SCRIPTS, { quota: { concurrency: 4, queue: 4 } });
    // They stay for three seconds: whoever asks now finds them all there.
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => clientOf(app.at(i % 2)).master.run('slow')));
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(answers.length - refused.length, 8, answers.map(({ status }) => status).join());
  });

  it('an app\'s runs wait for nobody while a worker has room for them', async () => {
    const app = await cluster.app(SCRIPTS, { quota: { concurrency: 4, queue: 4 }, budget: { timeMs: 9000 } });
    // Twice what may run at once: six seconds, if each worker does its part.
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => clientOf(app.at(i % 2)).master.run('slow')));
    assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200));
  });

  for (const [where, same] of [['another lane', false], ['the same lane', true]]) {
    it(`an app that floods does not starve one in ${where}`, async () => {
      const flooding = await cluster.app(SCRIPTS, { quota: { concurrency: 100, queue: 5000 } }, ['--key', keyIn(same ? 3 : 4)]);
      const neighbour = await cluster.app(SCRIPTS, { budget: { timeMs: 4000 } }, ['--key', keyIn(same ? 3 : 5, keyIn(3))]);
      let over = false;
      let flood = 0;
      const loops = Array.from({ length: 600 }, async (_, i) => {
        const client = clientOf(flooding.at(i % 2));
        while (!over) {
          const { status } = await client.master.run('busy');
          if (status === 200) flood++;
        }
      });
      // A lane that is served in turn with nobody else's work holds twelve seconds of it.
      while (flood < 50) await new Promise((resolve) => { setTimeout(resolve, 20); });
      const answers = [];
      for (let n = 0; n < 12; n++) answers.push(await clientOf(neighbour.at(n % 2)).master.run('fine'));
      const during = flood;
      over = true;
      await Promise.all(loops);
      assert.deepEqual(answers.map(({ status }) => status), Array(12).fill(200), answers.find(({ status }) => status !== 200)?.text);
      assert.ok(during > 0);
    });
  }
});
