//! Which of the engine's libraries an app uses: only those are in its snapshot.

use crate::source::Source;

/// The libraries whose names the sources mention, as (name, source text).
///
/// A name in a comment counts as well: what it costs is memory. A name that only comes together while the
/// script runs does not count, and the script is told so when it asks for the library.
pub(crate) fn used_by(sources: &[Source]) -> impl Iterator<Item = (&'static str, &'static str)> {
    lode_guest::LIBRARIES
        .iter()
        .copied()
        .filter(|(name, _)| sources.iter().any(|source| mentions(&source.text, name)))
}

/// Whether `name` stands in `text` as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let is_word = !before.ends_with(is_word_part) && !after.starts_with(is_word_part);
        is_word && (name != "async" || is_no_keyword(before, after))
    })
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether `async` between these is a name: after a dot or a quote (`modules.async`, `require('async')`), or
/// before what cannot follow the keyword (`async.each`, `{ async, lodash }`).
fn is_no_keyword(before: &str, after: &str) -> bool {
    before.ends_with(['.', '\'', '"', '`'])
        || after.trim_start().starts_with(['.', ',', '}', ';', ':', ')', ']', '='])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_as_words_of_their_own() {
        for text in ["modules.lodash", "require('lodash')", "lodash", "{lodash:_}", "é lodash"] {
            assert!(mentions(text, "lodash"), "{text}");
        }
        for text in ["lodashes", "_lodash", "lodash_", "élodash", "modules.loda", ""] {
            assert!(!mentions(text, "lodash"), "{text}");
        }
    }

    #[test]
    fn async_functions_are_not_the_library() {
        for text in [
            "modules.async.each()",
            "var { async } = modules",
            "const {async, lodash} = modules",
            "import async from 'async'",
            "require(\"async\")",
            "async.series([])",
            "modules\n  .async",
        ] {
            assert!(mentions(text, "async"), "{text}");
        }
        for text in [
            "async function f() {}",
            "async () => 1",
            "async(x) => 1",
            "async x => 1",
            "({ async f() {}, async *g() {}, async [h]() {} })",
            "class A { static async #a() {} async 'b'() {} }",
            "findAsync({})",
        ] {
            assert!(!mentions(text, "async"), "{text}");
        }
    }
}
