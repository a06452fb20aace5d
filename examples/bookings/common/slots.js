// Rooms are let by the hour. A room's day is one document of `slots`: {_id: 'room:day', room, day, taken: {'9': booking}}.
// That an hour is taken once only is decided by the database, in one step, and by nothing that a script reads before.

var OPEN = 8;
var CLOSE = 20;

function keyOf(booking) {
  return booking.room + ':' + booking.day;
}

function field(hour) {
  return 'taken.' + hour;
}

// Claims an hour for a booking: done(error, isOurs).
function claim(modules, booking, done) {
  var query = { _id: keyOf(booking) };
  query[field(booking.hour)] = { $exists: false };
  var update = { $set: { room: booking.room, day: booking.day } };
  update.$set[field(booking.hour)] = booking._id;
  var slots = modules.collectionAccess.collection('slots');
  slots.findAndModify(query, [], update, { 'new': true, upsert: true }, function (error, slot) {
    // Where the hour is taken the query finds nothing, and a second day of that _id cannot be made.
    if (error && error.code === 11000) return done(null, false);
    if (error) return done(error);
    done(null, slot.taken[booking.hour] === booking._id);
  });
}

// Gives an hour back, if it is the booking's.
function release(modules, booking, done) {
  var query = { _id: keyOf(booking) };
  query[field(booking.hour)] = booking._id;
  var update = { $unset: {} };
  update.$unset[field(booking.hour)] = '';
  modules.collectionAccess.collection('slots').update(query, update, done);
}

module.exports = { OPEN: OPEN, CLOSE: CLOSE, claim: claim, release: release };
