/* leak_causes.c - the list of leaks, and the order in which causes are looked for; see leak_causes.h */
#include "model/leak_causes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "model/leak_evidence.h"

const char *const leak_cause_names[LEAK_CAUSES] = {
    [LEAK_LOST] = "lost",   [LEAK_OVER_REFERENCED] = "over-referenced",
    [LEAK_CYCLE] = "cycle", [LEAK_GROWING] = "growing",
    [LEAK_HELD] = "held",   [LEAK_FRAGMENTATION] = "fragmentation",
};

struct leak *leaks_add(struct leaks *leaks, enum leak_cause cause)
{
    if (!grow((void **)&leaks->list, leaks->count, &leaks->capacity, sizeof *leaks->list)) {
        leaks->failed = true;
        return NULL;
    }
    struct leak *leak = &leaks->list[leaks->count++];
    *leak = (struct leak){.cause = cause};
    return leak;
}

static struct leak_fact *add_fact(struct leak *leak, const char *key)
{
    if (leak->fact_count == LEAK_FACTS_MAX)
        return NULL;
    struct leak_fact *fact = &leak->facts[leak->fact_count++];
    *fact = (struct leak_fact){.key = key};
    return fact;
}

void leak_fact_count(struct leak *leak, const char *key, uint64_t value)
{
    struct leak_fact *fact = add_fact(leak, key);
    if (fact) {
        fact->kind = FACT_COUNT;
        fact->count = value;
    }
}

void leak_fact_number(struct leak *leak, const char *key, double value)
{
    struct leak_fact *fact = add_fact(leak, key);
    if (fact) {
        fact->kind = FACT_NUMBER;
        fact->number = value;
    }
}

void leak_fact_seconds(struct leak *leak, const char *key, uint64_t ns)
{
    struct leak_fact *fact = add_fact(leak, key);
    if (fact) {
        fact->kind = FACT_SECONDS;
        fact->count = ns;
    }
}

void leak_fact_text(struct leak *leak, const char *key, const char *text)
{
    struct leak_fact *fact = add_fact(leak, key);
    if (fact) {
        fact->kind = FACT_TEXT;
        fact->text = strdup(text);
    }
}

void leak_explain(struct leak *leak, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    free(leak->explanation);
    leak->explanation = strdup(text);
}

void leak_set_stack(struct leak *leak, const struct evidence *evidence, uint32_t stack, uint32_t type)
{
    const struct ref_graph *graph = evidence->graph;
    leak->stack = stack;
    leak->stack_of_block =
        stack != 0 && !evidence->objects && type < graph->type_count && graph->types[type].flags & HSK_TYPE_RECYCLES;
}

/* In the evidence and in words, when the finder has said all that it knows. */
static void tell_stack(struct leak *leak)
{
    if (!leak->stack_of_block)
        return;
    leak_fact_text(leak, "stack_of", "block");
    leak_explain(leak, "%s. The stack may be that of an earlier object in the same block, which this trace cannot tell",
                 leak->explanation ? leak->explanation : "");
}

void leaks_claim(struct leaks *leaks, uint32_t stack, uint64_t count, uint64_t bytes)
{
    struct leak_claim *last = leaks->claim_count ? &leaks->claims[leaks->claim_count - 1] : NULL;
    if (last && last->stack == stack) {
        last->count += count;
        last->bytes += bytes;
        return;
    }
    if (!grow((void **)&leaks->claims, leaks->claim_count, &leaks->claim_capacity, sizeof *leaks->claims)) {
        leaks->failed = true;
        return;
    }
    leaks->claims[leaks->claim_count++] = (struct leak_claim){.stack = stack, .count = count, .bytes = bytes};
}

void leaks_add_member(struct leaks *leaks, uint32_t node, bool begins)
{
    struct leak *leak = &leaks->list[leaks->count - 1];
    if (!grow((void **)&leaks->members, leaks->member_total, &leaks->member_capacity, sizeof *leaks->members)) {
        leaks->failed = true;
        return;
    }
    if (leak->member_count++ == 0)
        leak->first_member = leaks->member_total;
    leaks->members[leaks->member_total++] = (struct leak_member){.node = node, .begins = begins};
}

/* How likely times how large; ties in a stable order, so that reports can be compared. */
static int most_important_first(const void *left, const void *right)
{
    const struct leak *a = left, *b = right;
    double a_size = (double)(a->has_retained && a->retained_bytes > a->bytes ? a->retained_bytes : a->bytes);
    double b_size = (double)(b->has_retained && b->retained_bytes > b->bytes ? b->retained_bytes : b->bytes);
    double a_score = a->confidence * (a_size + 1), b_score = b->confidence * (b_size + 1);
    if (a_score < b_score || a_score > b_score)
        return a_score < b_score ? 1 : -1;
    if (a->cause != b->cause)
        return a->cause < b->cause ? -1 : 1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* Those that were looked for in a region come last: the others are known by the same number without it. */
static void number(struct leaks *leaks)
{
    unsigned next = 1;
    for (int of_regions = 0; of_regions < 2; of_regions++)
        for (size_t i = 0; i < leaks->count; i++)
            if ((leaks->list[i].of_region != 0) == of_regions)
                leaks->list[i].number = next++;
}

int leaks_find(struct leaks *leaks, struct evidence *evidence, struct error *error)
{
    typedef int find(struct leaks *, struct evidence *);
    /* those that need to have seen all of the graph come first */
    static find *const of_whole_graphs[] = {leaks_find_over_referenced, leaks_find_cycles, leaks_find_lost};
    static find *const of_any[] = {leaks_find_growing, leaks_find_spread, leaks_find_held, leaks_find_fragments,
                                   leaks_find_repeated};
    int code = 0;
    bool whole = evidence->snapshot->whole && evidence->graph->missing_parts == 0;
    for (size_t i = 0; i < HS_COUNT_OF(of_whole_graphs) && whole && code == 0; i++)
        code = of_whole_graphs[i](leaks, evidence);
    for (size_t i = 0; i < HS_COUNT_OF(of_any) && code == 0; i++)
        code = of_any[i](leaks, evidence);
    if (code != 0 || leaks->failed)
        return error_set(error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < leaks->count; i++)
        tell_stack(&leaks->list[i]);
    if (leaks->count > 1)
        qsort(leaks->list, leaks->count, sizeof *leaks->list, most_important_first);
    number(leaks);
    return 0;
}

void leaks_free(struct leaks *leaks)
{
    for (size_t i = 0; i < leaks->count; i++) {
        struct leak *leak = &leaks->list[i];
        for (unsigned k = 0; k < leak->fact_count; k++)
            free(leak->facts[k].text);
        for (size_t k = 0; k < leak->why_count; k++)
            free(leak->why[k]);
        free(leak->why);
        free(leak->type);
        free(leak->explanation);
    }
    free(leaks->list);
    free(leaks->claims);
    free(leaks->members);
    *leaks = LEAKS_INIT;
}
