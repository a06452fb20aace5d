//! The names of what is in Redis. One hash tag, so that a script's keys are always in one place.

/// Streams that tasks wait in. An app's are all in one, and a worker reads from all of them alike, so that
/// an app which floods its lane takes at most this share of what workers read.
pub(crate) const LANES: [&str; 16] = [
    "{lode}:tasks:0",
    "{lode}:tasks:1",
    "{lode}:tasks:2",
    "{lode}:tasks:3",
    "{lode}:tasks:4",
    "{lode}:tasks:5",
    "{lode}:tasks:6",
    "{lode}:tasks:7",
    "{lode}:tasks:8",
    "{lode}:tasks:9",
    "{lode}:tasks:10",
    "{lode}:tasks:11",
    "{lode}:tasks:12",
    "{lode}:tasks:13",
    "{lode}:tasks:14",
    "{lode}:tasks:15",
];

/// The consumer group of the workers.
pub(crate) const GROUP: &str = "workers";

pub(crate) const HOSTS: &str = "{lode}:hosts";
pub(crate) const LOAD: &str = "{lode}:load";
pub(crate) const TURN: &str = "{lode}:reaper";
pub(crate) const LEASES: &str = "{lode}:lease:";
pub(crate) const REPLIES: &str = "{lode}:replies:";
pub(crate) const OUTSTANDING: &str = "{lode}:app:";

/// The lane of an app, by FNV-1a (draft-eastlake-fnv): the same on every host and in every version of Rust.
pub(crate) fn lane_of(app: &str) -> &'static str {
    let hash = app.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    LANES[(hash % 16) as usize]
}

pub(crate) fn lease(host: &str) -> String {
    format!("{LEASES}{host}")
}

pub(crate) fn replies(host: &str) -> String {
    format!("{REPLIES}{host}")
}

pub(crate) fn outstanding(app: &str) -> String {
    format!("{OUTSTANDING}{app}")
}

/// What has become of a task since its caller put it in: the id under which it was handed back, or that it was
/// taken back. A caller's number is for one task.
pub(crate) fn moved(host: &str, number: &str) -> String {
    format!("{{lode}}:moved:{host}:{number}")
}

pub(crate) fn rate(app: &str) -> String {
    format!("{{lode}}:rate:{app}")
}
