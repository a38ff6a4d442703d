/*
 * nodes.c - see nodes.h
 *
 * Blocks lie sorted by address. A word is looked up by its page: `pages` has, for each page of memory, the first
 * block that touches it, in leaves of a gibibyte that are made when they are needed; from there a binary search over
 * the blocks that begin in the page (256 at most, or so). A block of more than LARGE_PAGES pages is not
 * entered in each of them, but in `large`, which is searched when the page does not know better; that also finds
 * blocks that have others inside (a mapping from which the program makes its own blocks).
 *
 * A node's object lies in `addresses`, by the node's number, 0 where the node is a block or a root. It is also the
 * queue of the walk: objects are numbered in the order in which they are met. Only an object that takes over the node
 * of its block, which was met first as plain memory, may lie before the queue's position; these wait in `overtaken`.
 */
#include "nodes.h"

#include <stddef.h>
#include <string.h>

#include "growing.h"

#define PAGE_BITS 12
#define LEAF_BITS 18 /* of a page's number: a leaf is a gibibyte */
#define TOP_BITS (48 - PAGE_BITS - LEAF_BITS)
#define LARGE_PAGES 64

#define RADIX_BITS 11
#define RADIX_SIZE (1u << RADIX_BITS)

struct aside { /* an object that is not its block's, or lies in none */
    uintptr_t object;
    uint32_t node;
};

static struct {
    struct hs_live_block *blocks;
    size_t blocks_size;
    uint32_t count;
    uintptr_t lowest, highest; /* of all blocks, [ ) */
    uint32_t **pages;          /* TOP_BITS, then leaves: 1 + index of a block, 0: none */
    uint32_t *block_nodes;     /* 1 + node, 0: none yet */
    struct growing large;      /* uint32_t, indexes */
    uint32_t large_count;

    uint32_t next;
    struct growing addresses; /* uintptr_t, by node */
    struct growing stamps;    /* uint32_t, by node: round * 2, + 1 for a pointer to the start */
    uint32_t round;
    uint32_t queue;           /* the next node to look at */
    struct growing overtaken; /* uint32_t, nodes */
    uint32_t overtaken_count, overtaken_taken;

    struct aside *asides; /* open addressing; object 0: empty */
    uint32_t aside_count, aside_capacity;
    uintptr_t aside_lowest, aside_highest; /* [ ] of those in no block */
    bool aside_in_block;                   /* some lie inside of blocks that have another object */
} nodes;

struct nodes_range nodes_range;

static void widen_range(uintptr_t low, uintptr_t high)
{
    if (low < nodes_range.low)
        nodes_range.low = low;
    if (high > nodes_range.high)
        nodes_range.high = high;
}

/* ---- blocks ---- */

static size_t extent_of(struct hs_live_block block)
{
    uint64_t size = hs_live_block_size(block);
    return size ? size : 1; /* a pointer to a block of no bytes still means it */
}

/*
 * Least significant digit first; digits that all addresses share are left out. `blocks` ends sorted, `other` is as
 * large.
 */
static struct hs_live_block *sort(struct hs_live_block *blocks, struct hs_live_block *other, uint32_t count)
{
    uint64_t all = ~UINT64_C(0), any = 0;
    for (uint32_t i = 0; i < count; i++) {
        all &= blocks[i].w0;
        any |= blocks[i].w0;
    }
    static uint32_t places[RADIX_SIZE];
    for (unsigned shift = 0; shift < 48; shift += RADIX_BITS) {
        uint64_t mask = (RADIX_SIZE - 1) & ((UINT64_C(1) << (48 - shift)) - 1);
        if (((all ^ any) >> shift & mask) == 0)
            continue;
        memset(places, 0, sizeof places);
        for (uint32_t i = 0; i < count; i++)
            places[blocks[i].w0 >> shift & mask]++;
        uint32_t sum = 0;
        for (unsigned digit = 0; digit < RADIX_SIZE; digit++) {
            uint32_t here = places[digit];
            places[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < count; i++)
            other[places[blocks[i].w0 >> shift & mask]++] = blocks[i];
        struct hs_live_block *swap = blocks;
        blocks = other;
        other = swap;
    }
    return blocks;
}

static bool enter_page(uint64_t page, uint32_t index)
{
    uint32_t **leaf = &nodes.pages[page >> LEAF_BITS];
    if (!*leaf && !(*leaf = arena_map(sizeof(uint32_t) << LEAF_BITS)))
        return false;
    uint32_t *first = &(*leaf)[page & ((1u << LEAF_BITS) - 1)];
    if (!*first)
        *first = index + 1;
    return true;
}

static bool enter_block(uint32_t index)
{
    uint64_t start = hs_live_block_address(nodes.blocks[index]);
    uint64_t last = start + extent_of(nodes.blocks[index]) - 1;
    if (last >> 48)
        last = (UINT64_C(1) << 48) - 1;
    if (last + 1 > nodes.highest)
        nodes.highest = last + 1;
    uint64_t page = start >> PAGE_BITS, last_page = last >> PAGE_BITS;
    if (last_page - page >= LARGE_PAGES) {
        if (!growing_room(&nodes.large, (nodes.large_count + 1) * sizeof(uint32_t)))
            return false;
        ((uint32_t *)nodes.large.memory)[nodes.large_count++] = index;
        last_page = page;
    }
    for (; page <= last_page; page++)
        if (!enter_page(page, index))
            return false;
    return true;
}

bool nodes_begin(const struct hs_live_block *blocks, uint64_t count)
{
    if (count >= NODE_NONE / 2)
        return false;
    memset(&nodes, 0, sizeof nodes);
    nodes.count = (uint32_t)count;
    nodes.lowest = nodes.aside_lowest = UINTPTR_MAX;
    nodes.round = 1;
    nodes_range = (struct nodes_range){UINTPTR_MAX, 0};
    nodes.pages = arena_map(sizeof(uint32_t *) << TOP_BITS);
    nodes.block_nodes = arena_map((count + 1) * sizeof(uint32_t));
    nodes.blocks_size = (count + 1) * sizeof *blocks;
    nodes.blocks = arena_map(nodes.blocks_size);
    struct hs_live_block *other = arena_map(nodes.blocks_size);
    if (!nodes.pages || !nodes.block_nodes || !nodes.blocks || !other)
        return false;
    memcpy(nodes.blocks, blocks, count * sizeof *blocks);
    struct hs_live_block *sorted = sort(nodes.blocks, other, nodes.count);
    arena_unmap(sorted == other ? nodes.blocks : other, nodes.blocks_size);
    nodes.blocks = sorted;
    if (count)
        nodes.lowest = hs_live_block_address(sorted[0]);
    for (uint32_t i = 0; i < nodes.count; i++)
        if (!enter_block(i))
            return false;
    if (count)
        widen_range(nodes.lowest, nodes.highest);
    return true;
}

uint32_t nodes_block_count(void)
{
    return nodes.count;
}

struct nodes_block nodes_block(uint32_t index)
{
    struct hs_live_block block = nodes.blocks[index];
    return (struct nodes_block){hs_live_block_address(block), hs_live_block_size(block), hs_live_block_ordinal(block)};
}

static bool holds(uint32_t index, uintptr_t address)
{
    return address - hs_live_block_address(nodes.blocks[index]) < extent_of(nodes.blocks[index]);
}

/* Among the blocks of many pages: the last one that begins at or before the address. */
static uint32_t find_large(uintptr_t address)
{
    const uint32_t *large = nodes.large.memory;
    uint32_t low = 0, high = nodes.large_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (hs_live_block_address(nodes.blocks[large[middle]]) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && holds(large[low - 1], address) ? large[low - 1] : BLOCK_NONE;
}

uint32_t nodes_find_block(uintptr_t address)
{
    if (address - nodes.lowest >= nodes.highest - nodes.lowest || !nodes.count)
        return BLOCK_NONE;
    uint64_t page = address >> PAGE_BITS;
    const uint32_t *leaf = nodes.pages[page >> LEAF_BITS];
    uint32_t first = leaf ? leaf[page & ((1u << LEAF_BITS) - 1)] : 0;
    if (!first--)
        return find_large(address);
    uint32_t low = first, high = nodes.count - first > (1u << PAGE_BITS) ? first + (1u << PAGE_BITS) : nodes.count;
    /* Most pages hold few blocks: narrow down in steps that double, then halve. */
    for (uint32_t step = 16; low + step < high; step *= 2) {
        if (hs_live_block_address(nodes.blocks[low + step]) > address) {
            high = low + step;
            break;
        }
        low += step;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (hs_live_block_address(nodes.blocks[middle]) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > first && holds(low - 1, address))
        return low - 1;
    return nodes.large_count ? find_large(address) : BLOCK_NONE;
}

/* ---- nodes ---- */

static uint32_t new_node(uintptr_t address)
{
    uint32_t node = nodes.next;
    if (node >= NODE_NONE / 2 || !growing_room(&nodes.addresses, ((size_t)node + 1) * sizeof(uintptr_t)) ||
        !growing_room(&nodes.stamps, ((size_t)node + 1) * sizeof(uint32_t)))
        return NODE_NONE;
    ((uintptr_t *)nodes.addresses.memory)[node] = address;
    nodes.next++;
    return node;
}

static uintptr_t *address_of(uint32_t node)
{
    return (uintptr_t *)nodes.addresses.memory + node;
}

static uint32_t aside_cell(const struct aside *table, uint32_t capacity, uintptr_t object)
{
    uint32_t cell = (uint32_t)((object >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
    while (table[cell].object && table[cell].object != object)
        cell = (cell + 1) & (capacity - 1);
    return cell;
}

static bool enlarge_asides(void)
{
    uint32_t capacity = nodes.aside_capacity ? nodes.aside_capacity * 2 : 1u << 14;
    struct aside *table = arena_map(capacity * sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < nodes.aside_capacity; i++)
        if (nodes.asides[i].object)
            table[aside_cell(table, capacity, nodes.asides[i].object)] = nodes.asides[i];
    if (nodes.asides)
        arena_unmap(nodes.asides, nodes.aside_capacity * sizeof *table);
    nodes.asides = table;
    nodes.aside_capacity = capacity;
    return true;
}

static uint32_t known_aside(uintptr_t object)
{
    if (!nodes.aside_count)
        return NODE_NONE;
    const struct aside *found = &nodes.asides[aside_cell(nodes.asides, nodes.aside_capacity, object)];
    return found->object ? found->node : NODE_NONE;
}

static uint32_t put_aside(uintptr_t object, bool in_block)
{
    uint32_t known = known_aside(object);
    if (known != NODE_NONE)
        return known;
    if (nodes.aside_count >= nodes.aside_capacity / 2 && !enlarge_asides())
        return NODE_NONE;
    uint32_t node = new_node(object);
    if (node == NODE_NONE)
        return NODE_NONE;
    nodes.asides[aside_cell(nodes.asides, nodes.aside_capacity, object)] = (struct aside){object, node};
    nodes.aside_count++;
    if (in_block) {
        nodes.aside_in_block = true;
        return node;
    }
    widen_range(object, object);
    if (object < nodes.aside_lowest)
        nodes.aside_lowest = object;
    if (object > nodes.aside_highest)
        nodes.aside_highest = object;
    return node;
}

/* The node that was given to the block as plain memory becomes the object's. */
static void overtake(uint32_t node, uintptr_t object)
{
    *address_of(node) = object;
    if (node >= nodes.queue || !growing_room(&nodes.overtaken, (nodes.overtaken_count + 1) * sizeof(uint32_t)))
        return;
    ((uint32_t *)nodes.overtaken.memory)[nodes.overtaken_count++] = node;
}

uint32_t nodes_of_object(const void *pointer)
{
    uintptr_t object = (uintptr_t)pointer;
    uint32_t block = nodes_find_block(object);
    if (block == BLOCK_NONE)
        return put_aside(object, false);
    uint32_t node = nodes.block_nodes[block];
    if (!node) {
        node = new_node(object);
        if (node != NODE_NONE)
            nodes.block_nodes[block] = node + 1;
        return node;
    }
    node--;
    if (HS_LIKELY(*address_of(node) == object))
        return node;
    if (*address_of(node) == 0) {
        overtake(node, object);
        return node;
    }
    return put_aside(object, true);
}

uint32_t nodes_known_object(uintptr_t object)
{
    uint32_t block = nodes_find_block(object);
    if (block == BLOCK_NONE) {
        if (object - nodes.aside_lowest > nodes.aside_highest - nodes.aside_lowest)
            return NODE_NONE;
        return known_aside(object);
    }
    uint32_t node = nodes.block_nodes[block];
    if (node && *address_of(node - 1) == object)
        return node - 1;
    return nodes.aside_in_block ? known_aside(object) : NODE_NONE;
}

uint32_t nodes_of_block(uint32_t index)
{
    uint32_t node = nodes.block_nodes[index];
    if (node)
        return node - 1;
    node = new_node(0);
    if (node != NODE_NONE)
        nodes.block_nodes[index] = node + 1;
    return node;
}

uintptr_t nodes_object_in_block(uint32_t index)
{
    uint32_t node = nodes.block_nodes[index];
    return node ? *address_of(node - 1) : 0;
}

uint32_t nodes_new(void)
{
    return new_node(0);
}
uint32_t nodes_count(void)
{
    return nodes.next;
}

bool nodes_next_object(const void **object, uint32_t *node)
{
    uint32_t found;
    if (nodes.overtaken_taken < nodes.overtaken_count) {
        found = ((const uint32_t *)nodes.overtaken.memory)[nodes.overtaken_taken++];
    } else {
        while (nodes.queue < nodes.next && !*address_of(nodes.queue))
            nodes.queue++;
        if (nodes.queue == nodes.next)
            return false;
        found = nodes.queue++;
    }
    *object = (const void *)*address_of(found);
    *node = found;
    return true;
}

/* ---- stamps ---- */

void nodes_stamp_begin(uint32_t node)
{
    (void)node;
    nodes.round++;
}

static uint32_t *stamp_of(uint32_t node)
{
    return (uint32_t *)nodes.stamps.memory + node;
}

void nodes_stamp(uint32_t target)
{
    if (target < nodes.next)
        *stamp_of(target) = nodes.round * 2 + 1;
}

void nodes_stamp_interior(uint32_t target)
{
    if (target < nodes.next && *stamp_of(target) != nodes.round * 2 + 1)
        *stamp_of(target) = nodes.round * 2;
}

bool nodes_stamped(uint32_t target)
{
    return target < nodes.next && *stamp_of(target) == nodes.round * 2 + 1;
}

bool nodes_stamped_interior(uint32_t target)
{
    return target < nodes.next && *stamp_of(target) >> 1 == nodes.round;
}

void nodes_end(void)
{
    for (size_t i = 0; nodes.pages && i < (size_t)1 << TOP_BITS; i++)
        if (nodes.pages[i])
            arena_unmap(nodes.pages[i], sizeof(uint32_t) << LEAF_BITS);
    if (nodes.pages)
        arena_unmap(nodes.pages, sizeof(uint32_t *) << TOP_BITS);
    if (nodes.block_nodes)
        arena_unmap(nodes.block_nodes, ((size_t)nodes.count + 1) * sizeof(uint32_t));
    if (nodes.blocks)
        arena_unmap(nodes.blocks, nodes.blocks_size);
    if (nodes.asides)
        arena_unmap(nodes.asides, nodes.aside_capacity * sizeof *nodes.asides);
    growing_end(&nodes.large);
    growing_end(&nodes.addresses);
    growing_end(&nodes.stamps);
    growing_end(&nodes.overtaken);
    uint32_t count = nodes.next;
    memset(&nodes, 0, sizeof nodes);
    nodes.next = count;
}
