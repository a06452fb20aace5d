// Runs before a book is saved: refuses one without a title, and tidies the others.
function onPreSave(request, response, modules) {
  const book = request.body;
  if (typeof book.title !== 'string' || book.title.trim() === '') {
    response.body = { error: 'a book needs a title' };
    response.complete(400);
    return;
  }
  book.title = book.title.trim();
  book.savedBy = request.username || 'nobody';
  modules.logger.info('saving ' + book.title);
  response.continue();
}
