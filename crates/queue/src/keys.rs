//! The names of what is in Redis. One hash tag, so that a script's keys are always in one place.

/// Streams that tasks wait in. A worker reads from all of them alike, and each costs Redis a microsecond per read. The
/// last is for what apps have beyond [`CALM`] tasks: so a flood takes at most this share of what workers read, and
/// whoever shares its lane waits behind a few of its tasks only.
pub(crate) const LANES: [&str; 8] = [
    "{lode}:tasks:0",
    "{lode}:tasks:1",
    "{lode}:tasks:2",
    "{lode}:tasks:3",
    "{lode}:tasks:4",
    "{lode}:tasks:5",
    "{lode}:tasks:6",
    "{lode}:tasks:7",
];

/// The consumer group of the workers.
pub(crate) const GROUP: &str = "workers";

pub(crate) const HOSTS: &str = "{lode}:hosts";
/// All tasks that are outstanding, as one number: the sum of their [weights](weight).
pub(crate) const LOAD: &str = "{lode}:load";
/// How many each app has outstanding, of all hosts.
pub(crate) const APPS: &str = "{lode}:apps";
pub(crate) const TURN: &str = "{lode}:reaper";
pub(crate) const LEASES: &str = "{lode}:lease:";
pub(crate) const REPLIES: &str = "{lode}:replies:";

/// Tasks that an app may have outstanding in its own lane, by each API host: as many as may be running at once by default,
/// of all hosts. Others would wait for their app's share of the workers anyway.
const CALM: usize = 16;

/// The lane of an app's task that is its `nth` (from 1) outstanding. By FNV-1a (draft-eastlake-fnv): the same on every
/// host and in every version of Rust.
pub(crate) fn lane_of(app: &str, nth: usize) -> &'static str {
    let [own @ .., crowded] = &LANES;
    if nth > CALM {
        return crowded;
    }
    let hash = app.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    own[(hash % own.len() as u64) as usize]
}

pub(crate) fn lease(host: &str) -> String {
    format!("{LEASES}{host}")
}

pub(crate) fn replies(host: &str) -> String {
    format!("{REPLIES}{host}")
}

/// What a task adds to the load: 2^33, and its bytes. So one number counts a million tasks and 8 GiB at once, in the 53
/// bits that Lua's numbers are exact in, and each task takes one command less.
pub(crate) fn weight(bytes: usize) -> u64 {
    WEIGHT + bytes as u64
}

const WEIGHT: u64 = 1 << 33;

/// The tasks and bytes of a load.
pub(crate) fn weighed(load: u64) -> (u64, u64) {
    (load / WEIGHT, load % WEIGHT)
}

/// Tasks and bytes that a load can count, by far more than is sensible to have in Redis' memory.
pub(crate) const COUNTABLE: (usize, usize) = ((1 << 20) - 1, (1 << 33) - 1);

/// What has become of a task since its caller put it in: the id under which it was handed back, or that it was
/// taken back. A caller's number is for one task.
pub(crate) fn moved(host: &str, number: &str) -> String {
    format!("{{lode}}:moved:{host}:{number}")
}

pub(crate) fn rate(app: &str) -> String {
    format!("{{lode}}:rate:{app}")
}
