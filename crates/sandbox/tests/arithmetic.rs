//! What the engine does faster than QuickJS-ng (crates/guest/build/patch) means what ECMA-262 says: numbers in bit
//! operations and comparisons, properties that are defined, searches of regular expressions, and generators that are
//! resumed with an exception. The handlers compare with slower ways to say the same.

mod support;

use serde_json::{Value, json};
use support::{body, modern, run_app};

fn answer(text: &str) -> Value {
    body(&run_app(&modern(text)))
}

/// Around every bound of a fast path; each as itself, so that operands are what the interpreter makes of literals.
const NUMBERS: &str = "[0, -0, 1, -1, 31, 32, 33, 0.5, -0.5, 1.5, -1.9, NaN, Infinity, -Infinity,
    2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, -(2 ** 32),
    4294967295.5, -2147483648.9, 2147483648.5, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 2 ** 62, 2 ** 63,
    -(2 ** 63), 2 ** 63 + 2048, 2 ** 63 - 1024, 2 ** 64, 2 ** 83 + 2 ** 31, 2 ** 84, 1e300, -1e300, 5e-324,
    Number.MAX_VALUE, 1.1]";

#[test]
fn bit_operations_take_any_number_modulo_two_to_the_32() {
    let wrong = answer(&format!(
        "const int32 = (x) => {{
           if (!Number.isFinite(x)) return 0;
           const n = BigInt.asIntN(32, BigInt(Math.trunc(x)));
           return Number(n);
         }};
         const big = (x) => BigInt(int32(x)), at = (y) => big(y) & 31n;
         const signed = (n) => Number(BigInt.asIntN(32, n)), unsigned = (n) => Number(BigInt.asUintN(32, n));
         const wrong = [], numbers = {NUMBERS};
         for (const x of numbers) {{
           if (!Object.is(~x, signed(~big(x)))) wrong.push(['~', String(x), ~x]);
           for (const y of numbers) {{
             const pairs = [
               ['&', x & y, signed(big(x) & big(y))],
               ['|', x | y, signed(big(x) | big(y))],
               ['^', x ^ y, signed(big(x) ^ big(y))],
               ['<<', x << y, signed(big(x) << at(y))],
               ['>>', x >> y, signed(big(x) >> at(y))],
               ['>>>', x >>> y, unsigned(BigInt.asUintN(32, big(x)) >> at(y))],
             ];
             for (const [op, is, should] of pairs)
               if (!Object.is(is, should)) wrong.push([String(x), op, String(y), is, should]);
           }}
         }}
         return wrong;"
    ));
    assert_eq!(wrong, json!([]));
}

#[test]
fn comparisons_of_integers_with_doubles() {
    // Of a one-element array the comparison goes through its text, and so through none of the fast paths.
    let wrong = answer(&format!(
        "const wrong = [], numbers = {NUMBERS};
         for (const x of numbers) for (const y of numbers) {{
           const a = [x], b = [y];
           const less = Reflect.apply((p, q) => p < q, null, [a, y]), more = a > y;
           const pairs = [
             ['<', x < y, less], ['>', x > y, more], ['>=', x >= y, a >= y], ['<=', x <= y, x <= b],
             ['==', x == y, a == y], ['!=', x != y, x != b],
             ['===', x === y, x == b], ['!==', x !== y, a != y],
           ];
           for (const [op, is, should] of pairs) if (is !== should) wrong.push([String(x), op, String(y)]);
         }}
         return wrong;"
    ));
    assert_eq!(wrong, json!([]));
}

#[test]
fn operands_that_are_not_numbers_are_converted_in_order() {
    let seen = answer(
        "const seen = [];
         const of = (name, value) => ({ valueOf() { seen.push(name); return value; } });
         const results = [of('a', 5) & 3.5, 4294967295 & of('b', 1), of('c', 1) << of('d', 33), 2.5 | '3', null ^ 7.9,
           true | 2147483648, undefined >>> 0.5, ~of('e', 4294967295), of('f', 1) < 1.5, 1.5 > of('g', 1), '1' == 1.0,
           null == 0, undefined == 0.5, NaN !== NaN, 0 === -0];
         const thrown = [];
         for (const f of [() => 1n & 1, () => 1.5 | 1n, () => 4294967296 >>> 1n, () => 1n >>> 1n, () => Symbol() | 1.5,
           () => of('h', 1n) ^ 1.5])
           try { f(); thrown.push('nothing'); } catch (error) { thrown.push(error.name); }
         const bigs = [1n < 1.5, 2n == 2, 2n === 2, 2.5 > 2n, String(-1n & 255n)];
         return { seen: seen.join(''), results, thrown, bigs };",
    );
    assert_eq!(
        seen,
        json!({
            "seen": "abcdefgh",
            "results": [1, 1, 2, 3, 7, -2_147_483_647, 0, 0, true, true, true, false, false, true, true],
            "thrown": ["TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError"],
            "bigs": [true, true, false, true, "255"],
        })
    );
}

#[test]
fn elements_of_typed_arrays_and_what_is_not_one() {
    let seen = answer(
        "const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
         const words = new Uint32Array(buffer), doubles = new Float64Array(buffer, 0, 1);
         words[0] = -1; words[1] = 4294967296 + 7.9; words[2] = NaN; words[3] = 2 ** 63; words[4] = 1; words[-1] = 1;
         const before = [...words, words[4] ?? null, words[-1] ?? null, words[1.5] ?? null, words.length];
         buffer.resize(4);
         const shrunk = [words[0], words[1] ?? null, doubles[0] ?? null, words.length, doubles.length];
         words[1] = 9;
         buffer.resize(32);
         const grown = [words.length, words[1], doubles[0] > 0];
         structuredClone(buffer, { transfer: [buffer] });
         words[0] = 3;
         const detached = [words[0] ?? null, words.length, 0 in words];
         const during = new Uint8Array(new ArrayBuffer(2));
         during[0] = { valueOf() { structuredClone(during.buffer, { transfer: [during.buffer] }); return 5; } };
         Object.defineProperty(Array.prototype, 1, { get() { return 'inherited'; }, configurable: true });
         const holes = [0, , 2];
         const inherited = [holes[1], [][1]];
         delete Array.prototype[1];
         return { before, shrunk, grown, detached, length: during.length, inherited };",
    );
    assert_eq!(
        seen,
        json!({
            "before": [4_294_967_295_u32, 7, 0, 0, null, null, null, 4],
            "shrunk": [4_294_967_295_u32, null, null, 1, 0],
            "grown": [8, 0, true],
            "detached": [null, 0, false],
            "length": 0,
            "inherited": ["inherited", "inherited"],
        })
    );
}

#[test]
fn a_property_that_is_defined_asks_nobody() {
    let seen = answer(
        "let called = 0;
         Object.defineProperty(Object.prototype, 'p', { get() { called++; }, set() { called++; }, configurable: true });
         const literal = { p: 1 }, spread = { ...{ p: 2 } }, parsed = JSON.parse('{\"p\":3,\"p\":4}');
         delete Object.prototype.p;
         const flags = Object.getOwnPropertyDescriptor({ p: 1 }, 'p');
         class Fixed { constructor() { return Object.preventExtensions({}); } }
         class Field extends Fixed { x = 1; }
         let refused; try { new Field(); refused = 'no'; } catch (error) { refused = error.name; }
         class Proxied { constructor() { return new Proxy({}, { defineProperty(t, k) { called += 10; return true; } }); } }
         class Trapped extends Proxied { y = 1; }
         new Trapped();
         class Words { constructor() { return new Uint8Array(1); } }
         class Index extends Words { 5 = 1; }
         let outside; try { new Index(); outside = 'no'; } catch (error) { outside = error.name; }
         class List { constructor() { return [1]; } }
         class Longer extends List { 3 = 4; }
         const twice = { a: 1, ['a']: 2, get b() { return 3; }, b: 4 };
         const named = { __proto__: { q: 1 }, ['__proto__']: 5 };
         return { called, values: [literal.p, spread.p, parsed.p], flags, refused, outside, list: new Longer(),
           twice, own: Object.keys(named), inherited: named.q };",
    );
    assert_eq!(
        seen,
        json!({
            "called": 10,
            "values": [1, 2, 4],
            "flags": { "value": 1, "writable": true, "enumerable": true, "configurable": true },
            "refused": "TypeError",
            "outside": "TypeError",
            "list": [1, null, null, 4],
            "twice": { "a": 2, "b": 4 },
            "own": ["__proto__"],
            "inherited": 1,
        })
    );
}

/// With `y` every position is tried by itself, and nothing is passed over.
#[test]
fn a_search_finds_what_trying_each_position_finds() {
    let wrong = answer(
        r"const patterns = [/a/, /A/i, /ab/, /(a)(b)?/, /[b-d]+x/, /[^a]x/, /[^\x00-\uffff]/u, /[\u{10000}-\u{10ffff}]/u,
           /\s+$/, /\S/, /^a/, /^b/, /^b/m, /$/, /\bcat\b/, /\bCAT/i, /\Bat/, /[k]/i, /[k]/iu, /[\u017f]/iu, /ÿ/i,
           /Ÿ/i, /µ/i, /\u212a/iu, /😀/u, /\ud83d/, /\ud83d/u, /[😀x]/u, /[\ud83d]/, /\ude00/u, /.x/s, /(?=b)b/,
           /(?<=a)b/, /(?:)/, /(?:a|b)c/, /a{2,3}/, /(?<n>[0-9]{2})-\k<n>/, /[\uffff]/, /[\u{ffff}-\u{10001}]/u, /[]/,
           /[^]b/, /\d+(?!x)/, /((^a)|b)x/, /[\p{Lu}]\w/u, /(?:(?:a))\b/];
         const texts = ['', 'a', 'b', 'xxab', 'ABC', 'bcdx', 'aax ', 'a cat sat', 'concat', 'CAT', 'K\u212a', 'ſs', 'ÿŸ', 'µμΜ',
           'x😀y', '\ud83dx', 'x\ude00\ud83d', '\u{ffff}\u{10000}', 'a\nb\nbx', 'ac bc', '12-12', '11-12 34-34', 'É1',
           'zzzzzzzzz', 'aaaab', '\u{10ffff}', '1x 22'];
         const wrong = [];
         for (const pattern of patterns) for (const text of texts) {
           const sticky = new RegExp(pattern.source, pattern.flags + 'y');
           const global = new RegExp(pattern.source, pattern.flags + 'g');
           for (let from = 0; from <= text.length; from++) {
             let should = null;
             for (let at = from; at <= text.length && !should; at++) {
               sticky.lastIndex = at;
               should = sticky.exec(text);
             }
             global.lastIndex = from;
             const is = global.exec(text);
             if (JSON.stringify([is, is?.index]) !== JSON.stringify([should, should?.index]))
               wrong.push([String(pattern), text, from, is, should]);
           }
         }
         return wrong;",
    );
    assert_eq!(wrong, json!([]));
}

#[test]
fn flags_ask_the_object_for_each() {
    let seen = answer(
        "const asked = [];
         const like = new Proxy({}, { get(_, key) { asked.push(key); return key === 'sticky' || key === 'global'; } });
         const { get } = Object.getOwnPropertyDescriptor(RegExp.prototype, 'flags');
         const flags = get.call(like);
         class Loud extends RegExp { get global() { return true; } }
         const replaced = 'aXaX'.replace(Object.defineProperty(/X/g, 'flags', { value: '' }), '-');
         return { asked, flags, loud: new Loud('x', 'i').flags, all: /a/dgimsuy.flags, v: /a/v.flags, replaced };",
    );
    assert_eq!(
        seen,
        json!({
            "asked": ["hasIndices", "global", "ignoreCase", "multiline", "dotAll", "unicode", "unicodeSets", "sticky"],
            "flags": "gy",
            "loud": "gi",
            "all": "dgimsuy",
            "v": "v",
            "replaced": "a-aX",
        })
    );
}

#[test]
fn generators_and_async_functions_are_resumed_with_an_exception() {
    let seen = answer(
        "function* numbers() { try { yield 1; yield 2; } catch (error) { yield error.message; } finally { yield 'f'; } }
         const g = numbers();
         const steps = [g.next().value, g.throw(new Error('in')).value, g.next().value, g.next().done];
         const early = numbers();
         let thrown; try { early.throw(new Error('before')); } catch (error) { thrown = error.message; }
         const returned = numbers(); returned.next();
         const last = [returned.return(7).value, returned.next().value];
         async function waits() { try { await Promise.reject(new Error('later')); } catch (error) { return error.message; } }
         async function* both() { try { yield 1; } catch (error) { yield error.message; } }
         const b = both(); await b.next();
         const stack = await (async function outer() { await Promise.reject(1); })().catch((error) => error);
         return { steps, thrown, last, waited: await waits(), async: (await b.throw(new Error('at'))).value, stack,
           twice: await waits() };",
    );
    assert_eq!(
        seen,
        json!({
            "steps": [1, "in", "f", true],
            "thrown": "before",
            "last": ["f", 7],
            "waited": "later",
            "async": "at",
            "stack": 1,
            "twice": "later",
        })
    );
}
