//! What a master and its children hold: memory, descriptors, processes.

use std::fmt;
use std::fs;
use std::time::Duration;

use lode_worker::master::Master;
use serde::Serialize;

/// What they hold at one moment.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Footprint {
    children: usize,
    /// Of this process, and of the children where this user may look: that takes root.
    descriptors: usize,
    /// Resident, of this process and the children together: pages that several share count in each.
    memory_kib: u64,
}

/// What may be more afterwards: an allocator gives pages back as whole runs of them, so a few MiB stay in
/// each process whatever it held in between, and a child's slots stay mapped for the next runs. A leak of
/// 1 KiB per run is 20 times as much after an hour.
const MEMORY_SLACK_KIB: u64 = 16 << 10;

/// Children let go of the sandboxes they keep ready when those were unused for 10 to 20 s
/// (`Engine::release_idle`).
const SETTLING: Duration = Duration::from_secs(25);

impl Footprint {
    fn of(master: &Master) -> Self {
        let children = master.children();
        let mut processes: Vec<String> = children.iter().flatten().map(i32::to_string).collect();
        processes.push("self".into());
        Self {
            children: children.len(),
            descriptors: processes.iter().map(|process| descriptors(process)).sum(),
            memory_kib: processes.iter().map(|process| resident_kib(process)).sum(),
        }
    }

    /// What is there when nothing has moved for a while.
    pub(super) async fn settled(master: &Master) -> Self {
        tokio::time::sleep(SETTLING).await;
        Self::of(master)
    }

    /// What is left of a load before which this was there; `Err` names what should not be.
    pub(super) fn compare(&self, after: &Self) -> Result<(), String> {
        let mut left = Vec::new();
        if after.children != self.children {
            left.push(format!("{} children instead of {}", after.children, self.children));
        }
        if after.descriptors > self.descriptors {
            let more = after.descriptors - self.descriptors;
            left.push(format!("{more} descriptors more than the {} before", self.descriptors));
        }
        // A tenth: what is resident of a child's slots depends on which runs came last.
        let allowed = self.memory_kib + self.memory_kib / 10 + MEMORY_SLACK_KIB;
        if after.memory_kib > allowed {
            left.push(format!("{} KiB resident after {}", after.memory_kib, self.memory_kib));
        }
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { children, descriptors, memory_kib } = self;
        write!(f, "{children} children, {descriptors} descriptors, {memory_kib} KiB resident")
    }
}

/// None for a process that has just ended, or that is another user's.
fn descriptors(process: &str) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

fn resident_kib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_leaves_is_named() {
        let before = Footprint { children: 2, descriptors: 40, memory_kib: 100_000 };
        assert!(before.compare(&before).is_ok());
        let fewer = Footprint { descriptors: 30, memory_kib: 50_000, ..before.clone() };
        assert!(before.compare(&fewer).is_ok());
        for (after, named) in [
            (Footprint { children: 3, ..before.clone() }, "3 children"),
            (Footprint { children: 1, ..before.clone() }, "1 children"),
            (Footprint { descriptors: 41, ..before.clone() }, "1 descriptors"),
            (Footprint { memory_kib: 130_000, ..before.clone() }, "130000 KiB"),
        ] {
            let left = before.compare(&after).unwrap_err();
            assert!(left.starts_with(named), "{left}");
        }
    }

    #[test]
    fn this_process_holds_something() {
        assert!(descriptors("self") > 2);
        assert!(resident_kib("self") > 100);
        assert_eq!((descriptors("none"), resident_kib("none")), (0, 0));
    }
}
