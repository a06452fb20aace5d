// What is booked, by room, for the owner.
function onRequest(request, response, modules) {
  var _ = modules.lodash;
  var bookings = modules.collectionAccess.collection('bookings');
  if (modules.requestContext.getSecurityContext() !== 'master') {
    response.body = { error: 'OwnerOnly', description: 'Only the owner sees the report', debug: '' };
    return response.complete(401);
  }
  modules.bluebird.all([
    bookings.findAsync({}, { sort: { starts: 1 } }),
    bookings.distinctAsync('by', {}),
    bookings.countAsync({}),
    modules.collectionAccess.collection('counters').findOneAsync({ _id: 'all' }),
  ]).then(function (results) {
    response.body = {
      rooms: _.mapValues(_.groupBy(results[0], 'room'), function (some) { return some.length; }),
      people: results[1].sort(),
      count: results[2],
      counted: results[3] ? results[3].bookings : 0,
      first: results[0].length ? modules.moment.utc(results[0][0].starts).format('D MMM YYYY, HH:mm') : null,
    };
    response.complete(200);
  }, function (error) {
    response.error(error);
  });
}
