//! The layers of the lock-down, by name, and what became of each.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! layers {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// One layer of the lock-down. Its text form is the name that `--allow-degraded-lockdown` takes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Layer { $(#[doc = $doc] $variant,)* }

        impl Layer {
            /// Every layer, in the order in which they are put in force.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, in kebab case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

layers! {
    UnprivilegedUser "unprivileged-user" "The process does not have root's user and group ids.",
    UserNamespace "user-namespace" "A user namespace of its own: no privilege over anything outside.",
    MountNamespace "mount-namespace" "An empty, read-only root directory.",
    NetNamespace "net-namespace" "No network interface that is up.",
    IpcNamespace "ipc-namespace" "No System V or POSIX queues of others.",
    UtsNamespace "uts-namespace" "The host's name cannot be set.",
    CgroupNamespace "cgroup-namespace" "The host's cgroup paths are hidden.",
    PidNamespace "pid-namespace" "No other process has a process id.",
    Rlimits "rlimits" "Resource limits (rlimits.rs).",
    Capabilities "capabilities" "No capability, none to be regained.",
    NoNewPrivs "no-new-privs" "Executing a file gives no privilege.",
    Landlock "landlock" "No file, no TCP port, no signal and no abstract socket outside.",
    NonDumpable "non-dumpable" "No other process of this user reads its memory, and no core dump.",
    ParentDeathSignal "parent-death-signal" "It dies with its parent.",
    Seccomp "seccomp" "No system call that the table (seccomp.rs) does not list.",
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name that is no layer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLayer(pub String);

impl fmt::Display for UnknownLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Layer::ALL.iter().map(|layer| layer.name()).collect();
        write!(f, "{:?} is no layer of the lock-down; they are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownLayer {}

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, UnknownLayer> {
        let found = Self::ALL.iter().find(|layer| layer.name() == name);
        found.copied().ok_or_else(|| UnknownLayer(name.to_owned()))
    }
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is in force; with a detail worth telling, or an empty text.
    InForce(String),
    /// It is missing, for this reason.
    Missing(String),
}

/// Every layer that was tried, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which they were tried.
    pub layers: Vec<(Layer, State)>,
}

impl Report {
    /// The layers that are missing, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers.iter().filter_map(|(layer, state)| match state {
            State::Missing(reason) => Some((*layer, reason.as_str())),
            State::InForce(_) => None,
        })
    }

    /// Whether `layer` is in force.
    pub fn in_force(&self, layer: Layer) -> bool {
        self.layers.iter().any(|(l, state)| *l == layer && matches!(state, State::InForce(_)))
    }

    pub(super) fn note(&mut self, layer: Layer, result: io::Result<String>) {
        let state = match result {
            Ok(detail) => State::InForce(detail),
            Err(error) => State::Missing(error.to_string()),
        };
        self.layers.push((layer, state));
    }

    /// Fails when a layer is missing that `allowed` does not name.
    pub(super) fn judge(&self, allowed: &[Layer]) -> Result<(), Missing> {
        let layers: Vec<(Layer, String)> = self
            .missing()
            .filter(|(layer, _)| !allowed.contains(layer))
            .map(|(layer, reason)| (layer, reason.to_owned()))
            .collect();
        if layers.is_empty() { Ok(()) } else { Err(Missing { layers }) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (layer, state) in &self.layers {
            match state {
                State::InForce(detail) if detail.is_empty() => writeln!(f, "{layer}: in force")?,
                State::InForce(detail) => writeln!(f, "{layer}: in force ({detail})")?,
                State::Missing(reason) => writeln!(f, "{layer}: MISSING ({reason})")?,
            }
        }
        Ok(())
    }
}

/// The layers that cannot be had and were not allowed to be missing: the process must not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Each with the reason.
    pub layers: Vec<(Layer, String)>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the lock-down is not complete on this host:")?;
        for (layer, reason) in &self.layers {
            write!(f, "\n  {layer}: {reason}")?;
        }
        let names: Vec<&str> = self.layers.iter().map(|(layer, _)| layer.name()).collect();
        write!(f, "\n(--allow-degraded-lockdown {} accepts the risk)", names.join(","))
    }
}

impl std::error::Error for Missing {}
