//! An app's sources, as they are given to a snapshot.

#[cfg(feature = "typescript")]
use std::sync::mpsc::{self, RecvTimeoutError};
#[cfg(feature = "typescript")]
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::ScriptError;

/// One file of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its path within the deployment, `/`-separated: what imports and error stacks name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it is.
    pub kind: SourceKind,
    /// Whether it is evaluated by itself, so that its functions can be handlers. Other sources are
    /// evaluated when they are first imported.
    pub entry: bool,
}

/// The language and form of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// A script if it parses as one, else a module: what `.js` means.
    JavaScript,
    /// A module: `.mjs`.
    Module,
    /// A classic script: `.cjs`.
    Script,
    /// TypeScript (types only: nothing that needs code, such as `enum`), script or module: `.ts`.
    TypeScript,
    /// A module whose default export is the JSON value: `.json`.
    Json,
}

impl SourceKind {
    /// The kind that a file's name says; `None` for names that are not a source's.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "js" => Some(Self::JavaScript),
            "mjs" => Some(Self::Module),
            "cjs" => Some(Self::Script),
            "ts" | "mts" if !name.ends_with(".d.ts") => Some(Self::TypeScript),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The folders whose files hold handlers (Kinvey's layout for source).
const ENTRY_FOLDERS: [&str; 2] = ["collections/", "endpoints/"];

impl Source {
    /// The sources of a deployment, from its files' paths and texts: those under `collections/` and
    /// `endpoints/` are entries and all others libraries; without such folders, the files at its top are
    /// the entries. Files whose names say no kind are left out.
    pub fn deployment(files: impl IntoIterator<Item = (String, String)>) -> Vec<Self> {
        let known = files.into_iter().filter(|(name, _)| SourceKind::of(name).is_some());
        let mut sources: Vec<Self> = known.map(|(name, text)| Self::library(name, text)).collect();
        let in_folder =
            |source: &Self| ENTRY_FOLDERS.iter().any(|folder| source.name.starts_with(folder));
        let has_folders = sources.iter().any(in_folder);
        for source in &mut sources {
            source.entry = source.kind != SourceKind::Json
                && if has_folders { in_folder(source) } else { !source.name.contains('/') };
        }
        sources
    }

    /// An entry whose kind its name says; JavaScript if the name says nothing.
    pub fn entry(name: impl Into<String>, text: impl Into<String>) -> Self {
        let name = name.into();
        let kind = SourceKind::of(&name).unwrap_or(SourceKind::JavaScript);
        Self { name, text: text.into(), kind, entry: true }
    }

    /// A source that is only evaluated when another imports it.
    pub fn library(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { entry: false, ..Self::entry(name, text) }
    }

    /// Replaces TypeScript's types by spaces, on the calling thread, which must have a stack of
    /// [`Source::strip_stack`] bytes; other sources stay as they are. The snapshot built from the
    /// result is that of the source itself. For processes that cannot start threads:
    /// [`crate::Snapshot::build`] starts one by itself for what is still TypeScript.
    ///
    /// Nothing ends a parse that takes too long: some sources take minutes. The process must be one
    /// that can be ended from outside.
    ///
    /// # Errors
    /// The source's own syntax error.
    pub fn strip_types(self) -> Result<Self, ScriptError> {
        if self.kind != SourceKind::TypeScript {
            return Ok(self);
        }
        let text = strip_here(&self.name, self.text)?;
        Ok(Self { text, kind: SourceKind::JavaScript, ..self })
    }

    /// The stack that [`Source::strip_types`] needs for TypeScript of at most this many bytes: some
    /// 4 KiB per byte, as the parser recurses. What is not touched costs addresses only.
    pub const fn strip_stack(bytes: usize) -> usize {
        /// The parser recurses at most once per byte of source, and its frames for one level of
        /// nesting take less than this (tests/typescript.rs tries the worst).
        const STACK_PER_BYTE: usize = 4096;
        const STACK_AT_LEAST: usize = 16 << 20;
        let bytes = if bytes > Self::MAX_TYPESCRIPT { Self::MAX_TYPESCRIPT } else { bytes };
        STACK_AT_LEAST + STACK_PER_BYTE * bytes
    }

    /// Bytes that a TypeScript file may have: hand-written ones are a hundredth of it.
    pub const MAX_TYPESCRIPT: usize = 1 << 20;

    /// The JavaScript to evaluate, and the ABI's number for its form (`SOURCE_*` in lode.h).
    pub(crate) fn to_javascript(&self) -> Result<(String, i32), ScriptError> {
        match self.kind {
            SourceKind::Module => Ok((self.text.clone(), 0)),
            SourceKind::Script => Ok((self.text.clone(), 1)),
            SourceKind::JavaScript => Ok((self.text.clone(), 2)),
            SourceKind::TypeScript => Ok((strip_aside(&self.name, &self.text)?, 2)),
            SourceKind::Json => match serde_json::from_str::<serde::de::IgnoredAny>(&self.text) {
                // Parsed when evaluated: as an expression, a `__proto__` key would set the prototype. A
                // JSON string is a JavaScript string (ECMAScript 2019).
                Ok(_) => {
                    let text = serde_json::Value::from(self.text.as_str());
                    Ok((format!("export default JSON.parse({text})"), 0))
                }
                Err(error) => Err(ScriptError {
                    name: "SyntaxError".into(),
                    message: error.to_string(),
                    stack: format!("    at {}:{}:{}\n", self.name, error.line(), error.column()),
                }),
            },
        }
    }
}

fn syntax_error(name: &str, message: String, line: usize, column: usize) -> ScriptError {
    ScriptError {
        name: "SyntaxError".into(),
        message,
        stack: format!("    at {name}:{line}:{column}\n"),
    }
}

#[cfg(not(feature = "typescript"))]
fn strip_here(name: &str, _: String) -> Result<String, ScriptError> {
    let message = "this build does not accept TypeScript (feature `typescript`)";
    Err(syntax_error(name, message.into(), 1, 1))
}

#[cfg(not(feature = "typescript"))]
fn strip_aside(name: &str, _: &str) -> Result<String, ScriptError> {
    strip_here(name, String::new())
}

/// Replaces types by spaces, so that every line and column stays where it was.
#[cfg(feature = "typescript")]
fn strip_here(name: &str, text: String) -> Result<String, ScriptError> {
    if text.len() > Source::MAX_TYPESCRIPT {
        let message = format!("a TypeScript file may have {} bytes", Source::MAX_TYPESCRIPT);
        return Err(syntax_error(name, message, 1, 1));
    }
    typescript::strip(name, text)
        .map_err(|(message, line, column)| syntax_error(name, message, line, column))
}

/// [`strip_here`] on a thread of its own, with the stack that it needs and for a bounded time.
#[cfg(feature = "typescript")]
fn strip_aside(name: &str, text: &str) -> Result<String, ScriptError> {
    /// Some nestings take the parser quadratic time, and nothing can interrupt it: past this, its thread
    /// is left behind. A large honest file takes a hundredth of it.
    const PATIENCE: Duration = Duration::from_secs(10);

    let (sender, receiver) = mpsc::channel();
    let (name_owned, text) = (name.to_owned(), text.to_owned());
    let stack = Source::strip_stack(text.len());
    let stripped = std::thread::Builder::new().stack_size(stack).spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = sender.send(strip_here(&name_owned, text));
    });
    if let Err(error) = stripped {
        return Err(syntax_error(name, format!("no thread to parse on: {error}"), 1, 1));
    }
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(syntax_error(name, "the TypeScript takes too long to parse".into(), 1, 1))
        }
        // A parser bug that a source reached is that source's error, not a crash.
        Err(RecvTimeoutError::Disconnected) => {
            Err(syntax_error(name, "the TypeScript parser gave up".into(), 1, 1))
        }
    }
}

#[cfg(feature = "typescript")]
mod typescript {
    use std::sync::{Arc, Mutex};

    use swc_common::errors::{DiagnosticBuilder, Emitter, Handler};
    use swc_common::sync::Lrc;
    use swc_common::{GLOBALS, Globals, SourceMap};

    type Problem = (String, usize, usize);

    /// Keeps the first diagnostic and where it points.
    struct First {
        map: Lrc<SourceMap>,
        problem: Arc<Mutex<Option<Problem>>>,
    }

    impl Emitter for First {
        fn emit(&mut self, diagnostic: &mut DiagnosticBuilder<'_>) {
            let mut problem = self.problem.lock().expect("nothing panics while holding it");
            if problem.is_none() {
                let place =
                    diagnostic.span.primary_span().map(|span| self.map.lookup_char_pos(span.lo));
                let (line, column) =
                    place.map_or((1, 1), |place| (place.line, place.col_display + 1));
                *problem = Some((diagnostic.message(), line, column));
            }
        }
    }

    pub(super) fn strip(name: &str, text: String) -> Result<String, Problem> {
        let map = Lrc::<SourceMap>::default();
        let problem = Arc::<Mutex<Option<Problem>>>::default();
        let emitter = First { map: map.clone(), problem: problem.clone() };
        let handler = Handler::with_emitter(true, false, Box::new(emitter));
        let options = swc_ts_fast_strip::Options {
            filename: Some(name.to_owned()),
            mode: swc_ts_fast_strip::Mode::StripOnly,
            ..Default::default()
        };
        let result = GLOBALS
            .set(&Globals::new(), || swc_ts_fast_strip::operate(&map, &handler, text, options));
        let first = problem.lock().expect("nothing panics while holding it").take();
        match (result, first) {
            (Ok(output), None) => Ok(output.code),
            (_, Some(problem)) => Err(problem),
            (Err(error), None) => Err((error.to_string(), 1, 1)),
        }
    }
}
