//! The admin API of a server, as the command line asks it.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use ureq::http::StatusCode;

use crate::{Failure, exit};

/// How long a server may take to answer: a deployment is built meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which server, and what it takes to be let in.
#[derive(Args, Clone)]
pub(crate) struct Server {
    /// The server's address.
    #[arg(long, env = "LODE_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    server: String,
    /// The server's admin token. By default it is read from the file that `lode serve` keeps it in.
    #[arg(long, env = "LODE_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The server's data directory, to find its token in.
    #[arg(long, env = "LODE_DATA", default_value = "lode-data", value_name = "DIR")]
    data: PathBuf,
}

impl Server {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => read_token(&self.data)?,
        };
        Ok(Client::new(&self.server, token))
    }
}

fn read_token(data: &std::path::Path) -> Result<String, Failure> {
    let path = data.join(crate::serve::TOKEN_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!(
            "no admin token: give --token or LODE_ADMIN_TOKEN, or the server's --data directory \
             (cannot read {}: {error})",
            path.display()
        ))
    })?;
    Ok(text.trim().to_owned())
}

/// Asks a server.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(server: &str, token: String) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, base: server.trim_end_matches('/').to_owned(), token }
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send("PUT", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send("DELETE", path, None)
    }

    /// A response that is read as it comes, without a limit of time.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.request("GET", path, None, None)?;
        let (head, mut body) = response.into_parts();
        if !head.status.is_success() {
            let text = body.read_to_string().unwrap_or_default();
            return Err(refused(head.status, &text));
        }
        Ok(body.into_reader())
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.request(method, path, body, Some(PATIENCE))?;
        let (head, mut body) = response.into_parts();
        let text = body
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|error| self.unreachable(&error))?;
        if !head.status.is_success() {
            return Err(refused(head.status, &text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: not Lode's answer: {error}", self.base)))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|error| Failure::usage(format!("{}: {error}", self.base)))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(patience)
            .allow_non_standard_methods(true)
            .build();
        self.agent.run(request).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure { message: format!("{}: {error}", self.base), code: exit::PLATFORM }
    }
}

fn refused(status: StatusCode, text: &str) -> Failure {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let part = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (error, description, debug) = (part("error"), part("description"), part("debug"));
    let mut message = match error.as_str() {
        "" => format!("the server answered {status}"),
        _ => format!("{error}: {description}"),
    };
    if !debug.is_empty() {
        message.push('\n');
        message.push_str(&debug);
    }
    let code = match error.as_str() {
        "BLSyntaxError" | "BLRuntimeError" => exit::SCRIPT,
        "BLTimeoutError" | "BLViolationError" => exit::LIMIT,
        _ if status.is_server_error() => exit::PLATFORM,
        _ => exit::USAGE,
    };
    Failure { message, code }
}
