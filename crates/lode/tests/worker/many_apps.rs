//! Ten thousand apps in one worker.

use crate::{Worker, settings};

/// Bytes this process has resident.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test]
async fn an_idle_app_costs_the_master_little_memory_and_no_descriptor() {
    const APPS: usize = 10_000;
    let worker = Worker::start(1).await;
    let built = worker
        .build(
            "function onRequest(request, response) { response.complete(200, request.body + 1); }",
        )
        .await;
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    let (memory, open) = (resident(), descriptors());
    for app in 0..APPS {
        worker.master.deploy(settings(&format!("app-{app}")), &built).expect("it is deployed");
    }
    let each = resident().saturating_sub(memory) / APPS;
    assert!(each <= 64 << 10, "{each} bytes per idle app");
    assert_eq!(descriptors(), open);
    // More apps than a child holds snapshots, twice: each first run is a cold one.
    for app in (0..APPS).step_by(13).chain((0..APPS).step_by(1000)) {
        let report = worker.run(&format!("app-{app}"), "41").await;
        assert_eq!(crate::outcome(&report)["body"], 42, "{report:?}");
    }
    assert!(descriptors() <= open + 600, "{} descriptors", descriptors());
}
