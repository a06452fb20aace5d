// Cancels all bookings of the user who asks. It asks the backend's own API as its owner, so that the bookings' hooks run
// for each of them.
function onRequest(request, response, modules) {
  var context = modules.backendContext;
  var credentials = modules.utils.base64.encode(context.getAppKey() + ':' + context.getMasterSecret());
  var options = { headers: { Authorization: 'Basic ' + credentials, 'X-Kinvey-API-Version': '3' }, json: true };
  var base = context.getApiHost() + '/appdata/' + context.getAppKey() + '/bookings';
  var query = encodeURIComponent(JSON.stringify({ by: request.username }));

  modules.request.get(base + '?query=' + query + '&sort=starts', options, function (error, res, bookings) {
    if (error) return response.error(error);
    if (res.statusCode !== 200) return response.error('the bookings cannot be read: ' + res.statusCode);
    modules.async.eachSeries(bookings, function (booking, done) {
      modules.request.del(base + '/' + booking._id, options, function (problem, answer) {
        done(problem || (answer.statusCode === 200 ? null : new Error('not deleted: ' + answer.statusCode)));
      });
    }, function (problem) {
      if (problem) return response.error(problem);
      response.body = { cancelled: modules.underscore.pluck(bookings, 'starts') };
      response.complete(200);
    });
  });
}
