// The corpus covers the document, and would be found out if it did not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ATTACKS, ELSEWHERE } from './lib/corpus.mjs';
import { gaps, readRows, rowsOf } from './lib/document.mjs';

const TEXT = '# T\n\n## One\n\n| Idea | Defence | Test |\n|---|---|---|\n| First `a|b` | d | `x.rs::f` |\n| Second | d | `tests/attack/corpus/x.mjs::two` |\n\n## Two\n\n| Other | Table |\n|---|---|\n| a | b |\n';
const rows = rowsOf(TEXT);
const attacks = [{ id: 'one', row: 'First `a|b`' }, { id: 'two', row: 'Second' }];

describe('the document of attacks', () => {
  it('is read: its tables of ideas, and no others', () => {
    assert.deepEqual(rows.map(({ section, idea }) => [section, idea]), [['One', 'First `a|b`'], ['One', 'Second']]);
  });
  it('is covered by the corpus', () => assert.deepEqual(gaps(readRows(), ATTACKS, ELSEWHERE), []));
  it('has nothing against what covers it', () => assert.deepEqual(gaps(rows, attacks, new Map()), []));
  it('finds a row that nothing covers', () => {
    assert.match(gaps(rows, [attacks[1]], new Map()).join(), /no attack covers "First/);
    assert.deepEqual(gaps(rows, [attacks[1]], new Map([['First `a|b`', 'a reason']])), []);
  });
  it('finds each real row, if its attacks were gone', () => {
    for (const { idea } of readRows().filter(({ idea: one }) => !ELSEWHERE.has(one))) {
      assert.ok(gaps(readRows(), ATTACKS.filter(({ row }) => row !== idea), ELSEWHERE).some((what) => what.includes(`no attack covers "${idea}"`)), idea);
    }
  });
  it('finds an attack and a reason whose row is gone', () => {
    assert.match(gaps(rows, [...attacks, { id: 'three', row: 'Third' }], new Map()).join(), /three: the document has no row "Third"/);
    assert.match(gaps(rows, attacks, new Map([['Third', 'a reason']])).join(), /no row "Third"/);
  });
  it('finds a row that is tried and said not to be possible', () => assert.match(gaps(rows, attacks, new Map([['Second', 'a reason']])).join(), /is tried, and said/));
  it('finds two of a name, and names that lead nowhere', () => {
    assert.match(gaps(rows, [...attacks, attacks[0]], new Map()).join(), /two attacks are called one/);
    assert.match(gaps(rows, [attacks[0], { id: 'other', row: 'Second' }], new Map()).join(), /names the attack two, which is not there/);
  });
  it('finds two rows of one idea', () => assert.match(gaps([...rows, rows[0]], attacks, new Map()).join(), /two rows/));
});
