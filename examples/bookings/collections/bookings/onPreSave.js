// Checks a booking, and claims its hour before it is saved: whoever comes second is told so.
var slots = require('slots');
var answers = require('answers');

function onPreSave(request, response, modules) {
  var moment = modules.moment;
  var booking = request.body;

  if (request.method === 'PUT') {
    return answers.refuse(response, 400, 'BookingFixed', 'A booking cannot be changed: cancel it, and book anew');
  }

  var problems = modules.validation.doValidation({
    room: { required: true, pattern: '^[a-z0-9-]+$' },
    day: { required: true, pattern: '^\\d{4}-\\d{2}-\\d{2}$' },
    hour: { required: true, min: slots.OPEN, max: slots.CLOSE - 1 },
  }, booking);
  if (problems.length === 0 && !moment.utc(booking.day, 'YYYY-MM-DD', true).isValid()) {
    problems.push({ attr: 'day', valid: false, msg: 'day is not in the calendar' });
  }
  if (problems.length > 0) {
    var messages = modules.lodash.map(problems, 'msg').join('; ');
    return answers.refuse(response, 400, 'BookingInvalid', 'The booking is incomplete or wrong', messages);
  }

  modules.collectionAccess.collection('rooms').findOne({ _id: booking.room }, function (error, room) {
    if (error) return response.error(error);
    if (!room) return answers.refuse(response, 404, 'RoomNotFound', 'There is no such room', booking.room);

    // The booking's _id is ours to choose, and needed now: the hour is marked with it.
    booking._id = modules.collectionAccess.objectID().toString();
    booking.by = request.username;
    booking.starts = moment.utc(booking.day).hour(booking.hour).toISOString();
    booking.weekday = moment.utc(booking.day).format('dddd');

    slots.claim(modules, booking, function (problem, isOurs) {
      if (problem) return response.error(problem);
      if (!isOurs) return answers.refuse(response, 409, 'SlotTaken', 'The room is taken at that hour', booking.starts);
      modules.utils.tempObjectStore.set('room', { name: room.name, floor: room.floor });
      response.continue();
    });
  });
}
