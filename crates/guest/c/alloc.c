/* The engine's allocator: segregated free lists over one growing region, made for memories that are
 * frozen once and then live for one short run each.
 *
 * A run pays for every page it writes (copied at first, restored afterwards). A general allocator would
 * fill the holes that start-up left all over the heap; this one, after `freeze_heap`, never touches what
 * was there: a run's blocks lie together in fresh pages, and freeing an older block does nothing. It
 * neither splits nor merges blocks, which a run is too short to need. */

/* quickjs.c's own block header (8 bytes, which also hold an object's reference count) is the only one:
 * its `block_idx` says the block's bin. */
typedef JSMallocBlockHeader Block;

#define HEADER_BYTES sizeof(Block)
#define SMALL_STEP 8
#define SMALL_MAX 1024
#define SMALL_BINS (SMALL_MAX / SMALL_STEP)
/* Four sizes per doubling above SMALL_MAX, up to 2 GiB. */
#define BINS (SMALL_BINS + 4 * 21)

#define WASM_PAGE 65536
#define SNAPSHOT_PAGE 4096

/* Memory is asked of the host in steps of this at least: each costs a system call. */
#define GROW_BYTES (256 * 1024)

extern char __heap_base;
#define HEAP_START (((uintptr_t)&__heap_base + SMALL_STEP - 1) / SMALL_STEP * SMALL_STEP)

static Block *bins[BINS + 1];
static uintptr_t heap_top;     /* where the next new block goes */
static uintptr_t heap_end;     /* the memory's end */
static uintptr_t heap_used;    /* the highest that `heap_top` was when it was lowered */
static uintptr_t frozen_until; /* blocks below are the snapshot's */

/* Sizes are of whole blocks, header included. */
static inline uint32_t bin_of(uint32_t size) {
    if (likely(size <= SMALL_MAX))
        return (size + SMALL_STEP - 1) / SMALL_STEP;
    uint32_t log = 31 - __builtin_clz(size - 1); /* 2^log < size <= 2^(log+1) */
    uint32_t quarter = (size - 1 - (1u << log)) >> (log - 2);
    return SMALL_BINS + (log - 10) * 4 + quarter + 1;
}

static inline uint32_t size_of_bin(uint32_t bin) {
    if (likely(bin <= SMALL_BINS))
        return bin * SMALL_STEP;
    uint32_t log = 10 + (bin - SMALL_BINS - 1) / 4, quarter = (bin - SMALL_BINS - 1) % 4;
    return (1u << log) + ((quarter + 1) << (log - 2));
}

static inline Block *block_of(const void *payload) { return (Block *)((char *)payload - HEADER_BYTES); }

static inline uint32_t block_size(const Block *block) { return size_of_bin(block->u.block_idx); }

/* A free block's payload starts with the next free one. */
static inline Block **next_free(Block *block) { return (Block **)block->user_data; }

static bool grow_heap(uintptr_t until) {
    uintptr_t missing = until - heap_end;
    if (missing < GROW_BYTES)
        missing = GROW_BYTES;
    uintptr_t pages = (missing + WASM_PAGE - 1) / WASM_PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1)
        return false;
    heap_end += pages * WASM_PAGE;
    return true;
}

static __attribute__((noinline)) void *new_block(uint32_t bin) {
    if (heap_top == 0) {
        heap_top = HEAP_START;
        heap_end = __builtin_wasm_memory_size(0) * WASM_PAGE;
    }
    uint32_t size = size_of_bin(bin);
    if (size > heap_end - heap_top && (heap_top + size < heap_top || !grow_heap(heap_top + size)))
        return NULL;
    Block *block = (Block *)heap_top;
    heap_top += size;
    block->u.block_idx = bin;
    return block->user_data;
}

static inline void *heap_alloc(size_t wanted) {
    if (unlikely(wanted > INT32_MAX - SMALL_MAX))
        return NULL;
    uint32_t bin = bin_of(wanted + HEADER_BYTES);
    if (unlikely(bin < 2))
        bin = 2; /* room for `next_free` */
    Block *block = bins[bin];
    if (unlikely(!block))
        return new_block(bin);
    bins[bin] = *next_free(block);
    return block->user_data;
}

static inline void heap_free(void *payload) {
    if (!payload || (uintptr_t)payload < frozen_until)
        return;
    Block *block = block_of(payload);
    uint32_t bin = block->u.block_idx;
    if (unlikely(bin > SMALL_BINS) && (uintptr_t)block + size_of_bin(bin) == heap_top) {
        /* The last block gives its place back. */
        if (heap_used < heap_top)
            heap_used = heap_top;
        heap_top = (uintptr_t)block;
        return;
    }
    *next_free(block) = bins[bin];
    bins[bin] = block;
}

static void *heap_realloc(void *payload, size_t wanted) {
    if (!payload)
        return heap_alloc(wanted);
    Block *block = block_of(payload);
    uint32_t old_size = block_size(block);
    if (wanted <= old_size - HEADER_BYTES)
        return payload;
    if (unlikely(wanted > INT32_MAX - SMALL_MAX))
        return NULL;
    uint32_t bin = bin_of(wanted + HEADER_BYTES);
    if ((uintptr_t)block + old_size == heap_top && !bins[bin]) {
        /* The last block grows where it is, unless a free one has the size: a script that builds many texts or
         * arrays, one after the other, would otherwise take new space for each. */
        uintptr_t end = (uintptr_t)block + size_of_bin(bin);
        if (end < heap_top || (end > heap_end && !grow_heap(end)))
            return NULL;
        block->u.block_idx = bin;
        heap_top = end;
        return payload;
    }
    void *moved = heap_alloc(wanted);
    if (!moved)
        return NULL;
    Block *new_header = block_of(moved);
    new_header->gc_obj_type = block->gc_obj_type;
    new_header->mark = block->mark;
    new_header->ref_count = block->ref_count;
    memcpy(moved, payload, old_size - HEADER_BYTES);
    heap_free(payload);
    return moved;
}

/* What the snapshot holds is no longer counted (build/patch.rs): it is never freed either. Blocks lie one
 * behind the other, each as large as its bin says. */
static void freeze_counts(void) {
    uintptr_t at = frozen_until ? frozen_until : HEAP_START;
    while (at < heap_top) {
        Block *block = (Block *)at;
        if (block->ref_count > 0)
            block->ref_count = LODE_FROZEN_COUNT;
        at += block_size(block);
    }
}

/* From here on every block is new and lies behind what there is. Free blocks are cleared, so that pages
 * of nothing else take no space in a snapshot; `headroom` bytes are ready for runs, so that an ordinary
 * one never grows the memory. */
static void freeze_heap(size_t headroom) {
    freeze_counts();
    for (uint32_t bin = 0; bin <= BINS; bin++) {
        Block *block = bins[bin];
        bins[bin] = NULL;
        while (block) {
            Block *next = *next_free(block);
            memset(block, 0, size_of_bin(bin));
            block = next;
        }
    }
    if (heap_used > heap_top)
        memset((void *)heap_top, 0, heap_used - heap_top);
    heap_used = 0;
    heap_top = (heap_top + SNAPSHOT_PAGE - 1) / SNAPSHOT_PAGE * SNAPSHOT_PAGE;
    frozen_until = heap_top;
    if (heap_end < heap_top || heap_end - heap_top < headroom)
        grow_heap(heap_top + headroom);
}

/* ---- C's allocation functions ----
 *
 * Compilers know what these names promise and that nothing before the returned address is theirs to
 * read, where our headers lie: only code that does not look there may call them. */

void *malloc(size_t size) { return heap_alloc(size); }
void free(void *payload) { heap_free(payload); }
void *realloc(void *payload, size_t size) { return heap_realloc(payload, size); }
void *calloc(size_t count, size_t size) {
    size_t bytes;
    void *payload = __builtin_mul_overflow(count, size, &bytes) ? NULL : heap_alloc(bytes);
    return payload ? memset(payload, 0, bytes) : NULL;
}

/* ---- quickjs.c's allocation functions (build/patch.rs takes out its own) ----
 *
 * `malloc_size` is what the cycle collector is triggered by. */

void *js_malloc_rt(JSRuntime *r, size_t size) {
    if (unlikely(size == 0))
        return NULL;
    void *payload = heap_alloc(size);
    if (likely(payload != NULL))
        r->malloc_state.malloc_size += block_size(block_of(payload));
    return payload;
}

void *js_calloc_rt(JSRuntime *r, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *payload = js_malloc_rt(r, bytes);
    return payload ? memset(payload, 0, bytes) : NULL;
}

void js_free_rt(JSRuntime *r, void *payload) {
    if (!payload)
        return;
    r->malloc_state.malloc_size -= block_size(block_of(payload));
    heap_free(payload);
}

void *js_realloc_rt(JSRuntime *r, void *payload, size_t size) {
    if (unlikely(size == 0)) {
        js_free_rt(r, payload);
        return NULL;
    }
    if (!payload)
        return js_malloc_rt(r, size);
    size_t before = block_size(block_of(payload));
    void *moved = heap_realloc(payload, size);
    if (moved)
        r->malloc_state.malloc_size += block_size(block_of(moved)) - before;
    return moved;
}

size_t js_malloc_usable_size_rt(JSRuntime *r, const void *payload) {
    return payload ? block_size(block_of(payload)) - HEADER_BYTES : 0;
}
