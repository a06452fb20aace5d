//! Compiles the engine to native code, twice: as it runs normally, and metered. The program that runs
//! customers' code then holds no compiler.

use std::path::Path;
use std::{env, fs};

use wasmtime::{Config, Engine, OptLevel};

#[path = "../src/tuning.rs"]
#[allow(dead_code)]
mod tuning;

fn main() -> Result<(), wasmtime::Error> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/tuning.rs");
    let out = env::var("OUT_DIR").map_err(wasmtime::Error::new)?;
    for (name, metering) in [("engine.cwasm", false), ("metered.cwasm", true)] {
        let mut config = Config::new();
        tuning::tune(&mut config, metering);
        config.cranelift_opt_level(OptLevel::Speed);
        // Naming the target keeps Cranelift from adding what only the building machine has.
        config.target(&env::var("TARGET").map_err(wasmtime::Error::new)?)?;
        for feature in tuning::CPU_FEATURES {
            // SAFETY: the features are checked against the running processor when the module is
            // loaded (`Module::deserialize`), before any of its code runs.
            unsafe { config.cranelift_flag_enable(feature) };
        }
        let module = Engine::new(&config)?.precompile_module(lode_guest::MODULE)?;
        fs::write(Path::new(&out).join(name), module).map_err(wasmtime::Error::new)?;
    }
    Ok(())
}
