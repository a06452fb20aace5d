test('a book without a title is refused', async (t) => {
  const { outcome } = await t.run('books/onPreSave', { body: { title: ' ' } });
  assert.equal(outcome.status, 400);
});

test('a title is trimmed', async (t) => {
  const { outcome, logs } = await t.run('books/onPreSave', { body: { title: ' Emma ' } });
  assert.equal(outcome.kind, 'continued');
  assert.equal(outcome.body.title, 'Emma');
  assert.deepEqual(logs, ['saving Emma']);
});

test('hello greets', async (t) => {
  const { outcome } = await t.run('hello', { body: { name: 'Ada' } });
  assert.deepEqual(outcome.body, { greeting: 'hello, Ada' });
});
