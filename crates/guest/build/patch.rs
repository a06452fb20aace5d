//! What is changed in quickjs.c and libregexp.c before they are compiled. The changed files exist in the build folder
//! only.
//! Each change names the exact text it replaces, so that another version of the source fails the build
//! instead of silently going without.

mod interpreter;
mod json;
mod properties;
mod search;

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
const CHANGED: [(&str, &str); 5] = [
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
    // JSON.stringify's own list of what it is in: a setter on Array.prototype would see it.
    (
        "    jsc->stack = JS_NewArray(ctx);\n",
        "    jsc->stack = JS_NewArray(ctx);\n    JS_SetPrototype(ctx, jsc->stack, JS_NULL);\n",
    ),
    // What holds the value is for a replacer function to see, and nothing else.
    (
        "    wrapper = JS_NewObject(ctx);\n    if (JS_IsException(wrapper))\n        goto exception;\n    \
         if (JS_DefinePropertyValue(ctx, wrapper, JS_ATOM_empty_string,\n",
        "    if (!JS_IsUndefined(jsc->replacer_func))\n        wrapper = JS_NewObject(ctx);\n    \
         if (JS_IsException(wrapper))\n        goto exception;\n    if (!JS_IsUndefined(wrapper) && \
         JS_DefinePropertyValue(ctx, wrapper, JS_ATOM_empty_string,\n",
    ),
    // No stack, and no `Error.prepareStackTrace`, shows a frame of the bootstrap (c/frames.c).
    (
        "            backtrace_barrier = b->backtrace_barrier;\n        }\n\n        if (has_prepare) {\n",
        "            backtrace_barrier = b->backtrace_barrier;\n        }\n\n        \
         if (lode_is_own_frame(ctx, sf))\n            continue;\n        if (has_prepare) {\n",
    ),
];

/// Reference counts of what a frozen snapshot holds (`freeze_counts` in c/alloc.c) stay as they are:
/// counting would write to the page of every function, object and shape that a run looks at. The cycle
/// collector still counts them, as it takes that back.
const COUNTS: &str = "\
#define LODE_FROZEN_COUNT 0x60000000 /* far from what any run could add, and from the bound below */
static inline void lode_count_up(void *p) {
    int count = JS_REF_COUNT(p);
    if (likely(count < 0x40000000))
        JS_REF_COUNT(p) = count + 1;
}
static inline int lode_count_down(void *p) {
    int count = JS_REF_COUNT(p);
    if (likely((unsigned)count - 2 < 0x40000000 - 2)) { /* one comparison for the common case */
        JS_REF_COUNT(p) = count - 1;
        return 1;
    }
    if (count < 2)
        JS_REF_COUNT(p) = --count;
    return count;
}
";

/// How often quickjs.c counts up, and down.
const COUNTED: (usize, usize) = (19, 8);

fn patch_counts(text: &str) -> Result<String, String> {
    let mut patched = String::with_capacity(text.len());
    let mut counted = (0, 0);
    let mut collecting = false;
    for line in text.lines() {
        if line.starts_with("static void gc_") {
            collecting = true;
        } else if line == "}" {
            collecting = false;
        }
        let statement = line.trim_start();
        if let Some(of) =
            statement.strip_prefix("JS_REF_COUNT(").and_then(|rest| rest.strip_suffix(")++;"))
        {
            counted.0 += 1;
            if !collecting {
                patched += &format!("lode_count_up({of});\n");
                continue;
            }
        } else if let Some(of) =
            statement.strip_prefix("JS_REF_COUNT(").and_then(|rest| rest.strip_suffix(")--;"))
        {
            if !collecting {
                counted.1 += 1;
                patched += &format!("lode_count_down({of});\n");
                continue;
            }
        } else if statement.contains("(--JS_REF_COUNT(") {
            counted.1 += 1;
            patched += &line.replace("(--JS_REF_COUNT(", "(lode_count_down(");
            patched.push('\n');
            continue;
        }
        patched += line;
        patched.push('\n');
    }
    if counted != COUNTED {
        return Err(format!(
            "quickjs.c counts {counted:?} times, not {COUNTED:?}: see build/patch.rs"
        ));
    }
    Ok(patched)
}

/// The text of one of the engine's files with all of `changes` made.
fn changed<'a>(
    source: &Source,
    name: &str,
    changes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, String> {
    let path = source.quickjs.join(name);
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    for (from, to) in changes {
        if text.matches(from).count() != 1 {
            return Err(format!("{}: build/patch.rs expects this once: {from}", path.display()));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

pub(crate) fn patch(source: &Source, out: &Path) -> Result<(), String> {
    let renamed = REPLACED.map(|(result, signature)| {
        (format!("\n{result}{signature}\n{{"), format!("\n{result}replaced_{signature}\n{{"))
    });
    let types = "#define JS_GC_TYPE(p) ";
    let counts = format!("{COUNTS}{types}");
    let changes = renamed
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .chain(CHANGED)
        .chain(interpreter::INTERPRETER)
        .chain(properties::PROPERTIES)
        .chain(json::QUOTING)
        .chain([(types, counts.as_str())]);
    let engine = patch_counts(&changed(source, "quickjs.c", changes)?)?;
    let expressions = changed(source, "libregexp.c", search::SEARCHING)?;
    for (name, text) in [("quickjs.c", engine), ("libregexp.c", expressions)] {
        fs::write(out.join(name), text).map_err(|e| e.to_string())?;
    }
    Ok(())
}
