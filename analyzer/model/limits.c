/* limits.c - see limits.h */
#include "model/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/grow.h"
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

/* "1 kB", "10 objects", "10 blocks" */
static bool parse_growth(const char *text, struct limit *limit)
{
    static const struct {
        const char *name;
        enum mark_measure measure;
    } units[] = {{"object", MARK_OBJECTS}, {"objects", MARK_OBJECTS}, {"block", MARK_BLOCKS}, {"blocks", MARK_BLOCKS}};
    size_t digits = strspn(text, "0123456789"), blanks = strspn(text + digits, " \t");
    for (size_t i = 0; i < HS_COUNT_OF(units) && digits > 0 && digits <= 18; i++) {
        if (strcmp(text + digits + blanks, units[i].name) != 0)
            continue;
        limit->measure = units[i].measure;
        limit->most = strtoull(text, NULL, 10);
        return true;
    }
    limit->measure = MARK_BYTES;
    return limits_size(text, &limit->most);
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
        if (!parse_growth(value, limit))
            return error_set(
                error, -EINVAL,
                "%s: %s: \"%.64s\" is neither a size such as 1 kB nor a number of objects such as 3 objects", origin,
                rule, value);
        return 0;
    case LIMIT_RULES:
        break;
    }
    return error_set(error, -EINVAL, "%s: not a limit", origin);
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
    free(limit->region);
    free(limit->origin);
    free(limit->text);
}

static bool same_region(const struct limit *a, const struct limit *b)
{
    return a->region && b->region ? strcmp(a->region, b->region) == 0 : a->region == b->region;
}

/* Takes what belongs to `limit`, whether it succeeds or not. */
static int add(struct limits *limits, struct limit *limit, struct error *error)
{
    limit->place = limits->count;
    for (size_t i = 0; i < limits->count; i++) {
        struct limit *known = &limits->list[i];
        if (!same_region(known, limit))
            continue;
        limit->place = known->place;
        if (known->rule != limit->rule || known->measure != limit->measure)
            continue;
        int code = unite(known, limit, error);
        free_limit(limit);
        return code;
    }
    if (!grow((void **)&limits->list, limits->count, &limits->capacity, sizeof *limits->list)) {
        free_limit(limit);
        return error_set(error, -ENOMEM, "out of memory");
    }
    limits->list[limits->count++] = *limit;
    return 0;
}

int limits_add_to_region(struct limits *limits, const char *region, enum limit_rule rule, const char *value,
                         const char *origin, struct error *error)
{
    if (region && region[0] == '\0')
        return error_set(error, -EINVAL, "%s: no name stands before the colon: %s", origin,
                         rule == LIMIT_MAX_GROWTH_PER ? "MARK:SIZE" : "REGION:LIMIT");
    if (region && (rule == LIMIT_NO_NEW_LEAKS || rule == LIMIT_TOLERANCE))
        return error_set(error, -EINVAL, "%s: %s holds for the whole run: baselines know no regions", origin,
                         limit_rule_names[rule]);
    if (!region && rule == LIMIT_MAX_GROWTH_PER)
        return error_set(error, -EINVAL, "%s: %s: \"%.64s\" names no mark: MARK:SIZE, such as request:1 kB", origin,
                         limit_rule_names[rule], value);
    struct limit limit = {.rule = rule, .text = strdup(value), .origin = strdup(origin)};
    if (region)
        limit.region = strdup(region);
    int code = limit.origin && limit.text && (limit.region || !region) ? read_value(&limit, value, error)
                                                                       : error_set(error, -ENOMEM, "out of memory");
    if (code == 0)
        return add(limits, &limit, error);
    free_limit(&limit);
    return code;
}

int limits_add(struct limits *limits, enum limit_rule rule, const char *value, const char *origin, struct error *error)
{
    value = value ? value : "";
    const char *colon = strrchr(value, ':');
    if (!colon)
        return limits_add_to_region(limits, NULL, rule, value, origin, error);
    char *region = strndup(value, (size_t)(colon - value));
    if (!region)
        return error_set(error, -ENOMEM, "out of memory");
    value = colon + 1 + strspn(colon + 1, " \t");
    int code = limits_add_to_region(limits, region, rule, value, origin, error);
    free(region);
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
        if (limits->list[i].rule == rule && !limits->list[i].region)
            return &limits->list[i];
    return NULL;
}

bool limits_ask_for_leaks(const struct limits *limits)
{
    /* a tolerance is for known leaks, too */
    return limits_find(limits, LIMIT_MAX_LEAKED) || limits_find(limits, LIMIT_NO_LEAKS) ||
           limits_find(limits, LIMIT_NO_NEW_LEAKS) || limits_find(limits, LIMIT_TOLERANCE);
}

bool limits_ask_for_run(const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (!limits->list[i].region)
            return true;
    return false;
}

bool limits_ask_for_regions(const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (limits->list[i].region)
            return true;
    return false;
}

bool limit_is_of_leaks(const struct limit *limit)
{
    return limit->rule == LIMIT_MAX_LEAKED || limit->rule == LIMIT_NO_LEAKS;
}

static int in_order(const void *left, const void *right)
{
    const struct limit *a = left, *b = right;
    if (!a->region != !b->region)
        return a->region ? 1 : -1;
    if (a->region && a->place != b->place)
        return a->place < b->place ? -1 : 1;
    if (a->rule != b->rule)
        return a->rule < b->rule ? -1 : 1;
    return a->measure < b->measure ? -1 : a->measure > b->measure;
}

/* Of sorted ones. */
static int settle_regions(const struct limits *limits, struct error *error)
{
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *leaked = &limits->list[i];
        if (!leaked->region || leaked->rule != LIMIT_MAX_LEAKED || leaked->most == 0)
            continue;
        for (size_t k = i + 1; k < limits->count && limits->list[k].place == leaked->place; k++)
            if (limits->list[k].rule == LIMIT_NO_LEAKS && limits->list[k].causes == LIMIT_ALL_CAUSES)
                return error_set(error, -EINVAL,
                                 "%s: max-leaked allows leaks, and no-leaks (%s) forbids them: give one of both",
                                 leaked->origin, limits->list[k].origin);
    }
    return 0;
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
        qsort(limits->list, limits->count, sizeof *limits->list, in_order);
    return settle_regions(limits, error);
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

/* The rule that `text` begins with, LIMIT_RULES when there is none. *value is what stands behind it. */
static int take_rule(const char *text, const char **value)
{
    size_t length = strcspn(text, " \t=");
    struct text word = {text, length};
    *value = text + length;
    *value += strspn(*value, " \t");
    if (**value == '=')
        *value += 1 + strspn(*value + 1, " \t");
    int rule = 0;
    while (rule < LIMIT_RULES && !text_is(word, limit_rule_names[rule]))
        rule++;
    return rule;
}

/* "max-peak 20 MB", "max-peak = 20 MB", "no-new-leaks", "parse:max-peak 20 MB", "max-growth-per request:1 kB" */
static int parse_line(struct limits *limits, char *line, const char *origin, struct error *error)
{
    const char *value;
    int rule = take_rule(line, &value);
    if (rule == LIMIT_MAX_GROWTH_PER)
        return limits_add(limits, LIMIT_MAX_GROWTH_PER, value, origin, error);
    if (rule < LIMIT_RULES && strchr(value, ':'))
        return error_set(error, -EINVAL, "%s: the name of a region stands before its limit: REGION:%s SIZE", origin,
                         limit_rule_names[rule]);
    if (rule < LIMIT_RULES)
        return limits_add_to_region(limits, NULL, (enum limit_rule)rule, value, origin, error);
    for (char *colon = line + strlen(line); colon-- > line;) {
        if (*colon != ':' || (rule = take_rule(colon + 1, &value)) == LIMIT_RULES)
            continue;
        *colon = '\0';
        if (rule == LIMIT_MAX_GROWTH_PER)
            return error_set(error, -EINVAL, "%s: %s names a mark behind it: %s MARK:SIZE", origin,
                             limit_rule_names[rule], limit_rule_names[rule]);
        return limits_add_to_region(limits, line, (enum limit_rule)rule, value, origin, error);
    }
    char *last = strrchr(line, ':');
    line = last ? last + 1 : line;
    size_t length = strcspn(line, " \t=");
    return error_set(error, -EINVAL,
                     "%s: \"%.*s\" is not a limit: max-peak, max-live, max-leaked, max-allocations, no-leaks, "
                     "no-new-leaks, tolerance, max-growth-per",
                     origin, (int)(length < 64 ? length : 64), line);
}

int limits_parse(struct limits *limits, const char *text, size_t length, const char *name, struct error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
    if (memchr(text, 0, length))
        return error_set(error, -EINVAL, "%s: not a text file", name);
    size_t begin = length >= 3 && memcmp(text, byte_order_mark, 3) == 0 ? 3 : 0;
    char *copy = strndup(text + begin, length - begin);
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
