/* following.c - see following.h */
#include "report/following.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/decode.h"

int following_open(struct following *following, const char *path, struct error *error)
{
    memset(following, 0, sizeof *following);
    int code = trace_reader_open(path, &following->reader, error);
    if (code != 0)
        return code;
    following->lifetimes = lifetimes_new();
    following->events = malloc(sizeof *following->events);
    if (following->lifetimes && following->events && regions_init(&following->regions, &following->marks) == 0)
        return 0;
    following_close(following);
    return error_set(error, -ENOMEM, "%s: out of memory", path);
}

void following_close(struct following *following)
{
    regions_free(&following->regions);
    mark_table_free(&following->marks);
    lifetimes_free(following->lifetimes);
    free(following->events);
    trace_reader_close(following->reader);
    memset(following, 0, sizeof *following);
}

static const char *take_events(struct following *following, const struct hsk_chunk_header *header, const uint8_t *raw,
                               size_t length)
{
    const char *wrong;
    struct event event = {0};
    if (!events_begin(following->events, header, raw, length, &wrong))
        return wrong;
    while (events_next(following->events, &event, false)) {
        regions_event(&following->regions, following->lifetimes, &event);
        lifetimes_event(following->lifetimes, &event);
    }
    return NULL;
}

/* NULL, or what is wrong with it. Names come before the events that refer to them, inherited blocks
 * before all events. */
static const char *take_chunk(struct following *following, size_t i)
{
    const struct hsk_chunk_header header = following->reader->chunks[i].header;
    const uint8_t *raw;
    size_t length;
    if (header.type != HSK_CHUNK_EVENTS && header.type != HSK_CHUNK_MARKS && header.type != HSK_CHUNK_INHERITED)
        return NULL;
    if (trace_reader_load(following->reader, i, &raw, &length) != 0)
        return "it is damaged";
    if (header.type == HSK_CHUNK_INHERITED)
        return lifetimes_inherit(following->lifetimes, raw, length) ? NULL : "its blocks cannot be read";
    if (header.type == HSK_CHUNK_EVENTS)
        return take_events(following, &header, raw, length);
    int code = mark_table_add(&following->marks, raw, length);
    if (code == 0)
        code = regions_take_names(&following->regions);
    return code == 0 ? NULL : code == -ENOMEM ? "out of memory" : "its marks cannot be read";
}

int following_go_on(struct following *following, struct error *error)
{
    struct trace_reader *reader = following->reader;
    int code = trace_reader_grow(reader);
    if (code != 0)
        return error_set(error, code, "%s: cannot read: %s", reader->path, strerror(-code));
    for (; following->read < reader->chunk_count; following->read++) {
        const char *wrong = take_chunk(following, following->read);
        if (following->lifetimes->failed || following->regions.failed)
            wrong = "out of memory";
        if (wrong)
            return error_set(error, -EBADMSG, "%s: chunk %zu: %s", reader->path, following->read, wrong);
    }
    regions_settle(&following->regions);
    return 0;
}

const struct region *following_find(const struct following *following, const char *name, size_t length, uint64_t back)
{
    const struct regions *regions = &following->regions;
    for (size_t i = regions->count; i-- > 0;) {
        size_t known_length;
        const char *known = mark_table_text(&following->marks, regions->list[i].name, &known_length);
        if (regions->list[i].name != 0 && known_length == length && memcmp(known, name, length) == 0 && back-- == 0)
            return &regions->list[i];
    }
    return NULL;
}

void following_visit(const struct following *following, const struct region *region, life_visit *visit, void *context)
{
    const struct lifetimes *lifetimes = following->lifetimes;
    uint64_t end = region->open ? following->regions.next_ordinal : region->end_ordinal;
    for (uint64_t ordinal = region->begin_ordinal; ordinal < end; ordinal++) {
        if (!lifetimes_page(lifetimes, ordinal)) {
            ordinal |= LIFE_PAGE_BLOCKS - 1;
            continue;
        }
        const struct life_block *block = lifetimes_find(lifetimes, ordinal);
        if (block && life_block_domain(block) != HSK_DOMAIN_ARENA && region_has_block(region, ordinal, block->thread))
            visit(context, ordinal, block);
    }
}
