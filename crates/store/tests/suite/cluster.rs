//! A throw-away PostgreSQL server: in a temporary directory, on a Unix socket in it, gone with the test.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const MISSING: &str = "PostgreSQL's initdb and postgres are missing, which these tests run against: \
    install them (Debian, Ubuntu: apt-get install postgresql, or scripts/setup.sh)";

/// A server that runs until this is dropped. Should the test be killed, the kernel ends the server.
pub(crate) struct Cluster {
    server: Child,
    directory: TempDir,
    port: u16,
    databases: u32,
}

impl Cluster {
    /// Starts a server with these settings, whose socket is named by a port. The thread that calls this must outlive it.
    pub(crate) fn start(port: u16, settings: &[&str]) -> Self {
        let binaries = binaries().expect(MISSING);
        let directory =
            tempfile::Builder::new().prefix("lode-pg-").tempdir().expect("a temporary directory");
        let user = server_user();
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).expect("giving the directory away");
        }
        let data = directory.path().join("data");
        let made = command(&binaries.join("initdb"), user, directory.path())
            .args(["--username=lode", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data)
            .output()
            .expect("running initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let log = fs::File::create(directory.path().join("log")).expect("a log");
        let mut server = command(&binaries.join("postgres"), user, directory.path());
        server.arg("-D").arg(&data).arg("-k").arg(directory.path());
        server.args(["-c", "listen_addresses=", "-c", "max_connections=200", "-p"]);
        server.arg(port.to_string());
        for setting in settings {
            server.args(["-c", setting]);
        }
        let server = server.stdout(Stdio::null()).stderr(log).spawn().expect("starting the server");
        Self { server, directory, port, databases: 0 }
    }

    /// The URL of a new, empty database.
    pub(crate) async fn database(&mut self) -> String {
        self.databases += 1;
        let name = format!("test_{}", self.databases);
        let client = self.connect().await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        let host = self.directory.path().to_str().expect("a path in UTF-8").replace('/', "%2F");
        format!("postgres://lode@{host}:{}/{database}", self.port)
    }

    /// Waits until the server answers.
    async fn connect(&mut self) -> tokio_postgres::Client {
        let start = Instant::now();
        loop {
            match connect(&self.url("postgres")).await {
                Ok(client) => return client,
                Err(error) => {
                    let ended = self.server.try_wait().expect("asking for the server");
                    // Two minutes: a machine that starts a server slower than that has other troubles.
                    if ended.is_some() || start.elapsed() > Duration::from_secs(120) {
                        let log = fs::read_to_string(self.directory.path().join("log"));
                        panic!("the server does not answer: {error}\n{}", log.unwrap_or_default());
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// A connection of the test's own, beside the store's.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        // "Fast shutdown": open connections are ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.server.wait();
    }
}

fn binaries() -> Option<PathBuf> {
    let has_all = |directory: &PathBuf| {
        ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file())
    };
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.and_then(|told| String::from_utf8(told.stdout).ok());
    let mut places: Vec<PathBuf> = told.iter().map(|told| told.trim().into()).collect();
    // Debian keeps each version in a place of its own, outside of PATH.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    places.extend(versions.into_iter().rev());
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    places.into_iter().find(has_all)
}

/// PostgreSQL refuses to run as root: the user and group that it runs as then.
pub(crate) fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("a user to run PostgreSQL as"))
}

fn command(program: &Path, user: Option<(u32, u32)>, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((uid, gid)) = user {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]).arg("--clear-groups");
    }
    // "Immediate shutdown" if this thread dies.
    command.arg("--pdeathsig=QUIT").arg("--").arg(program).current_dir(directory);
    command.stdin(Stdio::null());
    command
}
