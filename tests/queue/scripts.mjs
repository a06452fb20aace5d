// Scripts that leave traces: each run inserts what it has done into the collection `traces`, which has no hooks and so can
// be read when no worker is there.

export const endpoint = (body) => `function onRequest(request, response, modules) { ${body} }`;
export const hook = (name, body) => `function ${name}(request, response, modules) { ${body} }`;

const TRACE = (what) => `modules.collectionAccess.collection('traces').insert(
  { what: '${what}', id: request.body && request.body.id, taskId: request.taskId, run: String(Math.random()), at: Date.now() },`;

/** Leaves one trace, waits as long as `body.waitMs` says, and answers. */
export const traced = endpoint(`${TRACE('began')} function (error) {
    if (error) return response.error(error.message);
    setTimeout(function () {
      ${TRACE('done')} function (error) {
        if (error) return response.error(error.message);
        response.body = { id: request.body.id, taskId: request.taskId };
        response.complete(200);
      });
    }, request.body.waitMs || 0);
  });`);

export const beat = endpoint(`${TRACE('beat')} function (error) {
    if (error) return response.error(error.message);
    response.complete(200);
  });`);

/** The traces so far. */
export async function traces(client, query = {}) {
  const { status, body, text } = await client.master.get('traces', `?query=${encodeURIComponent(JSON.stringify(query))}`);
  if (status !== 200) throw new Error(`traces: ${status} ${text}`);
  return body;
}
