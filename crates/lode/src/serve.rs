//! `lode serve`: the API server, the Work Master, its children and the store, in one command.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lode_api::{Api, Config as ApiConfig};
use lode_store::Store;
use lode_worker::broker::{Broker, Options, egress};
use lode_worker::master::{Config, Master};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::Failure;

/// The file in the data directory that has the admin token.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// How long runs under way may take when the server ends: more than a hook's default wall time.
const GRACE: Duration = Duration::from_secs(15);

#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long, env = "LODE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// What the server keeps on this machine: the SQLite database, the admin token, snapshots.
    #[arg(long, env = "LODE_DATA", default_value = "lode-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The store: `postgres://…`, or SQLite in the data directory.
    #[arg(long, env = "LODE_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Where clients reach this server; `http://` and the address it listens on if absent.
    #[arg(long, env = "LODE_URL", value_name = "URL")]
    pub(crate) url: Option<Url>,
    /// Children at most; one per processor and at least two if absent.
    #[arg(long, value_name = "N")]
    pub(crate) children: Option<usize>,
    /// Layers of the children's lock-down that may be missing.
    #[arg(long, value_delimiter = ',', value_name = "LAYER")]
    pub(crate) allow_degraded_lockdown: Vec<String>,
    /// Networks that scripts may send requests to although they are not public, such as 10.1.0.0/16.
    #[arg(long, value_delimiter = ',', value_name = "NETWORK")]
    pub(crate) allow_networks: Vec<ipnet::IpNet>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    runtime()?.block_on(async {
        let server = Server::start(arguments).await?;
        println!("lode {} listens on {}", env!("CARGO_PKG_VERSION"), server.url);
        println!("admin token: {}", arguments.data.join(TOKEN_FILE).display());
        server.serve().await
    })
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Failure::platform)
}

/// A server, ready to serve.
pub(crate) struct Server {
    pub(crate) api: Api,
    /// Where clients reach it.
    pub(crate) url: Url,
    /// Where this machine reaches it.
    pub(crate) local: Url,
    /// Its admin token.
    pub(crate) token: String,
    master: Master,
    listener: TcpListener,
    snapshots: PathBuf,
}

impl Server {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, Failure> {
        fs::create_dir_all(&arguments.data)
            .map_err(|error| Failure::usage(format!("{}: {error}", arguments.data.display())))?;
        let token = admin_token(&arguments.data)?;
        let store = match &arguments.store {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", arguments.data.display()),
        };
        let store = Store::open(&store).await.map_err(Failure::platform)?;
        let listener = TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| Failure::usage(format!("{}: {error}", arguments.listen)))?;
        let address = listener.local_addr().map_err(Failure::platform)?;
        let local = Url::parse(&format!("http://{address}")).map_err(Failure::platform)?;
        let url = arguments.url.clone().unwrap_or_else(|| local.clone());
        let snapshots = arguments.data.join(format!("snapshots-{}", std::process::id()));
        clear_snapshots(&arguments.data);
        let program = std::env::current_exe().map_err(Failure::platform)?;
        let mut config = Config::new(program, snapshots.clone());
        if let Some(children) = arguments.children {
            config.max_children = children.max(1);
        }
        config.allowed_missing.clone_from(&arguments.allow_degraded_lockdown);
        let egress = egress::Config {
            allow_networks: arguments.allow_networks.clone(),
            ..egress::Config::default()
        };
        let options =
            Options { egress: Some(egress), store: Some(store.clone()), ..Options::default() };
        let broker = Broker::new(options).map_err(|error| Failure::usage(error.to_string()))?;
        let master = Master::start(config, broker).await.map_err(Failure::platform)?;
        let config = ApiConfig { admin_token: lode_api::hash(&token), url: url.clone() };
        let api = Api::new(config, store, master.clone());
        Ok(Self { api, url, local, token, master, listener, snapshots })
    }

    /// Serves until this process is asked to end; then answers what is under way.
    pub(crate) async fn serve(self) -> Result<u8, Failure> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::platform)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::platform)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let served = self.api.serve(self.listener, stop);
        let overdue = async {
            let _ = stopped.await;
            tokio::time::sleep(GRACE).await;
        };
        // Connections that stay open for ever, such as followed logs, do not keep it.
        let ended = tokio::select! {
            ended = served => ended,
            () = overdue => Ok(()),
        };
        self.master.drain(GRACE).await;
        let _ = fs::remove_dir_all(&self.snapshots);
        ended.map(|()| 0).map_err(Failure::platform)
    }
}

/// Snapshots of servers that were killed: nobody needs them, as each server builds its own.
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

/// The admin token, made at the first start: readable by this user alone.
fn admin_token(data: &Path) -> Result<String, Failure> {
    if let Ok(token) = std::env::var("LODE_ADMIN_TOKEN")
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let path = data.join(TOKEN_FILE);
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let token = lode_api::new_secret().map_err(Failure::platform)?;
    match create_secret(&path, token.as_bytes()) {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let token = fs::read_to_string(&path).map_err(failed)?.trim().to_owned();
            if token.len() < 16 {
                let what = "the admin token in it is too short: delete it for a new one";
                return Err(Failure::usage(format!("{}: {what}", path.display())));
            }
            Ok(token)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that this user alone can read, in place of the one that is there.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let _ = fs::remove_file(path);
    create_secret(path, content)
}

fn create_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}
