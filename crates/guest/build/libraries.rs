//! The libraries that Kinvey had among its modules (libraries/package.json): fetched by npm as the lock file
//! pins them, bundled by libraries/bundle.mjs. What comes of it lies in the build folder only.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

const MISSING: &str = "is missing: it fetches and bundles the libraries that scripts can use (lodash, moment…). \
    Debian/Ubuntu: apt-get install nodejs npm; Fedora: dnf install nodejs npm; Arch: pacman -S nodejs npm \
    (Node.js 18 or later)";

/// What `npm ci` depends on.
const PINNED: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Bundles them all. Returns each one's name and file, in the order of their names.
pub(crate) fn bundle(
    crate_folder: &Path,
    out: &Path,
) -> Result<Vec<(String, std::path::PathBuf)>, String> {
    println!("cargo:rerun-if-changed=libraries");
    let from = crate_folder.join("libraries");
    let to = out.join("libraries");
    fs::create_dir_all(&to).map_err(|e| format!("{}: {e}", to.display()))?;

    let mut digest = Sha256::new();
    for name in PINNED {
        let content = fs::read(from.join(name)).map_err(|e| format!("libraries/{name}: {e}"))?;
        digest.update(&content);
        fs::write(to.join(name), content).map_err(|e| e.to_string())?;
    }
    let digest = format!("{:x}", digest.finalize());
    // Whether what was fetched earlier is what is pinned now: no need of the network then.
    let stamp = to.join("fetched");
    if fs::read_to_string(&stamp).is_ok_and(|fetched| fetched == digest) {
        println!("cargo:rerun-if-changed={}", stamp.display());
    } else {
        // Without the packages' own scripts: none of these needs one.
        let arguments = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
        run("npm", Command::new("npm").args(arguments).current_dir(&to))?;
        fs::write(&stamp, digest).map_err(|e| e.to_string())?;
    }
    let bundles = to.join("bundles");
    fs::create_dir_all(&bundles).map_err(|e| e.to_string())?;
    let mut node = Command::new("node");
    node.arg(from.join("bundle.mjs")).arg(to.join("node_modules")).arg(&bundles);
    run("node", &mut node)?;

    let package = fs::read_to_string(from.join("package.json")).map_err(|e| e.to_string())?;
    let package: serde_json::Value = serde_json::from_str(&package).map_err(|e| e.to_string())?;
    let names = package["dependencies"].as_object().ok_or("libraries/package.json lists none")?;
    Ok(names.keys().map(|name| (name.clone(), bundles.join(format!("{name}.js")))).collect())
}

fn run(program: &str, command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => format!("{program} {MISSING}"),
        _ => format!("cannot run {program}: {e}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} could not provide the libraries of crates/guest/libraries ({}): {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
