/* live_table.c - see live_table.h */
#include "record/live_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_BITS 12
#define ROOMY_BITS 19 /* up to 8 MiB speed counts for more than memory */
#define FIRST_SIDE 64u
#define HUGE_BYTES ((size_t)4 << 20) /* from here on huge pages save misses of the TLB */

static struct live_entry *entries_new(unsigned bits)
{
    size_t bytes = sizeof(struct live_entry) << bits;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void entries_free(struct live_entry *entries, uint64_t mask)
{
    if (entries)
        munmap(entries, (mask + 1) * sizeof *entries);
}

static void use_entries(struct live_table *table, struct live_entry *entries, unsigned bits)
{
    table->entries = entries;
    table->mask = (UINT64_C(1) << bits) - 1;
    table->shift = 64 - bits;
    table->limit = bits <= ROOMY_BITS ? ((size_t)1 << bits) / 2 : ((size_t)1 << bits) / 4 * 3;
}

int live_table_init(struct live_table *table)
{
    *table = (struct live_table){0};
    struct live_entry *entries = entries_new(FIRST_BITS);
    if (!entries)
        return -ENOMEM;
    use_entries(table, entries, FIRST_BITS);
    return 0;
}

void live_table_destroy(struct live_table *table)
{
    entries_free(table->entries, table->mask);
    free(table->side);
    *table = (struct live_table){0};
}

int live_table_copy(struct live_table *table, const struct live_table *from)
{
    unsigned bits = 64 - from->shift;
    *table = *from;
    table->side = NULL;
    table->entries = entries_new(bits);
    if (!table->entries)
        goto failed;
    memcpy(table->entries, from->entries, sizeof(struct live_entry) << bits);
    if (from->side) {
        table->side = malloc((from->side_mask + 1) * sizeof *table->side);
        if (!table->side)
            goto failed;
        memcpy(table->side, from->side, (from->side_mask + 1) * sizeof *table->side);
    }
    return 0;

failed:
    live_table_destroy(table);
    return -ENOMEM;
}

bool live_table_grow(struct live_table *table)
{
    unsigned bits = 64 - table->shift + 1;
    struct live_entry *old = table->entries;
    uint64_t old_mask = table->mask;
    struct live_entry *entries = bits < 48 ? entries_new(bits) : NULL;
    if (!entries)
        return false;
    use_entries(table, entries, bits);
    for (uint64_t i = 0; i <= old_mask; i++) {
        if (old[i].w0 == 0)
            continue;
        uint64_t at = live_slot_of(table, live_entry_address(old[i]));
        while (entries[at].w0 != 0)
            at = (at + 1) & table->mask;
        entries[at] = old[i];
    }
    entries_free(old, old_mask);
    return true;
}

/* ---- the side table: keyed by address, arenas by an address that nothing else has ---- */

#define ARENA_KEY (UINT64_C(1) << 60)

static uint64_t side_key(uint64_t address, bool arena)
{
    return arena ? address | ARENA_KEY : address;
}

static size_t side_slot_of(const struct live_table *table, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & table->side_mask;
}

static bool side_grow(struct live_table *table)
{
    size_t old_count = table->side ? table->side_mask + 1 : 0;
    size_t count = old_count ? old_count * 2 : FIRST_SIDE;
    struct live_block *old = table->side;
    struct live_block *side = calloc(count, sizeof *side);
    if (!side)
        return false;
    table->side = side;
    table->side_mask = count - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].address == 0)
            continue;
        size_t at = side_slot_of(table, old[i].address);
        while (side[at].address != 0)
            at = (at + 1) & table->side_mask;
        side[at] = old[i];
    }
    free(old);
    return true;
}

enum live_put live_side_put(struct live_table *table, const struct live_block *block)
{
    if ((!table->side || table->side_used >= (table->side_mask + 1) / 4 * 3) && !side_grow(table))
        return LIVE_PUT_NO_MEMORY;
    uint64_t key = side_key(block->address, block->domain == HS_DOMAIN_ARENA);
    size_t at = side_slot_of(table, key);
    for (; table->side[at].address != 0; at = (at + 1) & table->side_mask)
        if (table->side[at].address == key)
            return LIVE_PUT_TAKEN;
    table->side[at] = *block;
    table->side[at].address = key;
    table->side_used++;
    return LIVE_PUT;
}

bool live_side_take(struct live_table *table, uint64_t address, bool arena, struct live_block *block)
{
    uint64_t key = side_key(address, arena);
    if (!table->side)
        return false;
    struct live_block *side = table->side;
    size_t mask = table->side_mask, at = side_slot_of(table, key);
    while (side[at].address != key) {
        if (side[at].address == 0)
            return false;
        at = (at + 1) & mask;
    }
    *block = side[at];
    block->address = address;
    for (size_t next = (at + 1) & mask; side[next].address != 0; next = (next + 1) & mask) {
        size_t home = side_slot_of(table, side[next].address);
        if (((next - home) & mask) >= ((next - at) & mask)) {
            side[at] = side[next];
            at = next;
        }
    }
    side[at].address = 0;
    table->side_used--;
    return true;
}

uint64_t live_side_take_size(struct live_table *table, uint64_t address)
{
    struct live_block block;
    return live_side_take(table, address, false, &block) ? block.size : LIVE_BIG_SIZE;
}

static uint64_t side_size_of(const struct live_table *table, uint64_t address)
{
    if (!table->side)
        return LIVE_BIG_SIZE;
    for (size_t at = side_slot_of(table, address);; at = (at + 1) & table->side_mask) {
        if (table->side[at].address == address)
            return table->side[at].size;
        if (table->side[at].address == 0)
            return LIVE_BIG_SIZE;
    }
}

/* Entries of the side table that are blocks of their own, not only the size of one. */
static bool side_is_block(const struct live_block *side)
{
    return side->address != 0 && live_is_aside(side->address & ~ARENA_KEY, side->domain);
}

void live_table_visit(const struct live_table *table, live_visit *visit, void *context)
{
    for (uint64_t i = 0; i <= table->mask; i++) {
        struct live_entry entry = table->entries[i];
        if (entry.w0 == 0)
            continue;
        struct live_block block = {
            .address = live_entry_address(entry),
            .size = entry.w0 >> 3 & 0xffff,
            .ordinal = entry.w1 >> 24,
            .node = (uint32_t)(entry.w1 & HS_NODE_MAX),
            .domain = (uint32_t)(entry.w0 & 7),
        };
        if (block.size == LIVE_BIG_SIZE)
            block.size = side_size_of(table, block.address);
        visit(context, &block);
    }
    for (size_t i = 0; table->side && i <= table->side_mask; i++) {
        if (!side_is_block(&table->side[i]))
            continue;
        struct live_block block = table->side[i];
        block.address &= ~ARENA_KEY;
        visit(context, &block);
    }
}

void live_table_renumber(struct live_table *table, uint64_t first)
{
    for (uint64_t i = 0; i <= table->mask; i++)
        if (table->entries[i].w0 != 0)
            table->entries[i].w1 = first++ << 24 | (table->entries[i].w1 & HS_NODE_MAX);
    for (size_t i = 0; table->side && i <= table->side_mask; i++)
        if (side_is_block(&table->side[i]))
            table->side[i].ordinal = first++;
}
