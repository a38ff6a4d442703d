/* out_diff.c - see out_diff.h */
#include "report/out_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/out_json.h"
#include "report/out_text.h"

#define TEXT_FRAMES 12

/* A total of both sides: JSON's key, its name for people, bytes or a number of things. */
struct total {
    const char *key, *name;
    bool bytes;
    uint64_t values[2];
};

#define TOTALS 5

/* Of what the program allocated since its start, arenas left out. */
static uint64_t allocations_of(const struct life_totals *totals)
{
    return totals->allocations - totals->domains[HSK_DOMAIN_ARENA].allocations;
}

static void take_totals(const struct trace_diff *diff, struct total totals[TOTALS])
{
    static const struct total names[TOTALS] = {{.key = "live_bytes", .name = "live", .bytes = true},
                                               {.key = "live_blocks", .name = "live blocks"},
                                               {.key = "peak_bytes", .name = "peak", .bytes = true},
                                               {.key = "allocated_bytes", .name = "allocated", .bytes = true},
                                               {.key = "allocations", .name = "allocations"}};
    memcpy(totals, names, sizeof names);
    for (int i = 0; i < 2; i++) {
        const struct report *report = &diff->sides[i].report;
        /* what was alive is of the moment; the rest has gone on until then, at the end to the last event */
        const struct life_totals *end = &report->end, *now = &report->lifetimes->now;
        const uint64_t values[TOTALS] = {end->live_bytes, end->live_blocks, report->lifetimes->peak_bytes,
                                         now->allocated_bytes, allocations_of(now)};
        for (int t = 0; t < TOTALS; t++)
            totals[t].values[i] = values[t];
    }
}

/* ---- JSON ---- */

static void put_delta(struct json *json, const char *key, uint64_t old_value, uint64_t new_value)
{
    put_signed(json, key, (int64_t)(new_value - old_value));
}

static const char *direction_of(const struct diff_amount *amount)
{
    if (amount->old_count == 0)
        return "new";
    if (amount->new_count == 0)
        return "vanished";
    if (amount->new_bytes != amount->old_bytes)
        return amount->new_bytes > amount->old_bytes ? "grown" : "shrunk";
    return amount->new_count > amount->old_count ? "grown" : "shrunk";
}

static void put_amount(struct json *json, const struct diff_amount *amount)
{
    put_delta(json, "bytes_delta", amount->old_bytes, amount->new_bytes);
    put_delta(json, "count_delta", amount->old_count, amount->new_count);
    put_string(json, "change", direction_of(amount));
    put_unsigned(json, "old_bytes", amount->old_bytes);
    put_unsigned(json, "old_count", amount->old_count);
    put_unsigned(json, "new_bytes", amount->new_bytes);
    put_unsigned(json, "new_count", amount->new_count);
}

static void put_side(struct json *json, const char *key, const struct diff_side *side)
{
    char text[TRACE_MOMENT_TEXT_SIZE];
    open_object(json, key);
    put_string(json, "file", side->path);
    put_string(json, "moment", trace_moment_text(&side->moment, text));
    put_seconds(json, "time", side->report.end_ns);
    close_object(json);
}

static void put_totals(struct json *json, const struct trace_diff *diff)
{
    struct total totals[TOTALS];
    take_totals(diff, totals);
    open_object(json, "totals");
    const struct total *bytes = &totals[diff->allocated ? 3 : 0], *count = &totals[diff->allocated ? 4 : 1];
    put_delta(json, "bytes_delta", bytes->values[DIFF_OLD], bytes->values[DIFF_NEW]);
    put_delta(json, "count_delta", count->values[DIFF_OLD], count->values[DIFF_NEW]);
    for (int t = 0; t < TOTALS; t++) {
        open_object(json, totals[t].key);
        put_unsigned(json, "old", totals[t].values[DIFF_OLD]);
        put_unsigned(json, "new", totals[t].values[DIFF_NEW]);
        put_delta(json, "delta", totals[t].values[DIFF_OLD], totals[t].values[DIFF_NEW]);
        close_object(json);
    }
    close_object(json);
}

static void put_site(struct json *json, const struct trace_diff *diff, const struct site_pair *site)
{
    struct diff_amount amount = diff_site_amount(site);
    open_object(json, NULL);
    put_amount(json, &amount);
    if (site->new_count)
        put_stack(json, "stack", diff->sides[DIFF_NEW].report.stacks, site->new_stack);
    else
        put_stack(json, "stack", diff->sides[DIFF_OLD].report.stacks, site->old_stack);
    close_object(json);
}

static void put_types(struct json *json, const struct trace_diff *diff, size_t shown)
{
    if (!diff->types_known) {
        put_null(json, "types");
        return;
    }
    open_array(json, "types");
    for (size_t i = 0; i < diff->type_count && i < shown; i++) {
        open_object(json, NULL);
        put_string(json, "type", diff->types[i].name);
        put_amount(json, &diff->types[i].amount);
        close_object(json);
    }
    close_array(json);
}

void out_diff_json(const struct trace_diff *diff, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_side(&json, "old", &diff->sides[DIFF_OLD]);
    put_side(&json, "new", &diff->sides[DIFF_NEW]);
    put_string(&json, "by", diff->allocated ? "allocated" : "live");
    put_totals(&json, diff);
    open_array(&json, "sites");
    for (size_t i = 0; i < diff->site_count && i < shown; i++)
        put_site(&json, diff, &diff->sites[i]);
    close_array(&json);
    put_types(&json, diff, shown);
    close_object(&json);
    put_end(&json);
}

/* ---- text ---- */

static const char *sign_of(uint64_t old_value, uint64_t new_value)
{
    return new_value > old_value ? "+" : new_value < old_value ? "-" : "";
}

/* "at the end (1.204 s)" */
static void print_moment(const struct diff_side *side)
{
    char when[OUT_NUMBER_SIZE];
    out_seconds(when, side->report.end_ns);
    switch (side->moment.kind) {
    case MOMENT_END:
        printf("at the end (%s)", when);
        break;
    case MOMENT_PEAK:
        printf("at its peak (%s)", when);
        break;
    case MOMENT_SNAPSHOT:
        printf("at snapshot %" PRIu32 " (%s)", side->moment.snapshot, when);
        break;
    case MOMENT_MARK:
        printf("at ");
        out_untrusted(stdout, side->moment.mark, strlen(side->moment.mark));
        printf(" (%s)", when);
        break;
    case MOMENT_TIME:
        printf("at %s", when);
        break;
    }
}

static void print_side(const char *name, const struct diff_side *side)
{
    printf("  %-12s ", name);
    out_untrusted(stdout, side->path, strlen(side->path));
    putchar(' ');
    print_moment(side);
    putchar('\n');
}

static const char *amount_text(char *text, bool bytes, uint64_t value)
{
    return bytes ? out_bytes(text, value) : out_count(text, value);
}

/* "12.0 KiB → 1.21 MiB (+1.20 MiB)" */
static void print_total(const struct total *total)
{
    char was[OUT_NUMBER_SIZE], is[OUT_NUMBER_SIZE], change[OUT_NUMBER_SIZE];
    uint64_t old_value = total->values[DIFF_OLD], new_value = total->values[DIFF_NEW];
    printf("  %-12s %s → %s (%s%s%s%s)\n", total->name, amount_text(was, total->bytes, old_value),
           amount_text(is, total->bytes, new_value), out_color(OUT_NUMBER), sign_of(old_value, new_value),
           amount_text(change, total->bytes, diff_size(old_value, new_value)), out_color(OUT_PLAIN));
}

/* "1.20 MiB more alive, in 3,400 more blocks" */
static void print_heading(const struct total *live, const struct total *blocks)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    uint64_t old_live = live->values[DIFF_OLD], new_live = live->values[DIFF_NEW];
    uint64_t old_blocks = blocks->values[DIFF_OLD], new_blocks = blocks->values[DIFF_NEW];
    uint64_t byte_change = diff_size(old_live, new_live), block_change = diff_size(old_blocks, new_blocks);
    bool same_bytes = byte_change == 0, same_blocks = block_change == 0;
    if (same_bytes && same_blocks)
        out_heading("As much alive as before");
    else
        out_heading("%s%s alive, in %s%s block%s", same_bytes ? "As many bytes" : out_bytes(bytes, byte_change),
                    same_bytes            ? ""
                    : new_live > old_live ? " more"
                                          : " less",
                    same_blocks ? "as many" : out_count(count, block_change),
                    same_blocks               ? ""
                    : new_blocks > old_blocks ? " more"
                                              : " fewer",
                    block_change == 1 ? "" : "s");
}

static void print_totals(const struct trace_diff *diff)
{
    struct total totals[TOTALS];
    take_totals(diff, totals);
    print_heading(&totals[0], &totals[1]);
    print_side("old", &diff->sides[DIFF_OLD]);
    print_side("new", &diff->sides[DIFF_NEW]);
    for (int t = 0; t < TOTALS; t++)
        print_total(&totals[t]);
    for (int i = 0; i < 2; i++)
        report_print_inherited(&diff->sides[i].report.end);
}

/*
 * "+1.20 MiB in 3,400 more": the difference of bytes, and how many there are more or fewer of; what they are comes
 * behind it. Of what is new or gone all of them.
 */
static void print_difference(const struct diff_amount *amount)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    bool whole = amount->old_count == 0 || amount->new_count == 0;
    uint64_t difference = diff_size(amount->old_count, amount->new_count);
    printf("%s%s%s%s in ", out_color(OUT_NUMBER), sign_of(amount->old_bytes, amount->new_bytes),
           out_bytes(bytes, diff_size(amount->old_bytes, amount->new_bytes)), out_color(OUT_PLAIN));
    if (difference == 0)
        printf("as many");
    else
        printf("%s%s", out_count(count, difference),
               whole                                   ? ""
               : amount->new_count > amount->old_count ? " more"
                                                       : " fewer");
}

/* " (was 12.0 KiB in 30)", without the closing bracket; of what is new or gone: that it is. */
static void print_before(const struct diff_amount *amount, const char *what)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    if (amount->old_count == 0)
        printf(" %s(a new %s", out_color(OUT_DIM), what);
    else if (amount->new_count == 0)
        printf(" %s(vanished", out_color(OUT_DIM));
    else
        printf(" %s(was %s in %s", out_color(OUT_DIM), out_bytes(bytes, amount->old_bytes),
               out_count(count, amount->old_count));
}

static void print_site(const struct trace_diff *diff, const struct site_pair *site)
{
    struct diff_amount amount = diff_site_amount(site);
    const struct stacks *old_stacks = diff->sides[DIFF_OLD].report.stacks;
    const struct stacks *stacks = site->new_count ? diff->sides[DIFF_NEW].report.stacks : old_stacks;
    uint32_t stack = site->new_count ? site->new_stack : site->old_stack;
    bool one = diff_size(amount.old_count, amount.new_count) == 1;
    struct frame frame = {0};
    putchar('\n');
    print_difference(&amount);
    printf(" %s%s ", diff->allocated ? "allocation" : "block", one ? "" : "s");
    if (stack) {
        frame = stacks_frame(stacks, stack);
        fputs("at ", stdout);
        out_frame(stdout, &frame);
    } else {
        fputs("without a stack", stdout);
    }
    print_before(&amount, "site");
    if (stack && amount.old_count && amount.new_count) {
        uint32_t old_line = stacks_frame(old_stacks, site->old_stack).line;
        if (old_line != frame.line && old_line)
            printf(", then in line %" PRIu32, old_line);
    }
    printf(")%s\n", out_color(OUT_PLAIN));
    if (stack && stacks_caller(stacks, stack))
        out_stack(stacks, stacks_caller(stacks, stack), 4, TEXT_FRAMES - 1);
}

static void print_type(const struct type_difference *type)
{
    print_difference(&type->amount);
    putchar(' ');
    out_untrusted(stdout, type->name, strlen(type->name));
    print_before(&type->amount, "type");
    printf(")%s\n", out_color(OUT_PLAIN));
}

static void print_rest(const char *what, size_t count)
{
    printf("\n%zu more %s%s: --all shows %s\n", count, what, count == 1 ? "" : "s", count == 1 ? "it" : "them");
}

static void print_sites(const struct trace_diff *diff, size_t shown)
{
    const char *by = diff->allocated ? ", by what they allocated" : "";
    if (diff->site_count == 0)
        out_heading("No site has changed%s", by);
    else
        out_heading("%zu site%s changed%s", diff->site_count, diff->site_count == 1 ? " has" : "s have", by);
    for (size_t i = 0; i < diff->site_count && i < shown; i++)
        print_site(diff, &diff->sites[i]);
    if (shown < diff->site_count)
        print_rest("site", diff->site_count - shown);
}

static void print_types(const struct trace_diff *diff, size_t shown)
{
    char from[64] = "";
    if (!diff->types_known || (diff->sides[DIFF_OLD].types.count == 0 && diff->sides[DIFF_NEW].types.count == 0))
        return;
    if (!diff->types_births)
        snprintf(from, sizeof from, " (from snapshots %" PRIu32 " and %" PRIu32 ")",
                 diff->sides[DIFF_OLD].types.snapshot, diff->sides[DIFF_NEW].types.snapshot);
    if (diff->type_count == 0)
        out_heading("No type of Python objects has changed%s", from);
    else
        out_heading("%zu type%s of Python objects %s changed%s", diff->type_count, diff->type_count == 1 ? "" : "s",
                    diff->type_count == 1 ? "has" : "have", from);
    if (diff->type_count > 0 && shown > 0)
        putchar('\n');
    for (size_t i = 0; i < diff->type_count && i < shown; i++)
        print_type(&diff->types[i]);
    if (shown < diff->type_count)
        print_rest("type", diff->type_count - shown);
}

void out_diff_text(const struct trace_diff *diff, size_t shown)
{
    print_totals(diff);
    print_sites(diff, shown);
    print_types(diff, shown);
}
