/* leak_culprits.c - see leak_culprits.h */
#include "model/leak_culprits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/grow.h"
#include "model/count_balance.h"
#include "model/frame_roles.h"

/* A counted object that the snapshot found with references too many. */
struct suspect_object {
    const struct counted *counted;
    uint32_t node;
};

struct suspects {
    struct suspect_object *list;
    size_t count;
};

/* Objects of the snapshot by the ordinals of their blocks. */
static bool find_suspects(struct suspects *suspects, const struct evidence *evidence, const struct counts *counts)
{
    struct map64 by_ordinal = MAP64_INIT;
    bool done = true;
    uint32_t node;
    for (uint32_t n = 0; n < evidence->graph->node_count && done; n++) {
        const struct ref_node *at = &evidence->graph->nodes[n];
        if (ref_kind(at) == REF_OBJECT && ref_ordinal(at) != REF_NO_ORDINAL && evidence->own[n] > 0 &&
            evidence->reach->unexplained[n] > 0)
            done = map64_put(&by_ordinal, ref_ordinal(at), n);
    }
    suspects->list = calloc(counts->object_count + 1, sizeof *suspects->list);
    done &= suspects->list != NULL;
    for (size_t i = 0; i < counts->object_count && done; i++) {
        const struct counted *object = &counts->objects[i];
        if (object->shadowed || object->dead || object->ordinal == COUNTED_NO_ORDINAL ||
            !map64_get(&by_ordinal, object->ordinal, &node))
            continue;
        suspects->list[suspects->count++] = (struct suspect_object){object, node};
    }
    map64_free(&by_ordinal);
    return done;
}

static bool belongs(const struct leak *leak, const struct evidence *evidence, uint32_t node)
{
    char type[256];
    if (evidence->stack[node] != leak->stack || !leak->type)
        return false;
    ref_type_name(evidence->graph, evidence->graph->nodes[node].type, type, sizeof type);
    return strcmp(type, leak->type) == 0;
}

/* Whom a left increment points to: the sooner the better. */
enum tier {
    TIER_EXTENSION, /* an extension took it                                                             */
    TIER_CALLER,    /* the interpreter or Python code did, called by an extension, which got the result   */
    TIER_NONE,      /* nobody but the interpreter was there                                             */
    TIERS
};

struct pointed {
    uint32_t stack; /* its innermost frame is the one to name */
    enum tier tier;
};

static struct pointed pointed_by(const struct stacks *stacks, uint32_t stack)
{
    struct pointed pointed = {.stack = stack, .tier = TIER_EXTENSION};
    for (uint32_t at = stack; at; at = stacks_caller(stacks, at)) {
        struct frame frame = stacks_frame(stacks, at);
        if (frame.language == FRAME_NATIVE && !frame_acts_for_others(&frame)) {
            pointed.stack = at;
            return pointed;
        }
        if (frame.language == FRAME_PYTHON)
            pointed.tier = TIER_CALLER;
    }
    pointed.tier = TIER_NONE;
    return pointed;
}

/* A function that objects have charged. */
struct charged {
    struct frame frame;
    uint32_t stack;
    enum tier tier;
    uint32_t objects;
    size_t last; /* number of the object that has charged it last */
};

struct charges {
    struct charged *list;
    size_t count, capacity;
    bool failed;
};

/* Texts of frames are interned. */
static bool is_same_function(const struct frame *left, const struct frame *right)
{
    return left->function.bytes == right->function.bytes && left->file.bytes == right->file.bytes &&
           left->module.bytes == right->module.bytes;
}

static void charge(struct charges *charges, const struct stacks *stacks, const struct pointed *pointed, size_t object)
{
    struct frame frame = stacks_frame(stacks, pointed->stack);
    size_t i = 0;
    while (i < charges->count && !is_same_function(&charges->list[i].frame, &frame))
        i++;
    if (i == charges->count) {
        if (!grow((void **)&charges->list, charges->count, &charges->capacity, sizeof *charges->list)) {
            charges->failed = true;
            return;
        }
        charges->list[charges->count++] =
            (struct charged){.frame = frame, .stack = pointed->stack, .tier = pointed->tier, .last = SIZE_MAX};
    }
    struct charged *charged = &charges->list[i];
    charged->objects += charged->last != object;
    charged->last = object;
}

/* Of the object that was added last: as many of its left increments as references are unexplained. */
static void charge_left(struct charges *charges, const struct count_balance *balance, const struct stacks *stacks,
                        uint32_t unexplained, size_t object)
{
    for (int tier = 0; tier < TIERS; tier++)
        for (size_t i = balance->left_count; i > 0 && unexplained > 0; i--) {
            uint32_t stack = balance->sites[balance->left[i - 1].site].stack;
            struct pointed pointed = pointed_by(stacks, stack);
            if (!stack || pointed.tier != (enum tier)tier)
                continue;
            unexplained--;
            charge(charges, stacks, &pointed, object);
        }
}

/* "function (file:line)", or "function in module" where no file is known. */
static void place_text(const struct frame *frame, struct buf *text)
{
    struct text module = text_base_name(frame->module);
    buf_append(text, frame->function.bytes, frame->function.length);
    if (frame->file.bytes)
        buf_printf(text, " (%.*s:%" PRIu32 ")", (int)frame->file.length, frame->file.bytes, frame->line);
    else if (module.length)
        buf_printf(text, " in %.*s", (int)module.length, module.bytes);
    buf_append(text, "", 1);
}

static void name_culprit(struct leak *leak, const struct charged *charged, uint32_t watched)
{
    const struct frame *frame = &charged->frame;
    leak->watched = true;
    leak->advice = frame->file.bytes ? NULL
                                     : "Its module has no debug information here: `heapsake symbolize` adds the "
                                       "function and the line where that is to be had";
    leak->culprit = charged->stack;
    leak_fact_count(leak, "watched", watched);
    leak_fact_count(leak, "charged", charged->objects);
    char *before = leak->explanation;
    leak->explanation = NULL;
    struct buf place = BUF_INIT;
    place_text(frame, &place);
    leak_explain(leak,
                 "%s. The counts of %" PRIu32 " of them were recorded: in %" PRIu32
                 " of these a reference that %s %s was never given back",
                 before ? before : "", watched, charged->objects, place.failed ? "?" : (const char *)place.data,
                 charged->tier == TIER_CALLER ? "was given by what it called" : "took");
    buf_free(&place);
    free(before);
}

/* Objects of its type that were watched, its own among them. */
static uint32_t watched_of_type(const struct leak *leak, const struct counts *counts)
{
    uint32_t found = 0;
    for (size_t i = 0; i < counts->object_count && leak->type; i++) {
        const struct counted *object = &counts->objects[i];
        const char *type = object->watch ? type_names_text(&counts->type_names, object->type) : NULL;
        found += type && strcmp(type, leak->type) == 0;
    }
    return found;
}

/* To watch once more would meet the same ones. */
static void tell_missed(struct leak *leak, uint32_t watched, uint32_t of_type)
{
    leak->missed = true;
    leak->advice = leak->stack_of_block
                       ? "They were born in memory that a freelist had kept, and who made them there is told from "
                         "CPython 3.13 on: record with that, or build the extension with -I $(heapsake "
                         "--python-include)"
                       : "Add every:1 to what is watched, or let the program run for longer";
    leak_fact_count(leak, "watched", watched);
    leak_fact_count(leak, "others_watched", of_type - watched);
    char *before = leak->explanation;
    leak->explanation = NULL;
    leak_explain(leak,
                 "%s. The counts of %" PRIu32 " object%s of this type were recorded, %" PRIu32
                 " of them of this leak, and none was seen to take a reference that was never given back",
                 before ? before : "", of_type, of_type == 1 ? "" : "s", watched);
    free(before);
}

static int find_culprit(struct leak *leak, const struct evidence *evidence, const struct counts *counts,
                        const struct suspects *suspects)
{
    struct count_balance balance;
    struct charges charges = {0};
    const struct charged *best = NULL;
    uint32_t watched = 0;
    balance_begin(&balance, evidence->stacks);
    for (size_t i = 0; i < suspects->count; i++) {
        const struct suspect_object *suspect = &suspects->list[i];
        if (!belongs(leak, evidence, suspect->node))
            continue;
        watched++;
        balance_add(&balance, counts, suspect->counted);
        charge_left(&charges, &balance, evidence->stacks, (uint32_t)evidence->reach->unexplained[suspect->node], i);
    }
    for (size_t i = 0; i < charges.count; i++)
        if (!best || charges.list[i].objects > best->objects ||
            (charges.list[i].objects == best->objects && charges.list[i].tier < best->tier))
            best = &charges.list[i];
    uint32_t of_type = best ? 0 : watched_of_type(leak, counts);
    if (best)
        name_culprit(leak, best, watched);
    else if (of_type)
        tell_missed(leak, watched, of_type);
    int code = balance.failed || charges.failed ? -ENOMEM : 0;
    free(charges.list);
    balance_free(&balance);
    return code;
}

int leaks_find_culprits(struct leaks *leaks, const struct evidence *evidence, const struct counts *counts)
{
    struct suspects suspects = {0};
    int code = find_suspects(&suspects, evidence, counts) ? 0 : -ENOMEM;
    for (size_t i = 0; i < leaks->count && code == 0; i++)
        if (leaks->list[i].cause == LEAK_OVER_REFERENCED)
            code = find_culprit(&leaks->list[i], evidence, counts, &suspects);
    free(suspects.list);
    return code;
}
