//! `lode status`: the queue and its hosts, as Redis knows them.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use lode_queue::status::{Status, Watch};

use crate::serve::runtime;
use crate::{Failure, host};

/// How often the view is drawn anew: as often as hosts speak up.
const REFRESH: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The queue: `redis://…` or `rediss://…`.
    #[arg(long, env = "LODE_QUEUE", hide_env_values = true, value_name = "URL")]
    queue: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Refresh until interrupted; what a terminal gets without `--json` and `--once`.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print once, also to a terminal.
    #[arg(long, conflicts_with = "watch")]
    once: bool,
    #[command(flatten)]
    bounds: host::Queue,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let config = arguments.bounds.config(&arguments.queue)?;
    runtime()?.block_on(async {
        let watch = Watch::open(&config).await.map_err(|e| Failure::usage(e.to_string()))?;
        let is_live = std::io::stdout().is_terminal() && !arguments.once && !arguments.json;
        loop {
            let status = watch.status().await;
            if arguments.json {
                let status = status.map_err(Failure::platform)?;
                println!("{}", serde_json::to_string(&status).map_err(Failure::platform)?);
                return Ok(0);
            }
            let text = match status {
                Ok(status) => table(&status),
                Err(error) if arguments.watch || is_live => format!("no answer: {error}\n"),
                Err(error) => return Err(Failure::platform(error)),
            };
            let mut out = std::io::stdout();
            // Home, and clear below: ECMA-48's CUP and ED.
            let clear = if is_live { "\x1b[H\x1b[J" } else { "" };
            out.write_all(format!("{clear}{text}").as_bytes()).map_err(Failure::platform)?;
            out.flush().map_err(Failure::platform)?;
            if !arguments.watch && !is_live {
                return Ok(0);
            }
            tokio::time::sleep(REFRESH).await;
        }
    })
}

fn table(status: &Status) -> String {
    let queue = &status.queue;
    let ms = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1} ms"));
    let mut text = format!(
        "queue: {} waiting, {} in flight, {} KiB, oldest {} ms; waited p50 {}, p95 {}, p99 {}\n\n",
        queue.waiting,
        queue.pending,
        queue.bytes / 1024,
        queue.oldest_ms,
        ms(queue.wait_p50_ms),
        ms(queue.wait_p95_ms),
        ms(queue.wait_p99_ms),
    );
    text.push_str(&format!(
        "{:<40} {:<7} {:<9} {:>8} {:>8} {:>8} {:>10} {:>9}\n",
        "host", "kind", "version", "children", "running", "waiting", "up", "lease"
    ));
    for host in &status.hosts {
        let up = host.up().as_secs();
        text.push_str(&format!(
            "{:<40} {:<7} {:<9} {:>8} {:>8} {:>8} {:>10} {:>9}\n",
            host.name,
            host.kind,
            host.version,
            host.children,
            host.running,
            host.waiting,
            format!("{}h{:02}m{:02}s", up / 3600, up / 60 % 60, up % 60),
            if host.lease_ms == 0 { "ended".into() } else { format!("{} ms", host.lease_ms) },
        ));
    }
    text
}
