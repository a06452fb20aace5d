//! Builds the engine: C glue + QuickJS-ng → one WebAssembly module whose data segments are split
//! off, so that instantiating it never overwrites a snapshot (design.md, section 5).
//!
//! Needs `clang` (any since 14), `node` (18 or later) and `npm` on the path; the linker is the `wasm-ld` the
//! Rust toolchain ships.

mod libraries;
mod patch;
mod source;
mod split;
mod toolchain;

use std::path::Path;
use std::{env, fs};

use sha2::{Digest, Sha256};

/// The JavaScript world, in the order it is evaluated (each file may use what earlier ones made).
const BOOTSTRAP: &[&str] = &[
    "primordials",
    "errors",
    "webidl",
    "inspect_leaves",
    "inspect",
    "console",
    "timers",
    "text",
    "clone",
    "url",
    "headers",
    "fetch_types",
    "egress",
    "crypto",
    "template",
    "kinvey_utils",
    "data",
    "backend",
    "services",
    "modules",
    "run",
];

fn main() {
    if let Err(problem) = build() {
        // Cargo shows a failing build script's stderr as it is: no panic noise around the reason.
        eprintln!("error: lode-guest: {problem}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-changed=js");
    let out = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    let out = Path::new(&out);

    let quickjs = source::locate()?;
    patch::patch(&quickjs, out)?;
    let linked = toolchain::compile(&quickjs, out)?;
    let engine = split::split(&fs::read(&linked).map_err(|e| e.to_string())?)?;

    let mut digest = Sha256::new();
    digest.update(&engine.module);
    for segment in &engine.segments {
        digest.update(segment.offset.to_le_bytes());
        digest.update(&segment.bytes);
    }
    let mut bootstrap = String::new();
    for name in BOOTSTRAP {
        let path = env::current_dir().map_err(|e| e.to_string())?.join(format!("js/{name}.js"));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        digest.update(text.as_bytes());
        bootstrap += &format!("    (\"lode:{name}\", include_str!({path:?})),\n");
    }

    let folder = env::current_dir().map_err(|e| e.to_string())?;
    let mut libraries = String::new();
    for (name, path) in libraries::bundle(&folder, out)? {
        digest.update(fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
        libraries += &format!("    ({name:?}, include_str!({path:?})),\n");
    }

    let mut data = Vec::new();
    let mut segments = String::new();
    for segment in &engine.segments {
        let start = data.len();
        data.extend_from_slice(&segment.bytes);
        segments += &format!("    ({}, {start}..{}),\n", segment.offset, data.len());
    }
    let write =
        |name: &str, bytes: &[u8]| fs::write(out.join(name), bytes).map_err(|e| e.to_string());
    write("engine.wasm", &engine.module)?;
    write("engine.data", &data)?;
    write(
        "generated.rs",
        format!(
            "const DIGEST_BYTES: [u8; 32] = {:?};\n\
             const SEGMENT_RANGES: &[(u32, std::ops::Range<usize>)] = &[\n{segments}];\n\
             const BOOTSTRAP_FILES: &[(&str, &str)] = &[\n{bootstrap}];\n\
             const LIBRARY_FILES: &[(&str, &str)] = &[\n{libraries}];\n\
             const QUICKJS: &str = {:?};\n\
             const STACK: u32 = {};\n",
            <[u8; 32]>::from(digest.finalize()),
            quickjs.version,
            toolchain::STACK_BYTES,
        )
        .as_bytes(),
    )
}
