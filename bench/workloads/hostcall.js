// One awaited question to the host; `hostCall` is supplied by whoever runs this.
async function handler(request) {
  const r = await hostCall('find', { q: 1 });
  return { n: r.length };
}
