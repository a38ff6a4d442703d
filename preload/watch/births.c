/* births.c - see births.h */
#include "births.h"

#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "../modules.h"
#include "../python/capi.h"
#include "../python/hybrid.h"
#include "../python/number_table.h"
#include "../python/object_read.h"
#include "../python/python.h"
#include "../python/stack.h"
#include "../session.h"
#include "../stack.h"
#include "sampling.h"
#include "unwatched.h"
#include "watched.h"

#define TELLS_BIRTHS 13 /* the first minor version that does */
#define NAME_BYTES 512u
#define LEAST_OBJECT 16u /* bytes */
#define MOST_OBJECT (1u << 24)
#define MOST_CANDIDATES 8u    /* blocks that have not been looked at yet, of all threads */
#define MOST_WRITES_UNBORN 8u /* before the first count; more: it is no object that is made the usual way */

static struct request {
    struct hs_watch_spec spec;
    const char *text; /* the SPEC */
    uint32_t number;
    struct sampling sampling;
} requests[HS_WATCH_REQUESTS];
static unsigned request_count;
static uint32_t with_site; /* requests that have a site: condition, a bit each */
static bool any_asked;     /* since births_forget() */
static bool wants_all;     /* somebody says every:   */

static const struct python_offsets *layout; /* NULL: no objects are watched */
static uint16_t qualified_name;             /* where a class keeps it */

/* By place (stack_place.frame): PLACE_KNOWN and the requests whose site it is, a bit each. */
static struct number_table places;
#define PLACE_KNOWN (UINT64_C(1) << 32)

/*
 * By stack, up to 3.12: STACK_KNOWN; the requests whose site it is, where they have one, a bit each; the requests that
 * the last object was for that was born there, and how far behind the start of its block it was.
 */
static struct number_table birth_stacks;
#define STACK_SITES UINT64_C(0xffff)
#define STACK_BORN_SHIFT 16
#define STACK_KNOWN (UINT64_C(1) << 32)
#define STACK_HEADER_SHIFT 40

bool births_blocks;
_Atomic bool births_pending;

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

/* ---- what is asked for ---- */

void births_want(const struct hs_watch_spec *spec, const char *text, unsigned request)
{
    struct request *wanted = &requests[request_count];
    *wanted = (struct request){.spec = *spec, .text = text, .number = request, .sampling.every = spec->every};
    if (spec->file.bytes || spec->function.bytes)
        with_site |= 1u << request_count;
    request_count++;
    any_asked = true;
    wants_all = wants_all || spec->every;
    watched_share(request_count);
}

void births_give_up(void)
{
    request_count = 0;
    with_site = 0;
    births_blocks = false;
}

void births_say_unseen(struct thread *self)
{
    if (python_state != PYTHON_NONE && !layout)
        return; /* births_python() has said that none are watched */
    for (unsigned i = 0; i < request_count; i++)
        if (!requests[i].sampling.seen)
            unwatched_say(self, requests[i].text,
                          python_state == PYTHON_NONE ? "no Python runs here."
                                                      : "no birth of such an object was seen meanwhile.");
}

bool births_wanted(void)
{
    return request_count > 0;
}

static bool can_recognize_types(void)
{
    return python_capi.PyType_Type && python_capi.PyDict_Type && python_capi.PyUnicode_Type;
}

void births_python(struct thread *self, const struct python_offsets *offsets, bool told)
{
    births_blocks = false;
    layout = offsets && !offsets->free_threaded ? offsets : NULL;
    const struct python_object_offsets *objects = layout ? python_object_offsets_find(layout->minor) : NULL;
    if (!objects)
        layout = NULL;
    else if (!told)
        type_table_start(offsets, objects);
    if (objects)
        qualified_name = objects->type.qualified_name;
    if (!births_wanted() || !offsets)
        return;
    if (!layout) {
        emit_blind_spot(self, "Counts of this Python's objects are not watched: it is free-threaded, or not known.");
        return;
    }
    if (told || layout->minor >= TELLS_BIRTHS || !can_recognize_types())
        return;
    births_blocks = true;
    emit_blind_spot(self, "Before 3.13 CPython does not tell of births: an object that is born in memory which a "
                          "freelist has kept is not watched.");
}

static struct hs_watch_text watch_text(struct text text)
{
    return (struct hs_watch_text){text.bytes ? text.bytes : "", text.bytes ? text.length : 0};
}

uint32_t births_requests_of_type(struct text module, struct text name)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < request_count; i++)
        if (hs_watch_type_matches(&requests[i].spec, watch_text(module), watch_text(name)))
            found |= 1u << i;
    return found;
}

/* ---- places ---- */

static struct text name_of(const void *code, uint16_t offset, char *buffer)
{
    return text_read(layout, pointer_at(code, offset), buffer, NAME_BYTES);
}

/* The line table is read by the interpreter itself, which calls nothing for it and makes nothing. */
static uint64_t line_of(const struct stack_place *place)
{
    int line = python_capi.PyCode_Addr2Line
                   ? python_capi.PyCode_Addr2Line((void *)place->code, (int)(uint32_t)place->frame)
                   : -1;
    return line > 0 ? (uint64_t)line : 0;
}

static uint32_t requests_of_place(const struct stack_place *place)
{
    char file_buffer[NAME_BYTES], function_buffer[NAME_BYTES];
    struct hs_watch_text file = watch_text(name_of(place->code, layout->code.file_name, file_buffer));
    struct hs_watch_text function = watch_text(name_of(place->code, layout->code.name, function_buffer));
    uint64_t line = line_of(place);
    uint32_t found = 0;
    for (unsigned i = 0; i < request_count; i++)
        if (with_site & 1u << i && hs_watch_site_matches(&requests[i].spec, file, line, function))
            found |= 1u << i;
    return found;
}

/* What requests_at_place() said last, by the innermost frame's node, which is in the upper half. */
#define RECENT 1024u
static _Atomic uint64_t recent[RECENT];

static uint32_t requests_at_place(struct thread *self)
{
    struct stack_place place;
    if (!stack_innermost(self, &place))
        return 0;
    number_value *entry = number_table_entry(&places, (const void *)(uintptr_t)(place.frame << 4));
    uint64_t known = entry ? atomic_load_explicit(entry, memory_order_relaxed) : 0;
    if (HS_UNLIKELY(!known)) {
        known = PLACE_KNOWN | requests_of_place(&place);
        if (entry)
            atomic_store_explicit(entry, known, memory_order_relaxed);
    }
    return (uint32_t)known;
}

/* Of the stack that was walked last; 0: no Python runs. */
HS_ALWAYS_INLINE uint32_t innermost_node(const struct thread *self)
{
    const struct python_cache *cache = &self->python;
    return HS_LIKELY(cache->depth) ? cache->frames[cache->depth - 1].node : 0;
}

HS_ALWAYS_INLINE uint64_t recently(uint32_t node)
{
    return atomic_load_explicit(&recent[node % RECENT], memory_order_relaxed);
}

/* The requests whose site the innermost Python frame is. */
static uint32_t requests_here(struct thread *self)
{
    uint32_t node = innermost_node(self);
    uint64_t known = recently(node);
    if (node && known >> 32 == node)
        return (uint32_t)known;
    uint32_t found = requests_at_place(self);
    atomic_store_explicit(&recent[node % RECENT], (uint64_t)node << 32 | found, memory_order_relaxed);
    return found;
}

/* Of the requests that a type may be for, those that the calling thread's place is for, too. */
static uint32_t narrow(struct thread *self, uint32_t asked)
{
    return asked & with_site ? asked & (~with_site | requests_here(self)) : asked;
}

/* What narrow() leaves is nothing, as it was the last time: where sites are asked for, that holds of
 * nearly all births. */
HS_ALWAYS_INLINE bool known_elsewhere(const struct thread *self, uint32_t asked)
{
    uint32_t node = innermost_node(self);
    uint64_t known = recently(node);
    return HS_LIKELY(node && known >> 32 == node && !(asked & (~with_site | (uint32_t)known)));
}

/* ---- choosing a victim ---- */

/* Counts a birth. Is this one to be watched, if there is a watchpoint for it? */
static bool chooses(struct request *request)
{
    if (!sampling_sees(&request->sampling))
        return false;
    if (watched_has_place(request->number) && (request->spec.every == 1 || watched_affordable()))
        return sampling_picks(&request->sampling);
    sampling_misses(&request->sampling);
    return false;
}

static void begin(struct thread *self, struct request *request, struct watch_order *order)
{
    order->request = request->number;
    order->bytes = births_count_bytes();
    order->sample = true;
    order->unlimited = request->spec.every == 1;
    if (watched_begin(self, order) == 0)
        sampling_took(&request->sampling);
}

/* The first of the requests that chooses it. */
static struct request *choose(uint32_t asked)
{
    for (unsigned i = 0; i < request_count; i++)
        if (asked & 1u << i && chooses(&requests[i]))
            return &requests[i];
    return NULL;
}

unsigned births_count_bytes(void)
{
    return layout && layout->minor >= 12 ? 4 : 8;
}

/* 3.12+: what is negative as an int; before, only static objects, with an odd number that nobody else has. */
bool births_immortal(uint64_t count)
{
    return layout && layout->minor >= 12 && count >> 31;
}

static bool is_new(const void *object)
{
    return emit_counter(object, births_count_bytes()) == 1;
}

static __attribute__((noinline)) void look_at_birth(struct thread *self, const void *object, type_value value,
                                                    const void *frame_address, bool walked)
{
    uint32_t asked = type_value_requests(value);
    if (asked & with_site) {
        if (!walked)
            stack_attached(self);
        asked = narrow(self, asked);
    }
    struct request *request = asked ? choose(asked) : NULL;
    if (!request || births_immortal(emit_counter(object, births_count_bytes())))
        return;
    struct watch_order order = {
        .address = object,
        .block = (const char *)object - type_value_header(value),
        .type = type_value_number(value),
        .node = hybrid_attached(self, frame_address), /* who made it may be native code that keeps it */
        .flags = HSK_WATCH_PYTHON | (is_new(object) ? HSK_WATCH_BORN : 0),
    };
    begin(self, request, &order);
}

void births_born(struct thread *self, const void *object, type_value value, const void *frame_address, bool walked)
{
    if (HS_UNLIKELY(!walked || !known_elsewhere(self, type_value_requests(value))))
        look_at_birth(self, object, value, frame_address, walked);
}

/* ---- which object is in a block ---- */

static bool can_read(uintptr_t address)
{
    return address >= HS_PAGE_SIZE && address >> 47 == 0 && address % 8 == 0 && modules_readable(address);
}

/* Is there an object of just this type? */
static bool is_a(const void *object, const void *type)
{
    return can_read((uintptr_t)object + PYTHON_OBJECT_TYPE) && object_type(object) == type;
}

/*
 * Is that a type, and alive? The word may be anything: what is no object has none, and old memory is full of pointers
 * to what has gone. A dead type has the count 0.
 */
static bool is_type(const void *type)
{
    uintptr_t address = (uintptr_t)type;
    if (address % 16 != 0 || !can_read(address) || !can_read(address + PYTHON_TYPE_FLAGS) ||
        !can_read(address + PYTHON_TYPE_FINALIZE + sizeof(void *)))
        return false;
    uint64_t count = emit_counter(type, births_count_bytes()), size = word_at(type, PYTHON_TYPE_BASIC_SIZE);
    uint64_t flags = type_flags(type);
    const void *meta = object_type(type);
    if (count == 0 || count > UINT32_MAX || size < LEAST_OBJECT || size > MOST_OBJECT || !(flags & PYTHON_FLAG_READY) ||
        !can_read((uintptr_t)pointer_at(type, PYTHON_TYPE_NAME) & ~(uintptr_t)7))
        return false;
    if (meta != python_capi.PyType_Type &&
        (!is_a(meta, python_capi.PyType_Type) || !can_read((uintptr_t)meta + PYTHON_TYPE_FLAGS) ||
         !(type_flags(meta) & PYTHON_FLAG_TYPE)))
        return false;
    return !(flags & PYTHON_FLAG_HEAP) || (is_a(pointer_at(type, PYTHON_TYPE_DICT), python_capi.PyDict_Type) &&
                                           is_a(pointer_at(type, qualified_name), python_capi.PyUnicode_Type));
}

/* Of a type that has a number already nothing is asked: it would have lost it when its block was freed. */
static type_value value_of_type(struct thread *self, const void *type)
{
    type_value value = type_table_known(type);
    if (HS_LIKELY(value))
        return value;
    return is_type(type) ? type_table_value(self, type) : 0;
}

/*
 * Beside a count of 32 bits 3.14 has 16 bits that are 0 but for immortal objects, and flags. Memory that is free has a
 * pointer or nothing there.
 */
static bool is_count(uint64_t word)
{
    uint64_t never = layout->minor >= 14 ? UINT64_C(0xffff) << 32 : ~UINT64_C(0) << 32;
    return word && (births_immortal(word & UINT32_MAX) || !(word & never));
}

bool births_is_object(const void *address)
{
    if (!layout || !can_recognize_types() || !can_read((uintptr_t)address) ||
        !can_read((uintptr_t)address + PYTHON_OBJECT_TYPE) || !is_count(word_at(address, PYTHON_OBJECT_REFCOUNT)))
        return false;
    return is_type(object_type(address));
}

type_value births_type_of(struct thread *self, const void *object)
{
    return type_table_value(self, object_type(object));
}

/* Which object is in a block, behind a header of 0, 16 or 32 bytes? 0: none. */
static type_value object_in(struct thread *self, const void *block, size_t size)
{
    static const uint8_t headers[] = {16, 0, 32};
    for (unsigned i = 0; i < sizeof headers; i++) {
        if (headers[i] + LEAST_OBJECT > size)
            continue;
        const void *object = (const char *)block + headers[i], *type = object_type(object);
        type_value value = value_of_type(self, type);
        if (value && type_value_header(value) == headers[i])
            return value;
    }
    return 0;
}

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
    if (wants_all)
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

_Alignas(HS_PAGE_SIZE) _Atomic uint8_t births_elsewhere[((size_t)HS_NODE_MAX + 1) / 8];

/* The stack is that of the calling thread, now. */
static uint64_t stack_knowledge(struct thread *self, uint32_t node, size_t size)
{
    number_value *entry = stack_entry(node, size);
    uint64_t known = entry ? atomic_load_explicit(entry, memory_order_relaxed) : 0;
    if (HS_UNLIKELY(!known)) {
        uint32_t all = (1u << request_count) - 1;
        if (with_site && !stack_attached(self))
            all &= ~with_site; /* no Python runs */
        known = STACK_KNOWN | narrow(self, all);
        if (node && !(known & STACK_SITES))
            atomic_fetch_or_explicit(&births_elsewhere[node >> 3], (uint8_t)(1u << (node & 7)), memory_order_relaxed);
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

/* ---- blocks, up to 3.12 ---- */

static void look_at(struct thread *self, const struct candidate *candidate, const void *block)
{
    number_value *entry = stack_entry(candidate->node, candidate->size);
    type_value value = object_in(self, block, candidate->size);
    uint32_t asked = type_value_requests(value);
    if (entry)
        asked &= (uint32_t)(atomic_load_explicit(entry, memory_order_relaxed) & STACK_SITES);
    if (!asked) {
        looked_in_vain(candidate->node, candidate->size);
        return;
    }
    learn(candidate->node, candidate->size, type_value_header(value), asked);
    const void *object = (const char *)block + type_value_header(value);
    uint64_t count = emit_counter(object, births_count_bytes());
    struct request *request = choose(asked);
    if (!request || count == 0 || births_immortal(count))
        return;
    struct watch_order order = {
        .address = object,
        .block = block,
        .type = type_value_number(value),
        .node = candidate->born_on,
        .flags = HSK_WATCH_PYTHON | (count == 1 ? HSK_WATCH_BORN : 0),
    };
    begin(self, request, &order);
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

void births_look_now(struct thread *self)
{
    /* Before: what others add meanwhile stays pending. */
    atomic_exchange(&births_pending, false);
    bool unborn = give_up_unborn(self), waiting = look_at_candidates(self);
    if (unborn || waiting)
        atomic_store(&births_pending, true);
}

/* Of a site that is asked for few blocks come here: they get native frames, too. */
static void add_candidate(struct thread *self, uint64_t known, const void *block, size_t size, uint32_t node,
                          const void *frame_address)
{
    bool sited = known & STACK_SITES & with_site;
    for (unsigned i = 0; i < MOST_CANDIDATES; i++) {
        struct candidate *candidate = &candidates[i];
        struct thread *nobody = NULL;
        if (!atomic_compare_exchange_strong(&candidate->thread, &nobody, self))
            continue;
        candidate->size = size;
        candidate->node = node;
        candidate->born_on = sited ? hybrid_attached(self, frame_address) : node;
        atomic_store_explicit(&candidate->block, block, memory_order_release);
        atomic_store_explicit(&births_pending, true, memory_order_release);
        return;
    }
}

/* Before it is an object: the first count that it gets will be its birth. */
static void await_birth(struct thread *self, uint64_t known, const void *block, size_t size, uint32_t node,
                        const void *frame_address)
{
    uint64_t header = known >> STACK_HEADER_SHIFT & 0xff;
    struct request *request = header + LEAST_OBJECT <= size ? choose(born_there(known)) : NULL;
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
    begin(self, request, &order);
    atomic_store_explicit(&births_pending, true, memory_order_release);
}

void births_block_here(struct thread *self, const void *block, size_t size, uint32_t node, const void *frame_address)
{
    if (HS_LIKELY(is_quiet(node, size)))
        return;
    uint64_t known = stack_knowledge(self, node, size);
    if (HS_LIKELY(!(known & STACK_SITES)))
        return;
    if (born_there(known))
        await_birth(self, known, block, size, node, frame_address);
    else if (size >= LEAST_OBJECT)
        add_candidate(self, known, block, size, node, frame_address);
}

void births_block_forgotten(const void *block)
{
    for (unsigned i = 0; i < MOST_CANDIDATES; i++) {
        const void *expected = block;
        if (atomic_load_explicit(&candidates[i].block, memory_order_relaxed) == block)
            atomic_compare_exchange_strong(&candidates[i].block, &expected, NULL);
    }
    if (type_table_may_know(births_type_in(block)))
        type_table_forget(births_type_in(block));
}

void births_missed(void)
{
    if (!births_blocks)
        return;
    for (unsigned i = 0; i < MOST_CANDIDATES; i++)
        atomic_store(&candidates[i].block, NULL);
    type_table_forget_all();
}

void births_first_count(struct thread *self, struct watched *place, uint32_t watch, uint64_t count)
{
    if (count != 1) {
        /* what was there before, and zeroes */
        if (atomic_fetch_add(&place->hits, 1) >= MOST_WRITES_UNBORN)
            watched_end(self, place, watch, HSK_WATCH_REPLACED);
        return;
    }
    const void *object = (const void *)place->address, *type = object_type(object);
    type_value value = value_of_type(self, type);
    uint32_t asked = type_value_requests(value);
    bool wanted = false;
    for (unsigned i = 0; i < request_count; i++)
        wanted = wanted || (requests[i].number == place->request && asked & 1u << i);
    if (!wanted || (const char *)object - type_value_header(value) != place->block) {
        learn(place->allocated_at, place->block_size, 0, 0); /* others are born there, too */
        watched_end(self, place, watch, HSK_WATCH_REPLACED);
        return;
    }
    atomic_store(&place->last, 1);
    atomic_store(&place->hits, 0);
    watched_tell_birth(self, place, type_value_number(value), HSK_WATCH_PYTHON | HSK_WATCH_BORN);
}

void births_forget(void)
{
    if (!any_asked)
        return;
    any_asked = false;
    number_table_forget_all(&places);
    number_table_forget_all(&birth_stacks);
    memset((void *)recent, 0, sizeof recent);
    memset((void *)quiet, 0, sizeof quiet);
    memset((void *)candidates, 0, sizeof candidates);
    atomic_store(&births_pending, false);
    wants_all = false;
    arena_discard((void *)births_elsewhere, sizeof births_elsewhere);
}

void births_after_fork(void)
{
    number_table_after_fork(&places);
    number_table_after_fork(&birth_stacks);
    memset((void *)candidates, 0, sizeof candidates);
    atomic_store(&births_pending, false);
}
