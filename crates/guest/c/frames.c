/* Which stack frames are the bootstrap's, for build_backtrace (build/patch.rs). */

static bool is_bootstrap_file(JSContext *c, JSAtom filename) {
    if (filename == JS_ATOM_NULL || __JS_AtomIsTaggedInt(filename))
        return false;
    const JSAtomStruct *name = c->rt->atom_array[filename];
    return !name->is_wide_char && name->len > 5 && !memcmp(str8((JSString *)name), "lode:", 5);
}

/* A function of a bootstrap file, or a built-in that one called. */
static bool lode_is_own_frame(JSContext *c, JSStackFrame *frame) {
    for (; frame; frame = frame->prev_frame) {
        JSObject *function = JS_VALUE_GET_OBJ(frame->cur_func);
        if (js_class_has_bytecode(function->class_id))
            return is_bootstrap_file(c, function->u.func.function_bytecode->filename);
    }
    return false;
}
