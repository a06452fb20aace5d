/* The deployed graph: its sources, how imports and `require` find them, and their one evaluation. */

typedef struct Source {
    struct Source *next;
    char *name, *text;
    uint32_t len;
    int kind;
    bool is_entry, is_compiling, is_compiled, is_module;
    bool is_common;   /* common code: evaluated before all entries, and no place for handlers */
    bool has_exports; /* a classic script that sets module.exports, for `require` */
    bool is_evaluated;
    JSValue compiled; /* a module, or the function that wraps a classic script */
    JSValue module;   /* {exports}, of what has_exports, once it is evaluated */
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

/* internal.`asked`(name), which is a function of modules.js. */
static JSValue ask_library(JSContext *c, const char *asked, const char *name) {
    JSValue function = internal_function(asked), arg = JS_NewString(c, name);
    JSValue answer = JS_Call(c, function, JS_UNDEFINED, 1, (JSValueConst *)&arg);
    JS_FreeValue(c, function);
    JS_FreeValue(c, arg);
    return answer;
}

static bool is_library(JSContext *c, const char *name) {
    JSValue answer = ask_library(c, "hasLibrary", name);
    return JS_VALUE_GET_TAG(answer) == JS_TAG_BOOL && JS_VALUE_GET_BOOL(answer);
}

/* The module that stands for a library is called by this and the library's name: no source's name may
 * begin so. */
static const char library_prefix[] = "lode:";

static char *resolve_module(JSContext *c, const char *base, const char *specifier, void *opaque) {
    char *path = join(base, specifier);
    Source *source = path ? probe(path) : NULL;
    free(path);
    if (source)
        return js_strdup(c, source->name);
    if (is_library(c, specifier)) {
        char *name = js_malloc(c, sizeof(library_prefix) + strlen(specifier));
        if (name) {
            strcpy(name, library_prefix);
            strcat(name, specifier);
        }
        return name;
    }
    JS_ThrowReferenceError(c, "cannot find module '%s', imported from '%s', in this deployment",
                           specifier, base);
    return NULL;
}

/* Gives each of a library's members to the module as the export of its name, and the library itself as the
 * default; before that, with `declare`, only says that there will be these. */
static int export_library(JSContext *c, JSModuleDef *module, JSValueConst library, bool declare) {
    JSPropertyEnum *members;
    uint32_t count;
    if (JS_GetOwnPropertyNames(c, &members, &count, library, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY))
        return -1;
    int result = declare ? JS_AddModuleExport(c, module, "default")
                         : JS_SetModuleExport(c, module, "default", JS_DupValue(c, library));
    for (uint32_t i = 0; i < count && result == 0; i++) {
        const char *name = JS_AtomToCString(c, members[i].atom);
        if (!name) {
            result = -1;
        } else if (strcmp(name, "default")) {
            JSValue value = declare ? JS_UNDEFINED : JS_GetProperty(c, library, members[i].atom);
            if (JS_IsException(value))
                result = -1;
            else if (declare)
                result = JS_AddModuleExport(c, module, name);
            else
                JS_SetModuleExport(c, module, name, value); /* not one that came later */
        }
        JS_FreeCString(c, name);
    }
    JS_FreePropertyEnum(c, members, count);
    return result;
}

static int evaluate_library(JSContext *c, JSModuleDef *module) {
    JSAtom atom = JS_GetModuleName(c, module);
    const char *name = JS_AtomToCString(c, atom);
    JS_FreeAtom(c, atom);
    JSValue library = name ? ask_library(c, "library", name + sizeof(library_prefix) - 1) : JS_EXCEPTION;
    JS_FreeCString(c, name);
    int result = JS_IsException(library) ? -1 : export_library(c, module, library, false);
    JS_FreeValue(c, library);
    return result;
}

static JSModuleDef *load_library(JSContext *c, const char *name) {
    JSValue library = ask_library(c, "library", name + sizeof(library_prefix) - 1);
    JSModuleDef *module = JS_IsException(library) ? NULL : JS_NewCModule(c, name, evaluate_library);
    if (module && export_library(c, module, library, true))
        module = NULL;
    JS_FreeValue(c, library);
    return module;
}

static bool compile_source(Source *s);

/* `name` comes from resolve_module, so there is such a source. Modules that import each other do not come
 * back here, as QuickJS finds a module it has begun to compile; but not one imported with attributes. */
static JSModuleDef *load_module(JSContext *c, const char *name, void *opaque, JSValueConst attributes) {
    if (!strncmp(name, library_prefix, sizeof(library_prefix) - 1))
        return load_library(c, name);
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

/* Common code that sets module.exports. */
static const char exports_head[] = "(function (module, exports) {\n\n", exports_tail[] = "\n})";

static JSValue wrap(const char *name, const char *head, const char *source, size_t len, const char *tail) {
    size_t head_len = strlen(head), tail_len = strlen(tail);
    char *text = malloc(head_len + len + tail_len + 1);
    if (!text)
        __builtin_trap();
    memcpy(text, head, head_len);
    memcpy(text + head_len, source, len);
    memcpy(text + head_len + len, tail, tail_len + 1);
    JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, JS_EVAL_TYPE_GLOBAL, name, -1};
    JSValue function = JS_Eval2(ctx, text, head_len + len + tail_len, &options);
    free(text);
    return function;
}

static JSValue wrap_script(const char *name, const char *source, size_t len) {
    JSValue tail = internal_function("scriptTail");
    const char *tail_text = JS_ToCString(ctx, tail);
    if (!tail_text)
        __builtin_trap();
    JSValue function = wrap(name, script_head, source, len, tail_text);
    JS_FreeCString(ctx, tail_text);
    JS_FreeValue(ctx, tail);
    return function;
}

static bool is_word_part(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (c & 0x80);
}

/* Whether the text says `module.exports`, `exports.x`, `exports[x]` or `exports = x`. */
static bool says_exports(const char *text) {
    static const char word[] = "exports";
    for (const char *at = text; (at = strstr(at, word)); at++) {
        const char *end = at + sizeof(word) - 1;
        if ((at > text && is_word_part(at[-1])) || is_word_part(*end))
            continue;
        if (at - text >= 7 && !memcmp(at - 7, "module.", 7))
            return true;
        while (*end == ' ' || *end == '\t')
            end++;
        if ((at == text || at[-1] != '.') && (*end == '.' || *end == '[' || *end == '='))
            return true;
    }
    return false;
}

/* Common code that exports nothing shares its functions by name: it is a script of the global scope, as if
 * it stood before each of the others. */
static JSValue compile_common(Source *s, JSValue script) {
    if (!s->has_exports)
        return script;
    JS_FreeValue(ctx, script);
    return wrap(s->name, exports_head, s->text, s->len, exports_tail);
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

static JSValue compile(Source *s) {
    JSValue script_error = JS_UNDEFINED;
    int kind = s->kind;
    const char *name = s->name, *source = s->text;
    size_t len = s->len;
    s->is_module = kind == SOURCE_MODULE;
    if (!s->is_module) {
        /* As it stands first: what only parses inside the wrapper's braces is not a script. */
        JSValue script = JS_Eval(ctx, source, len, name, JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
        if (!JS_IsException(script)) {
            s->has_exports = (s->is_common || !s->is_entry) && says_exports(source);
            if (s->is_common || s->has_exports)
                return compile_common(s, script);
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
    s->is_module = true;
    return module;
}

static bool compile_source(Source *s) {
    if (s->is_compiled)
        return true;
    s->is_compiling = true;
    s->compiled = compile(s);
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
    *s = (Source){.name = name,
                  .text = source,
                  .len = source_len,
                  .kind = kind,
                  .is_entry = entry,
                  .is_common = !strncmp(name, "common/", 7)};
    *last_source = s;
    last_source = &s->next;
}

static void register_handlers(Source *s, JSValue exports) {
    if (s->is_common) {
        JS_FreeValue(ctx, exports);
        return;
    }
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

/* Classic common code, once. Returns false for an exception. */
static bool evaluate_common(Source *s) {
    if (s->is_evaluated)
        return true;
    s->is_evaluated = true;
    JSValue result;
    if (s->has_exports) {
        /* There before it is complete, for those that require each other. */
        s->module = JS_NewObject(ctx);
        JSValue args[] = {s->module, JS_NewObject(ctx)};
        JS_DefinePropertyValueStr(ctx, s->module, "exports", JS_DupValue(ctx, args[1]), JS_PROP_C_W_E);
        result = JS_Call(ctx, s->compiled, args[1], 2, (JSValueConst *)args);
        JS_FreeValue(ctx, args[1]);
    } else {
        result = JS_EvalFunction(ctx, JS_DupValue(ctx, s->compiled));
    }
    if (JS_IsException(result))
        return false;
    JS_FreeValue(ctx, result);
    return true;
}

/* require(name): what common code of this name, or another script that exports, has exported; undefined if
 * there is none. Paths are the deployment's, from wherever they are asked for. */
static JSValue native_require(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    const char *name = JS_ToCString(c, argv[0]);
    if (!name)
        return JS_EXCEPTION;
    const char *bare = name;
    while (!strncmp(bare, "./", 2) || !strncmp(bare, "../", 3))
        bare = strchr(bare, '/') + 1;
    char *common = malloc(sizeof("common/") + strlen(bare));
    if (!common)
        __builtin_trap();
    strcpy(common, "common/");
    strcat(common, bare);
    Source *s = probe(common);
    if (!s)
        s = probe(bare);
    free(common);
    JSValue result = JS_UNDEFINED;
    if (s && s->is_module)
        result = JS_ThrowTypeError(c, "'%s' is a module: import it", s->name);
    else if (s && !s->is_common && !s->has_exports)
        result = JS_ThrowTypeError(c, "'%s' exports nothing: it can be required once it sets module.exports",
                                   s->name);
    else if (s && !evaluate_common(s))
        result = JS_EXCEPTION;
    else if (s)
        result = s->has_exports ? JS_GetPropertyStr(c, s->module, "exports") : JS_NewObject(c);
    JS_FreeCString(c, name);
    return result;
}

static int32_t evaluate_entries(void) {
    for (Source *s = sources; s; s = s->next)
        if (s->is_common && !s->is_module && !evaluate_common(s))
            report();
    for (Source *s = sources; s; s = s->next) {
        if (!s->is_entry || (s->is_common && !s->is_module))
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
