//! `lode dev`: serves one app from a folder, and deploys it anew whenever a file in it changes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use serde_json::{Value, json};

use crate::client::Client;
use crate::serve::{self, Server};
use crate::{Failure, app, apps};

/// Editors write a file in several steps: what follows this soon belongs together.
const TOGETHER: Duration = Duration::from_millis(10);

#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder in Kinvey's layout or of modules.
    path: PathBuf,
    /// The app's key.
    #[arg(long, value_name = "KEY", default_value = "kid_dev")]
    app: String,
    #[command(flatten)]
    serve: serve::Arguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let sources = app::load(&arguments.path)?;
    serve::runtime()?.block_on(async {
        let server = Server::start(&arguments.serve).await?;
        let client = Client::new(server.local.as_str(), server.token.clone());
        let url = server.url.clone();
        let (path, key) = (arguments.path.clone(), arguments.app.clone());
        let data = arguments.serve.host.data.clone();
        // Requests to ourselves: beside the runtime's own threads, which have to answer them.
        std::thread::spawn(move || {
            let began = Dev { client, path, key }.begin(&data, url.as_str(), &sources);
            if let Err(failure) = began {
                eprintln!("error: {}", failure.message);
                std::process::exit(failure.code.into());
            }
        });
        server.serve().await
    })
}

struct Dev {
    client: Client,
    path: PathBuf,
    key: String,
}

impl Dev {
    fn begin(
        &self,
        data: &Path,
        url: &str,
        sources: &[lode_sandbox::Source],
    ) -> Result<(), Failure> {
        // Before anything is read: what is saved meanwhile is not missed.
        let (_watcher, changes) = self.watch()?;
        let secrets = self.app(data)?;
        let text = |name: &str| secrets[name].as_str().unwrap_or_default().to_owned();
        let url = url.trim_end_matches('/');
        let key = &self.key;
        let (app_secret, master_secret) = (text("appSecret"), text("masterSecret"));
        println!("serving {} at {url}", self.path.display());
        println!("  app key        {key}");
        println!("  app secret     {app_secret}");
        println!("  master secret  {master_secret}");
        println!("  data           {url}/appdata/{key}/<collection>");
        println!("  endpoints      {url}/rpc/{key}/custom/<name>");
        let deployed = self.deploy();
        let handlers = deployed.map(|made| made["handlers"].clone()).unwrap_or_default();
        let auth = BASE64_STANDARD.encode(format!("{key}:{master_secret}"));
        println!("try:\n{}", example(url, key, &auth, &handlers, sources));
        self.follow_logs()?;
        while let Ok(event) = changes.recv() {
            let mut changed = is_change(&event);
            while let Ok(event) = changes.recv_timeout(TOGETHER) {
                changed |= is_change(&event);
            }
            if changed {
                self.deploy();
            }
        }
        Ok(())
    }

    /// The app, made if there is none; its secrets are remembered beside the server's data.
    fn app(&self, data: &Path) -> Result<Value, Failure> {
        let file = data.join(format!("{}.json", self.key));
        let known =
            fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
        let is_there = self.client.get(&format!("/admin/apps/{}", self.key)).is_ok();
        let secrets: Value = match (known, is_there) {
            (Some(known), true) => return Ok(known),
            (None, true) => {
                self.client.post(&format!("/admin/apps/{}/rotate", self.key), &json!({}))?
            }
            _ => {
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                let name = if name.is_empty() { "dev".into() } else { name };
                self.client.post("/admin/apps", &json!({ "name": name, "key": self.key }))?
            }
        };
        serve::write_secret(&file, secrets.to_string().as_bytes())
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        Ok(secrets)
    }

    fn deploy(&self) -> Option<Value> {
        let began = Instant::now();
        match apps::send(&self.client, &self.key, &self.path, true) {
            Ok(made) => {
                let handlers = made["handlers"].as_array().map_or(0, Vec::len);
                println!(
                    "deployment {}: {handlers} handlers, {} ms",
                    made["number"],
                    began.elapsed().as_millis()
                );
                Some(made)
            }
            Err(failure) => {
                eprintln!("not deployed: {}", failure.message);
                None
            }
        }
    }

    fn follow_logs(&self) -> Result<(), Failure> {
        let path = format!("/admin/apps/{}/logs?follow=true", self.key);
        let stream = self.client.stream(&path)?;
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                apps::print_log(&line);
            }
        });
        Ok(())
    }

    fn watch(&self) -> Result<(RecommendedWatcher, Receiver<notify::Result<Event>>), Failure> {
        let failed = |error: notify::Error| Failure::usage(format!("cannot watch: {error}"));
        let (sender, changes) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(sender).map_err(failed)?;
        watcher.watch(&self.path, RecursiveMode::Recursive).map_err(failed)?;
        Ok((watcher, changes))
    }
}

fn is_change(event: &notify::Result<Event>) -> bool {
    event.as_ref().is_ok_and(|event| !matches!(event.kind, EventKind::Access(_)))
}

/// A command line to try: of the first endpoint, or else of the first collection with hooks.
fn example(
    url: &str,
    key: &str,
    auth: &str,
    handlers: &Value,
    sources: &[lode_sandbox::Source],
) -> String {
    let names: Vec<&str> =
        handlers.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let json = "-H 'Content-Type: application/json'";
    let auth = format!("-H 'Authorization: Basic {auth}'");
    let hook = names.iter().find_map(|name| name.split_once('/')).map(|(collection, _)| collection);
    let endpoint = names.iter().find(|name| !name.contains('/'));
    match (endpoint, hook) {
        (Some(name), _) => {
            format!("  curl {auth} {json} {url}/rpc/{key}/custom/{name} -d '{{}}'")
        }
        (None, Some(collection)) => format!(
            "  curl {auth} {json} {url}/appdata/{key}/{collection} -d '{{\"title\": \"first\"}}'"
        ),
        (None, None) => {
            let files = sources.len();
            format!("  curl {auth} {url}/appdata/{key}   # {files} files, no handler in them yet")
        }
    }
}
