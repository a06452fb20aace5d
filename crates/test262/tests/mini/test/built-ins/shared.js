/*---
flags: [onlyStrict]
---*/
assert(typeof SharedArrayBuffer === 'function', 'only the native engine has it');
