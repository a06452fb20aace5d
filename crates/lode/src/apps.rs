//! `lode app`, `lode deploy`, `lode rollback`, `lode logs`: what an app's owner does with a server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{Client, Server};
use crate::{Failure, app};

#[derive(Subcommand)]
pub(crate) enum App {
    /// Make an app; its secrets are shown this once.
    Create {
        /// Its name.
        name: String,
        /// Its key, `kid_…`; made up if absent.
        #[arg(long)]
        key: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    /// List the apps.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Delete an app with everything of it.
    Delete {
        /// Its key.
        key: String,
        #[command(flatten)]
        server: Server,
    },
    /// Show an app's settings (limits, quota, allow-list, secrets, permissions, schedules), or set them.
    Settings {
        /// Its key.
        key: String,
        /// A JSON file with all of them, or `-` for standard input.
        #[arg(long, value_name = "FILE")]
        set: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// List a collection's indexes, or make or drop one.
    Index {
        /// The app's key.
        key: String,
        /// The collection.
        collection: String,
        /// The field to make one for.
        field: Option<String>,
        /// Drop it instead.
        #[arg(long, requires = "field")]
        drop: bool,
        #[command(flatten)]
        server: Server,
    },
}

pub(crate) fn run(command: &App) -> Result<u8, Failure> {
    match command {
        App::Create { name, key, json, server } => {
            let body = json!({ "name": name, "key": key });
            let made = server.client()?.post("/admin/apps", &body)?;
            if *json {
                println!("{made}");
            } else {
                println!("app key        {}", text(&made, "key"));
                println!("app secret     {}", text(&made, "appSecret"));
                println!("master secret  {}", text(&made, "masterSecret"));
            }
        }
        App::List { server } => {
            for app in items(&server.client()?.get("/admin/apps")?) {
                let deployment = app["deployment"].as_u64();
                let deployment = deployment.map_or("-".to_owned(), |number| number.to_string());
                println!("{}  {deployment:>6}  {}", text(app, "key"), text(app, "name"));
            }
        }
        App::Delete { key, server } => {
            server.client()?.delete(&format!("/admin/apps/{}", segment(key)))?;
        }
        App::Settings { key, set, server } => {
            let client = server.client()?;
            let path = format!("/admin/apps/{}/settings", segment(key));
            let settings = match set {
                None => client.get(&path)?,
                Some(file) => client.put(&path, &read_json(file)?)?,
            };
            println!("{settings:#}");
        }
        App::Index { key, collection, field, drop, server } => {
            let client = server.client()?;
            let (key, collection) = (segment(key), segment(collection));
            let path = format!("/admin/apps/{key}/collections/{collection}/indexes");
            match field {
                None => {
                    for field in items(&client.get(&path)?) {
                        println!("{}", field.as_str().unwrap_or_default());
                    }
                }
                Some(field) => {
                    let path = format!("{path}/{}", segment(field));
                    if *drop {
                        client.delete(&path)?
                    } else {
                        client.put(&path, &json!({}))?
                    };
                }
            }
        }
    }
    Ok(0)
}

#[derive(Args)]
pub(crate) struct Deploy {
    /// A folder in Kinvey's layout or of modules.
    path: PathBuf,
    /// The app's key.
    #[arg(long, value_name = "KEY")]
    app: String,
    /// Keep it without running it: `lode rollback` makes it the active one.
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn deploy(arguments: &Deploy) -> Result<u8, Failure> {
    let client = arguments.server.client()?;
    let made = send(&client, &arguments.app, &arguments.path, !arguments.inactive)?;
    for line in items(&made["logs"]) {
        println!("  | {}", line.as_str().unwrap_or_default());
    }
    println!("deployment {} of {}:", made["number"], arguments.app);
    for handler in items(&made["handlers"]) {
        println!("  {}", handler.as_str().unwrap_or_default());
    }
    Ok(0)
}

/// Deploys a folder: what the server says of it.
pub(crate) fn send(
    client: &Client,
    key: &str,
    path: &Path,
    activate: bool,
) -> Result<Value, Failure> {
    let sources = app::load(path)?;
    let file = |source: lode_sandbox::Source| json!({ "name": source.name, "text": source.text });
    let files: Vec<Value> = sources.into_iter().map(file).collect();
    let body = json!({ "files": files, "activate": activate });
    client.post(&format!("/admin/apps/{}/deployments", segment(key)), &body)
}

#[derive(Args)]
pub(crate) struct Rollback {
    /// The deployment's number; the one before the active one if absent.
    number: Option<u64>,
    /// The app's key.
    #[arg(long, value_name = "KEY")]
    app: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn rollback(arguments: &Rollback) -> Result<u8, Failure> {
    let client = arguments.server.client()?;
    let path = format!("/admin/apps/{}/deployments", segment(&arguments.app));
    let number = match arguments.number {
        Some(number) => number,
        None => {
            let all = client.get(&path)?;
            let active = items(&all).iter().find(|deployment| deployment["active"] == true);
            let active = active.and_then(|deployment| deployment["number"].as_u64());
            let numbers = items(&all).iter().filter_map(|deployment| deployment["number"].as_u64());
            let before = numbers.filter(|number| Some(*number) < active).max();
            before.ok_or_else(|| Failure::usage("there is no deployment before the active one"))?
        }
    };
    client.post(&format!("{path}/{number}/activate"), &json!({}))?;
    println!("deployment {number} of {} is active", arguments.app);
    Ok(0)
}

#[derive(Args)]
pub(crate) struct Logs {
    /// Go on with what is logged from now on.
    #[arg(long, short)]
    follow: bool,
    /// The app's key.
    #[arg(long, value_name = "KEY")]
    app: String,
    /// Print JSON, one line each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn logs(arguments: &Logs) -> Result<u8, Failure> {
    let client = arguments.server.client()?;
    let follow = arguments.follow;
    let path = format!("/admin/apps/{}/logs?follow={follow}", segment(&arguments.app));
    for line in BufReader::new(client.stream(&path)?).lines() {
        let line = line.map_err(|error| Failure::usage(format!("{}: {error}", client.base())))?;
        if arguments.json {
            println!("{line}");
            continue;
        }
        print_log(&line);
    }
    Ok(0)
}

/// Prints a line of an app's log, for people.
pub(crate) fn print_log(line: &str) {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    println!(
        "{} {:7} {:24} {}",
        text(&line, "time"),
        text(&line, "level"),
        text(&line, "handler"),
        text(&line, "text").replace("\\n", "\n    ")
    );
}

fn read_json(path: &Path) -> Result<Value, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
            .map_err(|error| Failure::usage(format!("standard input: {error}")))?
    } else {
        app::read(path)?
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A part of a URL's path.
pub(crate) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
