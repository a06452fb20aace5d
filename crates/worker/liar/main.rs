//! A child that lies, for the tests: it speaks the protocol and does what each request tells it to.
//! `{"do": "honest"}` is answered as a sound child would.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use lode_child::frame::{Filled, Inbox, Outbox};
use lode_child::protocol::{
    ENGINE, Ending, Form, FromChild, Handler, LogLevel, LogLine, MAX_FRAME, ResetMethod, RunId,
    ToChild, Usage,
};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags};

struct Liar {
    outbox: Outbox,
    last: Option<RunId>,
}

fn main() {
    println!("{}", std::process::id());
    let mut liar = Liar { outbox: Outbox::default(), last: None };
    let ready = FromChild::Ready { engine: ENGINE, reset: ResetMethod::Discard, missing: vec![] };
    liar.outbox.push(&ready, None).expect("it fits");
    let stdin = std::io::stdin();
    let socket = stdin.as_fd();
    let mut inbox = Inbox::default();
    loop {
        while !liar.outbox.flush(socket).expect("the master listens") {
            wait(PollFlags::OUT);
        }
        wait(PollFlags::IN);
        if inbox.fill(socket).expect("the socket works") == Filled::Closed {
            return;
        }
        while let Some((message, mut files)) = inbox.next::<ToChild<'_>>().expect("a message") {
            match message {
                ToChild::Load(_) => drop(files.take()),
                ToChild::Start(start) => {
                    let request: serde_json::Value =
                        serde_json::from_str(start.request).expect("JSON");
                    liar.act(start.run, request["do"].as_str().unwrap_or_default());
                }
                ToChild::Build { sources, .. } => liar.build(&sources[0].text),
                ToChild::Reply { run, .. } => liar.end(run),
                ToChild::Unload(_) | ToChild::Cancel(_) => {}
            }
        }
    }
}

fn wait(flags: PollFlags) {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, flags)];
    rustix::event::poll(&mut fds, None).expect("poll");
}

impl Liar {
    fn say(&mut self, message: &FromChild<'_>) {
        self.outbox.push(message, None).expect("it fits");
    }

    fn end_with(&mut self, run: RunId, ending: Ending<'_>, logs: Vec<LogLine>, usage: Usage) {
        self.say(&FromChild::Ended { run, ending, logs, usage });
    }

    fn end(&mut self, run: RunId) {
        let ending = Ending::Completed {
            status: 200,
            headers: vec![],
            body: Some("\"fine\""),
            custom_request_properties: None,
        };
        self.end_with(run, ending, vec![], Usage { memory_peak: 1, ..Usage::default() });
    }

    fn complete(&mut self, run: RunId, status: u16, body: &str) {
        let ending = Ending::Completed {
            status,
            headers: vec![],
            body: Some(body),
            custom_request_properties: None,
        };
        self.end_with(run, ending, vec![], Usage::default());
    }

    /// Bytes that are no frame.
    fn raw(bytes: &[u8]) {
        let stdin = std::io::stdin();
        rustix::net::send(stdin.as_fd(), bytes, rustix::net::SendFlags::empty()).expect("sent");
    }

    fn act(&mut self, run: RunId, what: &str) {
        let unknown = RunId(u64::MAX);
        match what {
            "honest" => self.end(run),
            "call" => self.say(&FromChild::Call { run, call: 1, name: "kv.get", args: "{}" }),
            "hold" => self.last = Some(run),
            "twice" => {
                self.end(run);
                self.end(run);
            }
            "for another" => self.end(unknown),
            "call for another" => {
                self.say(&FromChild::Call { run: unknown, call: 1, name: "x", args: "null" });
            }
            "not json" => self.complete(run, 200, "{\"a\":"),
            "bad status" => self.complete(run, 99, "1"),
            "too large" => self.complete(run, 200, &format!("\"{}\"", "x".repeat(5 << 20))),
            "call without json" => {
                self.say(&FromChild::Call { run, call: 1, name: "x", args: "}" });
            }
            "too many calls" => {
                for call in 0..1000 {
                    self.say(&FromChild::Call { run, call, name: "x", args: "null" });
                }
            }
            "too much log" => {
                let line = LogLine { level: LogLevel::Info, text: "x".repeat(1 << 20) };
                let ending = Ending::NeverCompleted;
                self.end_with(run, ending, vec![line], Usage::default());
            }
            "too many lines" => {
                let line = LogLine { level: LogLevel::Info, text: String::new() };
                let ending = Ending::NeverCompleted;
                self.end_with(run, ending, vec![line; 100_000], Usage::default());
            }
            "too much time" => {
                let usage = Usage { cpu_ns: u64::MAX, memory_peak: 1, ..Usage::default() };
                self.end_with(run, Ending::NeverCompleted, vec![], usage);
            }
            "long error" => {
                let error = lode_child::protocol::ScriptError {
                    name: "E".repeat(1 << 20),
                    message: "m".repeat(1 << 20),
                    stack: String::new(),
                };
                self.end_with(run, Ending::Error(error), vec![], Usage::default());
            }
            "not started" => self.say(&FromChild::NotStarted(run)),
            "not started after a call" => {
                self.say(&FromChild::Call { run, call: 1, name: "x", args: "null" });
                self.say(&FromChild::NotStarted(run));
            }
            "cancelled" => self.say(&FromChild::Cancelled(run)),
            "ready again" => {
                let reset = ResetMethod::CopyBack;
                self.say(&FromChild::Ready { engine: ENGINE, reset, missing: vec![] });
            }
            "built" => self.say(&FromChild::Built { result: Ok(vec![]), logs: vec![] }),
            "garbage" => Self::raw(&[5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
            "endless frame" => {
                Self::raw(&u32::try_from(MAX_FRAME + 1).expect("a u32").to_le_bytes());
            }
            "half a frame" => {
                Self::raw(&[200, 0, 0, 0, 1, 2, 3]);
                std::process::exit(0);
            }
            "descriptors" => self.descriptors(run),
            "exit" => std::process::exit(0),
            "abort" => std::process::abort(),
            "swell" => loop {
                // Touched, and never given back.
                std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20]));
                std::thread::sleep(std::time::Duration::from_millis(1));
            },
            "silence" => loop {
                std::thread::park();
            },
            other => panic!("nothing is called {other:?}"),
        }
    }

    /// A hundred descriptors that no frame brings, then an honest answer.
    fn descriptors(&mut self, run: RunId) {
        for _ in 0..100 {
            let file = Arc::new(memfd(b"x", true));
            self.outbox.push(&FromChild::NotStarted(run), Some(file)).expect("it fits");
        }
    }

    fn build(&mut self, how: &str) {
        let handler =
            Handler { script: "a.js".into(), name: "onRequest".into(), form: Form::Script };
        let file = match how {
            "unsealed" => Some(memfd(b"whatever", false)),
            "no file" => None,
            "exit" => std::process::exit(0),
            "not a memory file" => Some(std::fs::File::open("/dev/zero").expect("open").into()),
            _ => Some(memfd(b"whatever", true)),
        };
        let built = FromChild::Built { result: Ok(vec![handler]), logs: vec![] };
        self.outbox.push(&built, file.map(Arc::new)).expect("it fits");
    }
}

fn memfd(bytes: &[u8], sealed: bool) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("lie", flags).expect("memfd"));
    file.write_all(bytes).expect("written");
    if sealed {
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).expect("sealed");
    }
    file.into()
}
