/*---
flags: [module]
---*/
import { one } from './one_FIXTURE.js';
import * as itself from './module.js';
export { one };
assert(await one === 1 && itself.one === 1, 'imports work');
