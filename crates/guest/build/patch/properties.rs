//! What is changed in how properties are defined and asked for.

pub(crate) const PROPERTIES: [(&str, &str); 8] = [
    // What an object literal, a spread and JSON.parse do most: an ordinary object gets a property that it has not.
    (
        "                           JSAtom prop, JSValue val, int flags)\n{\n    int ret;\n    ret = JS_DefinePropertyValueConst(",
        r#"                           JSAtom prop, JSValue val, int flags)
{
    int ret;
    if (JS_VALUE_GET_TAG(this_obj) == JS_TAG_OBJECT && !(flags & (JS_PROP_HAS_GET | JS_PROP_HAS_SET))) {
        JSObject *p = JS_VALUE_GET_OBJ(this_obj);
        if (!p->is_exotic && !p->fast_array && p->extensible && !find_own_property1(p, prop)) {
            JSProperty *pr = add_property(ctx, p, prop, flags & JS_PROP_C_W_E);
            if (unlikely(!pr)) {
                JS_FreeValue(ctx, val);
                return -1;
            }
            pr->u.value = val;
            return true;
        }
    }
    ret = JS_DefinePropertyValueConst("#,
    ),
    // `flags` asks for eight properties, and every replace and match for `flags`: their names are looked up once.
    (
        "static JSValue js_regexp_get_flags(JSContext *ctx, JSValueConst this_val)\n{\n    char str[8]",
        r#"enum { LODE_HAS_INDICES, LODE_IGNORE_CASE, LODE_MULTILINE, LODE_DOT_ALL, LODE_UNICODE_SETS, LODE_STICKY, LODE_FLAGS };
static JSAtom lode_flags[LODE_FLAGS];

static void lode_name_flags(JSContext *ctx)
{
    static const char *const names[] = {"hasIndices", "ignoreCase", "multiline", "dotAll", "unicodeSets", "sticky"};
    for (int i = 0; i < LODE_FLAGS; i++)
        lode_flags[i] = JS_NewAtom(ctx, names[i]);
}

static JSValue js_regexp_get_flags(JSContext *ctx, JSValueConst this_val)
{
    char str[8]"#,
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"hasIndices\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_HAS_INDICES])",
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"ignoreCase\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_IGNORE_CASE])",
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"multiline\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_MULTILINE])",
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"dotAll\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_DOT_ALL])",
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"unicodeSets\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_UNICODE_SETS])",
    ),
    (
        "JS_GetPropertyStr(ctx, this_val, \"sticky\")",
        "JS_GetProperty(ctx, this_val, lode_flags[LODE_STICKY])",
    ),
];
