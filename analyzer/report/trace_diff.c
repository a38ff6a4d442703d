/* trace_diff.c - see trace_diff.h */
#include "report/trace_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_name.h"

static int no_memory(const struct trace_diff *diff)
{
    message_print("%s: out of memory", diff->sides[DIFF_NEW].path);
    return EXIT_UNUSABLE;
}

/* ---- the two sides ---- */

static bool describes_types(const struct trace_reader *reader)
{
    bool found = false;
    for (size_t i = 0; i < reader->chunk_count; i++)
        found |= reader->chunks[i].header.type == HSK_CHUNK_TYPES;
    return found;
}

static int open_side(struct trace_diff *diff, enum diff_which which)
{
    struct diff_side *side = &diff->sides[which];
    int status = report_open(&side->report, side->path);
    if (status != EXIT_DONE)
        side->report = (struct report){0};
    return status;
}

/* Runs the events up to the side's moment, and adds up its sites. */
static int go_to_moment(struct trace_diff *diff, enum diff_which which)
{
    struct diff_side *side = &diff->sides[which];
    struct report *report = &side->report;
    int status = EXIT_DONE;
    if (describes_types(report->reader))
        status = report_load_objects(report);
    if (diff->allocated)
        report->allocated = &side->allocated;
    if (status == EXIT_DONE)
        status = report_replay_to(report, &side->moment, true);
    if (status == EXIT_DONE)
        status = report_load_stacks(report);
    if (status == EXIT_DONE)
        sites_finish(diff->allocated ? &side->allocated : &report->end_sites, report->stacks);
    return status;
}

static const struct sites *sites_of(const struct trace_diff *diff, enum diff_which which)
{
    const struct diff_side *side = &diff->sides[which];
    return diff->allocated ? &side->allocated : &side->report.end_sites;
}

/* Both sides are the same file. */
static bool is_same_file(const struct trace_diff *diff)
{
    struct stat status[2];
    for (int i = 0; i < 2; i++)
        if (trace_reader_status(diff->sides[i].report.reader, &status[i]) != 0)
            return false;
    return status[0].st_dev == status[1].st_dev && status[0].st_ino == status[1].st_ino;
}

/* ---- are they of one program? ---- */

/* Of an interpreter's command line the script or module that it runs; NULL: it is not told. */
static const char *script_of(const struct text_list *arguments)
{
    for (size_t i = 1; i < arguments->count; i++) {
        const char *word = arguments->texts[i];
        if (strcmp(word, "-c") == 0)
            return word;
        if (strcmp(word, "-m") == 0)
            return i + 1 < arguments->count ? arguments->texts[i + 1] : NULL;
        if (strcmp(word, "-X") == 0 || strcmp(word, "-W") == 0)
            i++;
        else if (word[0] != '-')
            return word;
    }
    return NULL;
}

static bool is_interpreter(const struct trace_info *info)
{
    return info->executable && strncmp(base_name(info->executable), "python", 6) == 0;
}

static const char *program_of(const struct trace_info *info)
{
    const char *path = is_interpreter(info) ? script_of(&info->arguments) : info->executable;
    return path ? base_name(path) : NULL;
}

/* The files that are the program itself. False when memory runs out. */
static bool take_program(struct diff_side *side, struct match_side *match)
{
    const struct trace_info *info = &side->report.info;
    const char *script = is_interpreter(info) ? script_of(&info->arguments) : NULL;
    match->program[0] = info->executable;
    match->program[1] = script;
    if (script && script[0] != '/' && info->working_directory &&
        asprintf(&side->script, "%s/%s", info->working_directory, script) < 0) {
        side->script = NULL;
        return false;
    }
    match->program[2] = side->script;
    return true;
}

static bool has_native_frames(const struct trace_info *info)
{
    for (size_t i = 0; i < info->options.count; i++)
        if (strcmp(info->options.texts[i], "native") == 0)
            return true;
    return false;
}

/* What makes two traces hard to compare; they are compared all the same. */
static void warn_of_differences(const struct trace_diff *diff)
{
    const struct diff_side *old_side = &diff->sides[DIFF_OLD], *new_side = &diff->sides[DIFF_NEW];
    const struct trace_info *old_info = &old_side->report.info, *new_info = &new_side->report.info;
    const char *old_program = program_of(old_info), *new_program = program_of(new_info);
    if (old_program && new_program && strcmp(old_program, new_program) != 0)
        message_print("%s is of %.200s, %s of %.200s: different programs, compared all the same", old_side->path,
                      old_program, new_side->path, new_program);
    if (!old_info->python_version || !new_info->python_version)
        return;
    if (strcmp(old_info->python_version, new_info->python_version) != 0)
        message_print("%s ran on Python %.40s, %s on %.40s: what the interpreter allocates by itself is different, too",
                      old_side->path, old_info->python_version, new_side->path, new_info->python_version);
    if (has_native_frames(old_info) != has_native_frames(new_info))
        message_print("%s has native frames in its stacks (--native), %s has not: few of their sites can be the same",
                      (has_native_frames(old_info) ? old_side : new_side)->path,
                      (has_native_frames(old_info) ? new_side : old_side)->path);
}

/* ---- sites ---- */

struct diff_amount diff_site_amount(const struct site_pair *site)
{
    return (struct diff_amount){.old_count = site->old_count,
                                .old_bytes = site->old_bytes,
                                .new_count = site->new_count,
                                .new_bytes = site->new_bytes};
}

static bool differs(const struct diff_amount *amount)
{
    return amount->old_count != amount->new_count || amount->old_bytes != amount->new_bytes;
}

/* The largest difference of bytes first, then of blocks; 0: there is nothing to choose. */
static int compare_amounts(const struct diff_amount *a, const struct diff_amount *b)
{
    uint64_t a_bytes = diff_size(a->old_bytes, a->new_bytes), b_bytes = diff_size(b->old_bytes, b->new_bytes);
    uint64_t a_count = diff_size(a->old_count, a->new_count), b_count = diff_size(b->old_count, b->new_count);
    if (a_bytes != b_bytes)
        return a_bytes < b_bytes ? 1 : -1;
    return a_count < b_count ? 1 : a_count > b_count ? -1 : 0;
}

static int compare_texts(struct text a, struct text b)
{
    size_t length = a.length < b.length ? a.length : b.length;
    int order = length ? memcmp(a.bytes, b.bytes, length) : 0;
    return order ? order : a.length < b.length ? -1 : a.length > b.length;
}

static int compare_frames(const struct frame *a, const struct frame *b)
{
    int order = compare_texts(a->function, b->function);
    if (order == 0)
        order = compare_texts(a->file, b->file);
    if (order == 0)
        order = compare_texts(a->module, b->module);
    return order ? order : a->line < b->line ? -1 : a->line > b->line;
}

/* Where a pair is shown: in the new trace, or in the old one when it is gone. */
static enum diff_which shown_side(const struct site_pair *site)
{
    return site->new_count ? DIFF_NEW : DIFF_OLD;
}

/* What does not depend on how stacks are numbered: the same order for every pair of recordings. */
static int compare_sites(const void *left, const void *right, void *context)
{
    const struct site_pair *a = left, *b = right;
    const struct trace_diff *diff = context;
    struct diff_amount a_amount = diff_site_amount(a), b_amount = diff_site_amount(b);
    int order = compare_amounts(&a_amount, &b_amount);
    const struct stacks *a_stacks = diff->sides[shown_side(a)].report.stacks,
                        *b_stacks = diff->sides[shown_side(b)].report.stacks;
    uint32_t a_stack = a->new_count ? a->new_stack : a->old_stack, b_stack = b->new_count ? b->new_stack : b->old_stack;
    while (order == 0 && a_stack && b_stack && (a_stacks != b_stacks || a_stack != b_stack)) {
        struct frame a_frame = stacks_frame(a_stacks, a_stack), b_frame = stacks_frame(b_stacks, b_stack);
        order = compare_frames(&a_frame, &b_frame);
        a_stack = stacks_caller(a_stacks, a_stack);
        b_stack = stacks_caller(b_stacks, b_stack);
    }
    if (order == 0 && !a_stack != !b_stack)
        order = a_stack ? 1 : -1;
    return order ? order : (int)shown_side(b) - (int)shown_side(a);
}

static int compare_all_sites(struct trace_diff *diff)
{
    struct match_side sides[2];
    struct site_pairs pairs = {0};
    bool failed = false;
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct match_side){.sites = sites_of(diff, i), .stacks = diff->sides[i].report.stacks};
        failed |= sides[i].sites->failed || !take_program(&diff->sides[i], &sides[i]);
    }
    if (failed || site_match(&pairs, &sides[DIFF_OLD], &sides[DIFF_NEW], is_same_file(diff)) != 0)
        return no_memory(diff);
    for (size_t i = 0; i < pairs.count; i++) {
        struct diff_amount amount = diff_site_amount(&pairs.list[i]);
        if (differs(&amount))
            pairs.list[diff->site_count++] = pairs.list[i];
    }
    diff->sites = pairs.list;
    if (diff->site_count > 1)
        qsort_r(diff->sites, diff->site_count, sizeof *diff->sites, compare_sites, diff);
    return EXIT_DONE;
}

/* ---- types ---- */

/* It tells of births at any moment, be it before the first one. */
static bool tells_births(const struct report *report)
{
    return report->objects && (type_totals_has_births(report) || report->info.objects > 0);
}

static int snapshot_types(struct diff_side *side)
{
    if (side->moment.kind == MOMENT_SNAPSHOT)
        return type_totals_of_snapshot(&side->types, &side->report, side->moment.snapshot);
    return side->moment.kind == MOMENT_END ? type_totals_of_snapshot(&side->types, &side->report, -1) : -ENODATA;
}

/* -ENODATA: a Python program, and not told; a process without Python has no objects. */
static int side_types(struct trace_diff *diff, struct diff_side *side)
{
    if (diff->types_births)
        return type_totals_of_births(&side->types, &side->report);
    return side->report.info.python_version || describes_types(side->report.reader) ? snapshot_types(side) : 0;
}

static int by_name(const void *left, const void *right)
{
    const struct type_total *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static int largest_type_first(const void *left, const void *right)
{
    const struct type_difference *a = left, *b = right;
    int order = compare_amounts(&a->amount, &b->amount);
    return order ? order : strcmp(a->name, b->name);
}

/* Both lists go by their names at once. */
static int merge_types(struct trace_diff *diff)
{
    const struct type_totals *old_types = &diff->sides[DIFF_OLD].types, *new_types = &diff->sides[DIFF_NEW].types;
    for (int i = 0; i < 2; i++)
        if (diff->sides[i].types.count > 1)
            qsort(diff->sides[i].types.list, diff->sides[i].types.count, sizeof(struct type_total), by_name);
    diff->types = calloc(old_types->count + new_types->count + 1, sizeof *diff->types);
    if (!diff->types)
        return no_memory(diff);
    for (size_t o = 0, n = 0; o < old_types->count || n < new_types->count;) {
        const struct type_total *was = o < old_types->count ? &old_types->list[o] : NULL;
        const struct type_total *is = n < new_types->count ? &new_types->list[n] : NULL;
        int order = !was ? 1 : !is ? -1 : strcmp(was->name, is->name);
        struct type_difference type = {.name = order <= 0 ? was->name : is->name};
        if (order <= 0) {
            type.amount.old_count = was->live;
            type.amount.old_bytes = was->live_bytes;
            o++;
        }
        if (order >= 0) {
            type.amount.new_count = is->live;
            type.amount.new_bytes = is->live_bytes;
            n++;
        }
        if (differs(&type.amount))
            diff->types[diff->type_count++] = type;
    }
    if (diff->type_count > 1)
        qsort(diff->types, diff->type_count, sizeof *diff->types, largest_type_first);
    diff->types_known = true;
    return EXIT_DONE;
}

static int compare_types(struct trace_diff *diff)
{
    diff->types_births = tells_births(&diff->sides[DIFF_OLD].report) && tells_births(&diff->sides[DIFF_NEW].report);
    for (int i = 0; i < 2; i++) {
        struct diff_side *side = &diff->sides[i];
        char text[TRACE_MOMENT_TEXT_SIZE];
        int code = side_types(diff, side);
        if (code == -ENOMEM)
            return no_memory(diff);
        if (code == -EBADMSG)
            return EXIT_UNUSABLE;
        if (code == 0)
            continue;
        if (tells_births(&side->report))
            message_print("%s tells of objects by their births, %s does not: types are not compared", side->path,
                          diff->sides[!i].path);
        else
            message_print("%s@%s: neither births (CPython 3.13 and later) nor a snapshot tell which Python objects "
                          "lived then: types are not compared",
                          side->path, trace_moment_text(&side->moment, text));
        return EXIT_DONE;
    }
    return merge_types(diff);
}

int trace_diff_make(struct trace_diff *diff)
{
    int status = open_side(diff, DIFF_OLD);
    if (status == EXIT_DONE)
        status = open_side(diff, DIFF_NEW);
    if (status != EXIT_DONE)
        return status;
    if (is_same_file(diff))
        diff->sides[DIFF_OLD].report.warned = true; /* once is enough */
    for (int i = 0; i < 2 && status == EXIT_DONE; i++)
        status = go_to_moment(diff, i);
    if (status == EXIT_DONE)
        status = compare_all_sites(diff);
    if (status == EXIT_DONE)
        status = compare_types(diff);
    if (status != EXIT_DONE)
        return status;
    for (int i = 0; i < 2; i++)
        report_warn(&diff->sides[i].report);
    warn_of_differences(diff);
    return EXIT_DONE;
}

void trace_diff_free(struct trace_diff *diff)
{
    for (int i = 0; i < 2; i++) {
        struct diff_side *side = &diff->sides[i];
        type_totals_free(&side->types);
        sites_free(&side->allocated);
        if (side->report.reader)
            report_close(&side->report);
        free(side->path);
        free(side->script);
    }
    free(diff->sites);
    free(diff->types);
    *diff = TRACE_DIFF_INIT;
}
