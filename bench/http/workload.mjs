// The presave workload on its order document, as each system is to run it.
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';

const read = (name) => readFileSync(new URL(`../workloads/${name}`, import.meta.url), 'utf8');

export const source = read('presave.js');

/** The workload before a save in Lode, and an empty hook after it. */
export const hooks = {
  'collections/orders/onPreSave.js': `${source}
    function onPreSave(request, response, modules) {
      var result = handler(request.body);
      if (!result.ok) return response.error(result.errors.join());
      request.body = result.order;
      response.continue();
    }`,
  'collections/orders/onPostSave.js': 'function onPostSave(request, response, modules) { response.continue(); }',
};

/** A new order: its _id is the server's to give. */
const { _id, ...order } = JSON.parse(read('order.json'));
export const body = JSON.stringify(order);

/** What is to come out of it. */
export const expected = JSON.parse(runInNewContext(`${source}\nJSON.stringify(handler(${body}))`)).order;

/** Checks that an answer is the workload's. */
export function check(system, answer) {
  for (const field of ['totals', 'summary', 'audit', 'lines']) {
    if (JSON.stringify(sorted(answer?.[field])) !== JSON.stringify(sorted(expected[field]))) {
      throw new Error(`${system}: ${field} is ${JSON.stringify(answer?.[field])}, not ${JSON.stringify(expected[field])}`);
    }
  }
}

// PostgreSQL's jsonb has an order of members of its own.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}
