/* open_sums.c - see open_sums.h */
#include "model/open_sums.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define LEAST_WIDTH 4u

/* What changes have come to, the most that they came to on the way (0: never more than before), and when. */
struct open_note {
    uint64_t bytes, blocks; /* may be less than 0, modulo 2^64 */
    uint64_t most, event, time_ns;
};

struct open_leaf {
    uint64_t ordinal;
    uint64_t allocations, allocated_bytes; /* of the sums, at its begin */
    uint32_t id;
    bool open;
};

void open_sums_free(struct open_sums *sums)
{
    free(sums->notes);
    free(sums->leaves);
    *sums = (struct open_sums){0};
}

/* ---- notes ---- */

static void add_note(struct open_note *to, const struct open_note *later)
{
    uint64_t most = to->bytes + later->most;
    if ((int64_t)(most - to->most) > 0) {
        to->most = most;
        to->event = later->event;
        to->time_ns = later->time_ns;
    }
    to->bytes += later->bytes;
    to->blocks += later->blocks;
}

/* To the children of a node that is no leaf. */
static void pass_on(struct open_sums *sums, size_t node)
{
    struct open_note *note = &sums->notes[node];
    if (!note->bytes && !note->blocks && !note->most)
        return;
    add_note(&sums->notes[2 * node], note);
    add_note(&sums->notes[2 * node + 1], note);
    *note = (struct open_note){0};
}

/* Everything that concerns the leaf is in its own note then. */
static struct open_note *settle(struct open_sums *sums, size_t leaf)
{
    for (int height = __builtin_ctzll(sums->width); height > 0; height--)
        pass_on(sums, (sums->width + leaf) >> height);
    return &sums->notes[sums->width + leaf];
}

/* The same for all leaves. */
static void settle_all(struct open_sums *sums)
{
    for (size_t node = 1; node < sums->width; node++)
        pass_on(sums, node);
}

/* ---- leaves ---- */

/* Room for twice the regions that are open, which become the first ones. */
static int make_room(struct open_sums *sums)
{
    size_t width = LEAST_WIDTH, used = 0;
    while (width < 2 * sums->open)
        width *= 2;
    struct open_note *notes = calloc(2 * width, sizeof *notes);
    struct open_leaf *leaves = calloc(width, sizeof *leaves);
    if (!notes || !leaves) {
        free(notes);
        free(leaves);
        return -ENOMEM;
    }
    settle_all(sums);
    for (size_t i = 0; i < sums->used; i++) {
        if (!sums->leaves[i].open)
            continue;
        leaves[used] = sums->leaves[i];
        notes[width + used++] = sums->notes[sums->width + i];
    }
    free(sums->notes);
    free(sums->leaves);
    sums->notes = notes;
    sums->leaves = leaves;
    sums->width = width;
    sums->used = used;
    return 0;
}

static size_t leaf_of(const struct open_sums *sums, uint32_t id)
{
    size_t low = 0, high = sums->used;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (sums->leaves[middle].id <= id)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* How many leaves began before that allocation. */
static size_t begun_before(const struct open_sums *sums, uint64_t ordinal)
{
    size_t low = 0, high = sums->used;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sums->leaves[middle].ordinal <= ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Less than 0 only where the file is damaged. */
static uint64_t at_least_0(uint64_t sum)
{
    return (int64_t)sum < 0 ? 0 : sum;
}

static struct open_sum sum_of(struct open_sums *sums, size_t at)
{
    const struct open_leaf *leaf = &sums->leaves[at];
    const struct open_note *note = settle(sums, at);
    return (struct open_sum){
        .allocations = sums->allocations - leaf->allocations,
        .allocated_bytes = sums->allocated_bytes - leaf->allocated_bytes,
        .live_blocks = at_least_0(note->blocks),
        .live_bytes = at_least_0(note->bytes),
        .peak_bytes = note->most,
        .peak_event = note->event,
        .peak_ns = note->time_ns,
    };
}

/* ---- what happens ---- */

int open_sums_begin(struct open_sums *sums, uint32_t id, uint64_t ordinal)
{
    if (sums->used == sums->width && make_room(sums) != 0)
        return -ENOMEM;
    *settle(sums, sums->used) = (struct open_note){0}; /* what came before is none of its business */
    sums->leaves[sums->used++] = (struct open_leaf){
        .ordinal = ordinal,
        .allocations = sums->allocations,
        .allocated_bytes = sums->allocated_bytes,
        .id = id,
        .open = true,
    };
    sums->open++;
    return 0;
}

struct open_sum open_sums_end(struct open_sums *sums, uint32_t id)
{
    size_t at = leaf_of(sums, id);
    struct open_sum sum = sum_of(sums, at);
    sums->leaves[at].open = false;
    sums->open--;
    while (sums->used > 0 && !sums->leaves[sums->used - 1].open)
        sums->used--;
    return sum;
}

void open_sums_born(struct open_sums *sums, uint64_t size, uint64_t event, uint64_t time_ns)
{
    if (sums->open == 0)
        return;
    struct open_note birth = {.bytes = size, .blocks = 1, .most = size, .event = event, .time_ns = time_ns};
    add_note(&sums->notes[1], &birth);
    sums->allocations++;
    sums->allocated_bytes += size;
}

void open_sums_ended(struct open_sums *sums, uint64_t ordinal, uint64_t size)
{
    size_t count = begun_before(sums, ordinal), node = 1, span = sums->width;
    struct open_note end = {.bytes = 0 - size, .blocks = UINT64_MAX};
    if (count == 0)
        return;
    if (count == sums->used)
        count = span; /* leaves that are not used do not mind */
    /* `count` leaves of the node's `span` are left: of each node on the way its first half, or a part of that. */
    while (count > 0 && count < span) {
        pass_on(sums, node);
        node *= 2;
        span /= 2;
        if (count >= span) {
            add_note(&sums->notes[node++], &end);
            count -= span;
        }
    }
    if (count > 0)
        add_note(&sums->notes[node], &end);
}

void open_sums_visit(struct open_sums *sums, void (*visit)(void *context, uint32_t id, const struct open_sum *sum),
                     void *context)
{
    settle_all(sums);
    for (size_t i = 0; i < sums->used; i++) {
        if (!sums->leaves[i].open)
            continue;
        struct open_sum sum = sum_of(sums, i);
        visit(context, sums->leaves[i].id, &sum);
    }
}
