/* counts.c - see counts.h */
#include "model/counts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/grow.h"
#include "model/lifetimes.h"
#include "model/object_lives.h"
#include "trace/chunk_records.h"
#include "trace/trace_info.h"
#include "trace/watch_records.h"

#define NO_OBJECT UINT32_MAX

bool counts_any(const struct trace_reader *reader, const struct trace_info *info)
{
    bool any = info->coverage.count > 0;
    for (size_t i = 0; i < info->options.count; i++)
        any |= strcmp(info->options.texts[i], "refs") == 0;
    for (size_t i = 0; i < reader->chunk_count && !any; i++)
        any = reader->chunks[i].header.type == HSK_CHUNK_WATCHES || reader->chunks[i].header.type == HSK_CHUNK_PLACES;
    return any;
}

static uint32_t add_object(struct counts *c, const struct counted *object)
{
    if (c->object_count >= NO_OBJECT ||
        !grow((void **)&c->objects, c->object_count, &c->object_capacity, sizeof *c->objects)) {
        c->failed = true;
        return NO_OBJECT;
    }
    c->objects[c->object_count] = *object;
    return (uint32_t)c->object_count++;
}

static void add_change(struct counts *c, uint32_t object, const struct count_change *change)
{
    size_t capacity = c->change_capacity;
    if (!grow((void **)&c->changes, c->change_count, &c->change_capacity, sizeof *c->changes) ||
        (capacity != c->change_capacity &&
         !(c->object_of = reallocarray(c->object_of, c->change_capacity, sizeof *c->object_of)))) {
        c->failed = true;
        return;
    }
    c->changes[c->change_count] = *change;
    c->object_of[c->change_count++] = object;
    c->objects[object].count = change->count;
}

static int32_t clip(int64_t delta)
{
    return delta > INT32_MAX ? INT32_MAX : delta < INT32_MIN ? INT32_MIN : (int32_t)delta;
}

/* One of the references that an object has at the beginning came with it. */
static void add_birth(struct counts *c, uint32_t index)
{
    struct counted *object = &c->objects[index];
    if (object->begin_count == 0 || object->birth_node == 0)
        return;
    struct count_change birth = {.time_ns = object->begin_ns,
                                 .count = object->begin_count,
                                 .delta = 1,
                                 .node = object->birth_node,
                                 .thread = UINT32_MAX,
                                 .source = object->source,
                                 .birth = true};
    object->begin_count--;
    add_change(c, index, &birth);
}

/* ---- watches ---- */

static void watch_begins(struct counts *c, const struct watch_record *record)
{
    struct counted object = {.source = HSK_COUNT_WATCH,
                             .watch = record->watch,
                             .address = record->address,
                             .begin_count = record->count,
                             .count = record->count,
                             .ordinal = record->in_block ? record->ordinal : COUNTED_NO_ORDINAL,
                             .type = type_names_find(&c->type_names, record->type),
                             .birth_node = record->node,
                             .flags = (uint8_t)record->flags,
                             .begin_ns = record->time_ns,
                             .gone_at = SIZE_MAX};
    uint32_t index = add_object(c, &object);
    if (index == NO_OBJECT || !map64_put(&c->by_watch, object.watch, index)) {
        c->failed = true;
        return;
    }
    if (object.flags & HSK_WATCH_PYTHON)
        add_birth(c, index);
}

static bool load_watches(void *context, struct cursor *cursor)
{
    struct counts *c = context;
    struct watch_record record;
    while (!c->failed && watch_records_next(cursor, &record)) {
        if (!record.ends) /* its last change has told the end, or nobody knows the count then */
            watch_begins(c, &record);
    }
    return !c->failed;
}

/* ---- events ---- */

static void watch_sees(struct counts *c, const struct event *event)
{
    uint32_t index;
    if (!map64_get(&c->by_watch, event->watch, &index))
        return; /* its beginning is in a damaged chunk */
    struct counted *object = &c->objects[index];
    struct count_change change = {.time_ns = event->time_ns,
                                  .count = event->count,
                                  .delta = clip((int64_t)(event->count - object->count)),
                                  .node = event->node,
                                  .thread = event->thread,
                                  .source = HSK_COUNT_WATCH};
    add_change(c, index, &change);
}

/* The object that others than a watch tell of; a new one when it is the first word about it. */
static uint32_t told_object(struct counts *c, const struct lifetimes *lifetimes, const struct event *event)
{
    struct map64 *map = event->loose ? &c->by_address : &c->by_ordinal;
    uint64_t key = event->loose ? event->address : event->ordinal;
    uint32_t index;
    if (map64_get(map, key, &index) && index != NO_OBJECT)
        return index;
    int64_t delta = event->down ? -1 : 1;
    struct counted object = {.ordinal = event->loose ? COUNTED_NO_ORDINAL : event->ordinal,
                             .address = event->loose ? event->address : 0,
                             .begin_ns = event->time_ns,
                             .source = (uint8_t)event->source,
                             .gone_at = SIZE_MAX};
    if (event->source != HSK_COUNT_PAIR && (int64_t)event->count >= delta)
        object.begin_count = object.count = event->count - (uint64_t)delta;
    if (event->loose) {
        object.type = type_names_find(&c->type_names, event->type);
    } else {
        const struct life_block *block = lifetimes_find(lifetimes, event->ordinal);
        const struct object_life *life = object_lives_find(c->lives, event->ordinal);
        object.birth_node = block ? block->node : 0;
        if (life) {
            object.type = life->name;
            object.birth_node = life->node != OBJECT_LIFE_SAME ? life->node : object.birth_node;
        }
    }
    index = add_object(c, &object);
    c->failed |= index == NO_OBJECT || !map64_put(map, key, index);
    if (index != NO_OBJECT)
        add_birth(c, index);
    return index;
}

static void forget(struct counts *c, struct map64 *map, uint64_t key)
{
    uint32_t index;
    if (map->count == 0 || !map64_get(map, key, &index) || index == NO_OBJECT)
        return;
    c->objects[index].gone_at = c->change_count;
    map64_put(map, key, NO_OBJECT); /* the key is there: needs no memory */
}

static void told(struct counts *c, const struct lifetimes *lifetimes, const struct event *event)
{
    uint32_t index = told_object(c, lifetimes, event);
    if (index == NO_OBJECT)
        return;
    int32_t delta = event->down ? -1 : 1;
    uint64_t count = event->count;
    if (event->source == HSK_COUNT_PAIR) /* what it left is not known: as if it had begun with none */
        count = c->objects[index].count + (uint64_t)(int64_t)delta;
    struct count_change change = {.time_ns = event->time_ns,
                                  .count = count,
                                  .delta = delta,
                                  .node = event->node,
                                  .thread = event->thread,
                                  .source = (uint8_t)event->source};
    add_change(c, index, &change);
    if (event->loose && event->down && count == 0)
        forget(c, &c->by_address, event->address);
}

static void each(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    struct counts *c = context;
    object_lives_event(c->lives, lifetimes, event);
    if (event->kind == HSK_OP_COUNT) {
        if (c->failed)
            return;
        if (event->source == HSK_COUNT_WATCH)
            watch_sees(c, event);
        else
            told(c, lifetimes, event);
    } else if (event->kind == HSK_OP_FREE || event->kind == HSK_OP_OBJECT || event->kind == HSK_OP_OBJECT_END) {
        /* a new object in the block is told by OBJECT; between birth and death it is the same one */
        if (!event->is_realloc)
            forget(c, &c->by_ordinal, event->ordinal);
    }
}

static void finalize(void *context, const struct lifetimes *lifetimes)
{
    struct counts *c = context;
    (void)lifetimes;
    c->kept_changes = c->change_count;
}

/* ---- objects ---- */

/* Changes by object instead of by time: a counting sort. */
static bool sort_changes(struct counts *c)
{
    struct count_change *sorted = c->change_count ? malloc(c->change_count * sizeof *sorted) : NULL;
    if (c->change_count && !sorted)
        return false;
    for (size_t i = 0; i < c->object_count; i++)
        c->objects[i].length = c->objects[i].kept = 0;
    for (size_t i = 0; i < c->change_count; i++) {
        c->objects[c->object_of[i]].length++;
        c->objects[c->object_of[i]].kept += i < c->kept_changes || c->changes[i].birth;
    }
    size_t first = 0;
    for (size_t i = 0; i < c->object_count; i++) {
        c->objects[i].first = first;
        first += c->objects[i].length;
        c->objects[i].length = 0;
    }
    for (size_t i = 0; i < c->change_count; i++) {
        struct counted *object = &c->objects[c->object_of[i]];
        sorted[object->first + object->length++] = c->changes[i];
    }
    free(c->changes);
    c->changes = sorted;
    return true;
}

/* A watched object's other sources tell nothing new. */
static bool cast_shadows(struct counts *c)
{
    struct map64 watched = MAP64_INIT;
    bool done = true;
    uint32_t index;
    for (size_t i = 0; i < c->object_count && done; i++)
        if (c->objects[i].watch && c->objects[i].ordinal != COUNTED_NO_ORDINAL)
            done = map64_put(&watched, c->objects[i].ordinal, (uint32_t)i);
    for (size_t i = 0; i < c->object_count && done && watched.count > 0; i++)
        if (!c->objects[i].watch && c->objects[i].ordinal != COUNTED_NO_ORDINAL)
            c->objects[i].shadowed = map64_get(&watched, c->objects[i].ordinal, &index);
    map64_free(&watched);
    return done;
}

static void finish_objects(struct counts *c)
{
    for (size_t i = 0; i < c->object_count; i++) {
        struct counted *object = &c->objects[i];
        const struct count_change *changes = &c->changes[object->first];
        object->count = object->kept > 0 ? changes[object->kept - 1].count : object->begin_count;
        object->dead = object->watch ? object->kept > 0 && object->count == 0
                                     : object->gone_at != SIZE_MAX && object->gone_at <= c->kept_changes;
    }
}

int counts_load(struct counts *c, struct trace_reader *reader, struct error *error)
{
    *c = (struct counts){0};
    struct lifetimes *lifetimes = lifetimes_new();
    c->lives = calloc(1, sizeof *c->lives);
    int code = lifetimes && c->lives ? type_names_load(&c->type_names, reader, error) : -ENOMEM;
    if (code == 0 && (code = object_lives_init(c->lives, &c->type_names)) == 0) {
        c->kept_changes = SIZE_MAX;
        struct life_replay replay = {
            .until_ns = UINT64_MAX, .until_event = UINT64_MAX, .finalize = finalize, .each = each, .context = c};
        static chunk_reader *const readers[] = {[HSK_CHUNK_WATCHES] = load_watches};
        code = chunk_records_read(reader, readers, HS_COUNT_OF(readers), c) ? 0 : -ENOMEM;
        if (code == 0)
            code = lifetimes_replay(lifetimes, reader, &replay, error);
        if (c->failed || c->lives->failed || (code == 0 && (!sort_changes(c) || !cast_shadows(c))))
            code = -ENOMEM;
        object_lives_free(c->lives);
    }
    if (code == 0)
        finish_objects(c);
    lifetimes_free(lifetimes);
    free(c->lives);
    free(c->object_of);
    map64_free(&c->by_watch);
    map64_free(&c->by_ordinal);
    map64_free(&c->by_address);
    c->lives = NULL;
    c->object_of = NULL;
    if (code == 0)
        return 0;
    counts_free(c);
    return error->text[0] ? code : error_set(error, code, "%s: out of memory", reader->path);
}

void counts_free(struct counts *c)
{
    free(c->objects);
    free(c->changes);
    type_names_free(&c->type_names);
    *c = (struct counts){0};
}
