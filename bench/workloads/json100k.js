// Parse and write back a JSON text of about 100 KB.
function handler(request) {
  const orders = JSON.parse(request.text);
  const text = JSON.stringify(orders);
  return { orders: orders.length, read: request.text.length, written: text.length };
}
