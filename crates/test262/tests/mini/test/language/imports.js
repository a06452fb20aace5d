/*---
flags: [async]
---*/
import('./one_FIXTURE.js').then(({ one }) => assert(one === 1)).then($DONE, $DONE);
