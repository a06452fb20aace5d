// Tells somebody by mail and by push. Where either is not set up, the answer says so.
function onRequest(request, response, modules) {
  var told = {};
  function tell(how, next) {
    return function (error) {
      told[how] = error ? error.message || String(error) : 'sent';
      next();
    };
  }
  modules.async.series([
    function (next) {
      modules.email.send('rooms@example.com', request.body.to, 'Your booking', 'It is confirmed.', tell('email', next));
    },
    function (next) { modules.push.send([request.userId], 'Your booking is confirmed.', tell('push', next)); },
    function (next) { modules.push.broadcast('The house is open.', tell('broadcast', next)); },
  ], function () {
    response.body = told;
    response.complete(200);
  });
}
