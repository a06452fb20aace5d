//! `lode bench queue`: round trips through a queue in Redis, with a worker that only echoes, in a process of
//! its own.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use lode_queue::{Answer, Caller, Config, Host, Load, Role, Taker, Task};

use super::tally::{Tally, tell};
use crate::Failure;

/// Apps that the tasks are of: enough that all lanes have some.
const APPS: usize = 64;

/// Tasks that the echo takes at once.
const ROOM: usize = 256;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The queue: `redis://…` or `rediss://…`.
    #[arg(long, env = "LODE_QUEUE", hide_env_values = true, value_name = "URL")]
    queue: String,
    /// Tasks under way at once.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// For how long, in seconds; a second more is not counted.
    #[arg(long, default_value_t = 5)]
    duration: u64,
    /// Bytes of a task.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Be the worker.
    #[arg(long, hide = true)]
    echo: bool,
}

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let runtime = super::runtime()?;
    if arguments.echo {
        return runtime.block_on(echo(&arguments.queue));
    }
    let program = std::env::current_exe().map_err(Failure::platform)?;
    let mut echo = Command::new(program);
    echo.args(["bench", "queue", "--echo", "--queue", &arguments.queue]).stdin(Stdio::null());
    let _echo = Echo(echo.spawn().map_err(Failure::platform)?);
    let tally = runtime.block_on(drive(arguments))?;
    let row = tally.row("round trips", Duration::from_secs(arguments.duration));
    if arguments.json {
        println!("{}", serde_json::to_string(&row).map_err(Failure::platform)?);
        return Ok(0);
    }
    tell(&[row], false).map(|()| 0)
}

async fn join(url: &str, role: Role) -> Result<Host, Failure> {
    let name = format!("bench-{}", std::process::id());
    let version = env!("CARGO_PKG_VERSION");
    let joined = Host::join(Config::new(url), role, name, version, Load::default).await;
    joined.map(|(host, _)| host).map_err(|error| Failure::usage(error.to_string()))
}

async fn echo(url: &str) -> Result<u8, Failure> {
    let host = join(url, Role::Worker).await?;
    let mut taker = Taker::new(&host);
    let answerer = taker.answerer();
    loop {
        for taken in taker.take(ROOM).await {
            let answerer = answerer.clone();
            tokio::spawn(async move { answerer.answer(taken.ticket, &taken.payload).await });
        }
    }
}

async fn drive(arguments: &Arguments) -> Result<Tally, Failure> {
    let host = join(&arguments.queue, Role::Api).await?;
    let caller = Caller::new(&host);
    let start = Instant::now() + Duration::from_secs(1);
    let end = start + Duration::from_secs(arguments.duration);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..arguments.concurrency {
        let (caller, payload) = (caller.clone(), vec![b'x'; arguments.bytes]);
        clients.spawn(async move {
            let app: Arc<str> = format!("bench-{}", client % APPS).into();
            let mut tally = Tally::default();
            loop {
                let began = Instant::now();
                if began >= end {
                    return Ok(tally);
                }
                let task = Task {
                    app: app.clone(),
                    deadline: began + Duration::from_secs(20),
                    most: usize::MAX >> 12,
                    rate: None,
                    payload: payload.clone(),
                };
                match caller.call(task).await {
                    Answer::Answered(answer) if answer.len() == payload.len() => {}
                    answer => return Err(Failure::platform(format!("{answer:?}"))),
                }
                let now = Instant::now();
                if began >= start && now < end {
                    tally.add(now - began, "answered");
                }
            }
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = clients.join_next().await {
        all.merge(tally.map_err(Failure::platform)??);
    }
    host.leave().await;
    Ok(all)
}
