//! What others tell a host: a stream of its own, which it empties as it reads.

use std::sync::Weak;

use redis::Value;

use crate::entries::{self, Entry, Fields};
use crate::host::Inner;
use crate::keys;
use crate::link::{BLOCK, Reader};

/// Entries read at once: enough that a burst is a few reads, little enough memory.
const BATCH: usize = 256;

/// Reads for as long as there is somebody to `tell`.
pub(crate) async fn read<T>(host: Weak<Inner>, told: Weak<T>, tell: fn(&Inner, &T, Fields)) {
    let mut reader = Reader::default();
    let mut done: Vec<String> = Vec::new();
    loop {
        let (Some(host), Some(told)) = (host.upgrade(), told.upgrade()) else { return };
        let Some((connection, _)) = reader.connection(&host.link).await else { continue };
        let key = keys::replies(&host.name);
        // Whatever was read is deleted, so what there is has not been read: no position to keep, which a
        // Redis that has lost its last writes would not know.
        let mut ask = redis::pipe();
        if !done.is_empty() {
            ask.cmd("XDEL").arg(&key).arg(&done).ignore();
        }
        ask.cmd("XREAD").arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        ask.arg("STREAMS").arg(&key).arg("0-0");
        match ask.query_async::<(Value,)>(connection).await {
            Ok((value,)) => {
                done.clear();
                for (_, list) in entries::streams(value) {
                    for Entry { id, fields } in list {
                        done.push(id);
                        tell(&host, &told, fields);
                    }
                }
            }
            Err(error) => reader.broke(&host.link, &error).await,
        }
    }
}
