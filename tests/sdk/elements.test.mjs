// Scripts that change elements of arrays: `$`, `$[]` and `$[name]`, in both forms of handlers, on each database.
import assert from 'node:assert/strict';
import { before, beforeEach, it } from 'node:test';
import { clientOf } from '../lib/http.mjs';
import { onEachStore } from '../lib/stores.mjs';

const scripts = {
  'endpoints/pay.js': `
    function onRequest(request, response, modules) {
      var orders = modules.collectionAccess.collection('orders');
      orders.update({ 'lines.sku': request.body.sku }, { $set: { 'lines.$.paid': true } }, { multi: true }, function (error, count) {
        if (error) return response.error(error);
        response.body = { count: count };
        response.complete(200);
      });
    }`,
  'endpoints/discount.js': `
    function onRequest(request, response, modules) {
      modules.collectionAccess.collection('orders').findAndModify({ _id: request.body.id }, [], { $mul: { 'lines.$[dear].price': 0.5 } },
        { new: true, arrayFilters: [{ 'dear.price': { $gt: request.body.above }, 'dear.sku': /^[a-m]/i }] }, function (error, order) {
          if (error) return response.error(error);
          response.body = order.lines;
          response.complete(200);
        });
    }`,
  'endpoints/modern.mjs': `
    export async function onRequest({ body: { query, update, options } }, { collectionAccess }) {
      const orders = collectionAccess.collection('orders');
      try {
        await orders.updateAsync(query, update, options);
      } catch (error) {
        return { name: error.name, message: error.message };
      }
      return (await orders.findOneAsync({ _id: 'first' })).lines;
    }`,
};

const FIRST = [{ sku: 'Hat', price: 10 }, { sku: 'belt', price: 40 }, { sku: 'tie', price: 60 }];

onEachStore('elements of arrays', (context) => {
  let client;
  const run = async (endpoint, body) => {
    const answer = await client.master.run(endpoint, body);
    assert.equal(answer.status, 200, answer.text);
    return answer.body;
  };
  const lines = async (id) => (await client.master.get('orders', `/${id}`)).body.lines;

  before(async () => {
    const app = await context.server.app('elements');
    await app.deploy(scripts);
    client = clientOf(app);
  });
  beforeEach(async () => {
    for (const order of [{ _id: 'first', lines: FIRST }, { _id: 'second', lines: [{ sku: 'tie', price: 1 }] }]) {
      const { status, text } = await client.master.replace('orders', order._id, order);
      assert.ok(status === 200 || status === 201, text);
    }
  });

  it('a script changes the element that its query has matched, in each document', async () => {
    assert.deepEqual(await run('pay', { sku: 'tie' }), { count: 2 });
    assert.deepEqual(await lines('first'), [FIRST[0], FIRST[1], { ...FIRST[2], paid: true }]);
    assert.deepEqual(await lines('second'), [{ sku: 'tie', price: 1, paid: true }]);
  });

  it('findAndModify changes the elements that a filter names', async () => {
    assert.deepEqual(await run('discount', { id: 'first', above: 20 }), [FIRST[0], { sku: 'belt', price: 20 }, FIRST[2]]);
  });

  it('so does a modern handler', async () => {
    const query = { 'lines.price': { $gte: 40 } };
    const changed = await run('modern', {
      query, update: { $inc: { 'lines.$.price': 1, 'lines.$[low].price': 2 }, $set: { 'lines.$[].seen': true } },
      options: { arrayFilters: [{ 'low.price': { $lt: 20 } }] },
    });
    assert.deepEqual(changed, [{ sku: 'Hat', price: 12, seen: true }, { sku: 'belt', price: 41, seen: true }, { sku: 'tie', price: 60, seen: true }]);
  });

  it('what names no element is the script\'s error, and changes nothing', async () => {
    for (const [request, message] of [
      [{ query: { _id: 'first' }, update: { $set: { 'lines.$.paid': true } } }, /no condition of the query says which element/],
      [{ query: { 'lines.sku': 'cap' }, update: { $set: { 'lines.$.paid': true } }, options: { upsert: true } }, /upsert/],
      [{ query: {}, update: { $set: { 'lines.$[x].paid': true } } }, /no array filter "x"/],
      [{ query: {}, update: { $set: { paid: true } }, options: { arrayFilters: [{ x: 1 }] } }, /"x" is not used/],
      [{ query: {}, update: { lines: [] }, options: { arrayFilters: [{ x: 1 }] } }, /arrayFilters need operators/],
    ]) {
      const error = await run('modern', request);
      assert.equal(error.name, 'MongoError', JSON.stringify(error));
      assert.match(error.message, message);
    }
    assert.deepEqual(await lines('first'), FIRST);
  });
});
