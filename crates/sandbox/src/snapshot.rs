//! Snapshots: an app's scripts, evaluated once, as the memory they left.
//!
//! A snapshot holds only the pages that differ from the pristine engine's, in a sealed memory file:
//! a header of JSON, padded to a page, then the pages. That file is the serialised form, what is
//! shared with other processes by descriptor, and what slots map.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{Engine, Inner};
use crate::guest::Guest;
use crate::host::LogLine;
use crate::libraries;
use crate::memory::{Extent, Image, Origin, PAGE, View};
use crate::outcome::{Limit, Limits, Outcome, ScriptError};
use crate::source::Source;
use crate::state::Phase;

/// A handler that a snapshot offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handler {
    /// The source it is in.
    pub script: String,
    /// The function's name: a hook (`onPreSave`…), `onRequest`, or any other exported function.
    pub name: String,
    /// How it is called.
    pub form: Form,
}

impl Handler {
    /// The shortest name that says where it is, in Kinvey's layout: `orders/onPreSave` of a collection,
    /// an endpoint's name, else `script#function`.
    pub fn short_name(&self) -> String {
        let parts: Vec<&str> = self.script.split('/').collect();
        let stem = |file: &str| file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
        match parts.as_slice() {
            ["collections", collection, _] => format!("{collection}/{}", self.name),
            ["collections", file] => format!("{}/{}", stem(file), self.name),
            ["endpoints", file] if self.name == "onRequest" => stem(file),
            _ => format!("{}#{}", self.script, self.name),
        }
    }

    /// Whether `name` means it: its function's name, its [`Handler::short_name`], or
    /// `script#function`.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name
            || self.short_name() == name
            || name
                .rsplit_once('#')
                .is_some_and(|(script, name)| self.script == script && self.name == name)
    }
}

/// How a handler is called (design.md, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// Kinvey's: `(request, response, modules)`, from a classic script.
    Script,
    /// The modern one: `(request, context)`, from a module.
    Module,
}

/// Why no snapshot came of some sources. Each is the doing of whoever wrote them, but the last.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A source is not JavaScript or TypeScript: [`ScriptError::position`] says where.
    Syntax(ScriptError),
    /// Top-level code threw, or an import cannot be resolved.
    Script(ScriptError),
    /// Top-level code made a host call or started a timer, which only handlers may.
    TopLevel(ScriptError),
    /// Top-level code awaits something that never comes.
    NeverSettles,
    /// Top-level code exceeded a limit.
    Limit(Limit),
    /// No source has a function that could be a handler.
    NoHandler,
    /// Ours.
    Platform(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) | Self::Script(error) => write!(f, "{error}"),
            Self::TopLevel(error) => f.write_str(&error.message),
            Self::NeverSettles => f.write_str("top-level code awaits something that never comes"),
            Self::Limit(limit) => write!(f, "top-level code exceeded the {limit} limit"),
            Self::NoHandler => f.write_str(
                "no handler: declare a hook such as `function onPreSave(request, response, modules)`, \
                 or export functions from a module",
            ),
            Self::Platform(detail) => write!(f, "the sandbox failed: {detail}"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Why bytes are not a snapshot that this engine can run.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read or mapped, or is not a sealed memory file.
    Io(io::Error),
    /// It is not a snapshot, or a damaged one: what is wrong with it.
    Malformed(&'static str),
    /// It was made by another version of the engine: build it anew.
    OtherEngine,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the snapshot cannot be read: {error}"),
            Self::Malformed(what) => write!(f, "not a snapshot: {what}"),
            Self::OtherEngine => f.write_str("the snapshot was built by another engine version"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const MAGIC: &[u8; 8] = b"LODESNP1";

/// Magic, then the JSON header's length as a little-endian u32.
const PREFIX: usize = 12;

/// Bytes between two changed pages up to which what lies between them is stored too: more, where there would be
/// more than [`MAX_EXTENTS`].
const GAP: usize = 16 * PAGE;

/// Extents of changed pages. Each costs a slot two mappings, of which a process has some 65,000 (Linux:
/// `vm.max_map_count`): 128 runs of such a snapshot take a quarter of them, whoever made it.
const MAX_EXTENTS: usize = 64;

/// A header beyond this is no snapshot of ours: one of 10,000 handlers stays below.
const MAX_HEADER: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    engine: [u8; 32],
    sources: [u8; 32],
    /// SHA-256 of the pages.
    pages: [u8; 32],
    size: usize,
    /// (first byte, length, whether stored): stored extents follow each other in the pages.
    changed: Vec<(usize, usize, bool)>,
    handlers: Vec<Handler>,
}

/// An app's scripts, evaluated and frozen. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    engine: Arc<Inner>,
    image: Arc<Image>,
    sources: [u8; 32],
    handlers: Arc<[Handler]>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

/// Limits for evaluating top-level code, which may load large libraries: 2 s of CPU, the rest as for a
/// run.
pub fn deploy_limits() -> Limits {
    Limits { cpu: Duration::from_secs(2), ..Limits::default() }
}

impl Snapshot {
    /// Evaluates the entries among `sources`, in order, and freezes what they leave. Also returns what
    /// they logged, on success and on failure.
    ///
    /// Imports find other sources by path, and nothing else. While top-level code runs, `Date.now()` is
    /// 0, and `Math.random` and `crypto` give the same sequence at every deploy: a snapshot depends on
    /// its sources and the engine only.
    pub fn build(
        engine: &Engine,
        sources: &[Source],
        limits: &Limits,
    ) -> (Result<Self, BuildError>, Vec<LogLine>) {
        let engine = &engine.inner;
        let mut guest = match Guest::new(engine, &engine.pristine, limits.clone(), Phase::Deploy) {
            Ok(guest) => guest,
            Err(error) => return (Err(BuildError::Platform(format!("{error:#}"))), Vec::new()),
        };
        let cpu = guest.state().cpu.clone();
        cpu.start_slice();
        let _ticking = engine.ticker.ticking();
        let result = build(engine, &mut guest, sources);
        let logs = std::mem::take(&mut guest.state().logs);
        (result, logs)
    }

    /// The serialised form.
    pub fn as_bytes(&self) -> &[u8] {
        self.image.view().bytes()
    }

    /// The sealed memory file that holds [`Snapshot::as_bytes`], for passing to another process.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.image.view().as_fd()
    }

    /// Loads what [`Snapshot::as_bytes`] gave.
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::from_view(engine, View::create(&[bytes])?)
    }

    /// Loads from a sealed memory file, which is mapped, not copied.
    pub fn from_file(engine: &Engine, file: OwnedFd) -> Result<Self, LoadError> {
        Self::from_view(engine, View::open(file)?)
    }

    fn from_view(engine: &Engine, view: View) -> Result<Self, LoadError> {
        let bytes = view.bytes();
        let prefix = bytes.get(..PREFIX).ok_or(LoadError::Malformed("it is too short"))?;
        if prefix[..8] != MAGIC[..] {
            return Err(LoadError::Malformed("it does not begin as one"));
        }
        let len = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize;
        if len > MAX_HEADER {
            return Err(LoadError::Malformed("its header is too long"));
        }
        let header =
            bytes.get(PREFIX..PREFIX + len).ok_or(LoadError::Malformed("its header is cut off"))?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|_| LoadError::Malformed("its header is not one"))?;
        if header.engine != lode_guest::DIGEST {
            return Err(LoadError::OtherEngine);
        }
        let mut offset = (PREFIX + len).next_multiple_of(PAGE);
        let pages = bytes.get(offset..).ok_or(LoadError::Malformed("its pages are missing"))?;
        if header.pages != <[u8; 32]>::from(Sha256::digest(pages)) {
            return Err(LoadError::Malformed("its pages are damaged"));
        }
        if header.changed.len() > MAX_EXTENTS {
            return Err(LoadError::Malformed("its memory is in too many pieces"));
        }
        let mut changed = Vec::with_capacity(header.changed.len());
        for (start, len, stored) in header.changed {
            let origin = if stored { Origin::Own(offset) } else { Origin::Zero };
            if stored {
                offset =
                    offset.checked_add(len).ok_or(LoadError::Malformed("an extent overflows"))?;
            }
            changed.push(Extent { start, len, origin });
        }
        let base = engine.inner.pristine.clone();
        if header.size < base.size() {
            return Err(LoadError::Malformed("its memory is smaller than the engine's"));
        }
        let image =
            Image::new(header.size, view, Some(base), &changed).map_err(LoadError::Malformed)?;
        Ok(Self {
            engine: engine.inner.clone(),
            image: Arc::new(image),
            sources: header.sources,
            handlers: header.handlers.into(),
        })
    }

    /// What identifies the snapshot: the digests of the engine and of the sources.
    pub fn key(&self) -> ([u8; 32], [u8; 32]) {
        (lode_guest::DIGEST, self.sources)
    }

    /// Its handlers, in the order they were found.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }

    /// [`Handler::find`] among its handlers.
    pub fn find(&self, name: &str) -> Result<usize, FindError> {
        Handler::find(&self.handlers, name)
    }

    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    pub(crate) fn engine(&self) -> &Arc<Inner> {
        &self.engine
    }
}

/// Why [`Handler::find`] found no handler, with the short names of those it had to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// None has that name; there are these.
    None(Vec<String>),
    /// Several have it, these: name one of them.
    Several(Vec<String>),
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(all) => write!(f, "no such handler; there are: {}", all.join(", ")),
            Self::Several(these) => {
                write!(f, "several handlers have that name: {}", these.join(", "))
            }
        }
    }
}

impl std::error::Error for FindError {}

impl Handler {
    /// The index of the one handler called `name`, in any of the ways of [`Handler::is_called`].
    pub fn find(handlers: &[Self], name: &str) -> Result<usize, FindError> {
        let found: Vec<usize> =
            (0..handlers.len()).filter(|&index| handlers[index].is_called(name)).collect();
        match found.as_slice() {
            [] => Err(FindError::None(handlers.iter().map(Self::short_name).collect())),
            [one] => Ok(*one),
            several => Err(FindError::Several(
                several.iter().map(|&index| handlers[index].short_name()).collect(),
            )),
        }
    }
}

fn build(
    engine: &Arc<Inner>,
    guest: &mut Guest,
    sources: &[Source],
) -> Result<Snapshot, BuildError> {
    let mut digest = Sha256::new();
    for (name, code) in libraries::used_by(sources) {
        let evaluated = (|| {
            let (name, _) = guest.put_text(&format!("lode:{name}"))?;
            let (code, len) = guest.put_text(code)?;
            guest.call::<_, ()>(&engine.exports.bootstrap, (name, code, len))
        })();
        evaluated.map_err(|error| failure(guest, &error, false))?;
    }
    for source in sources {
        let (code, kind) = source.to_javascript().map_err(BuildError::Syntax)?;
        for part in [source.name.as_bytes(), code.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update([u8::try_from(kind).unwrap_or(u8::MAX), u8::from(source.entry)]);
        if source.name.contains('\0') || source.name.starts_with("lode:") {
            return Err(BuildError::Syntax(ScriptError {
                name: "SyntaxError".into(),
                message: format!("{:?} cannot be a source's name", source.name),
                stack: String::new(),
            }));
        }
        let compiled = (|| {
            let (name, _) = guest.put_text(&source.name)?;
            let (code, len) = guest.put_text(&code)?;
            guest.call::<_, ()>(
                &engine.exports.source,
                (kind, i32::from(source.entry), name, code, len),
            )
        })();
        compiled.map_err(|error| failure(guest, &error, true))?;
    }
    guest
        .call::<_, ()>(&engine.exports.compile, ())
        .map_err(|error| failure(guest, &error, true))?;
    let waiting: i32 =
        guest.call(&engine.exports.evaluate, ()).map_err(|error| failure(guest, &error, false))?;
    if waiting != 0 {
        return Err(BuildError::NeverSettles);
    }
    guest
        .call::<_, ()>(&engine.exports.freeze, ())
        .map_err(|error| failure(guest, &error, false))?;
    let memory = guest.memory();
    let size = memory.len();
    let stack = lode_guest::STACK_BYTES as usize;
    let mut gap = GAP;
    let (extents, pages) = loop {
        let (extents, pages) = Image::differences(Some(&engine.pristine), memory, stack, gap);
        // At the latest with all of the memory in between.
        if extents.len() <= MAX_EXTENTS || gap > size {
            break (extents, pages);
        }
        gap *= 2;
    };
    let mut hash = Sha256::new();
    for page in &pages {
        hash.update(page);
    }
    let (pages_digest, pages) = (hash.finalize().into(), pages.concat());

    let handlers = handlers(engine, guest)?;
    if handlers.is_empty() {
        return Err(BuildError::NoHandler);
    }
    let header = Header {
        engine: lode_guest::DIGEST,
        sources: digest.finalize().into(),
        pages: pages_digest,
        size,
        changed: extents.iter().map(|e| (e.start, e.len, e.origin != Origin::Zero)).collect(),
        handlers,
    };
    store(engine, &header, &extents, &pages)
        .map_err(|error| BuildError::Platform(error.to_string()))
}

fn store(
    engine: &Arc<Inner>,
    header: &Header,
    extents: &[Extent],
    pages: &[u8],
) -> Result<Snapshot, LoadError> {
    let json = serde_json::to_vec(header).map_err(|_| LoadError::Malformed("its header"))?;
    if json.len() > MAX_HEADER {
        return Err(LoadError::Malformed("it has too many handlers"));
    }
    let mut head = MAGIC.to_vec();
    head.extend(u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    head.extend(&json);
    head.resize(head.len().next_multiple_of(PAGE), 0);
    let changed: Vec<Extent> = extents
        .iter()
        .map(|extent| match extent.origin {
            Origin::Own(offset) => {
                Extent { origin: Origin::Own(offset + head.len()), ..extent.clone() }
            }
            _ => extent.clone(),
        })
        .collect();
    let view = View::create(&[&head, pages])?;
    let image = Image::new(header.size, view, Some(engine.pristine.clone()), &changed)
        .map_err(LoadError::Malformed)?;
    Ok(Snapshot {
        engine: engine.clone(),
        image: Arc::new(image),
        sources: header.sources,
        handlers: header.handlers.clone().into(),
    })
}

/// Asks the guest, after its memory was copied: the answer unwinds it. The list is hostile, and says
/// nothing that a run could not: an index beyond it is refused by the guest itself.
fn handlers(engine: &Inner, guest: &mut Guest) -> Result<Vec<Handler>, BuildError> {
    #[derive(Deserialize)]
    struct List {
        handlers: Vec<(String, String, Form)>,
    }
    let result: wasmtime::Result<()> = guest.call(&engine.exports.handlers, ());
    match (guest.state().take_finish(), result) {
        (Some(finish), _) => match serde_json::from_slice::<List>(&finish.payload) {
            Ok(List { handlers }) => Ok(handlers
                .into_iter()
                .map(|(script, name, form)| Handler { script, name, form })
                .collect()),
            Err(_) => Err(broken_engine()),
        },
        (None, Err(error)) => Err(failure(guest, &error, false)),
        (None, Ok(())) => Err(broken_engine()),
    }
}

/// `FINISH_ABORTED` of lode.h.
const ABORTED: i32 = 3;

fn failure(guest: &mut Guest, error: &wasmtime::Error, compiling: bool) -> BuildError {
    let finish = guest.state().take_finish();
    let aborted = finish.as_ref().is_some_and(|finish| finish.kind == ABORTED);
    let outcome = match finish {
        Some(finish) if guest.state().exceeded().is_none() => finish.into_outcome(),
        _ => guest.ending(error),
    };
    match outcome {
        Outcome::Error(error) if aborted => BuildError::TopLevel(error),
        Outcome::Error(error) if compiling && error.name == "SyntaxError" => {
            BuildError::Syntax(error)
        }
        Outcome::Error(error) => BuildError::Script(error),
        Outcome::Limit { limit } => BuildError::Limit(limit),
        Outcome::Platform { detail } => BuildError::Platform(detail),
        // Only a corrupted engine answers a run that nobody asked for.
        _ => broken_engine(),
    }
}

fn broken_engine() -> BuildError {
    BuildError::Script(ScriptError {
        name: "InternalError".into(),
        message: "top-level code broke its engine".into(),
        stack: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_found_by_function_short_name_and_file() {
        let all = [
            ("collections/orders/onPreSave.js", "onPreSave"),
            ("collections/users.js", "onPreSave"),
            ("endpoints/ping.js", "onRequest"),
            ("lib/a#b.mjs", "go"),
        ]
        .map(|(script, name)| Handler {
            script: script.into(),
            name: name.into(),
            form: Form::Script,
        });
        for (name, index) in [
            ("orders/onPreSave", 0),
            ("users/onPreSave", 1),
            ("collections/users.js#onPreSave", 1),
            ("onRequest", 2),
            ("ping", 2),
            ("endpoints/ping.js#onRequest", 2),
            ("lib/a#b.mjs#go", 3),
        ] {
            assert_eq!(Handler::find(&all, name), Ok(index), "{name}");
        }
        let names = |range: std::ops::Range<usize>| -> Vec<String> {
            let all = ["orders/onPreSave", "users/onPreSave", "ping", "lib/a#b.mjs#go"];
            all[range].iter().map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(Handler::find(&all, "onPreSave"), Err(FindError::Several(names(0..2))));
        assert_eq!(Handler::find(&all, "nothing"), Err(FindError::None(names(0..4))));
    }
}
