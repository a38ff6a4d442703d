/* snapshot_list.c - which snapshots a trace has; see ref_graph.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ref_graph.h"
#include "trace/trace_info.h"

static bool add_problem(struct snapshot_info *info, const char *text, size_t length)
{
    char **larger = reallocarray(info->problems, info->problem_count + 1, sizeof *larger);
    if (!larger)
        return false;
    info->problems = larger;
    char *copy = strndup(text, length);
    if (!copy)
        return false;
    info->problems[info->problem_count++] = copy;
    return true;
}

/* A word in lower case: reports print it as it is. */
static void take_reason(struct snapshot_info *info, const char *text, size_t length)
{
    if (length >= sizeof info->reason)
        length = sizeof info->reason - 1;
    for (size_t i = 0; i < length; i++)
        info->reason[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] : '?');
    info->reason[length] = '\0';
}

/* False when memory runs out. */
static bool take_field(struct snapshot_info *info, uint64_t tag, const char *text, size_t length)
{
    uint64_t number = trace_field_value(text, length);
    switch (tag) {
    case HSK_FIELD_SNAPSHOT_NUMBER:
        info->number = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
        break;
    case HSK_FIELD_SNAPSHOT_REASON:
        take_reason(info, text, length);
        break;
    case HSK_FIELD_SNAPSHOT_TIME:
        info->time_ns = number;
        break;
    case HSK_FIELD_SNAPSHOT_EVENT:
        info->event = number;
        break;
    case HSK_FIELD_SNAPSHOT_NODES:
        info->nodes = number;
        break;
    case HSK_FIELD_SNAPSHOT_EDGES:
        info->edges = number;
        break;
    case HSK_FIELD_SNAPSHOT_PAUSE:
        info->pause_ns = number;
        break;
    case HSK_FIELD_SNAPSHOT_RESIDENT:
        info->resident_bytes = number;
        break;
    case HSK_FIELD_SNAPSHOT_WALK:
        info->walk_ns = number;
        break;
    case HSK_FIELD_SNAPSHOT_COPIED:
        info->copied_bytes = number;
        break;
    case HSK_FIELD_SNAPSHOT_WHOLE:
        info->whole = number == 1;
        break;
    case HSK_FIELD_SNAPSHOT_PARTS:
        info->parts = number;
        break;
    case HSK_FIELD_SNAPSHOT_PROBLEM:
        return add_problem(info, text, length);
    default:
        break; /* of a later version */
    }
    return true;
}

static void free_info(struct snapshot_info *info)
{
    for (size_t i = 0; i < info->problem_count; i++)
        free(info->problems[i]);
    free(info->problems);
}

/* Fills `info` from the chunk; false: memory ran out, or the chunk is damaged and `*damaged` says so. */
static bool read_fields(struct snapshot_info *info, const uint8_t *raw, size_t length, bool *damaged)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    while (cursor.at < cursor.end) {
        size_t text_length;
        uint64_t tag = cursor_varint(&cursor);
        const char *text = cursor_string(&cursor, &text_length);
        *damaged = cursor.failed || text_length > HSK_MAX_STRING;
        if (*damaged || !take_field(info, tag, text, text_length))
            return false;
    }
    return true;
}

static int by_number(const void *left, const void *right)
{
    const struct snapshot_info *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

int graph_snapshots_list(struct graph_snapshots *snapshots, struct trace_reader *reader, struct error *error)
{
    struct graph_snapshots found = {0};
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        bool damaged = false;
        if (reader->chunks[i].header.type != HSK_CHUNK_SNAPSHOT || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        struct snapshot_info info = {.chunk = i}, *larger;
        if (!read_fields(&info, raw, length, &damaged)) {
            free_info(&info);
            if (!damaged)
                goto no_memory;
            trace_reader_damaged(reader, i, "its fields cannot be read");
            continue;
        }
        larger = reallocarray(found.list, found.count + 1, sizeof *larger);
        if (!larger) {
            free_info(&info);
            goto no_memory;
        }
        found.list = larger;
        found.list[found.count++] = info;
    }
    if (found.count > 1)
        qsort(found.list, found.count, sizeof *found.list, by_number);
    *snapshots = found;
    return 0;
no_memory:
    graph_snapshots_free(&found);
    return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
}

void graph_snapshots_free(struct graph_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        free_info(&snapshots->list[i]);
    free(snapshots->list);
    *snapshots = (struct graph_snapshots){0};
}
