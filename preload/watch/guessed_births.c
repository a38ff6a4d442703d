/* guessed_births.c - see guessed_births.h */
#include "guessed_births.h"

#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "../python/hybrid.h"
#include "../python/number_table.h"
#include "../python/object_read.h"
#include "../python/stack.h"
#include "births_choice.h"
#include "object_guess.h"
#include "sampling.h"
#include "watched.h"

#define MOST_CANDIDATES 8u    /* blocks that have not been looked at yet, of all threads */
#define MOST_WRITES_UNBORN 8u /* before the first count; more: it is no object that is made the usual way */

/*
 * By stack: STACK_KNOWN; the requests whose site it is, where they have one, a bit each; the requests that
 * the last object was for that was born there, and how far behind the start of its block it was.
 */
static struct number_table birth_stacks;
#define STACK_SITES UINT64_C(0xffff)
#define STACK_BORN_SHIFT 16
#define STACK_KNOWN (UINT64_C(1) << 32)
#define STACK_HEADER_SHIFT 40

bool guessed_births_on;
_Atomic bool guessed_births_pending;

/*
 * Each belongs to the thread that has claimed it; others, which may have a GIL of their own, take the block out of it
 * when it is freed.
 */
static struct candidate {
    struct thread *_Atomic thread; /* NULL: not in use                                                      */
    const void *_Atomic block;     /* NULL: being filled, or freed meanwhile. What follows holds when it is set */
    size_t size;
    uint32_t node;    /* its stack, as allocations have it   */
    uint32_t born_on; /* the same, with native frames if cheap */
} candidates[MOST_CANDIDATES];

/* ---- what is known of a stack ---- */

/* Objects of one type have blocks of one size, mostly; others that are born there have other sizes. */
#define STACK_KEY_BITS (16 + HS_NODE_BITS + 1)
static uintptr_t stack_key(uint32_t node, size_t size)
{
    uintptr_t units = (size + 7) / 8 < 0xfff ? (size + 7) / 8 : 0xfff;
    return ((uintptr_t)node + 1) << 16 | units << 4;
}

static number_value *stack_entry(uint32_t node, size_t size)
{
    return number_table_entry(&birth_stacks, (const void *)stack_key(node, size));
}

/*
 * Stacks and sizes where nothing was born that is asked for: the next blocks, so many as `left` says, are not looked
 * at. It is left to chance, but less than `limit`, which doubles with each look in vain. Now and then what is asked for
 * may be born there all the same, so it stays low. It forgets what another stack needs the room for. every: counts all
 * of them. A word each: the stack's key, limit, and left.
 */
#define QUIET 4096u
#define QUIET_FIRST 8u
#define QUIET_MOST 64u
#define QUIET_KEY_SHIFT 16
#define QUIET_LIMIT_SHIFT 8
#define QUIET_LEFT 0xffu
static _Atomic uint64_t quiet[QUIET];

HS_ALWAYS_INLINE _Atomic uint64_t *quiet_place(uintptr_t key)
{
    return &quiet[key * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}
_Static_assert(QUIET == 1u << (64 - 52), "quiet_place() takes as many bits of the hash");
_Static_assert(QUIET_KEY_SHIFT + STACK_KEY_BITS <= 64 && QUIET_MOST <= QUIET_LEFT, "a word holds it");

/* Counts a block. Is it one of those that are not looked at? */
HS_ALWAYS_INLINE bool is_quiet(uint32_t node, size_t size)
{
    uintptr_t key = stack_key(node, size);
    _Atomic uint64_t *place = quiet_place(key);
    uint64_t word = atomic_load_explicit(place, memory_order_relaxed);
    if (word >> QUIET_KEY_SHIFT != key || !(word & QUIET_LEFT))
        return false;
    atomic_store_explicit(place, word - 1, memory_order_relaxed);
    return true;
}

static void looked_in_vain(uint32_t node, size_t size)
{
    static _Atomic uint32_t last_chance;
    if (births_want_all)
        return;
    uintptr_t key = stack_key(node, size);
    _Atomic uint64_t *place = quiet_place(key);
    uint64_t word = atomic_load_explicit(place, memory_order_relaxed), limit = word >> QUIET_LIMIT_SHIFT & QUIET_LEFT;
    if (word >> QUIET_KEY_SHIFT != key)
        limit = QUIET_FIRST;
    uint32_t chance = atomic_load_explicit(&last_chance, memory_order_relaxed);
    uint64_t left = sampling_random_below(&chance, limit);
    atomic_store_explicit(&last_chance, chance, memory_order_relaxed);
    if (limit < QUIET_MOST)
        limit *= 2;
    atomic_store_explicit(place, key << QUIET_KEY_SHIFT | limit << QUIET_LIMIT_SHIFT | left, memory_order_relaxed);
}

_Alignas(HS_PAGE_SIZE) _Atomic uint8_t guessed_births_elsewhere[((size_t)HS_NODE_MAX + 1) / 8];

/* The stack is that of the calling thread, now. */
static uint64_t stack_knowledge(struct thread *self, uint32_t node, size_t size)
{
    number_value *entry = stack_entry(node, size);
    uint64_t known = entry ? atomic_load_explicit(entry, memory_order_relaxed) : 0;
    if (HS_UNLIKELY(!known)) {
        uint32_t all = births_all();
        if (births_with_site && !stack_attached(self))
            all &= ~births_with_site; /* no Python runs */
        known = STACK_KNOWN | births_narrow(self, all);
        if (node && !(known & STACK_SITES))
            atomic_fetch_or_explicit(&guessed_births_elsewhere[node >> 3], (uint8_t)(1u << (node & 7)),
                                     memory_order_relaxed);
        if (entry)
            atomic_store_explicit(entry, known, memory_order_relaxed);
    }
    return known;
}

static void learn(uint32_t node, size_t size, uint64_t header, uint32_t born)
{
    number_value *entry = stack_entry(node, size);
    uint64_t known = entry ? atomic_load_explicit(entry, memory_order_relaxed) & (STACK_KNOWN | STACK_SITES) : 0;
    if (known)
        atomic_store_explicit(entry, known | (uint64_t)born << STACK_BORN_SHIFT | header << STACK_HEADER_SHIFT,
                              memory_order_relaxed);
}

static uint32_t born_there(uint64_t known)
{
    return known >> STACK_BORN_SHIFT & STACK_SITES;
}

/* ---- blocks ---- */

static void look_at(struct thread *self, const struct candidate *candidate, const void *block)
{
    number_value *entry = stack_entry(candidate->node, candidate->size);
    type_value value = object_in_block(self, block, candidate->size);
    uint32_t asked = type_value_requests(value);
    if (entry)
        asked &= (uint32_t)(atomic_load_explicit(entry, memory_order_relaxed) & STACK_SITES);
    if (!asked) {
        looked_in_vain(candidate->node, candidate->size);
        return;
    }
    learn(candidate->node, candidate->size, type_value_header(value), asked);
    const void *object = (const char *)block + type_value_header(value);
    uint64_t count = emit_counter(object, object_count_bytes());
    struct birth_request *request = births_choose(asked);
    if (!request || count == 0 || object_immortal(count))
        return;
    struct watch_order order = {
        .address = object,
        .block = block,
        .type = type_value_number(value),
        .node = candidate->born_on,
        .flags = HSK_WATCH_PYTHON | (count == 1 ? HSK_WATCH_BORN : 0),
    };
    births_begin(self, request, &order);
}

/*
 * What is not born by its thread's next event is no object, or its birth is not seen: the watchpoint is for another.
 * Are there unborn ones of other threads?
 */
static bool give_up_unborn(struct thread *self)
{
    bool others = false;
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        struct watched *place = &watched[i];
        uint32_t watch = atomic_load_explicit(&place->watch, memory_order_relaxed);
        if (!watch || !atomic_load_explicit(&place->unborn, memory_order_relaxed))
            continue;
        if (place->thread == self)
            watched_end(self, place, watch, HSK_WATCH_REPLACED);
        else
            others = true;
    }
    return others;
}

/* Looks at those of this thread. Are there some of other threads? */
static bool look_at_candidates(struct thread *self)
{
    bool others = false;
    for (unsigned i = 0; i < MOST_CANDIDATES; i++) {
        struct candidate *candidate = &candidates[i];
        const struct thread *whose = atomic_load_explicit(&candidate->thread, memory_order_acquire);
        others = others || (whose && whose != self);
        if (whose != self)
            continue;
        const void *block = atomic_exchange(&candidate->block, NULL);
        if (block)
            look_at(self, candidate, block);
        atomic_store_explicit(&candidate->thread, NULL, memory_order_release);
    }
    return others;
}

void guessed_births_look_now(struct thread *self)
{
    /* Before: what others add meanwhile stays pending. */
    atomic_exchange(&guessed_births_pending, false);
    bool unborn = give_up_unborn(self), waiting = look_at_candidates(self);
    if (unborn || waiting)
        atomic_store(&guessed_births_pending, true);
}

/* Of a site that is asked for few blocks come here: they get native frames, too. */
static void add_candidate(struct thread *self, uint64_t known, const void *block, size_t size, uint32_t node,
                          const void *frame_address)
{
    bool sited = known & STACK_SITES & births_with_site;
    for (unsigned i = 0; i < MOST_CANDIDATES; i++) {
        struct candidate *candidate = &candidates[i];
        struct thread *nobody = NULL;
        if (!atomic_compare_exchange_strong(&candidate->thread, &nobody, self))
            continue;
        candidate->size = size;
        candidate->node = node;
        candidate->born_on = sited ? hybrid_attached(self, frame_address) : node;
        atomic_store_explicit(&candidate->block, block, memory_order_release);
        atomic_store_explicit(&guessed_births_pending, true, memory_order_release);
        return;
    }
}

/* Before it is an object: the first count that it gets will be its birth. */
static void await_birth(struct thread *self, uint64_t known, const void *block, size_t size, uint32_t node,
                        const void *frame_address)
{
    uint64_t header = known >> STACK_HEADER_SHIFT & 0xff;
    struct birth_request *request = header + OBJECT_LEAST_BYTES <= size ? births_choose(born_there(known)) : NULL;
    if (!request)
        return;
    struct watch_order order = {
        .address = (const char *)block + header,
        .block = block,
        .node = hybrid_attached(self, frame_address), /* who made it may be native code that keeps it */
        .allocated_at = node,
        .block_size = size,
        .thread = self,
        .flags = HSK_WATCH_PYTHON,
        .unborn = true,
    };
    births_begin(self, request, &order);
    atomic_store_explicit(&guessed_births_pending, true, memory_order_release);
}

void guessed_births_block_here(struct thread *self, const void *block, size_t size, uint32_t node,
                               const void *frame_address)
{
    if (HS_LIKELY(is_quiet(node, size)))
        return;
    uint64_t known = stack_knowledge(self, node, size);
    if (HS_LIKELY(!(known & STACK_SITES)))
        return;
    if (born_there(known))
        await_birth(self, known, block, size, node, frame_address);
    else if (size >= OBJECT_LEAST_BYTES)
        add_candidate(self, known, block, size, node, frame_address);
}

void guessed_births_freed_now(const void *block)
{
    for (unsigned i = 0; i < MOST_CANDIDATES; i++) {
        const void *expected = block;
        if (atomic_load_explicit(&candidates[i].block, memory_order_relaxed) == block)
            atomic_compare_exchange_strong(&candidates[i].block, &expected, NULL);
    }
    if (type_table_may_know(guessed_births_type_in(block)))
        type_table_forget(guessed_births_type_in(block));
}

void guessed_births_missed(void)
{
    if (!guessed_births_on)
        return;
    for (unsigned i = 0; i < MOST_CANDIDATES; i++)
        atomic_store(&candidates[i].block, NULL);
    type_table_forget_all();
}

void guessed_births_first_count(struct thread *self, struct watched *place, uint32_t watch, uint64_t count)
{
    if (count != 1) {
        /* what was there before, and zeroes */
        if (atomic_fetch_add(&place->hits, 1) >= MOST_WRITES_UNBORN)
            watched_end(self, place, watch, HSK_WATCH_REPLACED);
        return;
    }
    const void *object = (const void *)place->address, *type = object_type(object);
    type_value value = object_value_of_type(self, type);
    uint32_t asked = type_value_requests(value);
    if (!births_are_for(asked, place->request) || (const char *)object - type_value_header(value) != place->block) {
        learn(place->allocated_at, place->block_size, 0, 0); /* others are born there, too */
        watched_end(self, place, watch, HSK_WATCH_REPLACED);
        return;
    }
    atomic_store(&place->last, 1);
    atomic_store(&place->hits, 0);
    watched_tell_birth(self, place, type_value_number(value), HSK_WATCH_PYTHON | HSK_WATCH_BORN);
}

void guessed_births_forget(void)
{
    number_table_forget_all(&birth_stacks);
    memset((void *)quiet, 0, sizeof quiet);
    memset((void *)candidates, 0, sizeof candidates);
    atomic_store(&guessed_births_pending, false);
    arena_discard((void *)guessed_births_elsewhere, sizeof guessed_births_elsewhere);
}

void guessed_births_after_fork(void)
{
    number_table_after_fork(&birth_stacks);
    memset((void *)candidates, 0, sizeof candidates);
    atomic_store(&guessed_births_pending, false);
}
