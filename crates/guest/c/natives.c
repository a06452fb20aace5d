/* The C functions that the bootstrap JavaScript is built on. Customer code never holds one. */

static JSValue native_log(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    int32_t level;
    size_t len;
    if (JS_ToInt32(c, &level, argv[0]))
        return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(c, &len, argv[1]);
    if (!text)
        return JS_EXCEPTION;
    host_log(level, text, len);
    JS_FreeCString(c, text);
    return JS_UNDEFINED;
}

/* call(name, args): a promise of the host's answer. */
static JSValue native_call(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    if (deploying)
        abort_run("a host call at top level: it can only be made while a handler runs");
    size_t name_len, args_len;
    JSValue json = JS_JSONStringify(c, argv[1], JS_UNDEFINED, JS_UNDEFINED);
    if (JS_IsException(json))
        return JS_EXCEPTION;
    const char *args = JS_IsUndefined(json) ? NULL : JS_ToCStringLen(c, &args_len, json);
    const char *name = JS_ToCStringLen(c, &name_len, argv[0]);
    JSValue promise = JS_EXCEPTION;
    uint32_t id;
    if (!args && !JS_HasException(c))
        JS_ThrowTypeError(c, "the arguments of a host call must be JSON");
    if (args && name)
        promise = new_call(c, &id);
    if (!JS_IsException(promise))
        host_call(id, name, name_len, args, args_len);
    JS_FreeCString(c, args);
    JS_FreeCString(c, name);
    JS_FreeValue(c, json);
    return promise;
}

/* finish(kind, status, name, value, …): ends the run at once with the pairs as a JSON object, without those
 * whose value is undefined; returns only by an exception (a value that cannot be JSON). */
static JSValue native_finish(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    int32_t kind, status;
    if (JS_ToInt32(c, &kind, argv[0]) || JS_ToInt32(c, &status, argv[1]))
        return JS_EXCEPTION;
    DynBuf payload;
    js_dbuf_init(c, &payload);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (JS_IsUndefined(argv[i + 1]))
            continue;
        JSValue json = JS_JSONStringify(c, argv[i + 1], JS_UNDEFINED, JS_UNDEFINED);
        if (JS_IsException(json))
            return JS_EXCEPTION;
        if (JS_IsUndefined(json))
            continue;
        size_t name_len, len;
        const char *name = JS_ToCStringLen(c, &name_len, argv[i]);
        const char *text = JS_ToCStringLen(c, &len, json);
        if (!name || !text)
            return JS_EXCEPTION;
        dbuf_put(&payload, (const uint8_t *)(payload.size ? ",\"" : "{\""), 2);
        dbuf_put(&payload, (const uint8_t *)name, name_len); /* ours: nothing to escape */
        dbuf_put(&payload, (const uint8_t *)"\":", 2);
        dbuf_put(&payload, (const uint8_t *)text, len);
    }
    dbuf_put(&payload, (const uint8_t *)(payload.size ? "}" : "{}"), payload.size ? 1 : 2);
    if (payload.error)
        return JS_ThrowOutOfMemory(c);
    host_finish(kind, status, (char *)payload.buf, payload.size);
}

/* setTimer(function, delay in ms, repeat, args array): the timer's id. */
static JSValue native_set_timer(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    if (deploying)
        abort_run("a timer at top level: it can only be started while a handler runs");
    double delay;
    if (JS_ToFloat64(c, &delay, argv[1]))
        return JS_EXCEPTION;
    timers = grow(timers, timer_count, &timer_capacity, sizeof(*timers));
    timers[timer_count++] = (Timer){
        .id = next_timer_id,
        .due = now_us + delay * 1000,
        .period = JS_ToBool(c, argv[2]) ? delay * 1000 : 0,
        .function = JS_DupValue(c, argv[0]),
        .args = JS_DupValue(c, argv[3]),
    };
    return JS_NewUint32(c, next_timer_id++);
}

static JSValue native_clear_timer(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    uint32_t id;
    if (JS_ToUint32(c, &id, argv[0]))
        return JS_EXCEPTION;
    for (uint32_t i = 0; i < timer_count; i++) {
        if (timers[i].id == id) {
            remove_timer(i);
            break;
        }
    }
    return JS_UNDEFINED;
}

static JSValue native_random(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t len;
    uint8_t *bytes = JS_GetUint8Array(c, &len, argv[0]);
    if (!bytes)
        return JS_EXCEPTION;
    host_random(bytes, len);
    return JS_UNDEFINED;
}

/* How long the UTF-8 sequence at `p` is, or 0 with `*bad` the length of its maximal well-formed prefix
 * (at least 1), which WHATWG's decoder replaces by one U+FFFD. */
static uint32_t utf8_sequence(const uint8_t *p, const uint8_t *end, uint32_t *bad) {
    uint8_t lead = p[0], low = 0x80, high = 0xBF;
    uint32_t len;
    *bad = 1;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        len = 2;
    else if (lead >= 0xE0 && lead <= 0xEF)
        len = 3;
    else if (lead >= 0xF0 && lead <= 0xF4)
        len = 4;
    else
        return 0;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F; /* surrogates */
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (uint32_t i = 1; i < len; i++) {
        if (p + i == end || p[i] < low || p[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return len;
}

/* Copies `len` bytes to `out` (room for 3 × len), each malformed sequence as U+FFFD. Returns the length
 * written, or -1 if something was malformed and `fatal`. */
static int64_t utf8_clean(uint8_t *out, const uint8_t *in, size_t len, bool fatal) {
    const uint8_t *end = in + len;
    uint8_t *start = out;
    while (in < end) {
        uint32_t bad, n = utf8_sequence(in, end, &bad);
        if (n) {
            memcpy(out, in, n);
            in += n;
            out += n;
        } else if (fatal) {
            return -1;
        } else {
            memcpy(out, "\xEF\xBF\xBD", 3);
            in += bad;
            out += 3;
        }
    }
    return out - start;
}

/* utf8Encode(string): a Uint8Array, lone surrogates replaced. */
static JSValue native_utf8_encode(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t len;
    const char *text = JS_ToCStringLen(c, &len, argv[0]);
    if (!text)
        return JS_EXCEPTION;
    /* QuickJS writes a lone surrogate as the three bytes that UTF-8 forbids; the decoder makes three
     * replacements of them, where the encoder's rule is one. */
    uint8_t *bytes = js_malloc(c, len + 1);
    if (bytes) {
        memcpy(bytes, text, len);
        for (size_t i = 0; i + 2 < len; i++)
            if (bytes[i] == 0xED && bytes[i + 1] >= 0xA0)
                memcpy(bytes + i, "\xEF\xBF\xBD", 3);
    }
    JS_FreeCString(c, text);
    JSValue array = bytes ? JS_NewUint8ArrayCopy(c, bytes, len) : JS_EXCEPTION;
    js_free(c, bytes);
    return array;
}

/* utf8Decode(Uint8Array, fatal): a string. */
static JSValue native_utf8_decode(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t len;
    uint8_t *bytes = JS_GetUint8Array(c, &len, argv[0]);
    if (!bytes)
        return JS_EXCEPTION;
    uint8_t *clean = js_malloc(c, len * 3 + 1);
    if (!clean)
        return JS_EXCEPTION;
    int64_t clean_len = utf8_clean(clean, bytes, len, JS_ToBool(c, argv[1]));
    JSValue result = clean_len < 0
                         ? JS_ThrowTypeError(c, "the encoded data was not valid utf-8")
                         : JS_NewStringLen(c, (char *)clean, clean_len);
    js_free(c, clean);
    return result;
}

/* url(input, base) and urlSet(href, field, value): an array of components, or null. The request is each
 * argument as a length and its bytes; JSON would run a patched toJSON. */
static JSValue native_url(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    DynBuf request;
    js_dbuf_init(c, &request);
    for (int i = 0; i < argc && !JS_IsUndefined(argv[i]); i++) {
        size_t len;
        const char *text = JS_ToCStringLen(c, &len, argv[i]);
        if (!text) {
            dbuf_free(&request);
            return JS_EXCEPTION;
        }
        dbuf_put_u32(&request, len);
        dbuf_put(&request, (const uint8_t *)text, len);
        JS_FreeCString(c, text);
    }
    /* Percent-encoding triples a URL at most, and components repeat parts of it: nearly always
     * enough at once. */
    uint32_t cap = request.size * 4 + 256, out_len = UINT32_MAX;
    char *out = NULL, *room;
    while (!request.error && (room = js_realloc(c, out, cap + 1))) {
        out = room;
        out_len = host_url((char *)request.buf, request.size, out, cap);
        if (out_len <= cap)
            break;
        cap = out_len;
    }
    dbuf_free(&request);
    JSValue result = JS_EXCEPTION;
    if (out_len <= cap) {
        out[out_len] = 0;
        result = JS_ParseJSON(c, out, out_len, "url");
    }
    js_free(c, out);
    return result;
}

/* classOf(value): the internal class, whatever prototypes and toStringTags say. */
static JSValue native_class_of(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    if (JS_IsUndefined(argv[0]))
        return JS_NewString(c, "undefined");
    if (JS_IsNull(argv[0]))
        return JS_NewString(c, "null");
    if (!JS_IsObject(argv[0]))
        return JS_NewString(c, "primitive");
    JSClassID id = JS_GetClassID(argv[0]);
    if (id == JS_CLASS_PROXY)
        return JS_NewString(c, "Proxy"); /* a callable proxy's class is named as its function's */
    if (JS_IsFunction(c, argv[0]))
        return JS_NewString(c, "Function"); /* bytecode, bound, C and generator functions alike */
    return JS_AtomToString(c, rt->class_array[id].class_name);
}

static JSValue native_proxy_target(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    if (JS_GetClassID(argv[0]) != JS_CLASS_PROXY)
        return JS_UNDEFINED;
    JSProxyData *data = JS_GetOpaque(argv[0], JS_CLASS_PROXY);
    return data->is_revoked ? JS_UNDEFINED : JS_DupValue(c, data->target);
}

/* promiseState(promise): [0 pending | 1 fulfilled | 2 rejected, value]. */
static JSValue native_promise_state(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    JSValue pair = JS_NewArray(c);
    JS_DefinePropertyValueUint32(c, pair, 0, JS_NewInt32(c, JS_PromiseState(c, argv[0])),
                                 JS_PROP_C_W_E);
    JS_DefinePropertyValueUint32(c, pair, 1, JS_PromiseResult(c, argv[0]), JS_PROP_C_W_E);
    return pair;
}

/* then(promise, fulfilled, rejected): the built-in `then`, which no patched prototype or species
 * reaches. */
static JSValue native_then(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    JSValue derived = JS_PromiseThen(c, argv[0], argv[1], argv[2]);
    if (JS_IsException(derived))
        return JS_EXCEPTION;
    JS_FreeValue(c, derived);
    return JS_UNDEFINED;
}

/* handle(handler, and its three arguments): what lode_invoke calls next. */
static JSValue native_handle(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    for (uint32_t i = 0; i < countof(handling); i++)
        handling[i] = JS_DupValue(c, argv[i]);
    return JS_UNDEFINED;
}

static JSValue native_require(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv); /* modules.c */

static const JSCFunctionListEntry native_functions[] = {
    JS_CFUNC_DEF("require", 1, native_require),
    JS_CFUNC_DEF("handle", 4, native_handle),
    JS_CFUNC_DEF("log", 2, native_log),
    JS_CFUNC_DEF("call", 2, native_call),
    JS_CFUNC_DEF("finish", 2, native_finish),
    JS_CFUNC_DEF("setTimer", 4, native_set_timer),
    JS_CFUNC_DEF("clearTimer", 1, native_clear_timer),
    JS_CFUNC_DEF("random", 1, native_random),
    JS_CFUNC_DEF("utf8Encode", 1, native_utf8_encode),
    JS_CFUNC_DEF("utf8Decode", 2, native_utf8_decode),
    JS_CFUNC_DEF("url", 2, native_url),
    JS_CFUNC_DEF("urlSet", 3, native_url),
    JS_CFUNC_DEF("classOf", 1, native_class_of),
    JS_CFUNC_DEF("proxyTarget", 1, native_proxy_target),
    JS_CFUNC_DEF("promiseState", 1, native_promise_state),
    JS_CFUNC_DEF("then", 3, native_then),
};

static JSValue new_native_object(void) {
    JSValue object = JS_NewObjectProto(ctx, JS_NULL);
    JS_SetPropertyFunctionList(ctx, object, native_functions, countof(native_functions));
    /* Listed functions are made when they are first asked for: now, not in every run. */
    for (size_t i = 0; i < countof(native_functions); i++)
        JS_FreeValue(ctx, JS_GetPropertyStr(ctx, object, native_functions[i].name));
    return object;
}
