//! clang and wasm-ld: which ones, with which flags, and why.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::source::Source;

/// The engine's shadow stack, in bytes. QuickJS throws a RangeError at `LODE_JS_STACK_BYTES` (c/lode.c)
/// below this, so that its own C frames never reach the end.
pub(crate) const STACK_BYTES: u32 = 512 * 1024;

const MISSING_CLANG: &str = "clang is missing: it compiles the sandbox's engine to WebAssembly. \
    Debian/Ubuntu: apt-get install clang; Fedora: dnf install clang; Arch: pacman -S clang \
    (or set LODE_CLANG to its path; any version since 14 that lists wasm32 in --print-targets)";

const FLAGS: &[&str] = &[
    "--target=wasm32-unknown-unknown",
    "-O3",
    // Each is in WebAssembly 2.0, which Wasmtime has always on.
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-msimd128",
    "-mmutable-globals",
    "-D_GNU_SOURCE",
    // QuickJS-ng's own switches for a WebAssembly host without threads or floating-point modes.
    "-DEMSCRIPTEN=1",
    "-DFE_DOWNWARD=0",
    "-DFE_UPWARD=0",
    "-DNDEBUG",
    // c/alloc.c defines these itself, and reads the header before the address they return.
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
    "-fno-ident",
    // Absolute paths would make the module's digest depend on the machine.
    "-ffile-prefix-map=/=",
    "-Wno-everything",
];

pub(crate) fn compile(source: &Source, out: &Path) -> Result<PathBuf, String> {
    println!("cargo:rerun-if-env-changed=LODE_CLANG");
    let clang = env::var("LODE_CLANG").unwrap_or_else(|_| "clang".into());
    let targets =
        Command::new(&clang).arg("--print-targets").output().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => MISSING_CLANG.to_owned(),
            _ => format!("cannot run {clang}: {e}"),
        })?;
    if !String::from_utf8_lossy(&targets.stdout).contains("wasm32") {
        return Err(format!("{clang} cannot target wasm32. {MISSING_CLANG}"));
    }

    let glue = env::current_dir().map_err(|e| e.to_string())?.join("c/lode.c");
    let units = [
        // c/lode.c includes quickjs.c: one unit, so that the glue reaches engine internals no public
        // header names (the random state) and clang inlines across them.
        glue,
        out.join("libregexp.c"),
        source.quickjs.join("libunicode.c"),
        source.quickjs.join("dtoa.c"),
        source.shim.clone(),
    ];
    let mut objects = Vec::new();
    let mut running = Vec::new();
    for unit in &units {
        let name = unit.file_stem().unwrap_or_default();
        let object = out.join(name).with_extension("o");
        let child = Command::new(&clang)
            .args(FLAGS)
            .arg(format!("-isystem{}", source.include.display()))
            // The patched quickjs.c first, then the folder of its headers and other sources.
            .arg(format!("-I{}", out.display()))
            .arg(format!("-I{}", source.quickjs.display()))
            .arg("-c")
            .arg(unit)
            .arg("-o")
            .arg(&object)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run {clang}: {e}"))?;
        running.push((unit, child));
        objects.push(object);
    }
    for (unit, child) in running {
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "{clang} failed on {}:\n{}",
                unit.display(),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }

    let linked = out.join("linked.wasm");
    let output = Command::new(linker()?)
        .args(["--no-entry", "--stack-first", "-z"])
        .arg(format!("stack-size={STACK_BYTES}"))
        .args(["--gc-sections", "-O2"])
        // The one global that a run changes: the host sets it back between runs (build/split.rs).
        .arg("--export=__stack_pointer")
        .args(&objects)
        .arg(&source.libc)
        .arg("-o")
        .arg(&linked)
        .output()
        .map_err(|e| format!("cannot run wasm-ld: {e}"))?;
    if !output.status.success() {
        return Err(format!("wasm-ld failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(linked)
}

/// The `wasm-ld` of the Rust toolchain: distributions' own are often too old to define
/// `__heap_end`, which wasi-libc's allocator needs.
fn linker() -> Result<PathBuf, String> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|e| format!("cannot run {rustc}: {e}"))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let host = env::var("HOST").map_err(|e| e.to_string())?;
    let linker = sysroot.join("lib/rustlib").join(host).join("bin/gcc-ld/wasm-ld");
    if linker.exists() {
        Ok(linker)
    } else {
        Err(format!(
            "{} does not exist: the Rust toolchain must come from rustup, whose archives hold it",
            linker.display()
        ))
    }
}
