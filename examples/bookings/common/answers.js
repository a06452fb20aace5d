// How this app's scripts refuse a request: in the form of Kinvey's own errors, which its clients read.
module.exports.refuse = function (response, status, error, description, debug) {
  response.body = { error: error, description: description, debug: debug || '' };
  response.complete(status);
};
