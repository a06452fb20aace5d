// Deletes what belongs to deleted bookings: their hours are free again, their notes go, they are not counted.
var slots = require('slots');

function onPostDelete(request, response, modules) {
  var access = modules.collectionAccess;
  var bookings = request.tempObjectStore.bookings || [];

  modules.async.each(bookings, function (booking, done) {
    modules.async.series([
      function (next) { slots.release(modules, booking, next); },
      function (next) { access.collection('counters').update({ _id: booking.room }, { $inc: { bookings: -1, hours: -1 } }, next); },
      function (next) { access.collection('counters').update({ _id: 'all' }, { $inc: { bookings: -1 } }, next); },
      function (next) { access.collection('notes').remove({ booking: booking._id }, next); },
    ], done);
  }, function (error) {
    if (error) return response.error(error);
    response.continue();
  });
}
