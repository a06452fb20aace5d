//! Where snapshots rest: files in a directory, and sealed memory files while a child holds them.
//!
//! An idle app costs this process no memory but its name and settings; its snapshot is in the page
//! cache, if anywhere.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use lode_child::protocol::SnapshotId;
use rustix::fs::{MemfdFlags, SealFlags};

/// The seals that children ask for (`lode_sandbox::Snapshot::from_file`): nobody can change the file.
const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// Bytes of a snapshot at most: the memory limit of its top-level code, and room for its header.
const MAX_BYTES: u64 = 80 << 20;

pub(super) struct Snapshots {
    directory: PathBuf,
    next: u64,
    /// The memory files that children hold; those nobody holds close themselves.
    open: HashMap<SnapshotId, Weak<OwnedFd>>,
}

impl Snapshots {
    pub(super) fn new(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self { directory, next: 0, open: HashMap::new() })
    }

    /// A new snapshot's name, and where it is to be kept.
    pub(super) fn reserve(&mut self) -> (SnapshotId, PathBuf) {
        let id = SnapshotId(self.next);
        self.next += 1;
        (id, self.path(id))
    }

    /// Forgets a snapshot. Children that hold it keep their memory files.
    pub(super) fn remove(&mut self, id: SnapshotId) {
        self.open.remove(&id);
        // Gone already if the directory was cleaned.
        let _ = fs::remove_file(self.path(id));
    }

    /// A sealed memory file with the snapshot, shared by all who ask while one of them holds it.
    pub(super) fn open(&mut self, id: SnapshotId) -> io::Result<Arc<OwnedFd>> {
        if let Some(file) = self.open.get(&id).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = File::open(self.path(id))?;
        let memory = rustix::fs::memfd_create(
            "lode-snapshot",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        copy(&file, &memory, file.metadata()?.len())?;
        rustix::fs::fcntl_add_seals(&memory, SEALS)?;
        let memory = Arc::new(memory);
        self.open.retain(|_, file| file.strong_count() > 0);
        self.open.insert(id, Arc::downgrade(&memory));
        Ok(memory)
    }

    fn path(&self, id: SnapshotId) -> PathBuf {
        self.directory.join(format!("{}.snapshot", id.0))
    }
}

/// Keeps what a builder made. The file is hostile: it is copied, never parsed, and only children of
/// its app's trust group will.
pub(super) fn keep(file: &OwnedFd, path: &Path) -> io::Result<()> {
    if !rustix::fs::fcntl_get_seals(file)?.contains(SEALS) {
        return Err(io::Error::other("the snapshot is not sealed"));
    }
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).map_err(io::Error::other)?;
    if size > MAX_BYTES {
        return Err(io::Error::other("the snapshot is too large"));
    }
    copy(file, &File::create_new(path)?, size).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Copies by position, so that nobody's file offset matters.
fn copy(from: impl AsFd, to: impl AsFd, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        let sent = rustix::fs::sendfile(&to, &from, Some(&mut at), left)?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
