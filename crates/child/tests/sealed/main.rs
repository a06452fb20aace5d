//! The filter of system calls, and the real child behind it: what it needs is allowed, and nothing else.

#![allow(clippy::unwrap_used)]

mod descriptors;
mod exercises;
mod lives;
mod peer;
#[path = "../../probe/wreck.rs"]
mod wreck;

use std::sync::Mutex;

use lode_child::lockdown::Role;
use lode_child::lockdown::seccomp::{RULES, Rule};

use exercises::SIGSYS;
use peer::Seen;

/// Does the exercises with all rules, and then without each that the role has.
fn no_rule_is_redundant(role: Role, exercises: fn(&str) -> Seen) {
    assert_eq!(exercises(""), Ok(()));
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.applies(role)).collect();
    let rest = Mutex::new(rules.into_iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(rule) = rest.lock().unwrap().next() else { break };
                    let seen = exercises(rule.name);
                    let killed = seen.as_ref().is_err_and(|e| e.starts_with(&SIGSYS.to_string()));
                    if !killed {
                        wrong.lock().unwrap().push(format!("without {}: {seen:?}", rule.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_runner_needs_each_of_its_rules() {
    no_rule_is_redundant(Role::Runner, exercises::runner);
}

#[test]
fn a_builder_needs_each_of_its_rules() {
    no_rule_is_redundant(Role::Builder, exercises::builder);
}
