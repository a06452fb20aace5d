// A custom endpoint: a price that is good for fifteen minutes.
function onRequest(request, response, modules) {
  var quantity = Number((request.body || {}).quantity || 1);
  var until = new Date(Date.now() + 15 * 60 * 1000);
  response.body = {
    quote: Math.floor(Math.random() * 1e9).toString(36),
    price: Math.round(quantity * 1995) / 100,
    until: until.toISOString(),
  };
  response.complete(200);
}
