// The floor: what a run costs when the script does nothing.
function handler(request) {
  return request;
}
