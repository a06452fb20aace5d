//! The suite on disk: which files are tests, and the variants each is run in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::frontmatter::Frontmatter;

/// A test262 checkout: `harness/` and `test/`.
pub(crate) struct Suite {
    root: PathBuf,
    harness: BTreeMap<String, String>,
}

/// One way to run one file.
#[derive(Debug)]
pub(crate) struct Variant {
    /// Path below `test/`.
    pub(crate) path: String,
    /// `sloppy`, `strict`, `module` or `raw`.
    pub(crate) mode: &'static str,
    /// The harness files it asked for, together.
    pub(crate) harness: String,
    /// A script: with the harness before it, as one text. A module: alone.
    pub(crate) text: String,
    /// Files it may import, by their path as it names them: a module's lie below `test/`; a script's below
    /// its own folder, as an evaluated text, which it is on both sides, has no place of its own.
    pub(crate) imports: BTreeMap<String, String>,
    /// Whether `$DONE` says how it ended.
    pub(crate) waits: bool,
    pub(crate) negative: Option<String>,
}

/// What neither side can have: a second realm, threads, `document.all`.
const NO_SUCH_HOST: &[&str] =
    &["$262.createRealm", "$262.agent", "$262.IsHTMLDDA", "$262.AbstractModuleSource", "$262.gc"];

impl Suite {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let mut harness = BTreeMap::new();
        let mut files = Vec::new();
        walk(&root.join("harness"), &mut files)?;
        for file in files {
            let name = file.strip_prefix(root.join("harness")).unwrap_or(&file);
            harness.insert(name.to_string_lossy().into_owned(), fs::read_to_string(&file)?);
        }
        Ok(Self { root: root.join("test"), harness })
    }

    /// The tests below any of `only`, in order.
    pub(crate) fn tests(&self, only: &[String]) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for prefix in only {
            let path = self.root.join(prefix);
            if path.is_file() { files.push(path) } else { walk(&path, &mut files)? }
        }
        files.retain(|file| {
            let name = file.to_string_lossy();
            name.ends_with(".js") && !name.contains("_FIXTURE")
        });
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The variants of a test; `Err` says why it can be run on neither side.
    pub(crate) fn variants(&self, file: &Path) -> Result<Vec<Variant>, String> {
        let text = fs::read_to_string(file).map_err(|error| error.kind().to_string())?;
        if let Some(absent) = NO_SUCH_HOST.iter().find(|name| text.contains(**name)) {
            return Err((*absent).to_owned());
        }
        let about = Frontmatter::of(&text);
        if about.features.iter().any(|feature| feature == "IsHTMLDDA") {
            return Err("$262.IsHTMLDDA".into());
        }
        if about.includes.iter().any(|name| name == "atomicsHelper.js")
            || about.flag("CanBlockIsFalse")
        {
            return Err("$262.agent".into());
        }
        let harness = if about.flag("raw") { String::new() } else { self.harness(&about)? };
        let modes: &[&'static str] = if about.flag("module") {
            &["module"]
        } else if about.flag("raw") {
            &["raw"]
        } else if about.flag("onlyStrict") {
            &["strict"]
        } else if about.flag("noStrict") {
            &["sloppy"]
        } else {
            &["sloppy", "strict"]
        };
        let path = file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy().into_owned();
        let mut imports = BTreeMap::new();
        if modes == ["module"] {
            imports_of(&self.root, &path, &text, &mut imports);
        } else if let (Some(folder), Some(name)) = (file.parent(), file.file_name()) {
            imports_of(folder, &name.to_string_lossy(), &text, &mut imports);
        }
        Ok(modes
            .iter()
            .map(|mode| Variant {
                path: path.clone(),
                mode,
                harness: harness.clone(),
                text: match *mode {
                    "module" | "raw" => text.clone(),
                    "strict" => format!("\"use strict\";\n{harness}\n{text}"),
                    _ => format!("{harness}\n{text}"),
                },
                imports: imports.clone(),
                waits: about.flag("async"),
                negative: about.negative.clone(),
            })
            .collect())
    }

    fn harness(&self, about: &Frontmatter) -> Result<String, String> {
        let always = ["assert.js", "sta.js"].into_iter();
        let waiting = about.flag("async").then_some("doneprintHandle.js");
        let mut harness = String::new();
        for name in always.chain(waiting).chain(about.includes.iter().map(String::as_str)) {
            harness += self.harness.get(name).ok_or_else(|| format!("no harness/{name}"))?;
            harness.push('\n');
        }
        Ok(harness)
    }
}

/// Files that `text`, at `path` below `root`, names in quotes: whatever it imports is among them, itself
/// too.
fn imports_of(root: &Path, path: &str, text: &str, found: &mut BTreeMap<String, String>) {
    for part in text
        .split(['\'', '"', '`'])
        .filter(|part| part.starts_with("./") || part.starts_with("../"))
    {
        let Some(target) = resolve(path, part) else { continue };
        if found.contains_key(&target) {
            continue;
        }
        let Ok(imported) = fs::read_to_string(root.join(&target)) else { continue };
        found.insert(target.clone(), imported.clone());
        imports_of(root, &target, &imported, found);
    }
}

/// `specifier` as `base` means it, without `.` and `..`.
pub(crate) fn resolve(base: &str, specifier: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
