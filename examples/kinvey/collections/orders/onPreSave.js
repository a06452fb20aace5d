// Runs before an order is saved: refuses what is not an order, and completes what is.
function onPreSave(request, response, modules) {
  var logger = modules.logger;
  var order = request.body;

  if (!order.lines || order.lines.length === 0) {
    response.body = { error: 'an order needs at least one line' };
    response.complete(400);
    return;
  }

  order.number = String(order.number).trim().toUpperCase();
  order.customer.email = order.customer.email.trim().toLowerCase();

  var net = 0;
  var tax = 0;
  order.lines.forEach(function (line) {
    line.total = round(line.quantity * line.unitPrice);
    net += line.total;
    tax += line.total * line.taxRate;
  });
  var discount = order.coupon ? round(net * order.coupon.percent / 100) : 0;
  order.totals = { net: round(net), discount: discount, tax: round(tax), due: round(net - discount + tax) };

  logger.info('order ' + order.number + ' of ' + request.username + ': ' + order.totals.due + ' ' + order.currency);
  response.continue();
}

function round(amount) {
  return Math.round(amount * 100) / 100;
}
