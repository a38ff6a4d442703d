/* births.c - see births.h */
#include "births.h"

#include <string.h>

#include "../emit.h"
#include "../python/capi.h"
#include "../python/hybrid.h"
#include "../python/number_table.h"
#include "../python/object_read.h"
#include "../python/python.h"
#include "../python/stack.h"
#include "../session.h"
#include "../stack.h"
#include "births_choice.h"
#include "guessed_births.h"
#include "object_guess.h"
#include "sampling.h"
#include "watched.h"

#define TELLS_BIRTHS 13 /* the first minor version that does */
#define NAME_BYTES 512u

static struct birth_request {
    struct hs_watch_spec spec;
    uint32_t number;
    struct sampling sampling;
} requests[HS_WATCH_REQUESTS];
static unsigned request_count;
uint32_t births_with_site;
bool births_want_all;
static bool any_asked;     /* since births_forget() */
static uint32_t told_seen; /* as hs_session.births_seen */

static const struct python_offsets *layout; /* NULL: no objects are watched */

/* By place (stack_place.frame): PLACE_KNOWN and the requests whose site it is, a bit each. */
static struct number_table places;
#define PLACE_KNOWN (UINT64_C(1) << 32)

/* ---- what is asked for ---- */

void births_want(const struct hs_watch_spec *spec, unsigned request)
{
    struct birth_request *wanted = &requests[request_count];
    *wanted = (struct birth_request){.spec = *spec, .number = request, .sampling.every = spec->every};
    if (spec->file.bytes || spec->function.bytes)
        births_with_site |= 1u << request_count;
    request_count++;
    any_asked = true;
    births_want_all = births_want_all || spec->every;
    watched_share(request_count);
}

void births_give_up(void)
{
    request_count = 0;
    births_with_site = 0;
    guessed_births_on = false;
}

void births_tell_asked(void)
{
    uint32_t asked = 0;
    for (unsigned i = 0; i < request_count; i++)
        asked |= 1u << requests[i].number;
    if (python_state != PYTHON_NONE && !layout)
        asked = 0; /* births_python() has said that none are watched */
    told_seen = 0;
    atomic_store_explicit(&session.shared->births_asked, asked, memory_order_release);
}

static HS_COLD void tell_seen(const struct birth_request *request)
{
    told_seen |= 1u << request->number;
    atomic_store_explicit(&session.shared->births_seen, told_seen, memory_order_release);
}

bool births_wanted(void)
{
    return request_count > 0;
}

void births_python(struct thread *self, const struct python_offsets *offsets, bool told)
{
    guessed_births_on = false;
    layout = offsets && !offsets->free_threaded ? offsets : NULL;
    const struct python_object_offsets *objects = layout ? python_object_offsets_find(layout->minor) : NULL;
    if (!objects)
        layout = NULL;
    else if (!told)
        type_table_start(offsets, objects);
    object_guess_start(layout, objects);
    if (self && !layout)
        atomic_store_explicit(&session.shared->births_asked, 0, memory_order_release);
    if (!births_wanted() || !offsets)
        return;
    if (!layout) {
        emit_blind_spot(self, "Counts of this Python's objects are not watched: it is free-threaded, or not known.");
        return;
    }
    if (told || layout->minor >= TELLS_BIRTHS || !object_guess_possible())
        return;
    guessed_births_on = true;
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
        if (births_with_site & 1u << i && hs_watch_site_matches(&requests[i].spec, file, line, function))
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
uint32_t births_narrow(struct thread *self, uint32_t asked)
{
    return asked & births_with_site ? asked & (~births_with_site | requests_here(self)) : asked;
}

/* What births_narrow() leaves is nothing, as it was the last time: where sites are asked for, that holds of
 * nearly all births. */
HS_ALWAYS_INLINE bool known_elsewhere(const struct thread *self, uint32_t asked)
{
    uint32_t node = innermost_node(self);
    uint64_t known = recently(node);
    return HS_LIKELY(node && known >> 32 == node && !(asked & (~births_with_site | (uint32_t)known)));
}

/* ---- choosing a victim ---- */

/* Counts a birth. Is this one to be watched, if there is a watchpoint for it? */
static bool chooses(struct birth_request *request)
{
    if (HS_UNLIKELY(!(told_seen >> request->number & 1)))
        tell_seen(request);
    if (!sampling_sees(&request->sampling))
        return false;
    if (watched_has_place(request->number) && (request->spec.every == 1 || watched_affordable()))
        return sampling_picks(&request->sampling);
    sampling_misses(&request->sampling);
    return false;
}

void births_begin(struct thread *self, struct birth_request *request, struct watch_order *order)
{
    order->request = request->number;
    order->bytes = object_count_bytes();
    order->sample = true;
    order->unlimited = request->spec.every == 1;
    if (watched_begin(self, order) == 0)
        sampling_took(&request->sampling);
}

/* The first of the requests that chooses it. */
struct birth_request *births_choose(uint32_t asked)
{
    for (unsigned i = 0; i < request_count; i++)
        if (asked & 1u << i && chooses(&requests[i]))
            return &requests[i];
    return NULL;
}

static bool is_new(const void *object)
{
    return emit_counter(object, object_count_bytes()) == 1;
}

static __attribute__((noinline)) void look_at_birth(struct thread *self, const void *object, type_value value,
                                                    const void *frame_address, bool walked)
{
    uint32_t asked = type_value_requests(value);
    if (asked & births_with_site) {
        if (!walked)
            stack_attached(self);
        asked = births_narrow(self, asked);
    }
    struct birth_request *request = asked ? births_choose(asked) : NULL;
    if (!request || object_immortal(emit_counter(object, object_count_bytes())))
        return;
    struct watch_order order = {
        .address = object,
        .block = (const char *)object - type_value_header(value),
        .type = type_value_number(value),
        .node = hybrid_attached(self, frame_address), /* who made it may be native code that keeps it */
        .flags = HSK_WATCH_PYTHON | (is_new(object) ? HSK_WATCH_BORN : 0),
    };
    births_begin(self, request, &order);
}

void births_born(struct thread *self, const void *object, type_value value, const void *frame_address, bool walked)
{
    if (HS_UNLIKELY(!walked || !known_elsewhere(self, type_value_requests(value))))
        look_at_birth(self, object, value, frame_address, walked);
}

/* ---- for guessed_births.c ---- */

uint32_t births_all(void)
{
    return (1u << request_count) - 1;
}

bool births_are_for(uint32_t asked, uint32_t number)
{
    for (unsigned i = 0; i < request_count; i++)
        if (requests[i].number == number && asked & 1u << i)
            return true;
    return false;
}

/* ---- the end ---- */

void births_forget(void)
{
    if (!any_asked)
        return;
    any_asked = births_want_all = false;
    number_table_forget_all(&places);
    memset((void *)recent, 0, sizeof recent);
    guessed_births_forget();
}

void births_after_fork(void)
{
    number_table_after_fork(&places);
    guessed_births_after_fork();
    births_tell_asked();
}
