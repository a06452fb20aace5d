// A room's _id is what bookings call it by; its place is checked here once, and relied on everywhere.
var answers = require('answers');

function onPreSave(request, response, modules) {
  var room = request.body;
  var place = room._geoloc;
  if (!modules.lodash.isArray(place) || place.length !== 2 || !modules.lodash.every(place, modules.lodash.isNumber)) {
    return answers.refuse(response, 400, 'RoomInvalid', 'A room has a _geoloc: [longitude, latitude]');
  }
  room.name = modules.lodash.trim(room.name);
  room._id = room._id || modules.lodash.kebabCase(room.name);
  response.continue();
}
