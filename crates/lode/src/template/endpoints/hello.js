// POST /rpc/<app key>/custom/hello
export async function onRequest(request, context) {
  const name = request.body.name ?? 'world';
  context.logger.info(`greeting ${name}`);
  return { status: 200, body: { greeting: `hello, ${name}` } };
}
