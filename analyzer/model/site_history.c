/* site_history.c - see site_history.h */
#include "model/site_history.h"

#include <stdlib.h>

#define FIRST_WIDTH 64 /* short programs have slices too */

struct site_history *site_history_new(void)
{
    struct site_history *history = calloc(1, sizeof *history);
    if (history)
        history->width = history->slice_end = FIRST_WIDTH;
    return history;
}

void site_history_free(struct site_history *history)
{
    for (size_t i = 0; history && i < HISTORY_PAGES; i++)
        free(history->pages[i]);
    free(history);
}

struct site_track *site_history_page(struct site_history *history, uint32_t node)
{
    if (node > HSK_MAX_NODE)
        return NULL;
    struct site_track *page = calloc(1u << HISTORY_PAGE_BITS, sizeof *page);
    if (!page) {
        history->failed = true;
        return NULL;
    }
    history->pages[node >> HISTORY_PAGE_BITS] = page;
    return &page[node & ((1u << HISTORY_PAGE_BITS) - 1)];
}

/* Two slices become one: of each pair the later end counts. */
static void halve(struct site_history *history)
{
    for (size_t i = 0; i < HISTORY_PAGES; i++)
        for (size_t k = 0; history->pages[i] && k < 1u << HISTORY_PAGE_BITS; k++)
            for (unsigned slice = 0; slice < HISTORY_SLICES / 2; slice++)
                history->pages[i][k].at[slice] = history->pages[i][k].at[2 * slice + 1];
    history->slices = HISTORY_SLICES / 2;
    history->width *= 2;
}

static void close_slice(struct site_history *history)
{
    for (size_t i = 0; i < HISTORY_PAGES; i++)
        for (size_t k = 0; history->pages[i] && k < 1u << HISTORY_PAGE_BITS; k++)
            history->pages[i][k].at[history->slices] = history->pages[i][k].live;
    if (++history->slices == HISTORY_SLICES)
        halve(history); /* at once: the next one is as wide as all others */
    history->slice_end = history->width * (history->slices + 1);
}

void site_history_roll(struct site_history *history, uint64_t ordinal)
{
    /* of a forked child, or behind damage, ordinals jump: the width doubles every sixteen slices, so this ends soon */
    while (ordinal >= history->slice_end)
        close_slice(history);
}

void site_history_finish(struct site_history *history, uint64_t end_ordinal)
{
    history->end_ordinal = end_ordinal;
    if (end_ordinal > 0)
        site_history_roll(history, end_ordinal - 1);
    close_slice(history);
}

const struct site_track *site_history_track(const struct site_history *history, uint32_t node)
{
    const struct site_track *page = node <= HSK_MAX_NODE ? history->pages[node >> HISTORY_PAGE_BITS] : NULL;
    return page ? &page[node & ((1u << HISTORY_PAGE_BITS) - 1)] : NULL;
}

unsigned site_history_slice(const struct site_history *history, uint64_t ordinal)
{
    uint64_t slice = ordinal / history->width;
    return slice < history->slices ? (unsigned)slice : history->slices - 1;
}
