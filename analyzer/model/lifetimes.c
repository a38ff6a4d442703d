/* lifetimes.c - see lifetimes.h */
#include "model/lifetimes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPARSE_BLOCKS 512      /* a page with more live blocks stays dense */
#define MAX_THREADS (1u << 20) /* temporary allocations of threads beyond are not counted */

struct lifetimes *lifetimes_new(void)
{
    struct lifetimes *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->open_page = LIFE_NO_ORDINAL;
    l->last_allocation = LIFE_NO_ORDINAL;
    return l;
}

static void free_page(struct life_page *page)
{
    if (page)
        free(page->keys);
    free(page);
}

void lifetimes_free(struct lifetimes *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < HS_COUNT_OF(l->root); i++) {
        struct life_leaf *leaf = l->root[i];
        for (size_t p = 0; leaf && p < HS_COUNT_OF(leaf->pages); p++)
            free_page(leaf->pages[p]);
        free(leaf);
    }
    while (l->spare_count > 0)
        free_page(l->spare[--l->spare_count]);
    free(l->thread_last);
    free(l);
}

static struct life_page **page_cell(struct lifetimes *l, uint64_t ordinal, struct life_leaf **leaf)
{
    *leaf = l->root[ordinal >> (LIFE_PAGE_BITS + LIFE_LEAF_BITS)];
    return *leaf ? &(*leaf)->pages[ordinal >> LIFE_PAGE_BITS & ((1u << LIFE_LEAF_BITS) - 1)] : NULL;
}

/* Takes a page out of the tree and gives it back; a dense one must be all zero. */
static void remove_page(struct lifetimes *l, uint64_t ordinal)
{
    struct life_leaf *leaf;
    struct life_page **cell = page_cell(l, ordinal, &leaf);
    struct life_page *page = *cell;
    *cell = NULL;
    if (!page->keys && l->spare_count < HS_COUNT_OF(l->spare))
        l->spare[l->spare_count++] = page;
    else
        free_page(page);
    if (--leaf->used == 0) {
        l->root[ordinal >> (LIFE_PAGE_BITS + LIFE_LEAF_BITS)] = NULL;
        free(leaf);
    }
}

/* The live blocks of a page as a sparse page; NULL when memory runs out. */
static struct life_page *compacted(const struct life_page *page)
{
    struct life_page *sparse = malloc(sizeof *sparse + (size_t)page->live * sizeof sparse->blocks[0]);
    uint16_t *keys = malloc((size_t)page->live * sizeof *keys);
    if (!sparse || !keys) {
        free(sparse);
        free(keys);
        return NULL;
    }
    *sparse = (struct life_page){
        .live = page->live, .compact_at = page->live / 4, .count = (uint32_t)page->live, .keys = keys};
    uint32_t to = 0;
    for (uint32_t from = 0; from < page->count && to < sparse->count; from++) {
        if (page->blocks[from].size_domain == 0)
            continue;
        keys[to] = page->keys ? page->keys[from] : (uint16_t)from;
        sparse->blocks[to++] = page->blocks[from];
    }
    return sparse;
}

void lifetimes_shrink_page(struct lifetimes *l, uint64_t ordinal)
{
    struct life_leaf *leaf;
    struct life_page **cell = page_cell(l, ordinal, &leaf);
    struct life_page *page = *cell;
    if (page->live == 0) {
        remove_page(l, ordinal);
        return;
    }
    struct life_page *sparse = compacted(page);
    if (!sparse) {
        page->compact_at = page->live / 2; /* it works as it is */
        return;
    }
    *cell = sparse;
    if (!page->keys && l->spare_count < HS_COUNT_OF(l->spare)) {
        memset(page->blocks, 0, LIFE_PAGE_BLOCKS * sizeof page->blocks[0]);
        l->spare[l->spare_count++] = page;
    } else {
        free_page(page);
    }
}

/* No more allocations come into the page that was being filled. */
static void close_page(struct lifetimes *l)
{
    struct life_page *page = l->open;
    uint64_t ordinal = l->open_page << LIFE_PAGE_BITS;
    l->open = NULL;
    l->open_page = LIFE_NO_ORDINAL;
    if (!page)
        return;
    page->compact_at = SPARSE_BLOCKS;
    if (page->live <= SPARSE_BLOCKS)
        lifetimes_shrink_page(l, ordinal);
}

/* A sparse page becomes dense again; only damaged files bring an ordinal's page back. */
static struct life_page *expanded(struct lifetimes *l, const struct life_page *sparse)
{
    struct life_page *page;
    if (l->spare_count > 0)
        page = l->spare[--l->spare_count];
    else
        page = calloc(1, sizeof *page + LIFE_PAGE_BLOCKS * sizeof page->blocks[0]);
    if (!page)
        return NULL;
    page->count = LIFE_PAGE_BLOCKS;
    page->live = 0;
    for (uint32_t i = 0; sparse && i < sparse->count; i++) {
        page->blocks[sparse->keys[i]] = sparse->blocks[i];
        page->live += sparse->blocks[i].size_domain != 0;
    }
    return page;
}

bool lifetimes_open_page(struct lifetimes *l, uint64_t ordinal)
{
    close_page(l);
    if (ordinal > HSK_MAX_ORDINAL)
        return false;
    struct life_leaf **leaf = &l->root[ordinal >> (LIFE_PAGE_BITS + LIFE_LEAF_BITS)];
    if (!*leaf && !(*leaf = calloc(1, sizeof **leaf))) {
        l->failed = true;
        return false;
    }
    struct life_page **cell = &(*leaf)->pages[ordinal >> LIFE_PAGE_BITS & ((1u << LIFE_LEAF_BITS) - 1)];
    if (!*cell || (*cell)->keys) {
        struct life_page *page = expanded(l, *cell);
        if (!page) {
            l->failed = true;
            return false;
        }
        (*leaf)->used += !*cell;
        free_page(*cell);
        *cell = page;
    }
    l->open = *cell;
    l->open->compact_at = -1;
    l->open_page = ordinal >> LIFE_PAGE_BITS;
    return true;
}

struct life_block *lifetimes_find_sparse(struct life_page *page, uint64_t ordinal)
{
    uint16_t key = (uint16_t)(ordinal & (LIFE_PAGE_BLOCKS - 1));
    uint32_t low = 0, high = page->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (page->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < page->count && page->keys[low] == key ? &page->blocks[low] : NULL;
}

void lifetimes_switch_thread(struct lifetimes *l, uint32_t thread)
{
    uint32_t larger = thread > l->thread ? thread : l->thread;
    if (larger >= l->thread_capacity && larger < MAX_THREADS) {
        uint32_t capacity = l->thread_capacity ? l->thread_capacity : 64;
        while (capacity <= larger)
            capacity *= 2;
        uint64_t *last = realloc(l->thread_last, capacity * sizeof *last);
        if (last) {
            for (uint32_t i = l->thread_capacity; i < capacity; i++)
                last[i] = LIFE_NO_ORDINAL;
            l->thread_last = last;
            l->thread_capacity = capacity;
        }
    }
    if (l->thread < l->thread_capacity)
        l->thread_last[l->thread] = l->last_allocation;
    l->last_allocation = thread < l->thread_capacity ? l->thread_last[thread] : LIFE_NO_ORDINAL;
    l->thread = thread;
}

bool lifetimes_inherit(struct lifetimes *l, const uint8_t *raw, size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    uint64_t count = cursor_varint(&cursor);
    if (cursor.failed || count > length || l->inherited_end != 0)
        return false;
    uint64_t address = 0;
    uint32_t node = 0;
    for (uint64_t ordinal = 0; ordinal < count; ordinal++) {
        uint64_t domain = cursor_varint(&cursor);
        address += (uint64_t)cursor_signed(&cursor);
        uint64_t size = cursor_varint(&cursor);
        node += (uint32_t)cursor_signed(&cursor);
        if (cursor.failed || domain >= HSK_DOMAINS)
            return false;
        if (ordinal >> LIFE_PAGE_BITS != l->open_page && !lifetimes_open_page(l, ordinal))
            return false;
        if (size > LIFE_MAX_SIZE)
            size = LIFE_MAX_SIZE;
        l->open->blocks[ordinal & (LIFE_PAGE_BLOCKS - 1)] =
            (struct life_block){.size_domain = size << 4 | domain << 1 | 1, .address = address, .node = node};
        l->open->live++;
        l->inherited_end = ordinal + 1;
        l->now.inherited_blocks++;
        l->now.inherited_bytes += size;
        l->now.inherited_live_blocks++;
        l->now.inherited_live_bytes += size;
    }
    return cursor.at == cursor.end;
}

const struct life_block *lifetimes_find(const struct lifetimes *l, uint64_t ordinal)
{
    struct life_page *page = lifetimes_page(l, ordinal);
    if (!page)
        return NULL;
    struct life_block *block =
        page->keys ? lifetimes_find_sparse(page, ordinal) : &page->blocks[ordinal & (LIFE_PAGE_BLOCKS - 1)];
    return block && block->size_domain ? block : NULL;
}

void lifetimes_visit_from(const struct lifetimes *l, uint64_t first, life_visit *visit, void *context)
{
    uint64_t first_page = first >> LIFE_PAGE_BITS;
    for (uint64_t r = first_page >> LIFE_LEAF_BITS; r < HS_COUNT_OF(l->root); r++) {
        const struct life_leaf *leaf = l->root[r];
        uint64_t p = r == first_page >> LIFE_LEAF_BITS ? first_page & ((1u << LIFE_LEAF_BITS) - 1) : 0;
        for (; leaf && p < HS_COUNT_OF(leaf->pages); p++) {
            const struct life_page *page = leaf->pages[p];
            uint64_t base = (r << LIFE_LEAF_BITS | p) << LIFE_PAGE_BITS;
            for (uint32_t b = 0; page && b < page->count; b++) {
                uint64_t ordinal = base + (page->keys ? page->keys[b] : b);
                if (page->blocks[b].size_domain && ordinal >= first)
                    visit(context, ordinal, &page->blocks[b]);
            }
        }
    }
}

void lifetimes_visit(const struct lifetimes *l, life_visit *visit, void *context)
{
    lifetimes_visit_from(l, 0, visit, context);
}

/* The events of one chunk. False: the replay is over. Inlined twice, so that skipping addresses costs nothing. */
HS_ALWAYS_INLINE bool replay_events(struct lifetimes *l, struct events *events, const struct life_replay *replay,
                                    bool addresses)
{
    struct event event = {0};
    while (events_next(events, &event, addresses)) {
        if (HS_UNLIKELY(replay->each != NULL))
            replay->each(replay->context, l, &event);
        if (HS_LIKELY(event.kind <= HSK_OP_FREE_UNKNOWN)) {
            lifetimes_event(l, &event);
            if (HS_UNLIKELY(l->now.allocations + l->now.frees >= replay->until_event))
                return false;
        } else if (event.kind == HSK_OP_TICK) {
            if (event.time_ns > replay->until_ns)
                return false;
            l->now.time_ns = event.time_ns;
        } else if (event.kind == HSK_OP_MARK && event.mark == HSK_MARK_FINALIZE && replay->finalize) {
            replay->finalize(replay->context, l);
        }
    }
    return true;
}

static bool replay_chunk(struct lifetimes *l, struct events *events, const struct life_replay *replay)
{
    return replay->addresses ? replay_events(l, events, replay, true) : replay_events(l, events, replay, false);
}

int lifetimes_replay(struct lifetimes *l, struct trace_reader *reader, const struct life_replay *replay,
                     struct error *error)
{
    for (size_t i = 0; i < reader->chunk_count && !l->failed; i++) {
        const struct hsk_chunk_header header = reader->chunks[i].header;
        const uint8_t *raw;
        size_t length;
        if (header.type != HSK_CHUNK_INHERITED || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (!lifetimes_inherit(l, raw, length) && !l->failed)
            trace_reader_damaged(reader, i, "its blocks cannot be read");
    }
    struct events *events = malloc(sizeof *events);
    for (size_t i = 0; events && i < reader->chunk_count && !l->failed; i++) {
        const struct hsk_chunk_header header = reader->chunks[i].header;
        const uint8_t *raw;
        size_t length;
        const char *wrong;
        if (header.type != HSK_CHUNK_EVENTS)
            continue;
        if (header.time_first_ns > replay->until_ns || replay->until_event == 0)
            break;
        if (trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (!events_begin(events, &header, raw, length, &wrong)) {
            trace_reader_damaged(reader, i, wrong);
            continue;
        }
        if (header.time_first_ns > l->now.time_ns)
            l->now.time_ns = header.time_first_ns;
        if (!replay_chunk(l, events, replay))
            break;
    }
    bool failed = l->failed || !events;
    free(events);
    return failed ? error_set(error, -ENOMEM, "%s: out of memory", reader->path) : 0;
}
