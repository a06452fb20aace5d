/* What a run waits for: host calls and timers; and the promises whose rejection nobody has handled. */

/* ---- host calls ---- */

typedef struct {
    uint32_t id;
    JSValue settle[2]; /* resolve, reject */
} PendingCall;

static PendingCall *calls;
static uint32_t call_count, call_capacity, next_call_id;

/* Makes room for one more element, or ends the run: memory is the host's limit, not an exception. */
static void *grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 8;
    array = realloc(array, *capacity * size);
    if (!array)
        __builtin_trap();
    return array;
}

static JSValue new_call(JSContext *c, uint32_t *id) {
    calls = grow(calls, call_count, &call_capacity, sizeof(*calls));
    JSValue promise = JS_NewPromiseCapability(c, calls[call_count].settle);
    if (!JS_IsException(promise))
        *id = calls[call_count++].id = next_call_id++;
    return promise;
}

/* Takes ownership of `value`. An id the guest does not know is the host's answer to a call made before
 * memory was corrupted: nothing waits for it. */
static void settle_call(uint32_t id, int32_t ok, JSValue value) {
    for (uint32_t i = 0; i < call_count; i++) {
        if (calls[i].id != id)
            continue;
        PendingCall call = calls[i];
        calls[i] = calls[--call_count];
        JSValue result =
            JS_Call(ctx, call.settle[ok ? 0 : 1], JS_UNDEFINED, 1, (JSValueConst *)&value);
        JS_FreeValue(ctx, call.settle[0]);
        JS_FreeValue(ctx, call.settle[1]);
        JS_FreeValue(ctx, result);
        break;
    }
    JS_FreeValue(ctx, value);
}

/* ---- timers ---- */

typedef struct {
    uint32_t id;
    double due;    /* µs since the epoch */
    double period; /* µs; 0 for a timer that fires once */
    JSValue function, args;
} Timer;

static Timer *timers;
static uint32_t timer_count, timer_capacity, next_timer_id = 1;

static double next_timer_due(void) {
    double due = INFINITY;
    for (uint32_t i = 0; i < timer_count; i++)
        if (timers[i].due < due)
            due = timers[i].due;
    return due;
}

static void remove_timer(uint32_t index) {
    JS_FreeValue(ctx, timers[index].function);
    JS_FreeValue(ctx, timers[index].args);
    timers[index] = timers[--timer_count];
}

/* Fires the earliest due timer (ids grow, so they order timers due at the same moment). Returns 0 when
 * none is due. */
static int fire_next_timer(void) {
    uint32_t first = timer_count;
    for (uint32_t i = 0; i < timer_count; i++)
        if (timers[i].due <= now_us &&
            (first == timer_count || timers[i].due < timers[first].due ||
             (timers[i].due == timers[first].due && timers[i].id < timers[first].id)))
            first = i;
    if (first == timer_count)
        return 0;
    JSValue function = JS_DupValue(ctx, timers[first].function);
    JSValue args = JS_DupValue(ctx, timers[first].args);
    if (timers[first].period > 0) /* strictly after now, or it would fire for ever within this call */
        timers[first].due = now_us + timers[first].period;
    else
        remove_timer(first);
    uint32_t argc;
    JSValue *argv = build_arg_list(ctx, &argc, args);
    JSValue result =
        argv ? JS_Call(ctx, function, JS_UNDEFINED, argc, (JSValueConst *)argv) : JS_EXCEPTION;
    if (JS_IsException(result))
        report();
    free_arg_list(ctx, argv, argc);
    JS_FreeValue(ctx, result);
    JS_FreeValue(ctx, args);
    JS_FreeValue(ctx, function);
    return 1;
}

/* ---- unhandled rejections ---- */

typedef struct {
    JSValue promise, reason;
} Rejection;

static Rejection *rejections;
static uint32_t rejection_count, rejection_capacity;

static void track_rejection(JSContext *c, JSValueConst promise, JSValueConst reason, bool is_handled,
                            void *opaque) {
    if (!is_handled) {
        rejections = grow(rejections, rejection_count, &rejection_capacity, sizeof(*rejections));
        rejections[rejection_count++] =
            (Rejection){JS_DupValue(c, promise), JS_DupValue(c, reason)};
        return;
    }
    for (uint32_t i = 0; i < rejection_count; i++) {
        if (JS_VALUE_GET_PTR(rejections[i].promise) != JS_VALUE_GET_PTR(promise))
            continue;
        JS_FreeValue(c, rejections[i].promise);
        JS_FreeValue(c, rejections[i].reason);
        memmove(rejections + i, rejections + i + 1,
                (--rejection_count - i) * sizeof(*rejections));
        return;
    }
}

/* Once no job is left, a rejection without a handler is the run's error, as it ends a Node process. */
static void report_unhandled_rejection(void) {
    if (rejection_count == 0)
        return;
    JS_Throw(ctx, JS_DupValue(ctx, rejections[0].reason));
    report();
}
