//! What `lode serve` and `lode worker` have in common: a store, a Work Master, and a place in a queue.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use std::time::Duration;

use clap::Args;
use lode_api::SecretKeys;
use lode_queue::{Change, Host, Role};
use lode_store::Store;
use lode_worker::broker::{Broker, Options, egress};
use lode_worker::master::{Config, Master};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Failure;

#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// What this host keeps on this machine: the SQLite database, the admin token, snapshots.
    #[arg(long, env = "LODE_DATA", default_value = "lode-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The store: `postgres://…`, or SQLite in the data directory.
    #[arg(long, env = "LODE_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// What apps' secrets are kept under in the store: 32 random bytes as base64. Several, with commas: the first
    /// seals, each opens. The same on all hosts; without it secrets are kept as they are.
    #[arg(long, env = "LODE_SECRETS_KEY", hide_env_values = true, value_name = "KEY", value_parser = SecretKeys::parse)]
    pub(crate) secrets_key: Option<SecretKeys>,
    /// Children at most; `auto`: one per processor and at least two. They come and go with the load.
    #[arg(long, env = "LODE_CHILDREN", value_name = "N", default_value = "auto", value_parser = children)]
    pub(crate) children: Children,
    /// When this host is asked to end, runs under way have so many seconds: no less than the longest that apps
    /// may take.
    #[arg(long, env = "LODE_GRACE", value_name = "SECONDS", default_value_t = 15)]
    grace: u64,
    /// Layers of the children's lock-down that may be missing.
    #[arg(long, value_delimiter = ',', value_name = "LAYER")]
    pub(crate) allow_degraded_lockdown: Vec<String>,
    /// Networks that scripts may send requests to although they are not public, such as 10.1.0.0/16.
    #[arg(long, value_delimiter = ',', value_name = "NETWORK")]
    pub(crate) allow_networks: Vec<ipnet::IpNet>,
}

#[derive(Clone, Copy)]
pub(crate) enum Children {
    Auto,
    Most(usize),
}

fn children(text: &str) -> Result<Children, String> {
    match text {
        "auto" => Ok(Children::Auto),
        number => match number.parse() {
            Ok(most) if most > 0 => Ok(Children::Most(most)),
            _ => Err("a number from 1, or `auto`".into()),
        },
    }
}

impl Arguments {
    /// Hosts that share a queue load apps from one store, which SQLite is not.
    pub(crate) fn check_shared(&self) -> Result<(), Failure> {
        match &self.store {
            Some(url) if !url.starts_with("sqlite:") => Ok(()),
            _ => {
                let what = "hosts that share a queue need one store for all: --store postgres://…";
                Err(Failure::usage(what))
            }
        }
    }

    /// How long runs under way may take when this host ends.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }
}

/// Which queue.
#[derive(Args, Clone)]
pub(crate) struct Queue {
    /// A PEM file with the authorities to trust for `rediss://`, instead of the system's.
    #[arg(long, env = "LODE_QUEUE_CA", value_name = "FILE")]
    queue_ca: Option<PathBuf>,
    /// Tasks outstanding in the queue at most, of all apps.
    #[arg(long, env = "LODE_QUEUE_TASKS", value_name = "N", default_value_t = lode_queue::Config::MOST_TASKS)]
    queue_tasks: usize,
    /// MiB of tasks outstanding in the queue at most: Redis holds them in memory.
    #[arg(long, env = "LODE_QUEUE_MIB", value_name = "N", default_value_t = lode_queue::Config::MOST_MIB)]
    queue_mib: usize,
}

impl Queue {
    pub(crate) fn config(&self, url: &str) -> Result<lode_queue::Config, Failure> {
        let authorities = match &self.queue_ca {
            Some(path) => Some(
                fs::read(path)
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
            ),
            None => None,
        };
        Ok(lode_queue::Config {
            authorities,
            most_tasks: self.queue_tasks,
            most_bytes: self.queue_mib.saturating_mul(1 << 20),
            ..lode_queue::Config::new(url)
        })
    }

    /// Joins, under a name of this process' own.
    pub(crate) async fn join(
        &self,
        url: &str,
        role: Role,
        master: &Master,
    ) -> Result<(Host, UnboundedReceiver<Change>), Failure> {
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let random = lode_api::new_secret().map_err(Failure::platform)?;
        let random: String = random.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
        let name = format!("{}-{}-{random}", machine.trim(), std::process::id());
        let master = master.clone();
        let load = move || lode_api::backlog(&master);
        Host::join(self.config(url)?, role, name, env!("CARGO_PKG_VERSION"), load)
            .await
            .map_err(|error| Failure::usage(error.to_string()))
    }
}

/// A store and a Work Master over it.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) master: Master,
    /// Children that the master has at most.
    pub(crate) children: usize,
    snapshots: PathBuf,
}

impl Parts {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, Failure> {
        raise_descriptors();
        // For this user alone: documents and secrets are in it.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&arguments.data)
            .map_err(|error| Failure::usage(format!("{}: {error}", arguments.data.display())))?;
        let url = match &arguments.store {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", arguments.data.display()),
        };
        let store = Store::open(&url).await.map_err(Failure::platform)?;
        let snapshots = arguments.data.join(format!("snapshots-{}", std::process::id()));
        clear_snapshots(&arguments.data);
        let program = std::env::current_exe().map_err(Failure::platform)?;
        let mut config = Config::new(program, snapshots.clone());
        if let Children::Most(most) = arguments.children {
            config.max_children = most;
        }
        config.allowed_missing.clone_from(&arguments.allow_degraded_lockdown);
        let children = config.max_children;
        let egress = egress::Config {
            allow_networks: arguments.allow_networks.clone(),
            ..egress::Config::default()
        };
        let options =
            Options { egress: Some(egress), store: Some(store.clone()), ..Options::default() };
        let broker = Broker::new(options).map_err(|error| Failure::usage(error.to_string()))?;
        let master = Master::start(config, broker).await.map_err(Failure::platform)?;
        Ok(Self { store, master, children, snapshots })
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.snapshots);
    }
}

/// Lets this process open as many descriptors as it may. Most systems give 1,024 at first, for programs that
/// call `select`; connections, children and their snapshots need more. Where it cannot be done, there is room
/// for fewer.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Snapshots of hosts that were killed: nobody needs them, as each builds its own.
fn clear_snapshots(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("snapshots-"));
        let is_gone = pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_gone {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
