//! The queue against a real Redis: what the tests over HTTP (tests/queue) cannot bring about.

mod answers;
mod bounds;
mod tasks;

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lode_queue::status::Watch;
use lode_queue::{
    Answer, Caller, Change, Config, ConnectError, Host, Load, Rejection, Role, Taker, Task,
};
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Redis {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let directory = tempfile::tempdir().expect("a directory");
        let process = Self::spawn(port, &directory);
        Self { process, directory, port }
    }

    fn spawn(port: u16, directory: &tempfile::TempDir) -> Child {
        // Hosts are who operators are told to let them be; the tests themselves may do all.
        let deployed = include_str!("../../../../deploy/redis/users.acl").lines();
        let mut users: Vec<_> = deployed.filter(|line| !line.starts_with("user default")).collect();
        users.push("user default on nopass ~* &* +@all\n");
        let file = directory.path().join("users.acl");
        std::fs::write(&file, users.join("\n")).expect("written");
        Command::new("redis-server")
            .arg("--aclfile")
            .arg(file)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which scripts/setup.sh installs")
    }

    /// Ends it the hard way, and starts it with what its disk has.
    fn restart(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
        self.process = Self::spawn(self.port, &self.directory);
    }

    fn config(&self) -> Config {
        Config::new(format!("redis://lode:CHANGE-ME@127.0.0.1:{}", self.port))
    }

    async fn connection(&self) -> MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).expect("a URL");
        loop {
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn join(&self, name: &str, role: Role) -> Host {
        self.join_with(self.config(), name, role).await
    }

    async fn join_with(&self, config: Config, name: &str, role: Role) -> Host {
        let mut connection = self.connection().await;
        // It answers while it still loads.
        while redis::cmd("PING").query_async::<()>(&mut connection).await.is_err() {}
        let joined = Host::join(config, role, name.into(), "0", Load::default).await;
        let (host, changes) = joined.expect("joined");
        // Nobody listens: hosts must not mind.
        drop(changes);
        host
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Redis, somebody who asks, and a worker that takes.
async fn both() -> (Redis, Caller, Host, Taker) {
    let redis = Redis::start();
    let caller = Caller::new(&redis.join("a", Role::Api).await);
    let worker = redis.join("w", Role::Worker).await;
    let taker = Taker::new(&worker);
    (redis, caller, worker, taker)
}

fn task(app: &str, payload: &str) -> Task {
    Task {
        app: app.into(),
        deadline: Instant::now() + Duration::from_secs(20),
        most: 1_000,
        rate: None,
        payload: payload.into(),
    }
}

/// Asks, and goes on.
fn ask(caller: &Caller, task: Task) -> tokio::task::JoinHandle<Answer> {
    let caller = caller.clone();
    tokio::spawn(async move { caller.call(task).await })
}

/// The one task that there is.
async fn take_one(taker: &mut Taker) -> lode_queue::Taken {
    loop {
        let mut taken = taker.take(1).await;
        if let Some(one) = taken.pop() {
            assert!(taken.is_empty(), "{taken:?}");
            return one;
        }
    }
}

/// Comes back when the queue has nothing any more.
async fn all_streams_are_empty(connection: &mut MultiplexedConnection) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut left = Vec::new();
        for lane in 0..8 {
            let length = redis::cmd("XLEN").arg(format!("{{lode}}:tasks:{lane}")).to_owned();
            left.push(length.query_async::<i64>(connection).await.expect("a length"));
        }
        let load = redis::cmd("GET").arg("{lode}:load").to_owned();
        left.extend(load.query_async::<Option<i64>>(connection).await.expect("the load"));
        let apps = redis::cmd("HVALS").arg("{lode}:apps").to_owned();
        left.extend(apps.query_async::<Vec<i64>>(connection).await.expect("the apps' counts"));
        if left.iter().all(|n| *n == 0) {
            return;
        }
        assert!(Instant::now() < until, "lanes, load and apps: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Comes back when so many tasks have been put in, whatever became of them.
async fn taken_in(connection: &mut MultiplexedConnection, count: i64) {
    loop {
        let mut all = 0;
        for lane in 0..8 {
            let mut info = redis::cmd("XINFO");
            info.arg("STREAM").arg(format!("{{lode}}:tasks:{lane}"));
            let info: HashMap<String, redis::Value> =
                info.query_async(connection).await.expect("a stream");
            if let Some(redis::Value::Int(added)) = info.get("entries-added") {
                all += added;
            }
        }
        if all >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Comes back when so many tasks are in the queue or in hand.
async fn outstanding(connection: &mut MultiplexedConnection, count: usize) {
    let load = redis::cmd("GET").arg("{lode}:load").to_owned();
    loop {
        let load: Option<usize> = load.query_async(connection).await.expect("a load");
        // 2^33 for each task.
        if load.unwrap_or(0) >> 33 == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets Redis do nothing for a while.
async fn pause(connection: &mut MultiplexedConnection, ms: u64) {
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(ms).arg("ALL").query_async::<()>(connection).await.expect("paused");
}
