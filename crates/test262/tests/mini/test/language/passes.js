/*---
description: passes in both modes
---*/
var here = this;
assert(here === globalThis, 'a script has the global scope');
