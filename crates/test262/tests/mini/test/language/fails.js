/*---
flags: [onlyStrict]
---*/
assert(1 === 2, 'fails on both sides');
