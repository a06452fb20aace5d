//! What is changed in quickjs.c before it is compiled. The changed file exists in the build folder only.
//! Each change names the exact text it replaces, so that another version of the source fails the build
//! instead of silently going without.

use std::fs;
use std::path::Path;

use crate::source::Source;

/// Functions whose definitions c/alloc.c replaces: each is renamed where it is defined, so that all its
/// callers find ours.
const REPLACED: [(&str, &str); 5] = [
    ("void *", "js_calloc_rt(JSRuntime *rt, size_t count, size_t size)"),
    ("void *", "js_malloc_rt(JSRuntime *rt, size_t size)"),
    ("void ", "js_free_rt(JSRuntime *rt, void *ptr)"),
    ("void *", "js_realloc_rt(JSRuntime *rt, void *ptr, size_t size)"),
    ("size_t ", "js_malloc_usable_size_rt(JSRuntime *rt, const void *ptr)"),
];

pub(crate) fn patch(source: &Source, out: &Path) -> Result<(), String> {
    let path = source.quickjs.join("quickjs.c");
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    for (result, signature) in REPLACED {
        let definition = format!("\n{result}{signature}\n{{");
        if text.matches(&definition).count() != 1 {
            return Err(format!(
                "{}: `{signature}` is not defined as build/patch.rs expects",
                path.display()
            ));
        }
        text = text.replace(&definition, &format!("\n{result}replaced_{signature}\n{{"));
    }
    fs::write(out.join("quickjs.c"), text).map_err(|e| e.to_string())
}
