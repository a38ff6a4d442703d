/* limits.c - see limits.h */
#include "model/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text_file.h"
#include "model/stacks.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define PERCENT_MAX 1e6

const char *const limit_rule_names[LIMIT_RULES] = {
    [LIMIT_MAX_PEAK] = "max-peak",     [LIMIT_MAX_LIVE] = "max-live",
    [LIMIT_MAX_LEAKED] = "max-leaked", [LIMIT_MAX_ALLOCATIONS] = "max-allocations",
    [LIMIT_NO_LEAKS] = "no-leaks",     [LIMIT_NO_NEW_LEAKS] = "no-new-leaks",
    [LIMIT_TOLERANCE] = "tolerance",   [LIMIT_MAX_GROWTH_PER] = "max-growth-per",
};

/* --- values --- */

/* The number at the start of *text, which moves behind it and behind blanks: digits with at most one point. */
static bool take_number(const char **text, double *number)
{
    size_t digits = strspn(*text, "0123456789."), points = 0;
    for (size_t i = 0; i < digits; i++)
        points += (*text)[i] == '.';
    if (digits == 0 || digits > 24 || points > 1 || (*text)[0] == '.' || (*text)[digits - 1] == '.')
        return false;
    *number = strtod(*text, NULL);
    *text += digits + strspn(*text + digits, " \t");
    return true;
}

bool limits_size(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {
        {"", 1},        {"B", 1},       {"kB", 1e3},     {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
        {"K", 0x1p10},  {"M", 0x1p20},  {"G", 0x1p30},   {"T", 0x1p40},   {"Ki", 0x1p10},  {"Mi", 0x1p20},
        {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
    };
    double number;
    if (!take_number(&text, &number))
        return false;
    for (size_t i = 0; i < HS_COUNT_OF(units); i++) {
        if (strcasecmp(text, units[i].name) != 0)
            continue;
        if (number * units[i].bytes >= 1e18)
            return false;
        *bytes = (uint64_t)(number * units[i].bytes);
        return true;
    }
    return false;
}

static bool parse_count(const char *text, uint64_t *count)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    *count = strtoull(text, NULL, 10);
    return true;
}

/* "5", "5%", "0.5 %" */
static bool parse_percent(const char *text, double *percent)
{
    return take_number(&text, percent) && (strcmp(text, "") == 0 || strcmp(text, "%") == 0) && *percent <= PERCENT_MAX;
}

/* "lost, cycle" to bits; "": all of them. False, and the word that is no cause in *wrong. */
static bool parse_causes(const char *text, unsigned *causes, struct text *wrong)
{
    *causes = 0;
    for (const char *at = text; *at;) {
        at += strspn(at, " \t");
        size_t length = strcspn(at, ","), more = length + (at[length] == ',');
        *wrong = (struct text){at, length};
        while (wrong->length > 0 && strchr(" \t", at[wrong->length - 1]))
            wrong->length--;
        int cause = LEAK_UNKNOWN + 1;
        while (cause < LEAK_CAUSES && !text_is(*wrong, leak_cause_names[cause]))
            cause++;
        if (cause == LEAK_CAUSES)
            return false;
        *causes |= 1u << cause;
        at += more;
    }
    if (*causes == 0)
        *causes = LIMIT_ALL_CAUSES;
    return true;
}

/* Fills the limit's number from its text. */
static int read_value(struct limit *limit, const char *value, struct error *error)
{
    struct text wrong = {0};
    const char *origin = limit->origin, *rule = limit_rule_names[limit->rule];
    switch (limit->rule) {
    case LIMIT_MAX_PEAK:
    case LIMIT_MAX_LIVE:
    case LIMIT_MAX_LEAKED:
        if (!limits_size(value, &limit->most))
            return error_set(error, -EINVAL, "%s: %s: \"%.64s\" is not a size such as 20 MB or 20 MiB", origin, rule,
                             value);
        return 0;
    case LIMIT_MAX_ALLOCATIONS:
        if (!parse_count(value, &limit->most))
            return error_set(error, -EINVAL, "%s: %s: \"%.64s\" is not a whole number from 0 on", origin, rule, value);
        return 0;
    case LIMIT_TOLERANCE:
        if (!parse_percent(value, &limit->percent))
            return error_set(error, -EINVAL, "%s: %s: \"%.64s\" is not a number of percent from 0 on", origin, rule,
                             value);
        return 0;
    case LIMIT_NO_LEAKS:
        if (!parse_causes(value, &limit->causes, &wrong))
            return error_set(error, -EINVAL,
                             "%s: %s: \"%.*s\" is not a cause: lost, over-referenced, cycle, growing, held, "
                             "fragmentation",
                             origin, rule, (int)(wrong.length < 64 ? wrong.length : 64), wrong.bytes);
        return 0;
    case LIMIT_NO_NEW_LEAKS:
        if (value[0] != '\0')
            return error_set(error, -EINVAL, "%s: %s takes no value", origin, rule);
        return 0;
    case LIMIT_MAX_GROWTH_PER:
    case LIMIT_RULES:
        break;
    }
    return error_set(error, -EINVAL,
                     "%s: %s needs marks, which this version of heapsake does not have: it cannot be checked", origin,
                     rule);
}

/* --- the list --- */

/* Is it said again, with the same number? Two causes to be free of do not contradict each other: they are added up. */
static int unite(struct limit *known, const struct limit *limit, struct error *error)
{
    known->causes |= limit->causes;
    bool same = known->most == limit->most && !(known->percent < limit->percent || known->percent > limit->percent);
    return same ? 0
                : error_set(error, -EINVAL, "%s: %s contradicts %s, which gives another number", limit->origin,
                            limit_rule_names[limit->rule], known->origin);
}

static void free_limit(struct limit *limit)
{
    free(limit->origin);
    free(limit->text);
}

int limits_add(struct limits *limits, enum limit_rule rule, const char *value, const char *origin, struct error *error)
{
    value = value ? value : "";
    /* The place of regions: what stands before a colon will be the name of one. */
    if (rule != LIMIT_MAX_GROWTH_PER && strchr(value, ':'))
        return error_set(error, -EINVAL,
                         "%s: \"%.64s\" is the limit of a region, which this version of heapsake does not have: it "
                         "cannot be checked",
                         origin, value);
    struct limit limit = {.rule = rule, .text = strdup(value), .origin = strdup(origin)};
    int code =
        limit.origin && limit.text ? read_value(&limit, value, error) : error_set(error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < limits->count && code == 0; i++) {
        if (limits->list[i].rule != rule)
            continue;
        code = unite(&limits->list[i], &limit, error);
        free_limit(&limit);
        return code;
    }
    if (code == 0 && limits->count == limits->capacity) {
        size_t capacity = limits->capacity ? 2 * limits->capacity : 8;
        struct limit *grown = reallocarray(limits->list, capacity, sizeof *grown);
        if (grown) {
            limits->list = grown;
            limits->capacity = capacity;
        } else {
            code = error_set(error, -ENOMEM, "out of memory");
        }
    }
    if (code == 0)
        limits->list[limits->count++] = limit;
    else
        free_limit(&limit);
    return code;
}

void limits_free(struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        free_limit(&limits->list[i]);
    free(limits->list);
    *limits = LIMITS_INIT;
}

const struct limit *limits_find(const struct limits *limits, enum limit_rule rule)
{
    for (size_t i = 0; i < limits->count; i++)
        if (limits->list[i].rule == rule)
            return &limits->list[i];
    return NULL;
}

bool limits_ask_for_leaks(const struct limits *limits)
{
    /* a tolerance is for known leaks, too */
    return limits_find(limits, LIMIT_MAX_LEAKED) || limits_find(limits, LIMIT_NO_LEAKS) ||
           limits_find(limits, LIMIT_NO_NEW_LEAKS) || limits_find(limits, LIMIT_TOLERANCE);
}

static int by_rule(const void *left, const void *right)
{
    const struct limit *a = left, *b = right;
    return a->rule < b->rule ? -1 : a->rule > b->rule;
}

int limits_settle(struct limits *limits, bool has_baseline, struct error *error)
{
    const struct limit *none = limits_find(limits, LIMIT_NO_LEAKS), *leaked = limits_find(limits, LIMIT_MAX_LEAKED);
    const struct limit *new = limits_find(limits, LIMIT_NO_NEW_LEAKS), *more = limits_find(limits, LIMIT_TOLERANCE);
    if (!has_baseline && (new || more))
        return error_set(error, -EINVAL, "%s: %s needs a baseline to compare with: give --baseline FILE",
                         new ? new->origin : more->origin, limit_rule_names[new ? new->rule : more->rule]);
    if (none && none->causes == LIMIT_ALL_CAUSES && leaked && leaked->most > 0)
        return error_set(error, -EINVAL,
                         "%s: max-leaked allows leaks, and no-leaks (%s) forbids them: give one of both",
                         leaked->origin, none->origin);
    if (none && none->causes == LIMIT_ALL_CAUSES && new)
        return error_set(error, -EINVAL,
                         "%s: no-new-leaks allows the leaks of the baseline, and no-leaks (%s) forbids them: give one "
                         "of both",
                         new->origin, none->origin);
    if (has_baseline && !new && !more) {
        int code = limits_add(limits, LIMIT_NO_NEW_LEAKS, "", "--baseline", error);
        if (code == 0 && none && none->causes == LIMIT_ALL_CAUSES)
            code = error_set(error, -EINVAL, "--baseline: with no-leaks there is nothing to compare: add --tolerance");
        if (code != 0)
            return code;
    }
    if (limits->count > 1)
        qsort(limits->list, limits->count, sizeof *limits->list, by_rule);
    return 0;
}

/* --- files --- */

/* A line without its comment and the blanks around it. */
static char *trim(char *line)
{
    line += strspn(line, " \t");
    for (char *at = line; *at; at++)
        if (*at == '#' && (at == line || at[-1] == ' ' || at[-1] == '\t')) {
            *at = '\0';
            break;
        }
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r", line[length - 1]))
        line[--length] = '\0';
    return line;
}

/* "max-peak 20 MB", "max-peak = 20 MB", "no-new-leaks" */
static int parse_line(struct limits *limits, char *line, const char *origin, struct error *error)
{
    size_t length = strcspn(line, " \t=");
    const char *value = line + length;
    value += strspn(value, " \t");
    if (*value == '=')
        value += 1 + strspn(value + 1, " \t");
    struct text word = {line, length};
    for (int rule = 0; rule < LIMIT_RULES; rule++)
        if (text_is(word, limit_rule_names[rule]))
            return limits_add(limits, (enum limit_rule)rule, value, origin, error);
    if (memchr(line, ':', length))
        return error_set(error, -EINVAL,
                         "%s: \"%.*s\" is the limit of a region, which this version of heapsake does not have: it "
                         "cannot be checked",
                         origin, (int)(length < 64 ? length : 64), line);
    return error_set(error, -EINVAL,
                     "%s: \"%.*s\" is not a limit: max-peak, max-live, max-leaked, max-allocations, no-leaks, "
                     "no-new-leaks, tolerance",
                     origin, (int)(length < 64 ? length : 64), line);
}

int limits_parse(struct limits *limits, const char *text, size_t length, const char *name, struct error *error)
{
    if (memchr(text, 0, length))
        return error_set(error, -EINVAL, "%s: not a text file", name);
    char *copy = strndup(text, length);
    if (!copy)
        return error_set(error, -ENOMEM, "%s: out of memory", name);
    int code = 0;
    unsigned number = 0;
    for (char *line = copy, *next; line && code == 0; line = next) {
        char origin[512];
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        snprintf(origin, sizeof origin, "%.480s:%u", name, ++number);
        line = trim(line);
        if (line[0] != '\0')
            code = parse_line(limits, line, origin, error);
    }
    free(copy);
    return code;
}

int limits_load(struct limits *limits, const char *path, struct error *error)
{
    struct buf text = {.ceiling = FILE_MAX_BYTES};
    int code = text_file_read(&text, path, "limits", error);
    if (code == 0)
        code = limits_parse(limits, (const char *)text.data, text.length, path, error);
    buf_free(&text);
    return code;
}
