/* mark_moment.c - see mark_moment.h */
#include "model/mark_moment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/mark_table.h"
#include "trace/decode.h"

struct search {
    struct mark_table table;
    uint32_t name;
    uint64_t wanted; /* which one of them, from 1; 0: the last */
    uint64_t marks, regions;
    bool found;
    struct mark_place place;
};

/* NAME, or NAME#N */
static void choose_name(struct search *search, const char *text)
{
    size_t length = strlen(text), digits = 0;
    search->name = intern_find(&search->table.names, text, length);
    while (digits < length && text[length - 1 - digits] >= '0' && text[length - 1 - digits] <= '9')
        digits++;
    if (search->name || digits == 0 || digits > 18 || digits + 1 >= length || text[length - 1 - digits] != '#')
        return;
    search->wanted = strtoull(text + length - digits, NULL, 10);
    search->name = intern_find(&search->table.names, text, length - 1 - digits);
    if (search->wanted == 0)
        search->name = 0; /* they count from 1 */
}

static void meet(struct search *search, const struct event *event, uint64_t before)
{
    const struct mark_occurrence *occurrence;
    if (event->mark == HSK_MARK_REGION_BEGIN) {
        occurrence = mark_table_occurrence(&search->table, event->mark_number);
        search->regions += occurrence && occurrence->name == search->name;
        return;
    }
    if (event->mark != HSK_MARK_NAMED || mark_table_name(&search->table, event->mark_number) != search->name)
        return;
    search->marks++;
    if (search->wanted == 0 || search->wanted == search->marks) {
        search->found = true;
        search->place = (struct mark_place){.event = before, .time_ns = event->time_ns};
    }
}

static int go_through(struct search *search, struct trace_reader *reader)
{
    struct events *events = malloc(sizeof *events);
    struct event event = {0};
    uint64_t before = 0;
    if (!events)
        return -ENOMEM;
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const struct hsk_chunk_header header = reader->chunks[i].header;
        const uint8_t *raw;
        size_t length;
        const char *wrong;
        if (header.type != HSK_CHUNK_EVENTS || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (!events_begin(events, &header, raw, length, &wrong)) {
            trace_reader_damaged(reader, i, wrong);
            continue;
        }
        while (events_next(events, &event, false)) {
            before += event.kind <= HSK_OP_FREE_UNKNOWN;
            if (event.kind == HSK_OP_MARK)
                meet(search, &event, before);
        }
    }
    free(events);
    return 0;
}

int mark_place_find(struct mark_place *place, struct trace_reader *reader, const char *text, struct error *error)
{
    struct search search = {.table = {{0}}};
    int code = mark_table_load(&search.table, reader, error);
    if (code != 0)
        return code;
    choose_name(&search, text);
    if (search.name && go_through(&search, reader) != 0)
        code = error_set(error, -ENOMEM, "%s: out of memory", reader->path);
    else if (search.found)
        *place = search.place;
    else if (!search.table.any)
        code = error_set(error, -ENOENT, "%s: has no mark \"%.200s\", nor any other", reader->path, text);
    else if (search.marks > 0)
        code = error_set(error, -ENOENT, "%s: has no mark \"%.200s\": there are %" PRIu64 " of that name", reader->path,
                         text, search.marks);
    else if (search.regions > 0)
        code = error_set(error, -ENOENT,
                         "%s: has no mark \"%.200s\": it is a region (heapsake peak --region, leaks --region)",
                         reader->path, text);
    else
        code = error_set(error, -ENOENT, "%s: has no mark \"%.200s\": heapsake summary lists those that there are",
                         reader->path, text);
    mark_table_free(&search.table);
    return code;
}
