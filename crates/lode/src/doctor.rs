//! `lode doctor`: what this machine offers the sandbox.

use clap::Args;
use lode_sandbox::{Engine, EngineOptions, ResetMethod};
use serde_json::json;

use crate::{Failure, exit};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let engine = Engine::new(EngineOptions::default());
    let (reset, why) = match ResetMethod::detect() {
        ResetMethod::CopyBack => ("copy-back", "the kernel lists written pages (PAGEMAP_SCAN)"),
        ResetMethod::Discard => {
            ("discard", "slower: PAGEMAP_SCAN needs Linux 6.7 and a readable /proc/self/pagemap")
        }
    };
    let digest: String = lode_guest::DIGEST[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let lines = [
        ("lode", env!("CARGO_PKG_VERSION").to_owned()),
        ("kernel", kernel.trim().to_owned()),
        ("processor", std::env::consts::ARCH.to_owned()),
        ("quickjs-ng", lode_guest::QUICKJS_VERSION.to_owned()),
        ("wasmtime", lode_sandbox::WASMTIME_VERSION.to_owned()),
        ("engine", digest),
        ("reset", format!("{reset} ({why})")),
        (
            "sandbox",
            match &engine {
                Ok(engine) => {
                    format!("works; pristine image {} KiB", engine.pristine_bytes() >> 10)
                }
                Err(error) => error.to_string(),
            },
        ),
    ];
    let lockdown = std::env::current_exe()
        .and_then(|program| lode_child::lockdown::check(&program, &["child", "--check"]));
    let lockdown = match lockdown {
        Ok(report) if report.missing().next().is_none() => "complete".into(),
        Ok(report) => {
            let missing: Vec<String> =
                report.missing().map(|(layer, why)| format!("{layer} ({why})")).collect();
            format!("missing: {}", missing.join(", "))
        }
        Err(error) => format!("cannot be tried: {error}"),
    };
    let lines: Vec<(&str, String)> = lines.into_iter().chain([("lock-down", lockdown)]).collect();
    if arguments.json {
        let object: serde_json::Map<_, _> =
            lines.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        println!("{}", serde_json::Value::Object(object));
    } else {
        for (name, value) in lines {
            println!("{name:12} {value}");
        }
    }
    Ok(if engine.is_ok() { 0 } else { exit::PLATFORM })
}
