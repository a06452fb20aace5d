// The app's scripts that the SDK tests run against: each shows one thing that a hook or an endpoint does.
export const scripts = {
  // What pre-hooks do: change the body, stop the request, answer it, hand something to the post-hook.
  'collections/orders/onPreSave.js': `
    function onPreSave(request, response, modules) {
      var order = request.body;
      if (order.wrong) return response.error('an order cannot be wrong');
      if (order.taken) {
        response.body = { error: 'OrderTaken', description: 'This order is taken', debug: order.taken };
        return response.complete(409);
      }
      if (order.answer) {
        response.body = { answered: order.answer };
        return response.complete(200);
      }
      order.total = order.price * order.quantity;
      order.by = request.username;
      request.tempObjectStore.seen = order.total;
      modules.logger.info('order over ' + order.total);
      response.continue();
    }`,
  'collections/orders/onPostSave.js': `
    function onPostSave(request, response, modules) {
      response.body.seen = request.tempObjectStore.seen;
      response.continue();
    }`,
  'collections/orders/onPreFetch.js': `
    function onPreFetch(request, response, modules) {
      if (request.params.query && request.params.query.narrow) request.params.query = { price: { $gt: 100 } };
      response.continue();
    }`,
  'collections/orders/onPostFetch.js': `
    function onPostFetch(request, response, modules) {
      [].concat(response.body).forEach(function (order) { order.fetched = true; });
      response.continue();
    }`,
  'collections/orders/onPreDelete.js': `
    function onPreDelete(request, response, modules) {
      if (request.entityId === 'kept') return response.error('this one is kept');
      response.continue();
    }`,
  'collections/orders/onPostDelete.js': `
    function onPostDelete(request, response, modules) {
      response.body.deleted = request.entityId;
      response.continue();
    }`,
  'collections/throwing/onPreSave.js': `
    function onPreSave(request, response, modules) {
      var order = request.body;
      response.body = order.missing.deeply;
      response.continue();
    }`,
  'collections/stuck/onPreSave.js': 'function onPreSave(request, response, modules) {}',
  'endpoints/echo.js': `
    function onRequest(request, response, modules) {
      response.body = {
        given: request.body,
        username: request.username,
        method: request.method,
        headers: Object.keys(request.headers).sort(),
        custom: modules.requestContext.getCustomRequestProperty('tenant'),
        version: modules.requestContext.clientAppVersion.majorVersion(),
        context: modules.requestContext.getSecurityContext(),
      };
      response.complete(200);
    }`,
  'endpoints/teapot.js': `
    function onRequest(request, response, modules) {
      response.body = { error: 'Teapot', description: 'I am a teapot', debug: 'short and stout' };
      response.complete(418);
    }`,
  'endpoints/throwing.js': `
    function onRequest(request, response, modules) {
      throw new Error('told to throw');
    }`,
  'endpoints/stuck.js': 'function onRequest(request, response, modules) {}',
};
