//! `lode worker`: a Work Master that takes its tasks from a queue.

use std::net::SocketAddr;

use clap::Args;
use lode_api::{Api, Config as ApiConfig, Runner};
use lode_queue::Role;
use tokio::net::TcpListener;
use url::Url;

use crate::Failure;
use crate::host::{self, Parts};
use crate::serve::{runtime, stop_signal};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The queue: `redis://[user:password@]host[:port][/db]`, or `rediss://…` for TLS.
    #[arg(long, env = "LODE_QUEUE", hide_env_values = true, value_name = "URL")]
    queue: String,
    /// Where to serve `/metrics` and `/healthz`, in plain HTTP; nowhere if absent.
    #[arg(long, env = "LODE_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    host: host::Arguments,
    #[command(flatten)]
    bounds: host::Queue,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    arguments.host.check_shared()?;
    runtime()?.block_on(async {
        let parts = Parts::start(&arguments.host).await?;
        // It listens to nobody: its API answers the calls that scripts make of their own backend.
        let url = Url::parse("http://localhost/").map_err(Failure::platform)?;
        let token = lode_api::new_secret().map_err(Failure::platform)?;
        let config = ApiConfig {
            admin_token: lode_api::hash(&token),
            url,
            secret_keys: arguments.host.secrets_key.clone().unwrap_or_default(),
        };
        let api = Api::new(config, parts.store.clone(), parts.master.clone());
        let joined = arguments.bounds.join(&arguments.queue, Role::Worker, &parts.master);
        let (host, _changes) = joined.await?;
        println!("lode {} worker {} joined", env!("CARGO_PKG_VERSION"), host.name());
        let runner = Runner::new(api, host, parts.children);
        if let Some(address) = arguments.listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| Failure::usage(format!("{address}: {error}")))?;
            tokio::spawn(runner.observed(listener));
        }
        let grace = arguments.host.grace();
        runner.run(stop_signal()?, grace).await;
        parts.master.drain(grace).await;
        Ok(0)
    })
}
