// Calls and small-integer arithmetic, nothing else.
function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

function handler(request) {
  return { n: request.n, fib: fib(request.n) };
}
