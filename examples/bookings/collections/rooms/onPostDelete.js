// A room that is gone has no bookings, hours and counters: deleted in the database, no hooks of theirs run.
function onPostDelete(request, response, modules) {
  var access = modules.collectionAccess;
  var room = request.entityId;
  if (!room) return response.continue();

  access.collection('bookings').findAsync({ room: room })
    .then(function (bookings) {
      var ids = modules.lodash.map(bookings, '_id');
      return modules.bluebird.all([
        access.collection('notes').removeAsync({ booking: { $in: ids } }),
        access.collection('bookings').removeAsync({ room: room }),
        access.collection('slots').removeAsync({ room: room }),
        access.collection('counters').removeAsync({ _id: room }),
      ]);
    })
    .then(function (removed) {
      response.body.cascaded = { notes: removed[0], bookings: removed[1], slots: removed[2] };
      response.continue();
    })
    .catch(function (error) {
      response.error(error);
    });
}
