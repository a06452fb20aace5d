//! Where QuickJS-ng's C source lies: in the registry copy of the pinned `rquickjs-sys` crate.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The folders of the pinned source.
pub(crate) struct Source {
    /// QuickJS-ng's own C files.
    pub(crate) quickjs: PathBuf,
    /// wasi-libc's headers.
    pub(crate) include: PathBuf,
    /// wasi-libc's archive.
    pub(crate) libc: PathBuf,
    /// The operating-system shim: libc calls that need no operating system.
    pub(crate) shim: PathBuf,
    /// QuickJS-ng's version, e.g. `0.16.2`.
    pub(crate) version: String,
}

pub(crate) fn locate() -> Result<Source, String> {
    let cargo = env::var("CARGO").map_err(|e| e.to_string())?;
    let run = |offline: bool| {
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--format-version", "1", "--locked"]);
        if offline {
            command.arg("--offline");
        }
        command.output().map_err(|e| format!("cannot run `cargo metadata`: {e}"))
    };
    // Cargo fetches a crate that no target builds only when asked for the whole graph: the first
    // build on a machine therefore needs the second, online call.
    let mut output = run(true)?;
    if !output.status.success() {
        output = run(false)?;
    }
    if !output.status.success() {
        return Err(format!(
            "`cargo metadata` could not find the engine's source: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "rquickjs-sys")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("`cargo metadata` lists no rquickjs-sys: is the workspace's Cargo.lock whole?")?;
    let root = PathBuf::from(manifest).parent().map(PathBuf::from).unwrap_or_default();
    let quickjs = root.join("quickjs");
    Ok(Source {
        version: version(&quickjs)?,
        quickjs,
        include: root.join("vendor/wasi-libc/include"),
        libc: root.join("vendor/wasi-libc/lib/libc.a"),
        shim: root.join("wasm-shim/shim.c"),
    })
}

fn version(quickjs: &std::path::Path) -> Result<String, String> {
    let path = quickjs.join("quickjs.h");
    let header = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let part = |name: &str| {
        header
            .lines()
            .find_map(|line| line.strip_prefix(&format!("#define QJS_VERSION_{name} ")))
            .map(|value| value.trim().to_owned())
            .ok_or(format!("{}: no QJS_VERSION_{name}", path.display()))
    };
    Ok(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}
