// Counts the booking, and adds a confirmation to the answer. The room is the one that the pre-hook has read.
function onPostSave(request, response, modules) {
  var booking = response.body;
  var room = modules.utils.tempObjectStore.get('room');
  var counters = modules.collectionAccess.collection('counters');

  counters.updateAsync({ _id: booking.room }, { $inc: { bookings: 1, hours: 1 } }, { upsert: true })
    .then(function () {
      return counters.updateAsync({ _id: 'all' }, { $inc: { bookings: 1 } }, { upsert: true });
    })
    .then(function () {
      var text = 'Dear {{by}}, {{room.name}} (floor {{room.floor}}) is yours on {{weekday}}, {{day}} at {{hour}}:00.'
        + '{{#notes}} Note: {{.}}{{/notes}}{{^notes}} No notes.{{/notes}}';
      booking.confirmation = modules.utils.renderTemplate(text, modules.lodash.assign({}, booking, { room: room }));
      response.continue();
    })
    .catch(function (error) {
      response.error(error);
    });
}
