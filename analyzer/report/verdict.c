/* verdict.c - see verdict.h */
#include "report/verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map64.h"
#include "model/mark_growth.h"
#include "report/gone_leaks.h"
#include "report/out_text.h"

#define SITES_NAMED 3u
#define NAME_BYTES 200u

static struct violation *add(struct verdict *verdict, const struct limit *limit, const char *measure)
{
    if (verdict->count == verdict->capacity) {
        size_t capacity = verdict->capacity ? 2 * verdict->capacity : 16;
        struct violation *grown = reallocarray(verdict->list, capacity, sizeof *grown);
        if (!grown) {
            verdict->failed = true;
            return NULL;
        }
        verdict->list = grown;
        verdict->capacity = capacity;
    }
    struct violation *violation = &verdict->list[verdict->count++];
    *violation = (struct violation){.limit = limit, .measure = measure};
    return violation;
}

/* --- places --- */

static void name_leak(struct violation *violation, const struct measured *measured, const struct leak *leak)
{
    if (violation->place_count == VIOLATION_PLACES)
        return;
    violation->places[violation->place_count++] = (struct violation_place){
        .leak = leak,
        .stack = leak->stack,
        .look_at = leak->culprit ? leak->culprit : leak_site_place(measured->report.stacks, leak->stack),
        .count = leak->count,
        .bytes = leak->bytes,
    };
}

/* What sites are wanted for. */
struct naming {
    size_t violation;
    bool growth; /* what is there more than in the sites before */
};

/* One more for the violation that was added last. */
static void want_sites(struct verdict *verdict, const struct sites_wanted *wanted, bool growth)
{
    if (!grow((void **)&verdict->wanted, verdict->wanted_count, &verdict->wanted_capacity, sizeof *verdict->wanted) ||
        !grow((void **)&verdict->naming, verdict->wanted_count, &verdict->naming_capacity, sizeof *verdict->naming)) {
        verdict->failed = true;
        return;
    }
    verdict->naming[verdict->wanted_count] = (struct naming){.violation = verdict->count - 1, .growth = growth};
    verdict->wanted[verdict->wanted_count++] = *wanted;
}

/* Where the most bytes were at the peak, where they were at the end, where most was allocated (count is of
 * allocations). */
enum moment { AT_PEAK, AT_END, ALLOCATED };

static void want_moment(struct verdict *verdict, enum moment which, const struct region *region)
{
    const struct report *report = &verdict->measured->report;
    struct sites_wanted wanted = {.region = region, .allocated = which == ALLOCATED};
    uint64_t end = report->end.allocations + report->end.frees;
    if (which == AT_PEAK)
        wanted.event = region ? region->peak_event : report->lifetimes->peak_event;
    else if (which == AT_END)
        wanted.event = region ? region->end_event : end;
    else
        wanted.event = region && !region->open ? region->end_event : UINT64_MAX;
    wanted.from = region ? region->begin_event : 0;
    want_sites(verdict, &wanted, false);
}

static void name_site(const struct verdict *verdict, struct violation *violation, const struct site *site)
{
    violation->places[violation->place_count++] = (struct violation_place){
        .stack = site->stack,
        .look_at = leak_site_place(verdict->measured->report.stacks, site->stack),
        .count = site->count,
        .bytes = site->bytes,
    };
}

static int most_first(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* What `sites` have more than `before`, in their place. */
static bool subtract_sites(struct sites *sites, const struct sites *before)
{
    struct map64 index = MAP64_INIT;
    size_t kept = 0;
    bool fits = true;
    for (size_t i = 0; i < before->count && fits; i++)
        fits = map64_put(&index, before->sites[i].stack, (uint32_t)i);
    for (size_t i = 0; i < sites->count && fits; i++) {
        struct site site = sites->sites[i];
        uint32_t at;
        if (map64_get(&index, site.stack, &at)) {
            const struct site *was = &before->sites[at];
            if (site.bytes <= was->bytes && site.count <= was->count)
                continue;
            site.bytes -= was->bytes < site.bytes ? was->bytes : site.bytes;
            site.count -= was->count < site.count ? was->count : site.count - 1; /* a block that is larger now */
        }
        sites->sites[kept++] = site;
    }
    map64_free(&index);
    sites->count = kept;
    if (kept > 1)
        qsort(sites->sites, kept, sizeof *sites->sites, most_first);
    return fits;
}

static int name_sites(struct verdict *verdict)
{
    const struct report *report = &verdict->measured->report;
    struct error error = {0};
    if (verdict->wanted_count == 0 || verdict->failed)
        return EXIT_DONE;
    if (sites_wanted_find(verdict->wanted, verdict->wanted_count, report->reader, report->stacks, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    for (size_t i = 0; i < verdict->wanted_count; i++) {
        struct sites *sites = &verdict->wanted[i].sites;
        struct violation *violation = &verdict->list[verdict->naming[i].violation];
        if (verdict->naming[i].growth) {
            violation->place_count = 0;
            verdict->failed |= !subtract_sites(sites, &verdict->wanted[i - 1].sites);
        }
        for (size_t k = 0; k < sites->count && k < SITES_NAMED; k++)
            name_site(verdict, violation, &sites->sites[k]);
    }
    return EXIT_DONE;
}

/* --- sentences --- */

static void say_amount(struct buf *message, uint64_t amount, bool is_count)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    out_count(count, amount);
    if (is_count)
        buf_printf(message, "%s", count);
    else if (amount < 1024)
        buf_printf(message, "%s bytes", count);
    else
        buf_printf(message, "%s (%s bytes)", out_bytes(bytes, amount), count);
}

static void say_leak(struct buf *message, const struct leak *leak)
{
    char count[OUT_NUMBER_SIZE];
    buf_printf(message, "%s, ", leak_cause_names[leak->cause]);
    say_amount(message, leak->bytes, false);
    buf_printf(message, " in %s ", out_count(count, leak->count));
    if (leak->cause == LEAK_CYCLE)
        buf_printf(message, "cycle%s%s", leak->count == 1 ? "" : "s", leak->type ? " of " : "");
    else if (!leak->type)
        buf_printf(message, "block%s", leak->count == 1 ? "" : "s");
    if (leak->type)
        buf_append(message, leak->type, strlen(leak->type));
}

/* "parse, occurrence 2 of 10: ", in front of what is said of a region; the rest of a long name is in `region` alone. */
static void say_region(struct violation *violation, const struct named_region *named)
{
    const char *name = violation->limit->region;
    struct buf *message = &violation->message;
    if (!name)
        return;
    buf_append(message, name, strnlen(name, NAME_BYTES));
    if (strlen(name) > NAME_BYTES)
        buf_printf(message, "...");
    if (violation->region && named->occurrences > 1)
        buf_printf(message, ", occurrence %" PRIu32 " of %" PRIu32, violation->region->number, named->occurrences);
    buf_printf(message, ": ");
}

static void say_excess(struct violation *violation, const char *what)
{
    struct buf *message = &violation->message;
    buf_printf(message, "%s: ", what);
    say_amount(message, violation->actual, violation->is_count);
    buf_printf(message, ", the limit is ");
    say_amount(message, violation->most, violation->is_count);
}

/* --- rules --- */

/* Of the whole run, or of an occurrence of a region. */
static void check_total(struct verdict *verdict, const struct limit *limit, enum moment which, uint64_t most,
                        uint64_t actual, const struct region *region)
{
    static const struct {
        const char *measure, *what, *of_region;
    } totals[] = {
        [AT_PEAK] = {"peak", "peak", "own peak"},
        [AT_END] = {"live", "live at the end", "outlived it"},
        [ALLOCATED] = {"allocations", "allocations", "allocations"},
    };
    struct violation *violation;
    if (actual <= most || !(violation = add(verdict, limit, totals[which].measure)))
        return;
    violation->region = region;
    violation->most = most;
    violation->actual = actual;
    violation->is_count = which == ALLOCATED;
    if (region)
        say_region(violation, measured_named(verdict->measured, limit));
    say_excess(violation, region ? totals[which].of_region : totals[which].what);
    if (limit->rule == LIMIT_TOLERANCE)
        buf_printf(&violation->message, " (the baseline's and %g %%)", limit->percent);
    want_moment(verdict, which, region);
}

/* The leaks that a limit speaks of: those of the whole run, or of what was born in a region. */
struct sure_leaks {
    const struct leak *list;
    const size_t *indexes;
    size_t count;
    uint64_t bytes;
};

static struct sure_leaks leaks_of(const struct measured *measured, const struct limit *limit)
{
    if (!limit->region)
        return (struct sure_leaks){.list = measured->leaks.list,
                                   .indexes = measured->sure,
                                   .count = measured->sure_count,
                                   .bytes = measured->state.leaked};
    const struct measured_region *region = measured_region(measured, limit);
    return (struct sure_leaks){
        .list = region->leaks.list, .indexes = region->sure, .count = region->sure_count, .bytes = region->leaked};
}

static void check_leaked(struct verdict *verdict, const struct limit *limit)
{
    const struct measured *measured = verdict->measured;
    struct sure_leaks sure = leaks_of(measured, limit);
    struct violation *violation;
    if (sure.bytes <= limit->most || !(violation = add(verdict, limit, "leaked")))
        return;
    violation->most = limit->most;
    violation->actual = sure.bytes;
    say_region(violation, NULL);
    say_excess(violation, "leaked");
    for (size_t i = 0; i < sure.count; i++)
        name_leak(violation, measured, &sure.list[sure.indexes[i]]);
}

static void check_no_leaks(struct verdict *verdict, const struct limit *limit)
{
    const struct measured *measured = verdict->measured;
    struct sure_leaks sure = leaks_of(measured, limit);
    for (size_t i = 0; i < sure.count; i++) {
        const struct leak *leak = &sure.list[sure.indexes[i]];
        struct violation *violation;
        if (!(limit->causes & 1u << leak->cause) || !(violation = add(verdict, limit, "leak")))
            continue;
        violation->actual = leak->bytes;
        say_region(violation, NULL);
        buf_printf(&violation->message, "leak: ");
        say_leak(&violation->message, leak);
        name_leak(violation, measured, leak);
    }
}

/* The next whole number, for those who read numbers; at least 1 of what is more than nothing. */
static uint64_t rounded_up(double slope)
{
    return slope <= 0 ? 0 : slope >= 1e18 ? (uint64_t)1e18 : (uint64_t)slope + ((double)(uint64_t)slope < slope);
}

static void say_growth(struct buf *message, double amount, const struct limit *limit)
{
    const char *unit = mark_measure_names[limit->measure];
    bool one = amount >= 1 && amount <= 1;
    if (limit->measure == MARK_BYTES && amount >= 1024)
        say_amount(message, rounded_up(amount), false);
    else
        buf_printf(message, amount < 10 ? "%.3g %.*s" : "%.0f %.*s", amount, (int)(strlen(unit) - one), unit);
}

static int check_growth(struct verdict *verdict, const struct limit *limit)
{
    const struct named_region *named = measured_named(verdict->measured, limit);
    size_t warm_up = mark_growth_warm_up(named->moment_count);
    const struct mark_moment *last = &named->moments[named->moment_count - 1];
    struct violation *violation;
    double slope;
    if (mark_growth_slope(&slope, named->moments, named->moment_count, limit->measure) != 0) {
        verdict->failed = true;
        return EXIT_UNUSABLE;
    }
    if (slope <= (double)limit->most || !(violation = add(verdict, limit, "growth")))
        return EXIT_DONE;
    violation->is_count = limit->measure != MARK_BYTES;
    violation->most = limit->most;
    violation->actual = rounded_up(slope);
    say_region(violation, NULL);
    buf_printf(&violation->message, "grows by ");
    say_growth(&violation->message, slope, limit);
    buf_printf(&violation->message, " per occurrence (%zu after warm-up), the limit is ",
               named->moment_count - warm_up);
    say_growth(&violation->message, (double)limit->most, limit);
    want_sites(verdict, &(struct sites_wanted){.event = named->moments[warm_up].event}, false);
    want_sites(verdict, &(struct sites_wanted){.event = last->event}, true);
    return EXIT_DONE;
}

static void check_new_leaks(struct verdict *verdict, const struct limit *limit)
{
    const struct measured *measured = verdict->measured;
    for (size_t i = 0; i < measured->state.count; i++) {
        const struct baseline_leak *now = &measured->state.leaks[i];
        struct violation *violation;
        if (now->match || !(violation = add(verdict, limit, "leak")))
            continue;
        violation->actual = now->bytes;
        buf_printf(&violation->message, "not in the baseline: leak: ");
        say_leak(&violation->message, &measured->leaks.list[now->leak]);
        name_leak(violation, measured, &measured->leaks.list[now->leak]);
    }
}

static uint64_t with_percent(uint64_t amount, double percent)
{
    return amount + (uint64_t)((double)amount * percent / 100);
}

/* Totals, and leaks that are known; new ones are no-new-leaks' to tell, where that is asked for. */
static void check_tolerance(struct verdict *verdict, const struct limit *limit, const struct baseline *before)
{
    const struct measured *measured = verdict->measured;
    const struct baseline *state = &measured->state;
    const struct limit *new = limits_find(verdict->limits, LIMIT_NO_NEW_LEAKS);
    check_total(verdict, limit, AT_PEAK, with_percent(before->peak, limit->percent), state->peak, NULL);
    check_total(verdict, limit, AT_END, with_percent(before->live, limit->percent), state->live, NULL);
    check_total(verdict, limit, ALLOCATED, with_percent(before->allocations, limit->percent), state->allocations, NULL);
    for (size_t i = 0; i < state->count; i++) {
        const struct baseline_leak *now = &state->leaks[i];
        uint64_t most = now->match ? with_percent(now->match->bytes, limit->percent) : 0;
        struct violation *violation;
        if ((new && !now->match) || now->bytes <= most || !(violation = add(verdict, limit, "leak")))
            continue;
        violation->most = most;
        violation->actual = now->bytes;
        buf_printf(&violation->message, "leak: ");
        say_leak(&violation->message, &measured->leaks.list[now->leak]);
        buf_printf(&violation->message, ", the limit is ");
        say_amount(&violation->message, most, false);
        buf_printf(&violation->message, now->match ? " (the baseline's and %g %%)" : " (not in the baseline)",
                   limit->percent);
        name_leak(violation, measured, &measured->leaks.list[now->leak]);
    }
}

/* The occurrence that is the worst by a limit; NULL: it is of the whole run. */
static const struct region *worst(const struct verdict *verdict, const struct limit *limit)
{
    const struct regions *regions = verdict->measured->report.regions;
    if (!limit->region || limit->rule == LIMIT_MAX_GROWTH_PER)
        return NULL;
    const struct named_region *named = measured_named(verdict->measured, limit);
    return &regions->list[limit->rule == LIMIT_MAX_PEAK   ? named->most_peak
                          : limit->rule == LIMIT_MAX_LIVE ? named->most_live
                                                          : named->most_allocations];
}

static int check_limit(struct verdict *verdict, const struct limit *limit, const struct baseline *before)
{
    enum moment which = limit->rule == LIMIT_MAX_PEAK ? AT_PEAK : limit->rule == LIMIT_MAX_LIVE ? AT_END : ALLOCATED;
    uint64_t actual = 0;
    switch (limit->rule) {
    case LIMIT_MAX_PEAK:
    case LIMIT_MAX_LIVE:
    case LIMIT_MAX_ALLOCATIONS:
        verdict_actual(verdict, limit, &actual);
        check_total(verdict, limit, which, limit->most, actual, worst(verdict, limit));
        return EXIT_DONE;
    case LIMIT_MAX_LEAKED:
        check_leaked(verdict, limit);
        return EXIT_DONE;
    case LIMIT_NO_LEAKS:
        check_no_leaks(verdict, limit);
        return EXIT_DONE;
    case LIMIT_NO_NEW_LEAKS:
        check_new_leaks(verdict, limit);
        return EXIT_DONE;
    case LIMIT_TOLERANCE:
        check_tolerance(verdict, limit, before);
        return EXIT_DONE;
    case LIMIT_MAX_GROWTH_PER:
        return check_growth(verdict, limit);
    case LIMIT_RULES:
        break;
    }
    return EXIT_UNUSABLE;
}

int verdict_reach(struct verdict *verdict, const struct limits *limits, struct measured *measured,
                  struct baseline *before)
{
    *verdict = (struct verdict){.limits = limits, .measured = measured, .has_baseline = before != NULL};
    if (before) {
        struct error error = {0};
        baseline_match(before, &measured->state);
        if (measured->has_leaks &&
            gone_leaks_count(before, measured, &verdict->gone, &verdict->still_there, &error) != 0) {
            error_print(&error);
            return EXIT_UNUSABLE;
        }
    }
    int status = EXIT_DONE;
    for (size_t i = 0; i < limits->count && status == EXIT_DONE; i++)
        status = check_limit(verdict, &limits->list[i], before);
    if (status == EXIT_DONE)
        status = name_sites(verdict);
    for (size_t i = 0; i < verdict->count; i++)
        verdict->failed |= verdict->list[i].message.failed;
    if (!verdict->failed)
        return status;
    message_print("%s: out of memory", measured->report.reader->path);
    return EXIT_UNUSABLE;
}

void verdict_free(struct verdict *verdict)
{
    for (size_t i = 0; i < verdict->count; i++)
        buf_free(&verdict->list[i].message);
    for (size_t i = 0; i < verdict->wanted_count; i++)
        sites_free(&verdict->wanted[i].sites);
    free(verdict->wanted);
    free(verdict->naming);
    free(verdict->list);
    *verdict = (struct verdict){0};
}

static bool growth_actual(const struct named_region *named, enum mark_measure measure, uint64_t *actual)
{
    double slope;
    if (mark_growth_slope(&slope, named->moments, named->moment_count, measure) != 0)
        return false;
    *actual = rounded_up(slope);
    return true;
}

bool verdict_actual(const struct verdict *verdict, const struct limit *limit, uint64_t *actual)
{
    const struct measured *measured = verdict->measured;
    const struct baseline *run = &measured->state;
    const struct region *region = worst(verdict, limit);
    switch (limit->rule) {
    case LIMIT_MAX_PEAK:
        *actual = region ? region->peak_bytes : run->peak;
        return true;
    case LIMIT_MAX_LIVE:
        *actual = region ? region->live_bytes : run->live;
        return true;
    case LIMIT_MAX_ALLOCATIONS:
        *actual = region ? region->allocations : run->allocations;
        return true;
    case LIMIT_MAX_LEAKED:
        *actual = leaks_of(measured, limit).bytes;
        return true;
    case LIMIT_MAX_GROWTH_PER:
        return growth_actual(measured_named(measured, limit), limit->measure, actual);
    default:
        return false;
    }
}

size_t verdict_violations(const struct verdict *verdict, const struct limit *limit)
{
    size_t count = 0;
    for (size_t i = 0; i < verdict->count; i++)
        count += verdict->list[i].limit == limit;
    return count;
}
