/* leak_growth.c - see leak_growth.h */
#include "model/leak_growth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/leak_limits.h"

struct birth {
    uint64_t ordinal, ns;
    uint32_t node; /* stack node */
};

static int by_node(const void *left, const void *right)
{
    const struct birth *a = left, *b = right;
    return a->node < b->node ? -1 : a->node > b->node;
}

/* Live blocks of all the births' stack nodes when a slice was over; `births` by stack node. */
static uint64_t live_at(const struct site_history *history, const struct birth *births, size_t count, unsigned slice)
{
    uint64_t live = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && births[i].node == births[i - 1].node)
            continue;
        const struct site_track *track = site_history_track(history, births[i].node);
        live += track ? track->at[slice] : 0;
    }
    return live;
}

/* The number of live blocks rises from quarter to quarter, or stays; and was small when the oldest was born. */
static bool rises(struct growth *growth, const struct evidence *evidence, struct birth *births, size_t count,
                  uint64_t first_ordinal)
{
    unsigned first = site_history_slice(evidence->history, first_ordinal), end = evidence->history->slices - 1;
    qsort(births, count, sizeof *births, by_node);
    growth->live_before = first > 0 ? live_at(evidence->history, births, count, first - 1) : 0;
    growth->live_end = live_at(evidence->history, births, count, end);
    if ((double)growth->live_before >= GROW_LIVE_BEFORE * (double)growth->live_end)
        return false;
    uint64_t last = growth->live_before;
    for (unsigned quarter = 1; quarter <= 4; quarter++) {
        uint64_t live = live_at(evidence->history, births, count, first + (end - first) * quarter / 4);
        if ((double)live + GROW_STEP_DOWN * (double)growth->live_end < (double)last)
            return false;
        last = live;
    }
    return true;
}

static void count_quarters(struct growth *growth, const struct birth *births, size_t count, uint64_t first,
                           uint64_t window)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t quarter = window ? (births[i].ordinal - first) * 4 / window : 3;
        growth->quarters[quarter < 4 ? quarter : 3]++;
    }
}

int growth_measure(struct growth *growth, const struct evidence *evidence, const uint32_t *nodes, size_t count)
{
    *growth = (struct growth){.first_ns = UINT64_MAX};
    struct birth *births = malloc((count + 1) * sizeof *births);
    if (!births)
        return -ENOMEM;
    uint64_t first = UINT64_MAX, last = 0;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t ordinal = ref_ordinal(&evidence->graph->nodes[nodes[i]]);
        const struct life_block *block = lifetimes_find(evidence->lifetimes, ordinal);
        if (!block)
            continue;
        uint64_t ns = evidence_birth_ns(evidence, nodes[i]);
        ordinal = evidence_birth_ordinal(evidence, nodes[i]);
        births[found++] =
            (struct birth){.ordinal = ordinal, .ns = ns, .node = evidence_birth_node(evidence, nodes[i], block)};
        first = ordinal < first ? ordinal : first;
        last = ordinal > last ? ordinal : last;
        growth->first_ns = ns < growth->first_ns ? ns : growth->first_ns;
        growth->last_ns = ns > growth->last_ns ? ns : growth->last_ns;
    }
    uint64_t end = evidence->end_ordinal, window = first < end ? end - first : 0, end_ns = evidence->snapshot->time_ns;
    if (found > 0 && evidence->begin_ordinal < end) {
        count_quarters(growth, births, found, first, window);
        uint64_t least = UINT64_MAX, most = 0;
        for (unsigned i = 0; i < 4; i++) {
            least = growth->quarters[i] < least ? growth->quarters[i] : least;
            most = growth->quarters[i] > most ? growth->quarters[i] : most;
        }
        growth->steady = most < 2 * least;
        growth->grows = (double)window >= GROW_MIN_WINDOW * (double)(end - evidence->begin_ordinal) &&
                        (double)(last - first) >= GROW_LAST_BIRTH * (double)window &&
                        (double)least >= GROW_QUARTER_MIN * (double)found &&
                        rises(growth, evidence, births, found, first);
        uint64_t clock = end_ns > growth->first_ns ? end_ns - growth->first_ns : 0;
        growth->stopped = clock >= GROW_CLOCK_NS && growth->last_ns - growth->first_ns < clock / 2;
        growth->per_second = clock ? (double)found * 1e9 / (double)clock : 0;
    }
    free(births);
    return 0;
}
