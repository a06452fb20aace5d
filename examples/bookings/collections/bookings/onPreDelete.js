// What the post-hook has to undo is gone by then: it is read now, and handed over.
function onPreDelete(request, response, modules) {
  var query = request.entityId ? { _id: request.entityId } : request.params.query;
  modules.collectionAccess.collection('bookings').find(query, function (error, bookings) {
    if (error) return response.error(error);
    request.tempObjectStore.bookings = bookings;
    response.continue();
  });
}
