//! An app on disk: one file, or a folder in Kinvey's layout or of modules.

use std::fs;
use std::path::{Path, PathBuf};

use lode_sandbox::{Handler, Source, SourceKind};

use crate::Failure;

/// More source than this is not an app but a mistake, such as a home folder.
const MAX_BYTES: u64 = 16 << 20;
const MAX_FILES: usize = 10_000;

/// The folders whose files hold handlers (Kinvey's layout for source).
const ENTRY_FOLDERS: [&str; 2] = ["collections/", "endpoints/"];

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
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.sort();
    let mut sources = Vec::new();
    let mut total = 0;
    for file in files {
        let relative = file.strip_prefix(path).unwrap_or(&file);
        let name = relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        let text = read(&file)?;
        total += text.len() as u64;
        if total > MAX_BYTES {
            return Err(Failure::usage(format!(
                "{}: more than {} MiB of source",
                path.display(),
                MAX_BYTES >> 20
            )));
        }
        sources.push(Source::library(name, text));
    }
    let in_folder =
        |source: &Source| ENTRY_FOLDERS.iter().any(|folder| source.name.starts_with(folder));
    let has_folders = sources.iter().any(in_folder);
    for source in &mut sources {
        source.entry = source.kind != SourceKind::Json
            && if has_folders { in_folder(source) } else { !source.name.contains('/') };
    }
    if sources.is_empty() {
        return Err(Failure::usage(format!(
            "{}: no JavaScript or TypeScript in it",
            path.display()
        )));
    }
    Ok(sources)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(|e| cannot_read(folder, &e))? {
        let entry = entry.map_err(|e| cannot_read(folder, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "node_modules" || name.contains(".test.") {
            continue;
        }
        let kind = entry.file_type().map_err(|e| cannot_read(&entry.path(), &e))?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if SourceKind::of(&name).is_some()
            && !matches!(name.as_str(), "package.json" | "tsconfig.json")
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
    Ok(())
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

/// How a handler is called on the command line: `orders/onPreSave`, an endpoint's name, or
/// `file#function`.
pub(crate) fn short_name(handler: &Handler) -> String {
    let parts: Vec<&str> = handler.script.split('/').collect();
    let stem = |file: &str| file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
    match parts.as_slice() {
        ["collections", collection, _] => format!("{collection}/{}", handler.name),
        ["collections", file] => format!("{}/{}", stem(file), handler.name),
        ["endpoints", file] if handler.name == "onRequest" => stem(file),
        _ => format!("{}#{}", handler.script, handler.name),
    }
}

/// The handler that `name` means; without a name, the only one.
pub(crate) fn select(handlers: &[Handler], name: Option<&str>) -> Result<usize, Failure> {
    let matches: Vec<usize> = (0..handlers.len())
        .filter(|&index| {
            let handler = &handlers[index];
            name.is_none_or(|name| {
                handler.name == name
                    || short_name(handler) == name
                    || format!("{}#{}", handler.script, handler.name) == name
            })
        })
        .collect();
    let list = || {
        let names: Vec<String> = handlers.iter().map(short_name).collect();
        names.join(", ")
    };
    match (matches.as_slice(), name) {
        ([one], _) => Ok(*one),
        ([], Some(name)) => {
            Err(Failure::usage(format!("no handler `{name}`; there are: {}", list())))
        }
        (_, Some(name)) => {
            Err(Failure::usage(format!("several handlers are called `{name}`: {}", list())))
        }
        (_, None) => Err(Failure::usage(format!("choose a handler with --hook: {}", list()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lode_sandbox::Form;

    fn handler(script: &str, name: &str) -> Handler {
        Handler { script: script.into(), name: name.into(), form: Form::Script }
    }

    #[test]
    fn handlers_are_found_by_function_short_name_and_file() {
        let all = [
            handler("collections/orders/onPreSave.js", "onPreSave"),
            handler("collections/users.js", "onPreSave"),
            handler("endpoints/ping.js", "onRequest"),
        ];
        let find = |name| select(&all, Some(name)).ok();
        assert_eq!(find("orders/onPreSave"), Some(0));
        assert_eq!(find("users/onPreSave"), Some(1));
        assert_eq!(find("onRequest"), Some(2));
        assert_eq!(find("ping"), Some(2));
        assert_eq!(find("collections/users.js#onPreSave"), Some(1));
        assert_eq!(find("onPreSave"), None);
        assert_eq!(find("nothing"), None);
        assert!(select(&all, None).is_err());
        assert_eq!(select(&all[..1], None).ok(), Some(0));
    }
}
