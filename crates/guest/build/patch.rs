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

/// Other changes, as (what stands there, what takes its place).
const CHANGED: [(&str, &str); 3] = [
    // Atoms below JS_ATOM_END are never counted or freed. Neither are those of a frozen snapshot
    // (`freeze_atoms` in c/lode.c): counting would write to the page of every name a run uses.
    (
        "static inline bool __JS_AtomIsConst(JSAtom v)\n{\n    return (int32_t)v < JS_ATOM_END;\n}\n",
        "static int32_t constant_atoms = JS_ATOM_END;\n\
         static inline bool __JS_AtomIsConst(JSAtom v)\n{\n    return (int32_t)v < constant_atoms;\n}\n",
    ),
    // A difference that would be below 0 wraps around: an allocation larger than the stack passed.
    (
        "    sp = js_get_stack_pointer() - alloca_size;\n    return unlikely(sp < rt->stack_limit);\n",
        "    sp = js_get_stack_pointer();\n    \
         return unlikely(sp < rt->stack_limit || sp - rt->stack_limit < alloca_size);\n",
    ),
    // No stack, and no `Error.prepareStackTrace`, shows a frame of the bootstrap (c/frames.c).
    (
        "            backtrace_barrier = b->backtrace_barrier;\n        }\n\n        if (has_prepare) {\n",
        "            backtrace_barrier = b->backtrace_barrier;\n        }\n\n        \
         if (lode_is_own_frame(ctx, sf))\n            continue;\n        if (has_prepare) {\n",
    ),
];

pub(crate) fn patch(source: &Source, out: &Path) -> Result<(), String> {
    let path = source.quickjs.join("quickjs.c");
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut replace = |from: &str, to: &str| {
        if text.matches(from).count() != 1 {
            return Err(format!("{}: build/patch.rs expects this once: {from}", path.display()));
        }
        text = text.replace(from, to);
        Ok(())
    };
    for (result, signature) in REPLACED {
        let definition = format!("\n{result}{signature}\n{{");
        replace(&definition, &format!("\n{result}replaced_{signature}\n{{"))?;
    }
    for (from, to) in CHANGED {
        replace(from, to)?;
    }
    fs::write(out.join("quickjs.c"), text).map_err(|e| e.to_string())
}
