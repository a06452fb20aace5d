//! Descriptors sent to a sealed child: too many, too few, none.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use lode_child::exit::BROKEN;
use lode_child::frame::Outbox;
use lode_child::lockdown::rlimits::MAX_DESCRIPTORS;
use lode_child::protocol::{ResetMethod, SnapshotId, ToChild};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, socketpair};

use crate::exercises::{APP_ID, APPS, Runner, meet};
use crate::peer::Said;

const UNASKED: &str = "lode child: descriptors that no frame brings\n";

fn runner() -> Runner {
    let (runner, met) = meet("", "", ResetMethod::CopyBack);
    met.unwrap();
    runner
}

/// Sends bytes with this many descriptors. Returns whether there was somebody to take them.
fn send(runner: &Runner, bytes: &[u8], files: usize) -> bool {
    let stdin = std::io::stdin();
    let files = vec![stdin.as_fd(); files];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg(&runner.peer.socket, &bytes, &mut control, SendFlags::NOSIGNAL).is_ok()
}

/// The bytes of a message that brings no descriptor.
fn harmless() -> Vec<u8> {
    let (ours, theirs) = socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let mut outbox = Outbox::default();
    outbox.push(&ToChild::Unload(SnapshotId(9)), None).unwrap();
    outbox.flush(ours.as_fd()).unwrap();
    drop(ours);
    let mut bytes = vec![0; 64];
    let len = rustix::io::read(&theirs, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn open_descriptors(runner: &Runner) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", runner.peer.inner)).map_or(0, Iterator::count)
}

#[test]
fn descriptors_that_no_frame_brings_are_bounded_and_end_the_child() {
    for with_each in [1, 4, 253] {
        let mut runner = runner();
        let message = harmless();
        // Far more than a receiver is given by one message, or may keep.
        for _ in 0..1000 {
            if !send(&runner, &message, with_each) {
                break;
            }
        }
        assert!(runner.peer.hear().is_err(), "{with_each}");
        assert_eq!(runner.peer.end(), (BROKEN.into(), UNASKED.to_owned()), "{with_each}");
    }
}

#[test]
fn descriptors_before_a_frame_is_whole_are_bounded_too() {
    let mut runner = runner();
    // A frame of some length that never comes to its end.
    assert!(send(&runner, &[0, 0, 1, 0], 4));
    for _ in 0..1000 {
        if !send(&runner, &[0], 4) {
            break;
        }
    }
    assert!(runner.peer.hear().is_err());
    assert_eq!(runner.peer.end(), (BROKEN.into(), UNASKED.to_owned()));
}

#[test]
fn a_snapshot_without_its_descriptor_ends_the_child() {
    let mut runner = runner();
    runner.peer.send(&ToChild::Load(APP_ID), None).unwrap();
    assert!(runner.peer.hear().is_err());
    assert_eq!(runner.peer.end(), (BROKEN.into(), UNASKED.to_owned()));
}

#[test]
fn more_snapshots_than_descriptors_are_an_end_that_is_explained() {
    let mut runner = runner();
    let mut loaded = 0;
    let ended = loop {
        if runner.load(SnapshotId(loaded), &APPS.app).is_err() {
            break true;
        }
        loaded += 1;
        if loaded == 2 * MAX_DESCRIPTORS {
            break runner.peer.hear().is_err();
        }
    };
    assert!(ended);
    assert!(loaded >= MAX_DESCRIPTORS - 16, "{loaded}");
    assert_eq!(runner.peer.end(), (BROKEN.into(), UNASKED.to_owned()));
}

#[test]
fn a_runner_close_to_its_last_descriptor_serves() {
    let mut runner = runner();
    // A few are its own, and some are under way.
    for id in 1..MAX_DESCRIPTORS - 16 {
        runner.load(SnapshotId(id), &APPS.app).unwrap();
    }
    let run = runner.start(SnapshotId(MAX_DESCRIPTORS - 17), "log", "").unwrap();
    let said = runner.peer.hear();
    assert!(matches!(said, Ok(Said::Ended(of, _)) if of == run), "{said:?}");
    assert!(open_descriptors(&runner) > 4000);
    for id in 1..MAX_DESCRIPTORS - 16 {
        runner.peer.send(&ToChild::Unload(SnapshotId(id)), None).unwrap();
    }
    assert_eq!(runner.peer.end(), (0, String::new()));
}
