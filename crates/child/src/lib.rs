//! A child: a locked-down process that holds sandboxes, and the protocol it speaks with the Work Master.
//!
//! The master starts the `lode` program anew as `lode child`, with nothing but a socket, and [`main`]
//! takes over. It gives up every right it does not need ([`lockdown`]) before the first byte of a guest
//! arrives. A *runner* then serves runs until the socket closes; a *builder* builds one snapshot. What
//! they say to the master is in [`protocol`], how it is framed in [`frame`].
#![deny(unsafe_code)]

use std::hash::RandomState;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use lode_sandbox::{Engine, EngineOptions, ResetMethod, Source};

mod build;
pub mod frame;
#[allow(unsafe_code)]
pub mod lockdown;
pub mod protocol;
mod run;
mod serve;
mod turns;

use lockdown::{Layer, Role};
use protocol::FromChild;
use serve::Stop;

/// Exit codes of a child, for its master's logs.
pub mod exit {
    /// A layer of the lock-down is missing, or the engine does not start; standard error says which.
    pub const REFUSED: u8 = 70;
    /// It met what it cannot go on after; standard error says what.
    pub const BROKEN: u8 = 71;
}

/// The whole life of a child: its standard input is the socket to its master. Layers of lock-down that
/// this host lacks make it refuse, unless they are `allowed` to be missing.
pub fn main(role: Role, allowed: &[Layer]) -> ExitCode {
    main_of_test(role, allowed, Trial::default())
}

/// What a test changes of a child's life.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Trial {
    /// A rule of the filter that is left out, by name.
    pub without: Option<String>,
    /// How memory is reset.
    pub reset: Option<ResetMethod>,
    /// Done by the sealed child in place of serving.
    pub instead: Option<fn(&Engine)>,
}

/// [`main`], changed by a test.
#[doc(hidden)]
pub fn main_of_test(role: Role, allowed: &[Layer], trial: Trial) -> ExitCode {
    let locked = match lockdown::enter(role, allowed) {
        Ok(locked) => locked,
        Err(missing) => return fail(exit::REFUSED, &missing.to_string()),
    };
    // The hook that is there otherwise looks into files for a backtrace when a panic meets another, which
    // would look like an attack.
    std::panic::set_hook(Box::new(|info| eprintln!("lode child: {info}")));
    // Its own thread for the stack's sake: stripping types recurses as deep as a source nests.
    let stack = match role {
        Role::Runner => 2 << 20,
        // Addresses, not memory: what is not touched costs nothing.
        Role::Builder => Source::strip_stack(Source::MAX_TYPESCRIPT),
    };
    let life = thread::Builder::new().stack_size(stack).spawn(move || live(role, locked, &trial));
    match life.map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => fail(exit::BROKEN, "it panicked"),
        Err(error) => fail(exit::REFUSED, &error.to_string()),
    }
}

fn live(role: Role, mut locked: lockdown::Locked, trial: &Trial) -> ExitCode {
    let options = EngineOptions {
        pagemap: locked.pagemap().map(Arc::new),
        reset: trial.reset,
        ..EngineOptions::default()
    };
    // Seeds this thread's hash tables: sealed, it has no way to randomness, and the master gives each run
    // its own.
    drop(RandomState::new());
    let engine = match Engine::new(options) {
        Ok(engine) => engine,
        Err(error) => return fail(exit::REFUSED, &error.to_string()),
    };
    let sealed = match locked.seal_without(trial.without.as_deref()) {
        Ok(sealed) => sealed,
        Err(missing) => return fail(exit::REFUSED, &missing.to_string()),
    };
    if let Some(instead) = trial.instead {
        instead(&engine);
        return ExitCode::SUCCESS;
    }
    let missing: Vec<String> =
        sealed.report().missing().map(|(layer, _)| layer.to_string()).collect();
    let ready = FromChild::Ready {
        engine: engine.digest(),
        reset: engine.reset_method(),
        missing: missing.iter().map(String::as_str).collect(),
    };
    let stdin = std::io::stdin();
    let result = match role {
        Role::Runner => serve::serve(&engine, stdin.as_fd(), &ready),
        Role::Builder => build::build(&engine, stdin.as_fd(), &ready),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The master is gone, or has stopped listening: nobody is left to tell.
        Err(Stop::Socket) => ExitCode::SUCCESS,
        Err(Stop::Frame(error)) => fail(exit::BROKEN, &error.to_string()),
        Err(Stop::Broken(detail)) => fail(exit::BROKEN, &detail),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("lode child: {why}");
    ExitCode::from(code)
}
