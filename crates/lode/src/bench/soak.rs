//! `lode bench load --hostile 100`: apps of every hostile kind come and go at random, and leave nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lode_sandbox::{Source, deploy_limits};
use lode_worker::master::{AppName, BuildError, Master};

use super::footprint::Footprint;
use super::hostile::{BESIDE, FURTHER};
use super::load::{Arguments, Load, deploy_built};
use super::tally::{Row, Tally};
use crate::Failure;

/// Runs of one hostile app before it goes: the penalty box has it after eight faults in a row, and then it
/// would only be refused.
const RUNS: std::ops::Range<usize> = 1..12;

/// Pools, caches and slots fill up in the first part of the load: what they hold then is where it begins.
fn warm_up(duration: Duration) -> Duration {
    (duration / 5).min(Duration::from_secs(120))
}

/// Drives `master` with `concurrency` hostile apps at a time for `duration`, a first part of it to warm up.
/// Returns the table's line; an error if a run was blamed on the platform or something was left behind.
pub(super) async fn run(
    master: &Master,
    arguments: &Arguments,
    request: Arc<str>,
    duration: Duration,
    stop: Arc<AtomicBool>,
) -> Result<Row, Failure> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let load = Load { master: master.clone(), app: "none".into(), handler: 0, request, stop };
    let warm_up = warm_up(duration);
    mix(&load, arguments, seed, warm_up).await?;
    let before = Footprint::settled(master).await;
    eprintln!("before: {before}");
    let began = Instant::now();
    let tally = mix(&load, arguments, !seed, duration - warm_up).await?;
    let took = began.elapsed();
    let after = Footprint::settled(master).await;
    eprintln!("after: {after}");
    if tally.count("platform") > 0 {
        return Err(Failure::platform(format!("{} runs blamed us", tally.count("platform"))));
    }
    before.compare(&after).map_err(|left| Failure::platform(format!("left behind: {left}")))?;
    Ok(tally.row("hostile apps only", took).with_footprint(before, after))
}

/// One app after another in each of `concurrency` places.
async fn mix(
    load: &Load,
    arguments: &Arguments,
    seed: u64,
    duration: Duration,
) -> Result<Tally, Failure> {
    let began = Instant::now();
    let places: Vec<_> = (0..arguments.concurrency.max(1))
        .map(|place| {
            let (load, arguments) = (load.clone(), arguments.clone());
            let mut random = fastrand::Rng::with_seed(seed.wrapping_add(place as u64));
            tokio::spawn(async move {
                let mut tally = Tally::default();
                while began.elapsed() < duration && !load.stop.load(Ordering::Relaxed) {
                    let app = AppName::from(format!("hostile-{place}"));
                    one(&Load { app, ..load.clone() }, &arguments, &mut random, &mut tally).await?;
                }
                Ok::<_, Failure>(tally)
            })
        })
        .collect();
    let mut tally = Tally::default();
    for place in places {
        tally.merge(place.await.map_err(Failure::platform)??);
    }
    Ok(tally)
}

/// One hostile app's life: built, deployed, run a few times, removed.
async fn one(
    load: &Load,
    arguments: &Arguments,
    random: &mut fastrand::Rng,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let kind = random.usize(..BESIDE.len() + FURTHER.len());
    let (_, text) = BESIDE.iter().chain(&FURTHER).nth(kind).expect("below their number");
    // No two are the same source, so that no snapshot of an earlier one is found.
    let text = format!("{text}\n// {}", random.u64(..));
    let started = Instant::now();
    let sources = vec![Source::entry("hostile.js", text)];
    let built = match load.master.build(sources, deploy_limits()).await {
        Ok(built) => built,
        Err(BuildError::Sources { .. }) => {
            tally.add(started.elapsed(), "not deployed");
            return Ok(());
        }
        Err(error) => return Err(Failure::platform(error)),
    };
    deploy_built(&load.master, &load.app, &built, arguments)?;
    for _ in 0..random.usize(RUNS) {
        let (latency, report) = load.once().await;
        tally.add(latency, lode_worker::outcome_name(&report.outcome));
    }
    load.master.remove(&load.app);
    Ok(())
}
