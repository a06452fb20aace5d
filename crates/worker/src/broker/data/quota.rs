//! What calls to the store hold that wait or are in work: their arguments, for each app and in all.

use crate::broker::egress::{Failure, Kind};
use crate::{Full, Share, Shares};

/// Bytes of arguments of one app's calls: eight of the largest. A run's calls may come all at once, from as many
/// runs as an app may have under way.
const PER_APP: usize = 32 << 20;

/// Bytes of arguments of all apps' calls: no fourth of what a small machine has beside its children.
const OVERALL: usize = 128 << 20;

/// What a call holds beside its arguments, generously: small ones are bounded in number by it, too.
const CALL: usize = 1 << 10;

pub(super) struct Quota(Shares);

impl Default for Quota {
    fn default() -> Self {
        Self(Shares::new(OVERALL, PER_APP))
    }
}

impl Quota {
    /// Counts a call with so many bytes of arguments until what it gives is dropped, or says that there are too
    /// many.
    pub(super) fn hold(&self, app: &str, arguments: usize) -> Result<Share, Failure> {
        let mut share = self.0.of(app);
        let message = match share.take(arguments.saturating_add(CALL)) {
            Ok(()) => return Ok(share),
            Err(Full::App) => format!(
                "this app's data calls under way have more than {} MiB of arguments, which is the most they may",
                PER_APP >> 20
            ),
            Err(Full::All) => "too many data calls of all apps are under way: try again".into(),
        };
        Err(Failure::new(Kind::Busy, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_calls_under_way_are_bounded_for_each_app_and_in_all() {
        let quota = Quota::default();
        let largest = (PER_APP / 2) - CALL;
        let mut held = Vec::new();
        for app in 0..OVERALL / PER_APP {
            let app = format!("kid_{app}");
            held.push(quota.hold(&app, largest).expect("room"));
            held.push(quota.hold(&app, largest).expect("room"));
            let why = quota.hold(&app, 0).expect_err("its share is taken");
            assert!(why.kind == Kind::Busy && why.message.contains("this app's"), "{why}");
        }
        let why = quota.hold("kid_other", 0).expect_err("all is taken");
        assert!(why.kind == Kind::Busy && why.message.contains("all apps"), "{why}");
        held.pop();
        quota.hold("kid_other", largest).expect("room again");
        assert!(quota.hold("kid_other", usize::MAX).is_err());
    }
}
