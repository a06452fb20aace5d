//! `lode queue`: runs that are owed, and those that were given up.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::Failure;
use crate::apps::{items, segment, text};
use crate::client::{Client, Server};

#[derive(Subcommand)]
pub(crate) enum Queue {
    /// List an app's asynchronous and scheduled runs.
    Ls {
        /// Only those that are `waiting`, `running`, `dead` or `done`.
        #[arg(long)]
        state: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Have runs that were given up tried again: those named, or all.
    Retry(Which),
    /// Forget runs: those named, whatever their state, or all that were given up.
    Purge(Which),
}

#[derive(Args)]
pub(crate) struct Of {
    /// The app's key.
    #[arg(long, value_name = "KEY")]
    app: String,
    #[command(flatten)]
    server: Server,
}

impl Of {
    fn path(&self) -> String {
        format!("/admin/apps/{}/tasks", segment(&self.app))
    }
}

#[derive(Args)]
pub(crate) struct Which {
    /// Their ids.
    ids: Vec<String>,
    #[command(flatten)]
    of: Of,
}

impl Which {
    /// Does something with each; says how many there were.
    fn each(
        &self,
        done: &str,
        act: impl Fn(&Client, &str) -> Result<Value, Failure>,
    ) -> Result<u8, Failure> {
        let client = self.of.server.client()?;
        let path = self.of.path();
        let dead = match self.ids.is_empty() {
            true => client.get(&format!("{path}?state=dead"))?,
            false => Value::Null,
        };
        let dead = items(&dead).iter().map(|task| text(task, "id").to_owned());
        let ids: Vec<String> = self.ids.iter().cloned().chain(dead).collect();
        for id in &ids {
            act(&client, &format!("{path}/{}", segment(id)))?;
        }
        println!("{} {done}", ids.len());
        Ok(0)
    }
}

pub(crate) fn run(command: &Queue) -> Result<u8, Failure> {
    match command {
        Queue::Ls { state, json, of } => {
            let mut path = of.path();
            if let Some(state) = state {
                path.push_str(&format!("?state={}", segment(state)));
            }
            let tasks = of.server.client()?.get(&path)?;
            if *json {
                println!("{tasks}");
                return Ok(0);
            }
            for task in items(&tasks) {
                println!(
                    "{} {:8} {:24} tries {} due {} {}",
                    text(task, "id"),
                    text(task, "state"),
                    text(task, "endpoint"),
                    task["tries"],
                    text(task, "due"),
                    text(task, "error")
                );
            }
            Ok(0)
        }
        Queue::Retry(which) => which.each("to be tried again", |client, path| {
            client.post(&format!("{path}/retry"), &json!({}))
        }),
        Queue::Purge(which) => which.each("forgotten", |client, path| client.delete(path)),
    }
}
