// The rooms around a place, the nearest first: {longitude, latitude, miles?, limit?}.
var EARTH_MILES = 3963.2;

function onRequest(request, response, modules) {
  var _ = modules.lodash;
  var body = request.body;
  if (!_.isFinite(body.longitude) || !_.isFinite(body.latitude)) {
    response.body = { error: 'PlaceMissing', description: 'longitude and latitude are needed', debug: '' };
    return response.complete(400);
  }
  // In the database distances on the sphere are angles.
  var near = { $nearSphere: [body.longitude, body.latitude] };
  if (_.isFinite(body.miles)) near.$maxDistance = body.miles / EARTH_MILES;

  modules.collectionAccess.collection('rooms').find({ _geoloc: near }, { limit: body.limit || 10 }, function (error, rooms) {
    if (error) return response.error(error);
    response.body = _.map(rooms, function (room) { return _.pick(room, ['_id', 'name', '_geoloc']); });
    response.complete(200);
  });
}
