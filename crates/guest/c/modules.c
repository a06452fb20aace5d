/* The deployed graph: its sources, how imports find them, and their one evaluation. */

typedef struct Source {
    struct Source *next;
    char *name, *text;
    uint32_t len;
    int kind;
    bool is_entry, is_compiling, is_compiled, is_module;
    JSValue compiled; /* a module, or the function that wraps a classic script */
} Source;

static Source *sources, **last_source = &sources;

static Source *find_source(const char *name, size_t len) {
    for (Source *s = sources; s; s = s->next)
        if (strlen(s->name) == len && !memcmp(s->name, name, len))
            return s;
    return NULL;
}

/* `specifier` as written in `base`, without "." and ".." parts. Bare names stay as they are. Returns
 * NULL when it climbs out of the deployment. */
static char *join(const char *base, const char *specifier) {
    bool relative = specifier[0] == '.' && (specifier[1] == '/' || (specifier[1] == '.' && specifier[2] == '/'));
    const char *slash = relative ? strrchr(base, '/') : NULL;
    size_t base_len = slash ? slash - base + 1 : 0;
    char *path = malloc(base_len + strlen(specifier) + 1);
    if (!path)
        __builtin_trap();
    memcpy(path, base, base_len);
    strcpy(path + base_len, specifier[0] == '/' ? specifier + 1 : specifier);
    char *out = path, *in = path;
    while (*in) {
        char *end = strchr(in, '/');
        size_t len = end ? (size_t)(end - in) : strlen(in);
        if (len == 2 && in[0] == '.' && in[1] == '.') {
            if (out == path) {
                free(path);
                return NULL;
            }
            out--; /* the slash */
            while (out > path && out[-1] != '/')
                out--;
        } else if (len > 0 && !(len == 1 && in[0] == '.')) {
            memmove(out, in, len);
            out += len;
            if (end)
                *out++ = '/';
        }
        in += len + (end != NULL);
    }
    *out = 0;
    return path;
}

/* What Node and bundlers try after the exact name; TypeScript files import each other as ".js". */
static const char *const suffixes[] = {"", ".js", ".mjs", ".ts", ".mts", ".json", "/index.js",
                                       "/index.mjs", "/index.ts"};

static Source *probe(const char *path) {
    size_t len = strlen(path), longest = 16; /* more than the longest suffix */
    char *candidate = malloc(len + longest);
    if (!candidate)
        __builtin_trap();
    Source *found = NULL;
    memcpy(candidate, path, len);
    for (size_t i = 0; i < countof(suffixes) && !found; i++) {
        strcpy(candidate + len, suffixes[i]);
        found = find_source(candidate, strlen(candidate));
    }
    if (!found && len > 3 && (!strcmp(path + len - 3, ".js") || !strcmp(path + len - 4, ".mjs"))) {
        memcpy(candidate + len - 2, "ts", 3);
        found = find_source(candidate, len);
    }
    free(candidate);
    return found;
}

static char *resolve_module(JSContext *c, const char *base, const char *specifier, void *opaque) {
    char *path = join(base, specifier);
    Source *source = path ? probe(path) : NULL;
    free(path);
    if (source)
        return js_strdup(c, source->name);
    JS_ThrowReferenceError(c, "cannot find module '%s', imported from '%s', in this deployment",
                           specifier, base);
    return NULL;
}

static bool compile_source(Source *s);

/* `name` comes from resolve_module, so there is such a source. Modules that import each other do not come
 * back here, as QuickJS finds a module it has begun to compile; but not one imported with attributes. */
static JSModuleDef *load_module(JSContext *c, const char *name, void *opaque, JSValueConst attributes) {
    Source *s = find_source(name, strlen(name));
    if (s && s->is_compiling) {
        JS_ThrowSyntaxError(c, "'%s' imports itself with attributes", name);
        return NULL;
    }
    if (!s || !compile_source(s))
        return NULL;
    if (s->is_module)
        return JS_VALUE_GET_PTR(s->compiled);
    JS_ThrowTypeError(c, "'%s' is a classic script and cannot be imported", name);
    return NULL;
}

/* A classic script becomes a function, so that each has a scope of its own (Kinvey's scripts all
 * declare the same names). Two lines precede its first, whose number is therefore -1: positions in the
 * customer's source stay right. Only what `handlerNames` in js/run.js lists is handed out. */
static const char script_head[] = "(function () {\n\n";

static JSValue wrap_script(const char *name, const char *source, size_t len) {
    JSValue tail = internal_function("scriptTail");
    size_t tail_len;
    const char *tail_text = JS_ToCStringLen(ctx, &tail_len, tail);
    size_t head_len = sizeof(script_head) - 1;
    char *text = malloc(head_len + len + tail_len + 1);
    if (!text || !tail_text)
        __builtin_trap();
    memcpy(text, script_head, head_len);
    memcpy(text + head_len, source, len);
    memcpy(text + head_len + len, tail_text, tail_len + 1);
    JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, JS_EVAL_TYPE_GLOBAL, name, -1};
    JSValue function = JS_Eval2(ctx, text, head_len + len + tail_len, &options);
    free(text);
    JS_FreeCString(ctx, tail_text);
    JS_FreeValue(ctx, tail);
    return function;
}

/* Where the pending SyntaxError lies: larger is later in the file. */
static int64_t error_position(JSValueConst error) {
    int32_t line = 0, column = 0;
    JSValue value = JS_GetPropertyStr(ctx, error, "lineNumber");
    JS_ToInt32(ctx, &line, value);
    JS_FreeValue(ctx, value);
    value = JS_GetPropertyStr(ctx, error, "columnNumber");
    JS_ToInt32(ctx, &column, value);
    JS_FreeValue(ctx, value);
    return ((int64_t)line << 32) + column;
}

static JSValue compile(int kind, const char *name, const char *source, size_t len, bool *is_module) {
    JSValue script_error = JS_UNDEFINED;
    *is_module = kind == SOURCE_MODULE;
    if (!*is_module) {
        /* As it stands first: what only parses inside the wrapper's braces is not a script. */
        JSValue script = JS_Eval(ctx, source, len, name, JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
        if (!JS_IsException(script)) {
            JS_FreeValue(ctx, script);
            return wrap_script(name, source, len);
        }
        if (kind == SOURCE_SCRIPT)
            return script;
        script_error = JS_GetException(ctx);
    }
    JSValue module = JS_Eval(ctx, source, len, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (kind == SOURCE_DETECT && JS_IsException(module)) {
        /* It is neither. The reading that got further is the one its author meant. */
        JSValue module_error = JS_GetException(ctx);
        bool script_further = error_position(script_error) >= error_position(module_error);
        return JS_Throw(ctx, script_further ? script_error : module_error);
    }
    JS_FreeValue(ctx, script_error);
    *is_module = true;
    return module;
}

static bool compile_source(Source *s) {
    if (s->is_compiled)
        return true;
    s->is_compiling = true;
    s->compiled = compile(s->kind, s->name, s->text, s->len, &s->is_module);
    s->is_compiling = false;
    s->is_compiled = true;
    free(s->text);
    s->text = NULL;
    return !JS_IsException(s->compiled);
}

void lode_compile(void) {
    for (Source *s = sources; s; s = s->next)
        if (!compile_source(s))
            report();
}

void lode_source(int32_t kind, int32_t entry, char *name, char *source, uint32_t source_len) {
    Source *s = malloc(sizeof(*s));
    if (!s)
        __builtin_trap();
    *s = (Source){.name = name, .text = source, .len = source_len, .kind = kind, .is_entry = entry};
    *last_source = s;
    last_source = &s->next;
}

static void register_handlers(Source *s, JSValue exports) {
    JSValue args[] = {JS_NewString(ctx, s->name), JS_NewBool(ctx, s->is_module), exports};
    JSValue function = internal_function("register");
    JSValue result = JS_Call(ctx, function, JS_UNDEFINED, 3, (JSValueConst *)args);
    if (JS_IsException(result))
        report();
    JS_FreeValue(ctx, function);
    JS_FreeValue(ctx, args[0]);
    JS_FreeValue(ctx, exports);
}

/* Returns 1 when the module waits for something that will never come. */
static int evaluate_module(Source *s) {
    JSModuleDef *module = JS_VALUE_GET_PTR(s->compiled);
    if (JS_ResolveModule(ctx, s->compiled) < 0)
        report();
    JSValue promise = JS_EvalFunction(ctx, JS_DupValue(ctx, s->compiled));
    if (JS_IsException(promise))
        report();
    JS_PromiseMarkAsHandled(ctx, promise);
    JSContext *job_ctx;
    while (JS_ExecutePendingJob(rt, &job_ctx) > 0) {
    }
    switch (JS_PromiseState(ctx, promise)) {
    case JS_PROMISE_PENDING:
        return 1;
    case JS_PROMISE_REJECTED:
        JS_Throw(ctx, JS_PromiseResult(ctx, promise));
        report();
    default:
        break;
    }
    JS_FreeValue(ctx, promise);
    register_handlers(s, JS_GetModuleNamespace(ctx, module));
    return 0;
}

static int32_t evaluate_entries(void) {
    for (Source *s = sources; s; s = s->next) {
        if (!s->is_entry)
            continue;
        if (s->is_module) {
            if (evaluate_module(s))
                return 1;
            continue;
        }
        JSValue exports = JS_Call(ctx, s->compiled, JS_UNDEFINED, 0, NULL);
        if (JS_IsException(exports))
            report();
        register_handlers(s, exports);
    }
    return 0;
}
