//! Frames: a little-endian u32 length, then that many bytes of postcard; some bring a descriptor.
//!
//! Both ends of the socket use this, and each may be fed by a hostile other: buffers grow only as
//! bytes arrive, and only up to the largest frame.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::protocol::MAX_FRAME;

const PREFIX: usize = 4;

/// Bytes read at once: many small frames, or a good part of a large one.
const CHUNK: usize = 64 << 10;

/// A buffer that grew beyond this for a large frame is given back when it is empty.
const KEEP: usize = 1 << 20;

/// Descriptors that may have arrived without a frame that took them. A sound peer sends each with its
/// frame; the kernel bounds what is under way by the receiver's own limit.
const MAX_FILES: usize = 64;

/// What no sound peer sends. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame is longer than [`MAX_FRAME`]: its length in bytes.
    TooLong(usize),
    /// A frame is not a message.
    Malformed,
    /// More descriptors arrived than frames that bring one.
    Descriptors,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "a frame of {len} bytes; {MAX_FRAME} are allowed"),
            Self::Malformed => f.write_str("a frame is not a message"),
            Self::Descriptors => f.write_str("descriptors that no frame brings"),
        }
    }
}

impl std::error::Error for FrameError {}

/// What [`Inbox::fill`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes; there may be more.
    Some,
    /// Nothing at the moment.
    Nothing,
    /// The peer has closed its end.
    Closed,
}

/// What has arrived and was not yet taken.
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    files: VecDeque<OwnedFd>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { buffer: vec![0; CHUNK], start: 0, end: 0, files: VecDeque::new() }
    }
}

impl Inbox {
    /// Receives once, without waiting. An error is the socket's.
    pub fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<Filled> {
        self.make_room();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut self.buffer[self.end..])],
            &mut control,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        );
        let received = match received {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Filled::Nothing),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Filled::Closed),
            Err(error) => return Err(error.into()),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        self.end += received.bytes;
        Ok(if received.bytes == 0 { Filled::Closed } else { Filled::Some })
    }

    /// Takes bytes as if they had arrived, for tests and fuzzing.
    pub fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(CHUNK) {
            self.make_room();
            self.buffer[self.end..self.end + part.len()].copy_from_slice(part);
            self.end += part.len();
        }
    }

    /// At least [`CHUNK`] bytes at the end of the buffer. It grows by doubling, so to at most twice
    /// what has arrived.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEEP {
                self.buffer = vec![0; CHUNK];
            }
        }
        if self.buffer.len() - self.end >= CHUNK {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.resize((self.buffer.len() * 2).max(self.end + CHUNK), 0);
        }
    }

    /// The next message that is whole, and the descriptors that have arrived and were not yet taken.
    pub fn next<'i, M: Deserialize<'i>>(
        &'i mut self,
    ) -> Result<Option<(M, Files<'i>)>, FrameError> {
        if self.files.len() > MAX_FILES {
            return Err(FrameError::Descriptors);
        }
        let waiting = &self.buffer[self.start..self.end];
        let Some(prefix) = waiting.first_chunk::<PREFIX>() else { return Ok(None) };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > MAX_FRAME {
            return Err(FrameError::TooLong(len));
        }
        let Some(frame) = waiting.get(PREFIX..PREFIX + len) else { return Ok(None) };
        self.start += PREFIX + len;
        match postcard::take_from_bytes(frame) {
            Ok((message, [])) => Ok(Some((message, Files(&mut self.files)))),
            _ => Err(FrameError::Malformed),
        }
    }
}

/// The descriptors that have arrived, oldest first.
pub struct Files<'i>(&'i mut VecDeque<OwnedFd>);

impl Files<'_> {
    /// The one that a frame brought; an error if it brought none.
    pub fn take(&mut self) -> Result<OwnedFd, FrameError> {
        self.0.pop_front().ok_or(FrameError::Descriptors)
    }
}

/// What waits to be sent.
#[derive(Default)]
pub struct Outbox {
    buffer: Vec<u8>,
    sent: usize,
    /// Where in the buffer the frame begins that brings the descriptor.
    files: VecDeque<(usize, Arc<OwnedFd>)>,
}

impl Outbox {
    /// Adds a message, with the descriptor it brings. Fails, and adds nothing, if it is longer than
    /// [`MAX_FRAME`].
    pub fn push(
        &mut self,
        message: &impl Serialize,
        file: Option<Arc<OwnedFd>>,
    ) -> Result<(), FrameError> {
        self.compact();
        let start = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend([0; PREFIX]);
        // Writing to memory does not fail.
        self.buffer = postcard::to_extend(message, buffer).map_err(|_| FrameError::Malformed)?;
        let len = self.buffer.len() - start - PREFIX;
        if len > MAX_FRAME {
            self.buffer.truncate(start);
            return Err(FrameError::TooLong(len));
        }
        let prefix = (len as u32).to_le_bytes();
        self.buffer[start..start + PREFIX].copy_from_slice(&prefix);
        self.files.extend(file.map(|file| (start, file)));
        Ok(())
    }

    /// Lets go of what is sent, once that is more than what waits: so it costs less than sending it did.
    fn compact(&mut self) {
        if self.sent > self.len() {
            self.buffer.drain(..self.sent);
            for (at, _) in &mut self.files {
                *at -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.sent
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what the socket takes without waiting. Returns whether all is sent.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while self.sent < self.buffer.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            // A descriptor goes with the first byte of its frame, and what comes before goes alone.
            let (end, file) = match self.files.front() {
                Some((at, file)) if *at == self.sent => {
                    let next = self.files.get(1).map_or(self.buffer.len(), |(at, _)| *at);
                    (next, Some([file.as_fd()]))
                }
                Some((at, _)) => (*at, None),
                None => (self.buffer.len(), None),
            };
            if let Some(file) = &file {
                control.push(SendAncillaryMessage::ScmRights(file));
            }
            let sent = rustix::net::sendmsg(
                socket,
                &[IoSlice::new(&self.buffer[self.sent..end])],
                &mut control,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            );
            match sent {
                Ok(sent) => self.sent += sent,
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if file.is_some() {
                self.files.pop_front();
            }
        }
        self.sent = 0;
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn an_outbox_that_is_never_empty_holds_what_waits_and_no_more() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        let file = Arc::new(OwnedFd::from(here.try_clone().expect("another")));
        let text = "x".repeat(100_000);
        let (mut pushed, mut arrived) = (0_u32, 0_u32);
        let mut hear = |most: u32| {
            while arrived < most {
                if let Some(((number, got), mut files)) =
                    inbox.next::<(u32, &str)>().expect("a message")
                {
                    assert_eq!((number, got.len()), (arrived, text.len()));
                    files.take().expect("its descriptor");
                    arrived += 1;
                } else if inbox.fill(there.as_fd()).expect("a socket") == Filled::Nothing {
                    return arrived;
                }
            }
            arrived
        };
        let mut heard = 0;
        for _ in 0..300 {
            // Always a few more than are taken.
            while pushed < heard + 10 {
                outbox.push(&(pushed, &text), Some(file.clone())).expect("it fits");
                pushed += 1;
            }
            outbox.flush(here.as_fd()).expect("a socket");
            heard = hear(pushed - 3);
            assert!(!outbox.is_empty());
            assert!(outbox.buffer.len() < 3 << 20, "{} bytes are held", outbox.buffer.len());
        }
        assert!(heard > 100, "{heard}");
    }
}
