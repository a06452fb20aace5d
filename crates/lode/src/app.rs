//! An app on disk: one file, or a folder in Kinvey's layout or of modules.

use std::fs;
use std::path::{Path, PathBuf};

use lode_sandbox::{FindError, Handler, Source, SourceKind};

use crate::Failure;

/// More source than this is not an app but a mistake, such as a home folder.
const MAX_BYTES: u64 = 16 << 20;
const MAX_FILES: usize = 10_000;

/// Reads the sources of an app.
///
/// A file is one entry. In a folder, the files under `collections/` and `endpoints/` are entries and all
/// others libraries; without those folders, the files at its top are the entries. Hidden files,
/// `node_modules`, tests (`*.test.*`) and declarations (`*.d.ts`) are left out.
pub(crate) fn load(path: &Path) -> Result<Vec<Source>, Failure> {
    let metadata = fs::metadata(path).map_err(|e| cannot_read(path, &e))?;
    if !metadata.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![Source::entry(name, read(path)?)]);
    }
    let files = collect(path, |name| !is_test(name))?;
    let mut texts = Vec::new();
    let mut total = 0;
    for file in files {
        let name = name_in(path, &file);
        let text = read(&file)?;
        total += text.len() as u64;
        if total > MAX_BYTES {
            return Err(Failure::usage(format!(
                "{}: more than {} MiB of source",
                path.display(),
                MAX_BYTES >> 20
            )));
        }
        texts.push((name, text));
    }
    let sources = Source::deployment(texts);
    if sources.is_empty() {
        return Err(Failure::usage(format!(
            "{}: no JavaScript or TypeScript in it",
            path.display()
        )));
    }
    Ok(sources)
}

/// The test files of an app on disk: `*.test.js` and the like.
pub(crate) fn tests(path: &Path) -> Result<Vec<Source>, Failure> {
    let files = collect(path, is_test)?;
    let read = |file: PathBuf| Ok(Source::library(name_in(path, &file), read(&file)?));
    files.into_iter().map(read).collect()
}

fn is_test(name: &str) -> bool {
    name.contains(".test.")
}

fn name_in(folder: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(folder).unwrap_or(file);
    relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

/// The sources in a folder and those below it whose names are wanted, in order.
fn collect(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(&below).map_err(|e| cannot_read(&below, &e))? {
            let entry = entry.map_err(|e| cannot_read(&below, &e))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || name == "node_modules" {
                continue;
            }
            let kind = entry.file_type().map_err(|e| cannot_read(&entry.path(), &e))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if SourceKind::of(&name).is_some()
                && !matches!(&*name, "package.json" | "tsconfig.json")
                && wanted(&name)
            {
                files.push(entry.path());
            }
            if files.len() > MAX_FILES {
                return Err(Failure::usage(format!(
                    "{}: more than {MAX_FILES} files",
                    folder.display()
                )));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A text file's content.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|e| cannot_read(path, &e))?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{}: the file is not UTF-8 text", path.display())))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

/// The handler that `name` means ([`Handler::find`]); without a name, the only one.
pub(crate) fn select(handlers: &[Handler], name: Option<&str>) -> Result<usize, Failure> {
    match name {
        Some(name) => Handler::find(handlers, name).map_err(|error| {
            Failure::usage(match error {
                FindError::None(all) => {
                    format!("no handler `{name}`; there are: {}", all.join(", "))
                }
                FindError::Several(these) => {
                    format!("several handlers are called `{name}`: {}", these.join(", "))
                }
            })
        }),
        None if handlers.len() == 1 => Ok(0),
        None => {
            let names: Vec<String> = handlers.iter().map(Handler::short_name).collect();
            Err(Failure::usage(format!("choose a handler with --hook: {}", names.join(", "))))
        }
    }
}
