//! A server of its own for each test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A process that is killed when the test is over.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Server {
    process: Running,
    pub(crate) url: String,
    pub(crate) data: TempDir,
    agent: ureq::Agent,
    token: String,
}

/// An app of it, and how to be let in.
pub(crate) struct App {
    pub(crate) key: String,
    pub(crate) app_secret: String,
    pub(crate) master_secret: String,
}

impl App {
    pub(crate) fn as_app(&self) -> String {
        basic(&self.key, &self.app_secret)
    }

    pub(crate) fn as_master(&self) -> String {
        basic(&self.key, &self.master_secret)
    }
}

pub(crate) fn basic(user: &str, pass: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{pass}")))
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: ureq::http::HeaderMap,
}

pub(crate) fn lode(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lode"));
    command.args(arguments).env_remove("LODE_ADMIN_TOKEN").env_remove("LODE_SERVER");
    command
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), arguments)
    }

    pub(crate) fn start_in(data: TempDir, arguments: &[&str]) -> Self {
        let mut command = lode(&["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(data.path()).args(arguments).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let first = lines.next().expect("it says where it listens").expect("text");
        let url = first.rsplit(' ').next().expect("a URL").trim_end_matches('/').to_owned();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let token = std::fs::read_to_string(data.path().join("admin-token")).expect("a token");
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self { process: Running(process), url, data, agent: config.build().into(), token }
    }

    /// Ends it without a warning, and starts it over the same data.
    pub(crate) fn again(self, arguments: &[&str]) -> Self {
        drop(self.process);
        Self::start_in(self.data, arguments)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default());
        let request = request.expect("a request");
        let request =
            self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = self.agent.run(request).expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status: response.status().as_u16(), body, headers: response.headers().clone() }
    }

    /// As somebody.
    pub(crate) fn ask(&self, auth: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(&body);
        self.send(method, path, &[("authorization", auth)], body)
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask(&format!("Bearer {}", self.token), method, path, body)
    }

    pub(crate) fn app(&self) -> App {
        let made = self.admin("POST", "/admin/apps", json!({ "name": "test" }));
        assert_eq!(made.status, 201, "{made:?}");
        let text = |name: &str| made.body[name].as_str().expect("text").to_owned();
        App { key: text("key"), app_secret: text("appSecret"), master_secret: text("masterSecret") }
    }

    pub(crate) fn deploy(&self, app: &App, files: &[(&str, &str)]) -> Answer {
        let files: Vec<Value> =
            files.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
        let path = format!("/admin/apps/{}/deployments", app.key);
        self.admin("POST", &path, json!({ "files": files }))
    }

    /// An app with these sources.
    pub(crate) fn app_of(&self, files: &[(&str, &str)]) -> App {
        let app = self.app();
        let deployed = self.deploy(&app, files);
        assert_eq!(deployed.status, 201, "{deployed:?}");
        app
    }

    pub(crate) fn endpoint(&self, app: &App, name: &str, body: Value) -> Answer {
        let path = format!("/rpc/{}/custom/{name}", app.key);
        self.ask(&app.as_master(), "POST", &path, body)
    }

    /// Runs the command line against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = lode(arguments);
        command.args(["--server", &self.url, "--data"]).arg(self.data.path());
        command.output().expect("it runs")
    }
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), files);
    folder
}

pub(crate) fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path: PathBuf = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
