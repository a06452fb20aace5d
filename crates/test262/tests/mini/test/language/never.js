/*---
flags: [async, raw]
---*/
new Promise(() => {});
