/* The engine module's ABI: everything that crosses between the host (crates/sandbox) and the guest.
 * Only bytes cross. Strings are UTF-8 without a terminator; `ptr` is an address in linear memory,
 * `len` counts bytes; `now` is microseconds since the Unix epoch.
 *
 * A guest is hostile once customer code has run: the host trusts none of these calls to come in
 * order, and checks every address and length. */
#ifndef LODE_H
#define LODE_H

#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("lode"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

/* How a run ends, as told by the guest. Limits and `never completed` are the host's to say. */
enum {
    FINISH_COMPLETED = 0, /* payload {body?, headers?, customRequestProperties?}; status is an HTTP status */
    FINISH_CONTINUED = 1, /* payload {body?, params?, tempObjectStore?, customRequestProperties?} */
    FINISH_ERROR = 2,     /* payload {name, message, stack, debug?}; status 0 */
    FINISH_ABORTED = 3,   /* as FINISH_ERROR: the script asked for something its phase forbids */
};

/* What a source is. */
enum {
    SOURCE_MODULE = 0,
    SOURCE_SCRIPT = 1,
    SOURCE_DETECT = 2, /* a script when it parses as one, else a module */
};

/* ---- imports ---- */
IMPORT(log) extern void host_log(int32_t level, const char *ptr, uint32_t len);
IMPORT(call) extern void host_call(uint32_t id, const char *name, uint32_t name_len,
                                   const char *args, uint32_t args_len);
/* Ends the run with a JSON payload. Never returns: the host unwinds the whole call. */
IMPORT(finish) extern _Noreturn void host_finish(int32_t kind, int32_t status, const char *ptr,
                                                 uint32_t len);
IMPORT(random) extern void host_random(void *ptr, uint32_t len);
/* Parses a URL. The request is `input`, or `input` and `base`, or `href`, `field` and `value`, each as a
 * 32-bit length and its bytes; the answer, a JSON array of components or `null`, is written to `out`.
 * Returns its length, which may exceed `cap` (then nothing is written). */
IMPORT(url) extern uint32_t host_url(const char *ptr, uint32_t len, char *out, uint32_t cap);

/* ---- exports: building the pristine image and a snapshot ---- */
EXPORT(lode_init) void lode_init(void);
EXPORT(lode_bootstrap) void lode_bootstrap(char *name, char *source, uint32_t source_len);
/* Takes one source. `name` and `source` are NUL-terminated buffers from lode_alloc. */
EXPORT(lode_source) void lode_source(int32_t kind, int32_t entry, char *name, char *source,
                                     uint32_t source_len);
/* Compiles all of them. */
EXPORT(lode_compile) void lode_compile(void);
/* Evaluates every entry, in the order given. Returns 1 when one is still waiting for something. */
EXPORT(lode_evaluate) int32_t lode_evaluate(void);
/* Tidies the heap: the memory is the snapshot once this has returned. */
EXPORT(lode_freeze) void lode_freeze(void);
/* Lists the handlers through host_finish as {handlers: [[script, name, form], …]}. */
EXPORT(lode_handlers) void lode_handlers(void);

/* ---- exports: a run. Each returns when the next timer is due (`now` units), or infinity. ---- */
EXPORT(lode_alloc) void *lode_alloc(uint32_t len);
EXPORT(lode_inbox) void *lode_inbox(void);
EXPORT(lode_invoke) double lode_invoke(uint32_t handler, char *request, uint32_t len, double now,
                                       uint64_t seed);
EXPORT(lode_reply) double lode_reply(uint32_t id, int32_t ok, char *json, uint32_t len, double now);
EXPORT(lode_timers) double lode_timers(double now);

#endif
