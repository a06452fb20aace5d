//! How many children there are: as many as the load wants, between the minimum and the maximum.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::state::State;
use super::{Config, Shared, driver};

/// How often the keeper looks, when nothing tells it to look at once.
const EVERY: Duration = Duration::from_millis(20);

/// After a child that could not be started, or ended before it had served anything, the next is started
/// after this time, doubled for each in a row: what makes them fail will not be over at once.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);

/// Not longer than clients wait: an app that brings down each child it is given must not hold up the
/// others until the penalty box has it.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// Keeps children until the master is gone.
pub(super) async fn keep(shared: Weak<Shared>) {
    while let Some(master) = shared.upgrade() {
        let (wanted, failures) = {
            let mut state = master.state();
            (wants_another(&mut state, &master.config), state.failures)
        };
        if !wanted {
            let _ = tokio::time::timeout(EVERY, master.changed.notified()).await;
            continue;
        }
        if failures > 0 {
            let back_off = FIRST_BACK_OFF * 2_u32.saturating_pow((failures - 1).min(16));
            tokio::time::sleep(back_off.min(LONGEST_BACK_OFF)).await;
        }
        if let Err(error) = driver::start(&master).await {
            master.state().failures += 1;
            tracing::error!(%error, "a child could not be started");
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
