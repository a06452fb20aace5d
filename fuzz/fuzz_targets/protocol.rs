//! What a compromised child says to its master, and what a child hears: whatever the bytes and however
//! they arrive, taking frames from them never panics and holds memory in proportion to what arrived; a
//! message survives being sent again; an ending that is believed is one that a sound child sends.
//!
//! The first byte picks: the rest as the stream itself, or as the inside of one frame, as it is or with
//! its end repeated (long lists of small elements are what costs memory).
//!
//! `cargo +nightly fuzz run protocol -- -max_total_time=120`
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use lode_child::frame::Inbox;
use lode_child::protocol::{Ending, FromChild, Limits, ToChild, json};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Counts what this program holds.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `work` holds at its most, beyond what was held before.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    (result, MOST.load(Relaxed) - before)
}

/// An empty buffer and what a length that lies may reserve.
const SLACK: usize = 2 << 20;

/// What the lists of a child's message may take beyond their text: how long they are is bounded.
const LISTS: usize = 32 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let part = match how {
        // The stream itself, arriving in pieces.
        0..64 => 1 + usize::from(*how) * 7,
        _ => usize::MAX,
    };
    let stream = match how {
        0..64 => data.to_vec(),
        64..252 => frame(data.to_vec()),
        // Slow, so seldom.
        _ => frame(repeated(data, usize::from(how - 251))),
    };
    receive::<FromChildKind>(&stream, part);
    receive::<ToChildKind>(&stream, part);
    if let Ok(text) = std::str::from_utf8(data) {
        let (value, held) = most(|| json(text));
        assert!(held <= 4 * data.len() + 4096, "{held} bytes for {} of JSON", data.len());
        if let Ok(value) = value {
            serde_json::from_str::<IgnoredAny>(value.get()).expect("it was checked");
        }
    }
});

fn frame(inside: Vec<u8>) -> Vec<u8> {
    let len = u32::try_from(inside.len()).expect("a short input");
    [len.to_le_bytes().to_vec(), inside].concat()
}

/// The last one to four bytes again and again: two megabytes.
fn repeated(data: &[u8], last: usize) -> Vec<u8> {
    let end = &data[data.len().saturating_sub(last)..];
    [data, &end.repeat((2 << 20) / end.len().max(1))].concat()
}

/// A message of one direction, whatever its lifetime.
trait Kind {
    type Message<'m>: Deserialize<'m> + Serialize + std::fmt::Debug;
    /// What a message of so many bytes may hold.
    fn bound(len: usize) -> usize;
    fn check(message: Self::Message<'_>, len: usize);
}

struct FromChildKind;

impl Kind for FromChildKind {
    type Message<'m> = FromChild<'m>;

    fn bound(len: usize) -> usize {
        4 * len + LISTS
    }

    fn check(message: FromChild<'_>, len: usize) {
        let FromChild::Ended { ending, .. } = message else { return };
        let limits = Limits::default();
        let (outcome, held) = most(|| ending.parse(&limits));
        assert!(held <= Self::bound(len), "{held} bytes for an ending of {len}");
        let Ok(outcome) = outcome else { return };
        let shown = |outcome| serde_json::to_string(outcome).expect("an outcome is JSON");
        let again = Ending::of(&outcome, &limits).expect("it is a script's");
        let again = again.parse(&limits).expect("a sound child's ending is believed");
        assert_eq!(shown(&again), shown(&outcome));
    }
}

struct ToChildKind;

impl Kind for ToChildKind {
    type Message<'m> = ToChild<'m>;

    /// The master's lists are as long as it says: it is trusted.
    fn bound(len: usize) -> usize {
        64 * len + SLACK
    }

    fn check(_: ToChild<'_>, _: usize) {}
}

/// Takes all messages from a stream that arrives in parts.
fn receive<K: Kind>(stream: &[u8], part: usize) {
    let start = HELD.load(Relaxed);
    let mut inbox = Inbox::default();
    let mut arrived = 0;
    for bytes in stream.chunks(part) {
        arrived += bytes.len();
        most(|| inbox.feed(bytes));
        // One growth at a time: the old buffer, and one of twice its size.
        let held = MOST.load(Relaxed) - start;
        assert!(held <= 4 * arrived + SLACK, "{held} bytes held of {arrived} that arrived");
        loop {
            let (next, took) = most(|| inbox.next::<K::Message<'_>>());
            assert!(took <= K::bound(arrived), "{took} bytes for a message of {arrived}");
            match next {
                Ok(Some((message, _))) => check_message::<K>(message, arrived),
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    }
}

fn check_message<K: Kind>(message: K::Message<'_>, arrived: usize) {
    let sent = postcard::to_stdvec(&message).expect("it was decoded");
    assert!(sent.len() <= arrived, "a message grew");
    let framed = frame(sent);
    let mut inbox = Inbox::default();
    inbox.feed(&framed);
    let (again, _) = inbox.next::<K::Message<'_>>().expect("it was sent").expect("it is whole");
    assert_eq!(postcard::to_stdvec(&again).expect("it was decoded"), framed[4..]);
    if arrived < 4096 {
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
    K::check(message, arrived);
}
