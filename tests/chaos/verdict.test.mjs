// The verdict sees what it is there for: a journal of requests that went well, and each way to spoil it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judge } from './verdict.mjs';

const good = () => {
  const lines = [{ what: 'event', name: 'begin', at: 0 }];
  const kept = [];
  const effect = (kind, id, run, taskId) => {
    lines.push({ what: 'effect', at: 5, kind, id, run, taskId });
    kept.push({ kind, id, run });
  };
  const exchange = (kind, id, rid, host, status, body) => {
    lines.push({ what: 'sent', at: 1, kind, id, rid, host });
    lines.push({ what: 'answered', at: 10, id, status, body: JSON.stringify(body) });
  };
  exchange('save', 's', 's', 'a', 201, {});
  effect('pre', 's', '1');
  effect('post', 's', '2');
  exchange('call', 'c', 'c', 'b', 200, {});
  effect('call', 'c', '3');
  exchange('call', 'lost', 'lost', 'a', 503, { error: 'KinveyInternalErrorRetry' });
  exchange('later', 'l', 'l', 'a', 202, { taskId: 't' });
  exchange('later', 'l-again', 'l', 'b', 202, { taskId: 't' });
  effect('began', 'l', '4', 't');
  effect('done', 'l', '5', 't');
  return { lines, kept, killed: [], budgetMs: 1000, saved: new Set(['s']), tasks: [{ id: 't', state: 'done', tries: 1 }] };
};

const find = (all, match) => all.lines.find((line) => Object.entries(match).every(([name, value]) => line[name] === value));

describe('the verdict', () => {
  it('has nothing against what went well', () => assert.deepEqual(judge(good()).broken, []));

  it('lets a lost try be tried again, as the same task', () => {
    const all = good();
    all.lines.push({ what: 'effect', at: 6, kind: 'began', id: 'l', run: '6', taskId: 't' });
    all.tasks[0].tries = 2;
    assert.deepEqual(judge(all).broken, []);
    assert.equal(judge(all).again, 1);
  });

  it('lets a killed host leave requests unanswered', () => {
    const all = good();
    all.killed.push({ host: 'b', at: 5 });
    Object.assign(find(all, { what: 'answered', id: 'c' }), { what: 'broken', error: 'reset' });
    assert.deepEqual(judge(all).broken, []);
  });

  for (const [what, spoil] of Object.entries({
    'an answer is missing': (all) => all.lines.splice(all.lines.indexOf(find(all, { what: 'answered', id: 'c' })), 1),
    'there are two answers': (all) => all.lines.push({ ...find(all, { what: 'answered', id: 'c' }) }),
    'a connection broke, and nobody was killed': (all) => Object.assign(find(all, { what: 'answered', id: 'c' }), { what: 'broken' }),
    'an answer is late': (all) => { find(all, { what: 'answered', id: 'c' }).at = 4000; },
    'the script is blamed': (all) => Object.assign(find(all, { what: 'answered', id: 'c' }), { status: 550, body: '{"error":"BLRuntimeError"}' }),
    'a hook ran twice': (all) => all.lines.push({ ...find(all, { kind: 'pre', what: 'effect' }), run: '9' }),
    'a hook ran twice, and only the collection tells': (all) => all.kept.push({ kind: 'pre', id: 's', run: '9' }),
    'a hook did not run': (all) => all.lines.splice(all.lines.indexOf(find(all, { kind: 'post', what: 'effect' })), 1),
    'a save is not in the database': (all) => all.saved.clear(),
    'a task was not done': (all) => all.lines.splice(all.lines.indexOf(find(all, { kind: 'done', what: 'effect' })), 1),
    'a task was done twice by one run': (all) => all.lines.push({ ...find(all, { kind: 'done', what: 'effect' }) }),
    'a task ran more often than it was tried': (all) => all.lines.push({ ...find(all, { kind: 'began', what: 'effect' }), run: '9' }),
    'a key became two tasks': (all) => { find(all, { what: 'answered', id: 'l-again' }).body = '{"taskId":"u"}'; },
    'a second try is another task': (all) => all.lines.push({ ...find(all, { kind: 'began', what: 'effect' }), run: '9', taskId: 'u' }),
  })) {
    it(`sees when ${what}`, () => {
      const all = good();
      spoil(all);
      assert.notDeepEqual(judge(all).broken, []);
    });
  }
});
