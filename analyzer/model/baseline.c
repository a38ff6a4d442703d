/* baseline.c - see baseline.h */
#include "model/baseline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_file.h"

#define FILE_MAX_BYTES ((size_t)64 << 20)
#define FIRST_LINE "heapsake baseline "

static void free_leak(struct baseline_leak *leak)
{
    free(leak->cause);
    free(leak->type);
    free(leak->site.text);
}

void baseline_free(struct baseline *baseline)
{
    for (size_t i = 0; i < baseline->count; i++)
        free_leak(&baseline->leaks[i]);
    free(baseline->leaks);
    free(baseline->program);
    *baseline = BASELINE_INIT;
}

/* Takes what the leak owns, also when it fails. */
static int append(struct baseline *baseline, struct baseline_leak *leak)
{
    bool failed = !leak->cause || !leak->type || !leak->site.text;
    if (!failed && baseline->count == baseline->capacity) {
        size_t capacity = baseline->capacity ? 2 * baseline->capacity : 16;
        struct baseline_leak *grown = reallocarray(baseline->leaks, capacity, sizeof *grown);
        failed = !grown;
        if (grown) {
            baseline->leaks = grown;
            baseline->capacity = capacity;
        }
    }
    if (failed) {
        free_leak(leak);
        return -ENOMEM;
    }
    baseline->leaks[baseline->count++] = *leak;
    return 0;
}

/* --- of a trace --- */

/* Never "-" itself, which is no type. */
static char *type_word(const char *type)
{
    struct buf text = BUF_INIT;
    if (type && strcmp(type, "-") == 0)
        buf_printf(&text, "\\x2d");
    else if (type)
        leak_site_append_name(&text, type, strlen(type));
    else
        buf_append(&text, "-", 1);
    buf_append_byte(&text, 0);
    if (text.failed) {
        buf_free(&text);
        return NULL;
    }
    return (char *)text.data;
}

int baseline_add(struct baseline *baseline, const struct leak *leak, size_t index, const struct stacks *stacks)
{
    struct baseline_leak one = {.cause = strdup(leak_cause_names[leak->cause]),
                                .type = type_word(leak->type),
                                .count = leak->count,
                                .bytes = leak->bytes,
                                .leak = index};
    if (leak_site_of(&one.site, stacks, leak->stack) != 0)
        one.site.text = NULL;
    return append(baseline, &one);
}

/* Are they the same but for their lines? */
static int compare_keys(const struct baseline_leak *a, const struct baseline_leak *b)
{
    int order = strcmp(a->cause, b->cause);
    if (order == 0)
        order = strcmp(a->type, b->type);
    return order != 0 ? order : strcmp(a->site.text, b->site.text);
}

static int compare(const void *left, const void *right)
{
    const struct baseline_leak *a = left, *b = right;
    int order = compare_keys(a, b);
    if (order == 0)
        order = leak_site_compare_lines(&a->site, &b->site);
    if (order == 0 && a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1; /* the largest stands for all of them */
    return order != 0 ? order : a->leak < b->leak ? -1 : a->leak > b->leak;
}

void baseline_settle(struct baseline *baseline)
{
    size_t kept = 0;
    if (baseline->count > 1)
        qsort(baseline->leaks, baseline->count, sizeof *baseline->leaks, compare);
    for (size_t i = 0; i < baseline->count; i++) {
        struct baseline_leak *leak = &baseline->leaks[i], *last = kept ? &baseline->leaks[kept - 1] : NULL;
        if (last && compare_keys(last, leak) == 0 && leak_site_compare_lines(&last->site, &leak->site) == 0) {
            last->count += leak->count;
            last->bytes += leak->bytes;
            free_leak(leak);
        } else {
            baseline->leaks[kept++] = *leak;
        }
    }
    baseline->count = kept;
}

void baseline_write(const struct baseline *baseline, struct buf *text)
{
    buf_printf(text, FIRST_LINE "%u\n", BASELINE_VERSION);
    buf_printf(text,
               "# Accepted leaks and totals, made by heapsake check --write-baseline FILE TRACE; to be committed.\n"
               "# leak, cause, type, site (innermost frame first), count, bytes, lines of the site's frames\n");
    buf_printf(text,
               "program\t%s\npeak\t%" PRIu64 "\nlive\t%" PRIu64 "\nleaked\t%" PRIu64 "\nallocations\t%" PRIu64 "\n",
               baseline->program ? baseline->program : "?", baseline->peak, baseline->live, baseline->leaked,
               baseline->allocations);
    for (size_t i = 0; i < baseline->count; i++) {
        const struct baseline_leak *leak = &baseline->leaks[i];
        buf_printf(text, "leak\t%s\t", leak->cause);
        buf_append(text, leak->type, strlen(leak->type));
        buf_append_byte(text, '\t');
        buf_append(text, leak->site.text, strlen(leak->site.text));
        buf_printf(text, "\t%" PRIu64 "\t%" PRIu64 "\t", leak->count, leak->bytes);
        for (unsigned k = 0; k < leak->site.line_count; k++)
            buf_printf(text, "%s%" PRIu32, k ? "," : "", leak->site.lines[k]);
        buf_append_byte(text, '\n');
    }
}

/* --- of a file --- */

struct parser {
    struct baseline *baseline;
    const char *name;
    unsigned line;
    unsigned seen; /* bits of total_names, and of "program" above them */
    struct error *error;
};

static const char *const total_names[] = {"peak", "live", "leaked", "allocations"};
#define SEEN_ALL ((1u << (HS_COUNT_OF(total_names) + 1)) - 1)

static int wrong(struct parser *parser, const char *what)
{
    return error_set(parser->error, -EINVAL, "%s:%u: %s: the baseline is damaged: write it anew", parser->name,
                     parser->line, what);
}

/* Exactly a decimal number. */
static bool parse_number(const char *text, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19 || text[digits] != '\0')
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

static bool parse_lines(char *text, struct leak_site *site)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        uint64_t line;
        if (site->line_count == LEAK_SITE_FRAMES || !parse_number(word, &line) || line > UINT32_MAX)
            return false;
        site->lines[site->line_count++] = (uint32_t)line;
    }
    return true;
}

static int parse_leak(struct parser *parser, char **fields, size_t count)
{
    struct baseline_leak leak = {.leak = SIZE_MAX};
    int cause = LEAK_UNKNOWN + 1;
    if (count != 7)
        return wrong(parser, "a leak has seven fields, divided by tabs");
    while (cause < LEAK_CAUSES && strcmp(leak_cause_names[cause], fields[1]) != 0)
        cause++;
    if (cause == LEAK_CAUSES)
        return wrong(parser, "not a cause");
    if (!fields[2][0] || !fields[3][0])
        return wrong(parser, "a type or a site is missing");
    if (!parse_number(fields[4], &leak.count) || !parse_number(fields[5], &leak.bytes) ||
        !parse_lines(fields[6], &leak.site))
        return wrong(parser, "not a number");
    leak.cause = strdup(fields[1]);
    leak.type = strdup(fields[2]);
    leak.site.text = strdup(fields[3]);
    return append(parser->baseline, &leak) == 0 ? 0 : error_set(parser->error, -ENOMEM, "out of memory");
}

static int parse_line(struct parser *parser, char *line)
{
    char *fields[8], *rest = line;
    size_t count = 0;
    uint64_t *const totals[] = {&parser->baseline->peak, &parser->baseline->live, &parser->baseline->leaked,
                                &parser->baseline->allocations};
    while (rest && count < HS_COUNT_OF(fields))
        fields[count++] = strsep(&rest, "\t");
    if (rest)
        return wrong(parser, "too many fields");
    if (strcmp(fields[0], "leak") == 0)
        return parse_leak(parser, fields, count);
    size_t i = 0;
    while (i < HS_COUNT_OF(total_names) && strcmp(fields[0], total_names[i]) != 0)
        i++;
    bool program = i == HS_COUNT_OF(total_names) && strcmp(fields[0], "program") == 0;
    if ((!program && i == HS_COUNT_OF(total_names)) || count != 2)
        return wrong(parser, "not a line of a baseline");
    if (parser->seen & 1u << i)
        return wrong(parser, "said twice");
    parser->seen |= 1u << i;
    if (program) {
        parser->baseline->program = strdup(fields[1]);
        return parser->baseline->program ? 0 : error_set(parser->error, -ENOMEM, "out of memory");
    }
    return parse_number(fields[1], totals[i]) ? 0 : wrong(parser, "not a number");
}

/* Says which version it is of, so that nobody looks for damage. */
static int parse_first(struct parser *parser, const char *line)
{
    uint64_t version;
    size_t length = strlen(FIRST_LINE);
    if (strncmp(line, FIRST_LINE, length) != 0 || !parse_number(line + length, &version))
        return error_set(parser->error, -EINVAL,
                         "%s: not a baseline: make one with heapsake check --write-baseline FILE TRACE", parser->name);
    if (version == BASELINE_VERSION)
        return 0;
    return error_set(parser->error, -EINVAL,
                     "%s: a baseline of version %" PRIu64 ", and this heapsake writes version %u: write it anew with "
                     "heapsake check --write-baseline FILE TRACE",
                     parser->name, version, BASELINE_VERSION);
}

static int parse_text(struct parser *parser, char *text)
{
    int code = 0;
    for (char *line = text, *next; line && code == 0; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r')
            line[length - 1] = '\0'; /* a checkout with Windows' line ends */
        if (++parser->line == 1)
            code = parse_first(parser, line);
        else if (line[0] != '\0' && line[0] != '#')
            code = parse_line(parser, line);
    }
    if (code == 0 && parser->seen != SEEN_ALL)
        code = wrong(parser, "its program or one of its totals is missing");
    return code;
}

int baseline_parse(struct baseline *baseline, const char *text, size_t length, const char *name, struct error *error)
{
    struct parser parser = {.baseline = baseline, .name = name, .error = error};
    if (memchr(text, 0, length))
        return error_set(error, -EINVAL, "%s: not a baseline: make one with heapsake check --write-baseline FILE TRACE",
                         name);
    char *copy = strndup(text, length);
    if (!copy)
        return error_set(error, -ENOMEM, "%s: out of memory", name);
    int code = parse_text(&parser, copy);
    free(copy);
    if (code == 0)
        baseline_settle(baseline); /* people sort and merge */
    else
        baseline_free(baseline);
    return code;
}

int baseline_load(struct baseline *baseline, const char *path, struct error *error)
{
    struct buf text = {.ceiling = FILE_MAX_BYTES};
    int code = text_file_read(&text, path, "baselines", error);
    if (code == 0)
        code = baseline_parse(baseline, (const char *)text.data, text.length, path, error);
    buf_free(&text);
    return code;
}

/* --- two of them --- */

static void pair(struct baseline_leak *before, struct baseline_leak *now)
{
    before->match = now;
    now->match = before;
}

/* Those of one cause, type and site; both in the order of their lines. */
static void match_alike(struct baseline_leak *before, size_t before_count, struct baseline_leak *now, size_t now_count)
{
    for (size_t i = 0, k = 0; i < before_count && k < now_count;) {
        int order = leak_site_compare_lines(&before[i].site, &now[k].site);
        if (order == 0)
            pair(&before[i++], &now[k++]);
        else if (order < 0)
            i++;
        else
            k++;
    }
    for (size_t i = 0, k = 0; i < before_count && k < now_count;) {
        if (before[i].match)
            i++;
        else if (now[k].match)
            k++;
        else
            pair(&before[i++], &now[k++]);
    }
}

static size_t alike(const struct baseline *baseline, size_t from)
{
    size_t end = from + 1;
    while (end < baseline->count && compare_keys(&baseline->leaks[from], &baseline->leaks[end]) == 0)
        end++;
    return end - from;
}

static bool is_reachable(const struct baseline_leak *leak)
{
    return strcmp(leak->cause, "growing") == 0 || strcmp(leak->cause, "held") == 0;
}

/* Of those without a match: the same type and site, one growing and one held. */
static void match_reachable(struct baseline *before, struct baseline *now)
{
    for (size_t i = 0; i < before->count; i++) {
        struct baseline_leak *leak = &before->leaks[i];
        if (leak->match || !is_reachable(leak))
            continue;
        for (size_t k = 0; k < now->count && !leak->match; k++) {
            struct baseline_leak *other = &now->leaks[k];
            if (!other->match && is_reachable(other) && strcmp(leak->type, other->type) == 0 &&
                strcmp(leak->site.text, other->site.text) == 0)
                pair(leak, other);
        }
    }
}

void baseline_match(struct baseline *before, struct baseline *now)
{
    for (size_t i = 0, k = 0; i < before->count && k < now->count;) {
        int order = compare_keys(&before->leaks[i], &now->leaks[k]);
        size_t before_count = alike(before, i), now_count = alike(now, k);
        if (order == 0)
            match_alike(&before->leaks[i], before_count, &now->leaks[k], now_count);
        i += order <= 0 ? before_count : 0;
        k += order >= 0 ? now_count : 0;
    }
    match_reachable(before, now);
}
