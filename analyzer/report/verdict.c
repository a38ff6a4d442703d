/* verdict.c - see verdict.h */
#include "report/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "report/out_text.h"

#define SITES_NAMED 3u

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

static void name_leak(struct violation *violation, const struct measured *measured, size_t index)
{
    const struct leak *leak = &measured->leaks.list[index];
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

static int name_sites(struct violation *violation, struct measured *measured, enum measured_sites which)
{
    struct sites sites;
    int status = measured_find_sites(measured, which, &sites);
    for (size_t i = 0; status == EXIT_DONE && i < sites.count && i < SITES_NAMED; i++)
        violation->places[violation->place_count++] = (struct violation_place){
            .stack = sites.sites[i].stack,
            .look_at = leak_site_place(measured->report.stacks, sites.sites[i].stack),
            .count = sites.sites[i].count,
            .bytes = sites.sites[i].bytes,
        };
    sites_free(&sites);
    return status;
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

static void say_excess(struct violation *violation, const char *what)
{
    struct buf *message = &violation->message;
    buf_printf(message, "%s: ", what);
    say_amount(message, violation->actual, violation->is_count);
    buf_printf(message, ", the limit is ");
    say_amount(message, violation->most, violation->is_count);
}

/* --- rules --- */

static int check_total(struct verdict *verdict, const struct limit *limit, const char *measure, uint64_t most,
                       uint64_t actual)
{
    static const struct {
        const char *measure, *what;
        enum measured_sites sites;
    } totals[] = {
        {"peak", "peak", MEASURED_AT_PEAK},
        {"live", "live at the end", MEASURED_AT_END},
        {"allocations", "allocations", MEASURED_ALLOCATED},
    };
    size_t i = 0;
    if (actual <= most)
        return EXIT_DONE;
    struct violation *violation = add(verdict, limit, measure);
    if (!violation)
        return EXIT_UNUSABLE;
    while (i + 1 < HS_COUNT_OF(totals) && strcmp(totals[i].measure, measure) != 0)
        i++;
    violation->most = most;
    violation->actual = actual;
    violation->is_count = totals[i].sites == MEASURED_ALLOCATED;
    say_excess(violation, totals[i].what);
    if (limit->rule == LIMIT_TOLERANCE)
        buf_printf(&violation->message, " (the baseline's and %g %%)", limit->percent);
    return name_sites(violation, verdict->measured, totals[i].sites);
}

static void check_leaked(struct verdict *verdict, const struct limit *limit)
{
    const struct measured *measured = verdict->measured;
    struct violation *violation;
    if (measured->state.leaked <= limit->most || !(violation = add(verdict, limit, "leaked")))
        return;
    violation->most = limit->most;
    violation->actual = measured->state.leaked;
    say_excess(violation, "leaked");
    for (size_t i = 0; i < measured->sure_count; i++)
        name_leak(violation, measured, measured->sure[i]);
}

static void check_no_leaks(struct verdict *verdict, const struct limit *limit)
{
    const struct measured *measured = verdict->measured;
    for (size_t i = 0; i < measured->sure_count; i++) {
        const struct leak *leak = &measured->leaks.list[measured->sure[i]];
        struct violation *violation;
        if (!(limit->causes & 1u << leak->cause) || !(violation = add(verdict, limit, "leak")))
            continue;
        violation->actual = leak->bytes;
        buf_printf(&violation->message, "leak: ");
        say_leak(&violation->message, leak);
        name_leak(violation, measured, measured->sure[i]);
    }
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
        name_leak(violation, measured, now->leak);
    }
}

static uint64_t with_percent(uint64_t amount, double percent)
{
    return amount + (uint64_t)((double)amount * percent / 100);
}

/* Totals, and leaks that are known; new ones are no-new-leaks' to tell, where that is asked for. */
static int check_tolerance(struct verdict *verdict, const struct limit *limit, const struct baseline *before)
{
    const struct measured *measured = verdict->measured;
    const struct baseline *state = &measured->state;
    const struct limit *new = limits_find(verdict->limits, LIMIT_NO_NEW_LEAKS);
    int status = check_total(verdict, limit, "peak", with_percent(before->peak, limit->percent), state->peak);
    if (status == EXIT_DONE)
        status = check_total(verdict, limit, "live", with_percent(before->live, limit->percent), state->live);
    if (status == EXIT_DONE)
        status = check_total(verdict, limit, "allocations", with_percent(before->allocations, limit->percent),
                             state->allocations);
    for (size_t i = 0; i < state->count && status == EXIT_DONE; i++) {
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
        name_leak(violation, measured, now->leak);
    }
    return status;
}

static int check_limit(struct verdict *verdict, const struct limit *limit, const struct baseline *before)
{
    const struct baseline *state = &verdict->measured->state;
    switch (limit->rule) {
    case LIMIT_MAX_PEAK:
        return check_total(verdict, limit, "peak", limit->most, state->peak);
    case LIMIT_MAX_LIVE:
        return check_total(verdict, limit, "live", limit->most, state->live);
    case LIMIT_MAX_ALLOCATIONS:
        return check_total(verdict, limit, "allocations", limit->most, state->allocations);
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
        return check_tolerance(verdict, limit, before);
    case LIMIT_MAX_GROWTH_PER: /* limits_add() refuses it */
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
        baseline_match(before, &measured->state);
        for (size_t i = 0; i < before->count; i++)
            verdict->gone += !before->leaks[i].match;
    }
    int status = EXIT_DONE;
    for (size_t i = 0; i < limits->count && status == EXIT_DONE; i++)
        status = check_limit(verdict, &limits->list[i], before);
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
    free(verdict->list);
    *verdict = (struct verdict){0};
}

bool verdict_actual(const struct verdict *verdict, const struct limit *limit, uint64_t *actual)
{
    const struct baseline *state = &verdict->measured->state;
    switch (limit->rule) {
    case LIMIT_MAX_PEAK:
        *actual = state->peak;
        return true;
    case LIMIT_MAX_LIVE:
        *actual = state->live;
        return true;
    case LIMIT_MAX_LEAKED:
        *actual = state->leaked;
        return true;
    case LIMIT_MAX_ALLOCATIONS:
        *actual = state->allocations;
        return true;
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
