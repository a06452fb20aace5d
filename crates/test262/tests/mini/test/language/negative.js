/*---
flags: [noStrict]
negative:
  phase: parse
  type: SyntaxError
---*/
throw "not reached";
var = 1;
