//! Children that lie, die or fall silent: whatever they do, each task has exactly one answer, nobody
//! else is blamed, nothing leaks and service goes on. The child here is `liar/`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lode_child::protocol::{Limit, Limits, Outcome, Source, deploy_limits};
use lode_worker::broker::{AppContext, Broker};
use lode_worker::master::{
    AppName, AppSettings, BuildError, Built, Config, Master, Quota, Report, Standing, Task,
};
use tempfile::TempDir;

struct Bench {
    master: Master,
    built: Built,
    _directory: TempDir,
}

async fn start(children: usize) -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_lode-liar").into();
    let mut config = Config::new(program, directory.path().join("snapshots"));
    (config.min_children, config.max_children) = (children, children);
    config.patience = Duration::from_millis(100);
    config.recycle_above = 64 << 20;
    let master = Master::start(config, Broker::default()).await.expect("it starts");
    let built = build(&master, "sealed").await.expect("it is built");
    let bench = Bench { master, built, _directory: directory };
    bench.deploy("a");
    bench.deploy("b");
    bench
}

async fn build(master: &Master, how: &str) -> Result<Built, BuildError> {
    master.build(vec![Source::entry("a.js", how)], deploy_limits()).await
}

impl Bench {
    fn deploy(&self, name: &str) {
        let settings = AppSettings {
            name: name.into(),
            limits: Limits { wall: Duration::from_millis(300), ..Limits::default() },
            quota: Quota::default(),
            trust_group: None,
            context: AppContext::default(),
        };
        self.master.deploy(settings, &self.built).expect("it is deployed");
    }

    fn task(&self, app: &str, what: &str) -> Task {
        Task {
            app: AppName::from(app),
            handler: 0,
            request: Arc::from(format!("{{\"do\": \"{what}\"}}")),
            deadline: Instant::now() + Duration::from_secs(5),
            limits: None,
            deployment: None,
            origin: Arc::default(),
        }
    }

    async fn ask(&self, app: &str, what: &str) -> Report {
        self.master.run(self.task(app, what)).await
    }

    /// Asks until a sound answer comes: a child that was killed is replaced.
    async fn serves_on(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.ask("b", "honest").await.outcome.is_success() {
            assert!(Instant::now() < until, "no service any more");
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Child processes of this one, zombies included.
fn processes() -> HashSet<String> {
    let me = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .expect("procfs")
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            (fields.get(1) == Some(&me.as_str())).then(|| stat.clone())
        })
        .collect()
}

fn is_platform(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Platform { .. })
}

#[tokio::test]
async fn whatever_a_child_says_its_task_has_one_answer_and_service_goes_on() {
    type Check = fn(&Outcome) -> bool;
    /// What the liar does with a task, and the answer that the task gets.
    const LIES: &[(&str, Check)] = &[
        ("honest", Outcome::is_success),
        ("twice", Outcome::is_success),
        ("for another", is_platform),
        ("call for another", is_platform),
        ("not json", is_platform),
        ("bad status", is_platform),
        ("too large", is_platform),
        ("call without json", is_platform),
        ("too many calls", is_platform),
        ("too much log", is_platform),
        ("too many lines", is_platform),
        ("too much time", |outcome| matches!(outcome, Outcome::NeverCompleted)),
        ("long error", |outcome| matches!(outcome, Outcome::Error(e) if e.message.len() == 4096)),
        // Another child is asked, which lies as well.
        ("not started", is_platform),
        ("not started after a call", is_platform),
        ("cancelled", is_platform),
        ("ready again", is_platform),
        ("built", is_platform),
        ("garbage", is_platform),
        ("endless frame", is_platform),
        ("half a frame", is_platform),
        ("descriptors", is_platform),
        ("exit", is_platform),
        ("abort", is_platform),
        ("silence", |outcome| matches!(outcome, Outcome::Limit { limit: Limit::Wall })),
    ];
    let bench = start(1).await;
    for (lie, expected) in LIES {
        // One that all lies came from would be paused.
        bench.deploy(lie);
        let report = bench.ask(lie, lie).await;
        assert!(expected(&report.outcome), "{lie}: {:?}", report.outcome);
        assert!(report.usage.cpu_ns < 10_000_000_000, "{lie}: {:?}", report.usage);
        bench.serves_on().await;
    }
}

#[tokio::test]
async fn a_lie_costs_only_the_runs_of_the_child_that_lied() {
    let bench = start(1).await;
    // Held by the same child, which then answers for a run it was not given.
    let (held, lied) = tokio::join!(bench.ask("b", "hold"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bench.ask("a", "for another").await
    });
    assert!(is_platform(&held.outcome) && is_platform(&lied.outcome), "{held:?} {lied:?}");
    bench.serves_on().await;
}

#[tokio::test]
async fn an_app_that_keeps_bringing_its_child_down_is_paused() {
    let bench = start(1).await;
    let app = AppName::from("a");
    for n in 0.. {
        let report = bench.ask("a", "abort").await;
        if matches!(bench.master.standing(&app), Some(Standing::Paused { .. })) {
            break;
        }
        assert!(n < 40 && is_platform(&report.outcome), "{n}: {report:?}");
        bench.serves_on().await;
    }
    assert_eq!(bench.master.standing(&"b".into()), Some(Standing::Good));
}

#[tokio::test]
async fn a_child_that_takes_far_more_memory_than_it_may_is_killed() {
    let bench = start(1).await;
    let mut task = bench.task("a", "swell");
    // So long that it would take all there is.
    task.limits = Some(Limits { wall: Duration::from_secs(60), ..Limits::default() });
    task.deadline = Instant::now() + Duration::from_secs(60);
    let begun = Instant::now();
    let report = bench.master.run(task).await;
    assert!(is_platform(&report.outcome), "{report:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(bench.master.metrics().contains("reason=\"memory\"} 1"), "{}", bench.master.metrics());
    bench.serves_on().await;
}

#[tokio::test]
async fn a_child_that_reads_nothing_is_killed_before_much_waits_for_it() {
    let bench = start(1).await;
    // Twice what may wait for a child, and no deadline that it could be killed for.
    let large = format!("honest\", \"pad\": \"{}", "x".repeat(15 << 20));
    let runs: Vec<_> = (0..32)
        .map(|n| {
            let what = if n == 0 { "silence" } else { &large };
            let mut task = bench.task(if n % 2 == 0 { "a" } else { "b" }, what);
            task.limits = Some(Limits { wall: Duration::from_secs(60), ..Limits::default() });
            task.deadline = Instant::now() + Duration::from_secs(60);
            let master = bench.master.clone();
            tokio::spawn(async move { master.run(task).await })
        })
        .collect();
    let mut lost = 0;
    for run in runs {
        let report = run.await.expect("no panic");
        lost += usize::from(is_platform(&report.outcome));
        // Those that it was not given yet go to the next child.
        assert!(is_platform(&report.outcome) || report.outcome.is_success(), "{report:?}");
    }
    assert!(lost > 16, "{lost} runs were lost");
    assert!(bench.master.metrics().contains("reason=\"silent\"} 1"), "{}", bench.master.metrics());
    bench.serves_on().await;
}

#[tokio::test]
async fn nothing_is_left_of_children_that_were_killed() {
    let bench = start(2).await;
    bench.serves_on().await;
    let settle = Duration::from_millis(300);
    tokio::time::sleep(settle).await;
    let (before, alive) = (descriptors(), processes().len());
    for lie in ["abort", "silence", "garbage", "exit", "descriptors", "twice", "endless frame"] {
        bench.ask("a", lie).await;
    }
    // Both children are back, and no zombie is there, before long.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        bench.serves_on().await;
        let now = (descriptors(), processes().len());
        if now == (before, alive) && bench.master.children().len() == 2 {
            break;
        }
        assert!(Instant::now() < until, "{before} {alive} became {now:?}: {:?}", processes());
        tokio::time::sleep(settle).await;
    }
    drop(bench);
    // The drivers find the master gone at their next tick.
    let until = Instant::now() + Duration::from_secs(20);
    while !processes().is_empty() {
        assert!(Instant::now() < until, "{:?}", processes());
        tokio::time::sleep(settle).await;
    }
}

#[tokio::test]
async fn a_builder_that_lies_deploys_nothing() {
    let bench = start(1).await;
    for how in ["no file", "exit"] {
        let error = build(&bench.master, how).await.expect_err(how);
        assert!(matches!(error, BuildError::Platform(_)), "{how}: {error:?}");
    }
    for how in ["unsealed", "not a memory file"] {
        let built = build(&bench.master, how).await.expect("it says so");
        let settings = AppSettings {
            name: "c".into(),
            limits: Limits::default(),
            quota: Quota::default(),
            trust_group: None,
            context: AppContext::default(),
        };
        assert!(bench.master.deploy(settings, &built).is_err(), "{how}");
    }
    bench.serves_on().await;
}

#[tokio::test]
async fn a_task_given_up_by_its_caller_leaves_nothing_behind() {
    let bench = start(1).await;
    let before = descriptors();
    for _ in 0..50 {
        let asked = bench.ask("a", "hold");
        let _ = tokio::time::timeout(Duration::from_millis(5), asked).await;
    }
    // The liar does not end what it is asked to: it is silent past the deadline, and is replaced.
    bench.serves_on().await;
    assert!(descriptors() <= before + 2);
}
