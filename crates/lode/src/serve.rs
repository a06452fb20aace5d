//! `lode serve`: the API server, the Work Master, its children and the store, in one command.

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use lode_api::{Api, Config as ApiConfig};
use lode_queue::{Host, Role};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::Failure;
use crate::host::{self, Parts};

/// The file in the data directory that has the admin token.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// Bytes of an admin token at least: nobody slows down who guesses it, and 16 random letters take for ever.
const SHORTEST_TOKEN: usize = 16;

#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long, env = "LODE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where clients reach this server; `http://` and the address it listens on if absent.
    #[arg(long, env = "LODE_URL", value_name = "URL")]
    pub(crate) url: Option<Url>,
    /// The queue that other hosts' workers take this server's runs from: `redis://…`, or `rediss://…` for
    /// TLS. Without it, this process runs them by itself.
    #[arg(long, env = "LODE_QUEUE", hide_env_values = true, value_name = "URL")]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) host: host::Arguments,
    #[command(flatten)]
    pub(crate) bounds: host::Queue,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    runtime()?.block_on(async {
        let server = Server::start(arguments).await?;
        println!("lode {} listens on {}", env!("CARGO_PKG_VERSION"), server.url);
        println!("admin token: {}", arguments.host.data.join(TOKEN_FILE).display());
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
    parts: Parts,
    listener: TcpListener,
    queue: Option<Host>,
    grace: Duration,
}

impl Server {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, Failure> {
        if arguments.queue.is_some() {
            arguments.host.check_shared()?;
        }
        let parts = Parts::start(&arguments.host).await?;
        let token = admin_token(&arguments.host.data)?;
        let listener = TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| Failure::usage(format!("{}: {error}", arguments.listen)))?;
        let address = listener.local_addr().map_err(Failure::platform)?;
        let local = Url::parse(&format!("http://{address}")).map_err(Failure::platform)?;
        let url = arguments.url.clone().unwrap_or_else(|| local.clone());
        let config = ApiConfig {
            admin_token: lode_api::hash(&token),
            url: url.clone(),
            secret_keys: arguments.host.secrets_key.clone().unwrap_or_default(),
        };
        let (store, master) = (parts.store.clone(), parts.master.clone());
        let (api, queue) = match &arguments.queue {
            None => (Api::new(config, store, master), None),
            Some(queue) => {
                let joined = arguments.bounds.join(queue, Role::Api, &master);
                let (host, changes) = joined.await?;
                (Api::with_queue(config, store, master, host.clone(), changes), Some(host))
            }
        };
        let grace = arguments.host.grace();
        Ok(Self { api, url, local, token, parts, listener, queue, grace })
    }

    /// Serves until this process is asked to end; then answers what is under way.
    pub(crate) async fn serve(self) -> Result<u8, Failure> {
        let (stop, grace) = (stop_signal()?, self.grace);
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let served = self.api.serve(self.listener, stop);
        let overdue = async {
            let _ = stopped.await;
            tokio::time::sleep(grace).await;
        };
        // Connections that stay open for ever, such as followed logs, do not keep it.
        tokio::select! {
            () = served => {}
            () = overdue => {}
        }
        self.parts.master.drain(grace).await;
        if let Some(host) = &self.queue {
            host.leave().await;
        }
        Ok(0)
    }
}

/// Ready when this process is asked to end.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()> + Send, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::platform)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::platform)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The admin token, made at the first start: readable by this user alone.
fn admin_token(data: &Path) -> Result<String, Failure> {
    if let Ok(token) = std::env::var("LODE_ADMIN_TOKEN")
        && !token.trim().is_empty()
    {
        let token = token.trim();
        if token.len() < SHORTEST_TOKEN {
            let what = format!("LODE_ADMIN_TOKEN has at least {SHORTEST_TOKEN} characters");
            return Err(Failure::usage(what));
        }
        return Ok(token.to_owned());
    }
    let path = data.join(TOKEN_FILE);
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let token = lode_api::new_secret().map_err(Failure::platform)?;
    match create_secret(&path, token.as_bytes()) {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let token = fs::read_to_string(&path).map_err(failed)?.trim().to_owned();
            if token.len() < SHORTEST_TOKEN {
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
