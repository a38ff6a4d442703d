/* trace_moment.c - see trace_moment.h */
#include "model/trace_moment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/lifetimes.h"
#include "model/mark_moment.h"
#include "model/ref_graph.h"

#define MARK "mark:"
#define SNAPSHOT "snapshot:"

struct trace_moment trace_moment_at(double seconds)
{
    uint64_t time_ns = seconds < 1.8e10 ? (uint64_t)(seconds * 1e9 + 0.5) : UINT64_MAX - 1;
    return (struct trace_moment){.kind = MOMENT_TIME, .time_ns = time_ns};
}

/* "12.5s", "12.5", "250ms" */
static bool take_time(const char *text, struct trace_moment *moment)
{
    size_t length = strspn(text, "0123456789.");
    const char *unit = text + length;
    bool milliseconds = strcmp(unit, "ms") == 0;
    if (text[0] < '0' || text[0] > '9' || (unit[0] != '\0' && strcmp(unit, "s") != 0 && !milliseconds))
        return false;
    char *end;
    double number = strtod(text, &end);
    if (end != unit)
        return false;
    *moment = trace_moment_at(milliseconds ? number / 1000 : number);
    return true;
}

static bool take_snapshot(const char *text, struct trace_moment *moment)
{
    if (strncmp(text, SNAPSHOT, sizeof SNAPSHOT - 1) != 0)
        return false;
    text += sizeof SNAPSHOT - 1;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits] != '\0')
        return false;
    *moment = (struct trace_moment){.kind = MOMENT_SNAPSHOT, .snapshot = (uint32_t)strtoul(text, NULL, 10)};
    return true;
}

static bool take_mark(const char *text, struct trace_moment *moment)
{
    if (strncmp(text, MARK, sizeof MARK - 1) != 0 || text[sizeof MARK - 1] == '\0')
        return false;
    *moment = (struct trace_moment){.kind = MOMENT_MARK, .mark = text};
    return true;
}

/* What stands behind the @. */
static bool take_moment(const char *text, struct trace_moment *moment)
{
    *moment = (struct trace_moment){.kind = MOMENT_END};
    if (strcmp(text, "end") == 0)
        return true;
    if (strcmp(text, "peak") == 0) {
        moment->kind = MOMENT_PEAK;
        return true;
    }
    return take_time(text, moment) || take_snapshot(text, moment) || take_mark(text, moment);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

#define MOMENTS "there are 12.5s, peak, snapshot:N, mark:NAME and end"

int trace_moment_read(const char *text, struct trace_moment *moment, struct error *error)
{
    return take_moment(text, moment) ? 0 : error_set(error, -EINVAL, "%.200s: not a moment of a trace: " MOMENTS, text);
}

int trace_moment_parse(const char *operand, char **path, struct trace_moment *moment, struct error *error)
{
    char *copy = strdup(operand);
    if (!copy)
        return error_set(error, -ENOMEM, "out of memory");
    *path = copy;
    *moment = (struct trace_moment){.kind = MOMENT_END};
    if (exists(copy))
        return 0;
    for (size_t at = strlen(copy); at > 1; at--) {
        if (copy[at - 1] != '@')
            continue;
        copy[at - 1] = '\0';
        if (exists(copy)) {
            if (take_moment(operand + at, moment))
                return 0;
            error_set(error, -EINVAL, "%s@%.200s: not a moment of a trace: " MOMENTS, copy, copy + at);
            free(copy);
            return -EINVAL;
        }
        copy[at - 1] = '@';
    }
    /* No file of any such name: then what looks most like a moment is not part of the name that will be missed. */
    char *sign = strrchr(copy, '@');
    if (sign && sign > copy && take_moment(operand + (sign + 1 - copy), moment))
        *sign = '\0';
    else
        *moment = (struct trace_moment){.kind = MOMENT_END};
    return 0;
}

const char *trace_moment_text(const struct trace_moment *moment, char text[TRACE_MOMENT_TEXT_SIZE])
{
    switch (moment->kind) {
    case MOMENT_TIME:
        snprintf(text, TRACE_MOMENT_TEXT_SIZE, "%.9gs", (double)moment->time_ns / 1e9);
        break;
    case MOMENT_SNAPSHOT:
        snprintf(text, TRACE_MOMENT_TEXT_SIZE, SNAPSHOT "%" PRIu32, moment->snapshot);
        break;
    case MOMENT_MARK:
        return moment->mark;
    case MOMENT_PEAK:
        snprintf(text, TRACE_MOMENT_TEXT_SIZE, "peak");
        break;
    case MOMENT_END:
        snprintf(text, TRACE_MOMENT_TEXT_SIZE, "end");
        break;
    }
    return text;
}

static int find_snapshot(uint32_t number, struct trace_reader *reader, struct moment_point *point, struct error *error)
{
    struct graph_snapshots snapshots;
    int code = graph_snapshots_list(&snapshots, reader, error);
    if (code != 0)
        return code;
    code = -ENOENT;
    for (size_t i = 0; i < snapshots.count && code != 0; i++) {
        if (snapshots.list[i].number != number)
            continue;
        point->until_event = snapshots.list[i].event;
        point->time_ns = snapshots.list[i].time_ns;
        code = 0;
    }
    if (code != 0 && snapshots.count == 0)
        error_set(error, code, "%s: has no snapshot %" PRIu32 ", nor any other", reader->path, number);
    else if (code != 0)
        error_set(error, code,
                  "%s: has no snapshot %" PRIu32 ": there are %zu, with the numbers %" PRIu32 " to %" PRIu32,
                  reader->path, number, snapshots.count, snapshots.list[0].number,
                  snapshots.list[snapshots.count - 1].number);
    graph_snapshots_free(&snapshots);
    return code;
}

static int find_mark(const char *mark, struct trace_reader *reader, struct moment_point *point, struct error *error)
{
    struct mark_place place;
    int code = mark_place_find(&place, reader, mark + sizeof MARK - 1, error);
    if (code == 0) {
        point->until_event = place.event;
        point->time_ns = place.time_ns;
    }
    return code;
}

static int search_peak(struct trace_reader *reader, struct moment_point *point, struct error *error)
{
    struct lifetimes *lifetimes = lifetimes_new();
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX};
    int code = lifetimes ? lifetimes_replay(lifetimes, reader, &replay, error)
                         : error_set(error, -ENOMEM, "%s: out of memory", reader->path);
    if (code == 0)
        point->until_event = lifetimes->peak_event;
    lifetimes_free(lifetimes);
    return code;
}

int trace_moment_resolve(const struct trace_moment *moment, struct trace_reader *reader, const struct trace_info *info,
                         bool trust, struct moment_point *point, struct error *error)
{
    struct moment_point found = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX};
    int code = 0;
    switch (moment->kind) {
    case MOMENT_END:
        break;
    case MOMENT_TIME:
        found.until_ns = moment->time_ns;
        found.time_ns = moment->time_ns < info->duration_ns ? moment->time_ns : info->duration_ns;
        break;
    case MOMENT_SNAPSHOT:
        code = find_snapshot(moment->snapshot, reader, &found, error);
        break;
    case MOMENT_MARK:
        code = find_mark(moment->mark, reader, &found, error);
        break;
    case MOMENT_PEAK:
        found.told = trust && info->has_peak && trace_reader_complete(reader);
        if (found.told)
            found.until_event = info->peak_event;
        else
            code = search_peak(reader, &found, error);
        break;
    }
    if (code == 0)
        *point = found;
    return code;
}
