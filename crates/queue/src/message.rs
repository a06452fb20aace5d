//! What a host is told by others: kept in a hash of its own until it says that it has read it, and pushed to it.

use std::str;

/// A message, as it is kept and pushed: `<name> <how> <payload>` (lua/tell.lua makes them, too).
pub(crate) struct Message<'m> {
    /// Its name in the hash: a caller's number of a task, or another that no two messages to one host have.
    pub(crate) name: &'m str,
    /// `answer`, `expired`, `lost`, `changed`, `withdrawn`; or [`KEPT`].
    pub(crate) how: &'m str,
    pub(crate) payload: &'m [u8],
}

/// Pushed instead of a message that is too long to be sent twice: it is only in the hash.
pub(crate) const KEPT: &str = "kept";

/// Bytes of what is pushed at most. A worker sends what it pushes a second time, which costs less than fetching it up to
/// a few KB.
const MOST_PUSHED: usize = 8 << 10;

impl<'m> Message<'m> {
    /// `None`, if it is none.
    pub(crate) fn parse(bytes: &'m [u8]) -> Option<Self> {
        let mut parts = bytes.splitn(3, |byte| *byte == b' ');
        let mut text = || str::from_utf8(parts.next()?).ok();
        let (name, how) = (text()?, text()?);
        Some(Self { name, how, payload: parts.next()? })
    }

    /// As it is kept.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(self.name.len() + self.how.len() + 2 + self.payload.len());
        for part in [self.name, " ", self.how, " "] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// What is pushed of a message that is kept as `bytes`, and named so.
pub(crate) fn pushed(name: &str, bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= MOST_PUSHED {
        return bytes.to_vec();
    }
    Message { name, how: KEPT, payload: &[] }.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_it_was_made_of_and_anything_else_is_none() {
        let bytes = Message { name: "7", how: "answer", payload: b"a b\n\xff" }.bytes();
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!((read.name, read.how, read.payload), ("7", "answer", &b"a b\n\xff"[..]));
        assert_eq!(Message::parse(b"7 lost ").expect("a message").payload, b"");
        for other in [&b""[..], b"7", b"7 lost", b"\xff lost "] {
            assert!(Message::parse(other).is_none());
        }
        assert_eq!(pushed("7", &bytes), bytes);
        let long = Message { name: "7", how: "answer", payload: &[b'x'; MOST_PUSHED] }.bytes();
        assert_eq!(pushed("7", &long), b"7 kept ");
    }
}
