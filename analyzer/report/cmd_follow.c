/*
 * cmd_follow.c - `heapsake follow`: answers about the regions of a trace that is being written.
 *
 * Hidden: it is how a program asks about itself (python/_heapsake/gate/follower.py). The trace is read once, not once a
 * question. Each line of standard input is a question, each line of standard output its answer:
 *
 *     BACK sums|sites NAME
 *
 * NAME is a region's, with %25 for % and %0A for a newline; BACK counts its occurrences from the last one, which is 0.
 * The answer is a JSON document on one line: {"ended", "allocations", "allocated_bytes", "peak_bytes", "live_bytes",
 * "live_blocks"}, where live is what was born in that occurrence and lives at the end of the file, and with `sites`
 * also "sites": [{"count", "bytes", "ordinals": [the first ones], "stack"}], most bytes first; or {"error"}. What the
 * program did before it asked is in the file when it has called heapsake_flush().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map64.h"
#include "command.h"
#include "model/stacks.h"
#include "report/early_stacks.h"
#include "report/following.h"
#include "report/out_json.h"
#include "report/report.h"

#define FIRST_ORDINALS 4

static const struct option options[] = {{0}};

/* ---- what lives, by site ---- */

struct live_site {
    uint32_t stack;
    unsigned ordinal_count;
    uint64_t count, bytes;
    uint64_t ordinals[FIRST_ORDINALS]; /* of objects rather than of other blocks */
    bool objects;
};

struct live {
    uint64_t count, bytes;
    struct stacks *stacks; /* NULL: sums alone */
    struct live_site *sites;
    size_t site_count, site_capacity;
    struct map64 by_stack;
    bool failed;
};

static struct live_site *site_of(struct live *live, uint32_t node)
{
    uint32_t stack = stacks_of_node(live->stacks, node), index;
    if (map64_get(&live->by_stack, stack, &index))
        return &live->sites[index];
    if (!grow((void **)&live->sites, live->site_count, &live->site_capacity, sizeof *live->sites) ||
        !map64_put(&live->by_stack, stack, (uint32_t)live->site_count))
        return NULL;
    live->sites[live->site_count] = (struct live_site){.stack = stack};
    return &live->sites[live->site_count++];
}

static void expect_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    const struct live *live = context;
    (void)ordinal;
    stacks_expect(live->stacks, block->node);
}

static void add_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    struct live *live = context;
    live->count++;
    live->bytes += life_block_size(block);
    if (!live->stacks)
        return;
    struct live_site *site = site_of(live, block->node);
    if (!site) {
        live->failed = true;
        return;
    }
    bool object = life_block_domain(block) == HSK_DOMAIN_PY_OBJECT;
    if (object && !site->objects)
        site->ordinal_count = 0;
    site->objects |= object;
    if (object == site->objects && site->ordinal_count < FIRST_ORDINALS)
        site->ordinals[site->ordinal_count++] = ordinal;
    site->count++;
    site->bytes += life_block_size(block);
}

static int more_bytes_first(const void *left, const void *right)
{
    const struct live_site *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->ordinals[0] < b->ordinals[0] ? -1 : a->ordinals[0] > b->ordinals[0];
}

static void put_sites(struct json *json, const struct live *live)
{
    if (live->site_count > 0)
        qsort(live->sites, live->site_count, sizeof *live->sites, more_bytes_first);
    open_array(json, "sites");
    for (size_t i = 0; i < live->site_count; i++) {
        const struct live_site *site = &live->sites[i];
        open_object(json, NULL);
        put_unsigned(json, "count", site->count);
        put_unsigned(json, "bytes", site->bytes);
        open_array(json, "ordinals");
        for (unsigned k = 0; k < site->ordinal_count; k++)
            put_unsigned(json, NULL, site->ordinals[k]);
        close_array(json);
        put_stack(json, "stack", live->stacks, site->stack);
        close_object(json);
    }
    close_array(json);
}

/* ---- questions ---- */

struct question {
    uint64_t back;
    bool sites;
    char *name;
    size_t length;
};

/* In place. */
static size_t unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        bool percent = strncmp(from, "%25", 3) == 0, newline = strncmp(from, "%0A", 3) == 0;
        *to++ = newline ? '\n' : *from;
        from += percent || newline ? 2 : 0;
    }
    *to = '\0';
    return (size_t)(to - text);
}

static bool understand(char *line, struct question *question)
{
    char *end, *name;
    line[strcspn(line, "\n")] = '\0';
    question->back = strtoull(line, &end, 10);
    if (end == line || *end != ' ' || !(name = strchr(end + 1, ' ')))
        return false;
    *name++ = '\0';
    question->sites = strcmp(end + 1, "sites") == 0;
    question->name = name;
    question->length = unescape(name);
    return question->sites || strcmp(end + 1, "sums") == 0;
}

/* The stacks of what lives, by names that were found for former questions, too. */
static int load_stacks(struct live *live, const struct following *following, const struct region *region,
                       struct early_names **early, struct error *error)
{
    int code = stacks_load(&live->stacks, following->reader, error);
    if (code == 0 && !following->reader->has_end)
        code = early_stacks(live->stacks, following->reader, early, error);
    if (code == 0 && stacks_have_name_source(live->stacks))
        following_visit(following, region, expect_block, live);
    return code;
}

static int answer(struct following *following, struct early_names **early, const struct question *question,
                  struct error *error)
{
    int code = following_go_on(following, error);
    if (code != 0)
        return code;
    const struct region *region = following_find(following, question->name, question->length, question->back);
    if (!region)
        return error_set(error, -ENOENT, "%s: has no such occurrence of the region", following->reader->path);
    struct live live = {.by_stack = MAP64_INIT};
    if (question->sites && (code = load_stacks(&live, following, region, early, error)) != 0) {
        stacks_free(live.stacks);
        return code;
    }
    following_visit(following, region, add_block, &live);
    if (live.failed || (live.stacks && stacks_failed(live.stacks))) {
        code = error_set(error, -ENOMEM, "%s: out of memory", following->reader->path);
    } else {
        struct json json = {.out = stdout, .compact = true};
        open_object(&json, NULL);
        put_bool(&json, "ended", !region->open);
        put_unsigned(&json, "allocations", region->allocations);
        put_unsigned(&json, "allocated_bytes", region->allocated_bytes);
        put_unsigned(&json, "peak_bytes", region->peak_bytes);
        put_unsigned(&json, "live_bytes", live.bytes);
        put_unsigned(&json, "live_blocks", live.count);
        if (question->sites)
            put_sites(&json, &live);
        close_object(&json);
        put_end(&json);
    }
    free(live.sites);
    map64_free(&live.by_stack);
    stacks_free(live.stacks);
    return code;
}

static void answer_error(const struct error *error)
{
    struct json json = {.out = stdout, .compact = true};
    open_object(&json, NULL);
    put_string(&json, "error", error->text);
    close_object(&json);
    put_end(&json);
}

static int run(int argc, char **argv)
{
    const char *path;
    struct following following;
    struct early_names *early = NULL;
    struct error error = {0};
    int status = report_operand(&command_follow, argc, argv, &path);
    if (status != EXIT_DONE)
        return status;
    if (following_open(&following, path, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        struct question question;
        error.text[0] = '\0';
        if (!understand(line, &question))
            error_set(&error, -EINVAL, "no question: BACK sums|sites NAME");
        else
            answer(&following, &early, &question, &error);
        if (error.text[0])
            answer_error(&error);
        if (fflush(stdout) != 0)
            break;
    }
    free(line);
    early_names_close(early);
    following_close(&following);
    return EXIT_DONE;
}

const struct command command_follow = {
    .name = "follow",
    .synopsis = "TRACE",
    .summary = "answers about the regions of a trace that is being written",
    .description = "Reads questions from standard input, a line each. For programs: see analyzer/report/cmd_follow.c.",
    .examples = "",
    .options = options,
    .hidden = true,
    .run = run,
};
