//! Totals, and the differences by name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::expected::Expected;
use crate::suite::Variant;
use crate::verdict::Ending;

/// A variant that ended differently on the two sides.
struct Difference {
    path: String,
    mode: &'static str,
    sandbox: Ending,
    native: Ending,
}

/// What came of the whole run.
#[derive(Default)]
pub(crate) struct Report {
    both_pass: u64,
    both_fail: u64,
    only_sandbox_fails: u64,
    only_native_fails: u64,
    /// Both fail, with another class of error.
    fail_differently: u64,
    /// Files that can be run on neither side, by what is missing.
    skipped: BTreeMap<String, u64>,
    differences: Vec<Difference>,
}

impl Report {
    pub(crate) fn add(&mut self, variant: &Variant, sandbox: Ending, native: Ending) {
        let wanted = variant.negative.as_deref();
        let passes = (sandbox.passes(wanted), native.passes(wanted));
        let platform = matches!(sandbox, Ending::Platform(_));
        let same = passes.0 == passes.1 && sandbox.class() == native.class() && !platform;
        let counter = match passes {
            (true, true) => &mut self.both_pass,
            (false, true) => &mut self.only_sandbox_fails,
            (true, false) => &mut self.only_native_fails,
            (false, false) if same => &mut self.both_fail,
            (false, false) => &mut self.fail_differently,
        };
        *counter += 1;
        if !same {
            let (path, mode) = (variant.path.clone(), variant.mode);
            self.differences.push(Difference { path, mode, sandbox, native });
        }
    }

    pub(crate) fn skip(&mut self, why: String) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// Prints everything; returns how many differences nothing explains.
    pub(crate) fn print(&mut self, expected: &Expected) -> usize {
        self.differences.sort_by(|a, b| (&a.path, a.mode).cmp(&(&b.path, b.mode)));
        let mut explained = BTreeMap::<&str, u64>::new();
        let mut unexplained = 0;
        for difference in &self.differences {
            if let Some(reason) =
                expected.reason(&difference.path, &format!("{:?}", difference.sandbox))
            {
                *explained.entry(reason).or_default() += 1;
                continue;
            }
            unexplained += 1;
            let Difference { path, mode, sandbox, native } = difference;
            println!("{path} ({mode})\n    sandbox: {sandbox:?}\n    native:  {native:?}");
        }
        println!("both pass          {:6}", self.both_pass);
        println!("both fail          {:6}", self.both_fail);
        println!("only sandbox fails {:6}", self.only_sandbox_fails);
        println!("only native fails  {:6}", self.only_native_fails);
        println!("fail differently   {:6}", self.fail_differently);
        for (why, count) in &self.skipped {
            println!("skipped {count:6}: {why}");
        }
        for (reason, count) in explained {
            println!("explained {count:4}: {reason}");
        }
        println!("unexplained differences: {unexplained}");
        unexplained
    }

    pub(crate) fn json(&self, expected: &Expected) -> Value {
        let differences: Vec<Value> = self
            .differences
            .iter()
            .map(|difference| {
                json!({
                    "path": difference.path,
                    "mode": difference.mode,
                    "sandbox": format!("{:?}", difference.sandbox),
                    "native": format!("{:?}", difference.native),
                    "reason": expected.reason(&difference.path, &format!("{:?}", difference.sandbox)),
                })
            })
            .collect();
        json!({
            "bothPass": self.both_pass,
            "bothFail": self.both_fail,
            "onlySandboxFails": self.only_sandbox_fails,
            "onlyNativeFails": self.only_native_fails,
            "failDifferently": self.fail_differently,
            "skipped": self.skipped,
            "differences": differences,
        })
    }
}
