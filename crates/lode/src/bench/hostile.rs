//! What hostile apps do. `docs/attacks.md` has every idea with its own test; these are the ones that cost a
//! host most, for load.

/// Name and script of those that run beside a good app: what a neighbour feels most.
pub(super) const BESIDE: [(&str, &str); 4] = [
    ("loop", "function onRequest(request, response) { while (true); }"),
    (
        "memory",
        "function onRequest() { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); }",
    ),
    ("never", "function onRequest() {}"),
    ("late", "function onRequest() { setTimeout(() => { throw new Error('late') }, 20) }"),
];

/// The further ones of a load that is hostile only.
pub(super) const FURTHER: [(&str, &str); 14] = [
    ("regex", "function onRequest() { /^(a+)+$/.test('a'.repeat(64) + 'b'); }"),
    (
        "microtasks",
        "function onRequest() { (function again() { Promise.resolve().then(again) })(); }",
    ),
    ("recursion", "function onRequest() { return onRequest() + 1; }"),
    ("log-flood", "function onRequest() { for (;;) console.log('x'.repeat(1000)); }"),
    (
        "output",
        "function onRequest(request, response) { response.body = 'x'.repeat(1 << 25); response.complete(); }",
    ),
    ("bigint", "function onRequest() { let n = 3n; for (;;) n *= n; }"),
    (
        "timers",
        "function onRequest() { (function more() { setTimeout(more); setTimeout(more) })(); }",
    ),
    (
        "sort",
        "function onRequest() { for (;;) Array.from({ length: 1e5 }, Math.random).sort(() => Math.random() - 0.5); }",
    ),
    (
        "strings",
        "function onRequest() { let text = 'x'; for (;;) text = text.padEnd(text.length * 2, text); }",
    ),
    (
        "deep-answer",
        "function onRequest(request, response) { let deep = []; for (let i = 0; i < 1e5; i++) deep = [deep]; response.body = deep; response.complete(); }",
    ),
    (
        "prototypes",
        "Object.prototype.toJSON = () => { throw 1 }; Object.prototype.then = (f) => f(f);
         function onRequest(request, response) { response.body = {}; response.complete(); }",
    ),
    // These three never become an app: building them fails.
    ("deploy-loop", "for (;;);"),
    ("deploy-memory", "globalThis.all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));"),
    ("deploy-syntax", "function onRequest( {"),
];
