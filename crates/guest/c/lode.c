/* The engine module's one big translation unit: QuickJS-ng and the glue around it (the ABI is in
 * lode.h). Including quickjs.c lets the glue set the random state, which no public header names, and
 * lets clang inline across the border. */
#include <stdbool.h>
struct JSContext;
struct JSStackFrame;
static bool lode_is_own_frame(struct JSContext *c, struct JSStackFrame *frame);

#include "quickjs.c"

#include "lode.h"

#include "frames.c"

#include "alloc.c"

/* QuickJS throws its RangeError once this much of the C stack is used. The rest of the 512 KiB
 * (build/toolchain.rs) is for the C frames below the deepest check: the largest, JS_CallInternal with
 * its arguments, stays under 100 KiB as a call has at most 65,535 of them only through apply, which
 * checks first. */
#define LODE_JS_STACK_BYTES (256 * 1024)

/* A run's garbage dies with its sandbox, so the cycle collector only has to stop programs that make
 * very much of it: it first looks after this many bytes. */
#define LODE_GC_FIRST_BYTES (8 * 1024 * 1024)

/* Free heap that every snapshot ends with. */
#define LODE_HEADROOM_BYTES (256 * 1024)

/* Requests up to this size are written where every run finds the same, already dirtied pages. */
#define LODE_INBOX_BYTES (16 * 1024)

static JSRuntime *rt;
static JSContext *ctx;
static JSValue native;      /* C functions, for the bootstrap only */
static JSValue primordials; /* built-ins as they were before customer code */
static JSValue internal;    /* what bootstrap files tell each other */
static int deploying = 1;   /* until the first lode_invoke */
static char inbox[LODE_INBOX_BYTES]; /* requests lie at its end: what follows shares their page */
static double now_us; /* the only clock: set by the host whenever the guest is entered */
static bool in_inbox(const char *text) { return text >= inbox && text < inbox + sizeof(inbox); }
static JSValue handling[4]; /* the handler and its arguments (natives.c) */
static JSValue prepare, returned, failed; /* internal functions that every run calls */

/* The shim's one import, answered here. */
double __rquickjs_host_now_us(void) { return now_us; }

static JSValue internal_function(const char *name) { return JS_GetPropertyStr(ctx, internal, name); }

/* Ends the run with the pending exception as the script's error. */
static _Noreturn void report(void) {
    JSValue error = JS_GetException(ctx);
    JSValue describe = internal_function("failed");
    JSValue result = JS_Call(ctx, describe, JS_UNDEFINED, 1, (JSValueConst *)&error);
    /* Only reached when describing the error failed too, for want of memory or stack. */
    (void)result;
    static const char fallback[] =
        "{\"name\":\"Error\",\"message\":\"the script failed with an error that cannot be read\"}";
    host_finish(FINISH_ERROR, 0, fallback, sizeof(fallback) - 1);
}

static _Noreturn void abort_run(const char *message) {
    JS_ThrowPlainError(ctx, "%s", message);
    JSValue error = JS_GetException(ctx);
    JSValue aborted = internal_function("aborted");
    JS_Call(ctx, aborted, JS_UNDEFINED, 1, (JSValueConst *)&error);
    report();
}

#include "pending.c"
#include "natives.c"
#include "modules.c"

static double drain(void) {
    JSContext *job_ctx;
    int r;
    while ((r = JS_ExecutePendingJob(rt, &job_ctx)) > 0) {
    }
    if (r < 0)
        report();
    report_unhandled_rejection();
    return next_timer_due();
}

/* ---- exports ---- */

void *lode_alloc(uint32_t len) { return malloc(len); }

void *lode_inbox(void) { return inbox; }

void lode_init(void) {
    rt = JS_NewRuntime();
    JS_SetMaxStackSize(rt, LODE_JS_STACK_BYTES);
    JS_SetGCThreshold(rt, LODE_GC_FIRST_BYTES);
    ctx = JS_NewContext(rt);
    lode_name_flags(ctx);
    JS_SetHostPromiseRejectionTracker(rt, track_rejection, NULL);
    JS_SetModuleLoaderFunc2(rt, resolve_module, load_module, NULL, NULL);
    native = new_native_object();
    primordials = JS_NewObjectProto(ctx, JS_NULL);
    internal = JS_NewObjectProto(ctx, JS_NULL);
}

void lode_bootstrap(char *name, char *source, uint32_t source_len) {
    JSValue compiled = JS_Eval(ctx, source, source_len, name,
                               JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(compiled))
        report();
    /* Through bytecode, to leave the source text behind: half of what the bootstrap would weigh. */
    size_t size;
    uint8_t *code =
        JS_WriteObject(ctx, &size, compiled, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
    JS_FreeValue(ctx, compiled);
    JSValue file = JS_EvalFunction(ctx, JS_ReadObject(ctx, code, size, JS_READ_OBJ_BYTECODE));
    js_free(ctx, code);
    JSValueConst args[] = {native, primordials, internal};
    JSValue result = JS_IsException(file) ? file : JS_Call(ctx, file, JS_UNDEFINED, 3, args);
    if (JS_IsException(result))
        report();
    JS_FreeValue(ctx, result);
    JS_FreeValue(ctx, file);
    free(source);
    free(name);
}

/* The customer's handler is called from here and not from the bootstrap, so that no frame of ours is
 * ever on its stack. */
double lode_invoke(uint32_t handler, char *request, uint32_t len, double now, uint64_t seed) {
    deploying = 0;
    now_us = now;
    ctx->time_origin = now / 1000; /* performance.now() counts from here */
    ctx->random_state = seed ? seed : 1; /* xorshift's state is never 0 */
    JSValue args[2] = {JS_NewUint32(ctx, handler), JS_ParseJSON(ctx, request, len, "request")};
    if (!in_inbox(request))
        free(request);
    if (JS_IsException(args[1]))
        report();
    if (JS_IsException(JS_Call(ctx, prepare, JS_UNDEFINED, 2, (JSValueConst *)args)))
        report();
    JSValue result = JS_Call(ctx, handling[0], JS_UNDEFINED, 3, (JSValueConst *)handling + 1);
    if (JS_IsException(result))
        report();
    JSValue settled = JS_IsPromise(result) ? JS_PromiseThen(ctx, result, returned, failed)
                                           : JS_Call(ctx, returned, JS_UNDEFINED, 1, (JSValueConst *)&result);
    if (JS_IsException(settled))
        report();
    JS_FreeValue(ctx, result);
    for (uint32_t i = 0; i < 4; i++)
        JS_FreeValue(ctx, handling[i]);
    JS_FreeValue(ctx, args[1]);
    return drain();
}

double lode_reply(uint32_t id, int32_t ok, char *json, uint32_t len, double now) {
    now_us = now;
    JSValue value = JS_ParseJSON(ctx, json, len, "host call");
    if (!in_inbox(json))
        free(json);
    if (!JS_IsException(value) && !ok) {
        JSValue make_error = internal_function("hostError");
        JSValue error = JS_Call(ctx, make_error, JS_UNDEFINED, 1, (JSValueConst *)&value);
        JS_FreeValue(ctx, make_error);
        JS_FreeValue(ctx, value);
        value = error;
    }
    if (JS_IsException(value))
        report();
    settle_call(id, ok, value);
    return drain();
}

double lode_timers(double now) {
    now_us = now;
    while (fire_next_timer())
        drain();
    return drain();
}

int32_t lode_evaluate(void) {
    int32_t waiting = evaluate_entries();
    /* Dynamic imports and top-level rejections of modules that no entry waits for. */
    drain();
    return waiting;
}

/* The names there are now stay for good (build/patch.rs). */
static void freeze_atoms(void) {
    for (int32_t i = constant_atoms; i < rt->atom_size; i++)
        if (!atom_is_free(rt->atom_array[i]))
            constant_atoms = i + 1;
}

/* A copy at the heap's end, never in a hole. */
static void *moved_up(void *payload) {
    void *moved = new_block(block_of(payload)->u.block_idx);
    if (!moved)
        __builtin_trap();
    memcpy(moved, payload, js_malloc_usable_size_rt(rt, payload));
    heap_free(payload);
    return moved;
}

/* Before the pristine image: what every app and every run writes to lies next to what they add, so that
 * one mapping holds it all. */
static void gather_tables(void) {
    rt->atom_array = moved_up(rt->atom_array);
    rt->atom_hash = moved_up(rt->atom_hash);
    rt->shape_hash = moved_up(rt->shape_hash);
}

void lode_freeze(void) {
    if (frozen_until == 0)
        gather_tables();
    prepare = internal_function("prepare");
    returned = internal_function("returned");
    failed = internal_function("failed");
    /* No cycle collection: it relinks every object, and so would write to every page. */
    JS_SetGCThreshold(rt, rt->malloc_state.malloc_size + LODE_GC_FIRST_BYTES);
    freeze_atoms();
    freeze_heap(LODE_HEADROOM_BYTES);
}

void lode_handlers(void) {
    JSValue list = internal_function("listHandlers");
    JS_Call(ctx, list, JS_UNDEFINED, 0, NULL);
    report();
}
