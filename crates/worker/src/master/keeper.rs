//! How many children there are: as many as the load wants, between the minimum and the maximum.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::state::State;
use super::{Config, Shared, driver};

/// How often the keeper looks, when nothing tells it to look at once.
const EVERY: Duration = Duration::from_millis(20);

/// After a child that could not be started, or one that ended young, the next is started after this
/// time, doubled for each in a row.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);

const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// Children that live this long after a bad start mean that all is well again.
const SETTLED: Duration = Duration::from_secs(10);

/// Keeps children until the master is gone.
pub(super) async fn keep(shared: Weak<Shared>) {
    let mut failures = 0_u32;
    let mut last_start = Instant::now();
    let mut before = None;
    loop {
        let Some(master) = shared.upgrade() else { return };
        let wanted = {
            let mut state = master.state();
            let alive = state.children.len();
            if before.is_some_and(|before| alive < before) && last_start.elapsed() < SETTLED {
                failures += 1;
            } else if last_start.elapsed() > SETTLED {
                failures = 0;
            }
            wants_another(&mut state, &master.config)
        };
        if wanted {
            let back_off = match failures {
                0 => Duration::ZERO,
                n => FIRST_BACK_OFF * 2_u32.saturating_pow((n - 1).min(16)),
            };
            tokio::time::sleep(back_off.min(LONGEST_BACK_OFF)).await;
            last_start = Instant::now();
            if let Err(error) = driver::start(&master).await {
                failures += 1;
                tracing::error!(%error, "a child could not be started");
            }
        }
        before = Some(master.state().children.len());
        drop(master);
        let Some(master) = shared.upgrade() else { return };
        if !wanted {
            let _ = tokio::time::timeout(EVERY, master.changed.notified()).await;
        }
    }
}

/// Whether to start a child; also lets go of those that are too many.
fn wants_another(state: &mut State, config: &Config) -> bool {
    let now = Instant::now();
    let serving = state.children.values().filter(|child| !child.retiring).count();
    if state.draining {
        return false;
    }
    if serving < config.min_children {
        return true;
    }
    if state.scheduler.waiting() > 0 {
        if state.children.len() < config.max_children {
            return true;
        }
        // All places are taken: if what waits is of a trust group that no child serves, one of
        // another group has to go.
        if let Some(stranger) = state.stranger() {
            stranger.retiring = true;
        }
        return false;
    }
    if serving > config.min_children {
        let idle = state.children.values_mut().find(|child| {
            !child.retiring
                && child.runs.is_empty()
                && now.saturating_duration_since(child.idle_since) > config.idle_after
        });
        if let Some(idle) = idle {
            idle.retiring = true;
        }
    }
    false
}
