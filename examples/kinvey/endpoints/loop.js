// What a customer's mistake looks like: its CPU limit ends it, and nobody else notices.
function onRequest(request, response, modules) {
  while (true) {
  }
}
