//! Secrets that a server sends back, and what a script sees in their place. Best effort: a server that
//! gives a secret back in another form (reversed, encoded, in parts) is not seen through.

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use zeroize::Zeroizing;

use super::failure::Failure;

/// The secrets sent in one call, with what to put in their place. Letters are the same in either case, as
/// a host's name comes back in lower case.
#[derive(Default)]
pub(super) struct Echoes(Vec<(Zeroizing<Vec<u8>>, String)>);

impl Echoes {
    /// Adds one that is being sent; `name` says whose.
    pub(super) fn add(&mut self, value: &str, name: &str) {
        self.add_bytes(value.as_bytes(), name);
        if !value.is_ascii() {
            // A header has one byte for each character.
            let mut latin1 = Zeroizing::new(Vec::with_capacity(value.len()));
            latin1.extend(value.chars().filter_map(|c| u8::try_from(c).ok()));
            self.add_bytes(&latin1, name);
        }
    }

    fn add_bytes(&mut self, value: &[u8], name: &str) {
        if !value.is_empty() && !self.0.iter().any(|(known, _)| known.as_slice() == value) {
            self.0.push((Zeroizing::new(value.to_vec()), format!("[secret:{name}]")));
        }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a short text holds one of them.
    pub(super) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|(value, _)| {
            text.as_bytes().windows(value.len()).any(|part| part.eq_ignore_ascii_case(value))
        })
    }

    /// What finds them.
    pub(super) fn scrubber(&self) -> Result<Scrubber<'_>, Failure> {
        if self.is_empty() {
            return Ok(Scrubber { nfa: None, echoes: self });
        }
        // A DFA would be as fast and many times as large: the secrets of a call may have 64 KiB.
        let nfa = NFA::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(self.0.iter().map(|(value, _)| value.as_slice()))
            .map_err(|error| {
                tracing::error!(%error, "egress: secrets cannot be looked for");
                Failure::network("the response cannot be given to a script")
            })?;
        Ok(Scrubber { nfa: Some(nfa), echoes: self })
    }
}

/// Finds echoes in time that grows with the text and not with the secrets.
pub(super) struct Scrubber<'a> {
    nfa: Option<NFA>,
    echoes: &'a Echoes,
}

/// A part of a text that is of secrets and nothing else.
struct Found {
    start: usize,
    end: usize,
    /// The longest of them.
    secret: usize,
}

impl Scrubber<'_> {
    /// `bytes` without them; `None` if that has more than `most` bytes.
    pub(super) fn scrub(&self, bytes: Vec<u8>, most: usize) -> Option<Vec<u8>> {
        let found = self.find(&bytes);
        let length = found.iter().fold(bytes.len(), |length, found| {
            length - (found.end - found.start) + self.shown(found).len()
        });
        if length > most {
            return None;
        }
        if found.is_empty() {
            return Some(bytes);
        }
        let (mut out, mut at) = (Vec::with_capacity(length), 0);
        for found in &found {
            out.extend_from_slice(&bytes[at..found.start]);
            out.extend_from_slice(self.shown(found));
            at = found.end;
        }
        out.extend_from_slice(&bytes[at..]);
        Some(out)
    }

    /// As [`Self::scrub`], of a text that is short.
    pub(super) fn scrub_text(&self, text: String) -> String {
        self.scrub(text.into_bytes(), usize::MAX)
            .map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn shown(&self, found: &Found) -> &[u8] {
        self.echoes.0[found.secret].1.as_bytes()
    }

    /// Where they are; those that overlap are one. The automaton's own searches would read again what
    /// follows a match (`leftmost-longest`) or give every match at a place: either is quadratic for secrets
    /// that are made for it. Here each byte is one step, and each place adds one part at most.
    fn find(&self, bytes: &[u8]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let Some(nfa) = &self.nfa else { return found };
        let Ok(mut state) = nfa.start_state(Anchored::No) else { return found };
        for (at, byte) in bytes.iter().enumerate() {
            state = nfa.next_state(Anchored::No, state, *byte);
            if !nfa.is_match(state) {
                continue;
            }
            // The first match that ends here is the longest.
            let longest = nfa.match_pattern(state, 0);
            let length = nfa.pattern_len(longest);
            let mut new = Found { start: at + 1 - length, end: at + 1, secret: longest.as_usize() };
            while let Some(last) = found.pop_if(|last| last.end > new.start) {
                new.start = new.start.min(last.start);
                if self.echoes.0[last.secret].0.len() > self.echoes.0[new.secret].0.len() {
                    new.secret = last.secret;
                }
            }
            found.push(new);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn scrubbed(secrets: &[(&str, &str)], text: &str) -> String {
        let mut echoes = Echoes::default();
        for (name, value) in secrets {
            echoes.add(value, name);
        }
        echoes.scrubber().expect("an automaton").scrub_text(text.to_owned())
    }

    #[test]
    fn what_comes_back_is_replaced_wherever_it_is() {
        let two = [("A", "abcdef"), ("LONG", "abcdefghi"), ("B", "ghijkl")];
        for (text, shown) in [
            ("", ""),
            ("nothing", "nothing"),
            ("<abcdef>", "<[secret:A]>"),
            ("<ABCdef>", "<[secret:A]>"),
            ("abcdefabcdef", "[secret:A][secret:A]"),
            ("<abcdefghi>", "<[secret:LONG]>"),
            // Overlapping: nothing of either is left.
            ("<abcdefghijkl>", "<[secret:LONG]>"),
            ("abcde abcdef", "abcde [secret:A]"),
        ] {
            assert_eq!(scrubbed(&two, text), shown, "{text}");
        }
        assert_eq!(scrubbed(&[("A", "aaaa")], "aaaaaab"), "[secret:A]b");
        let mut echoes = Echoes::default();
        echoes.add("é-pass", "A");
        let scrubber = echoes.scrubber().expect("an automaton");
        assert_eq!(scrubber.scrub(b"<\xe9-pass>".to_vec(), 100), Some(b"<[secret:A]>".to_vec()));
        assert_eq!(scrubber.scrub(b"<\xe9-pass>".to_vec(), 11), None);
        assert!(echoes.are_in("x.É-PASS.y") != echoes.are_in("x.é-PASS.y"));
    }

    #[test]
    fn secrets_made_to_be_slow_to_find_are_not() {
        let body = vec![b'a'; 4 << 20];
        for prefix in ["", "aaaaaaaaaaaaaaaa"] {
            let mut echoes = Echoes::default();
            if !prefix.is_empty() {
                echoes.add(prefix, "PREFIX");
            }
            for i in 0..64 {
                echoes.add(&format!("{}b", "a".repeat(960 + i)), "KEY");
            }
            let start = Instant::now();
            let scrubbed = echoes.scrubber().expect("an automaton").scrub(body.clone(), 4 << 20);
            let took = start.elapsed();
            assert!(took < Duration::from_secs(3), "{took:?}");
            let left = if prefix.is_empty() { body.clone() } else { b"[secret:PREFIX]".to_vec() };
            assert!(scrubbed == Some(left), "wrongly scrubbed");
        }
    }
}
