//! What others tell a host: a stream of its own, which it empties as it reads.

use std::sync::Weak;

use redis::Value;

use crate::entries::{self, Entry, Fields};
use crate::host::Inner;
use crate::keys;
use crate::link::{BLOCK, Reader};

/// Entries read at once: enough that a burst is a few reads, little enough memory.
const BATCH: usize = 256;

/// Entries that have been read and are deleted together: each time would be as much work for Redis as the read.
const MOST_READ: usize = 64;

/// Bytes of them, in Redis' memory until then.
const MOST_BYTES: usize = 1 << 20;

/// Reads for as long as there is somebody to `tell`. One who is told the same twice is to notice.
pub(crate) async fn read<T>(host: Weak<Inner>, told: Weak<T>, tell: fn(&Inner, &T, Fields)) {
    let mut reader = Reader::default();
    let mut read: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut is_idle = false;
    loop {
        let (Some(host), Some(told)) = (host.upgrade(), told.upgrade()) else { return };
        let Some((connection, is_new)) = reader.connection(&host.link).await else { continue };
        let key = keys::replies(&host.name);
        let mut ask = redis::pipe();
        // What was read through another connection may not have been deleted, and what is read now may be of a Redis
        // that has lost its last writes, whose positions are others: all there is is read again.
        if is_new || is_idle || read.len() >= MOST_READ || bytes >= MOST_BYTES {
            if !read.is_empty() {
                ask.cmd("XDEL").arg(&key).arg(&read).ignore();
            }
            read.clear();
            bytes = 0;
        }
        let from = read.last().map_or("0-0", String::as_str);
        ask.cmd("XREAD").arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        ask.arg("STREAMS").arg(&key).arg(from);
        match ask.query_async::<(Value,)>(connection).await {
            Ok((value,)) => {
                let streams = entries::streams(value);
                // Nothing for a second: the moment to delete what was read, and to begin anew.
                is_idle = streams.is_empty();
                for (_, list) in streams {
                    for Entry { id, fields } in list {
                        read.push(id);
                        bytes += fields.bytes();
                        tell(&host, &told, fields);
                    }
                }
            }
            Err(error) => reader.broke(&host.link, &error).await,
        }
    }
}
