//! What is changed in JSON.stringify.

/// JSON.stringify writes names and strings to where its output gathers, what needs no escape in one piece
/// (as json_parse_string reads it), instead of making a string of each first: names and texts are most of
/// what an answer has.
pub(crate) const QUOTING: [(&str, &str); 6] = [
    (
        "static JSValue JS_ToQuotedString(JSContext *ctx, JSValueConst val1)\n{\n    JSValue val;\n    \
         JSString *p;\n    int i;\n    uint32_t c;\n    StringBuffer b_s, *b = &b_s;\n    char buf[16];\n\n    \
         val = JS_ToStringCheckObject(ctx, val1);\n    if (JS_IsException(val))\n        return val;\n    \
         p = JS_VALUE_GET_STRING(val);\n\n    if (string_buffer_init(ctx, b, p->len + 2))\n        goto fail;\n",
        r#"static int lode_quote(JSContext *ctx, StringBuffer *b, JSValueConst val1)
{
    JSValue val;
    JSString *p;
    int i;
    uint32_t c;
    char buf[16];

    val = JS_ToStringCheckObject(ctx, val1);
    if (JS_IsException(val))
        return -1;
    p = JS_VALUE_GET_STRING(val);
"#,
    ),
    (
        "    for(i = 0; i < p->len; ) {\n        c = string_getc(p, &i);\n        switch(c) {\n        case '\\t':\n",
        r#"    for(i = 0; i < p->len; ) {
        if (!p->is_wide_char) {
            const uint8_t *plain = str8(p) + i, *end = str8(p) + p->len, *at = plain;
            while (at < end && *at >= 32 && *at != '"' && *at != '\\')
                at++;
            if (at > plain) {
                if (string_buffer_write8(b, plain, at - plain))
                    goto fail;
                i += at - plain;
                continue;
            }
        }
        c = string_getc(p, &i);
        switch(c) {
        case '\t':
"#,
    ),
    (
        "    if (string_buffer_putc8(b, '\\\"'))\n        goto fail;\n    JS_FreeValue(ctx, val);\n    \
         return string_buffer_end(b);\n fail:\n    JS_FreeValue(ctx, val);\n    string_buffer_free(b);\n    \
         return JS_EXCEPTION;\n",
        "    if (string_buffer_putc8(b, '\"'))\n        goto fail;\n    JS_FreeValue(ctx, val);\n    \
         return 0;\n fail:\n    JS_FreeValue(ctx, val);\n    return -1;\n",
    ),
    (
        "static JSValue JS_ToQuotedStringFree(JSContext *ctx, JSValue val) {\n    \
         JSValue r = JS_ToQuotedString(ctx, val);\n    JS_FreeValue(ctx, val);\n    return r;\n}\n",
        "",
    ),
    (
        "                    prop = JS_ToQuotedStringFree(ctx, prop);\n                    \
         if (JS_IsException(prop)) {\n                        JS_FreeValue(ctx, v);\n                        \
         goto exception;\n                    }\n                    \
         string_buffer_concat_value(jsc->b, sep);\n                    \
         string_buffer_concat_value(jsc->b, prop);\n",
        "                    string_buffer_concat_value(jsc->b, sep);\n                    \
         if (lode_quote(ctx, jsc->b, prop)) {\n                        JS_FreeValue(ctx, v);\n                        \
         goto exception;\n                    }\n",
    ),
    (
        "        val = JS_ToQuotedStringFree(ctx, val);\n        if (JS_IsException(val))\n            \
         goto exception;\n        goto concat_value;\n",
        "        if (lode_quote(ctx, jsc->b, val))\n            goto exception;\n        \
         JS_FreeValue(ctx, val);\n        return 0;\n",
    ),
];
