/* intern.c - see intern.h */
#include "base/intern.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 65536u

struct intern_block {
    struct intern_block *next;
    size_t used, size;
    uint8_t bytes[];
};

void intern_free(struct intern *intern)
{
    while (intern->blocks) {
        struct intern_block *next = intern->blocks->next;
        free(intern->blocks);
        intern->blocks = next;
    }
    free(intern->entries);
    free(intern->cells);
    *intern = INTERN_INIT;
}

static uint32_t hash_bytes(const uint8_t *bytes, size_t length)
{
    uint64_t hash = length * UINT64_C(0x9e3779b97f4a7c15);
    while (length > 0) {
        uint64_t word = 0;
        size_t step = length < 8 ? length : 8;
        memcpy(&word, bytes, step);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
        bytes += step;
        length -= step;
    }
    return (uint32_t)(hash ^ hash >> 29);
}

static const uint8_t *copy_bytes(struct intern *intern, const uint8_t *bytes, size_t length)
{
    struct intern_block *block = intern->blocks;
    if (!block || block->size - block->used <= length) {
        size_t size = length + 1 > BLOCK_BYTES ? length + 1 : BLOCK_BYTES;
        block = malloc(sizeof *block + size);
        if (!block)
            return NULL;
        *block = (struct intern_block){.next = intern->blocks, .size = size};
        intern->blocks = block;
    }
    uint8_t *copy = block->bytes + block->used;
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = 0;
    block->used += length + 1;
    return copy;
}

static bool grow(struct intern *intern)
{
    if (intern->count == intern->capacity) {
        uint32_t capacity = intern->capacity ? 2 * intern->capacity : 256;
        struct intern_entry *entries = realloc(intern->entries, capacity * sizeof *entries);
        if (!entries)
            return false;
        intern->entries = entries;
        intern->capacity = capacity;
    }
    if (2 * (uint64_t)intern->count < intern->cell_count)
        return true;
    uint32_t cell_count = intern->cell_count ? 2 * intern->cell_count : 1024;
    uint32_t *cells = calloc(cell_count, sizeof *cells);
    if (!cells)
        return false;
    for (uint32_t n = 0; n < intern->count; n++) {
        uint32_t cell = intern->entries[n].hash & (cell_count - 1);
        while (cells[cell])
            cell = (cell + 1) & (cell_count - 1);
        cells[cell] = n + 1;
    }
    free(intern->cells);
    intern->cells = cells;
    intern->cell_count = cell_count;
    return true;
}

/* The cell that holds the string's number, or would; there is at least one empty one. */
static uint32_t cell_of(const struct intern *intern, uint32_t hash, const void *bytes, size_t length)
{
    uint32_t cell = hash & (intern->cell_count - 1);
    for (; intern->cells[cell]; cell = (cell + 1) & (intern->cell_count - 1)) {
        const struct intern_entry *entry = &intern->entries[intern->cells[cell] - 1];
        if (entry->hash == hash && entry->length == length && (length == 0 || memcmp(entry->bytes, bytes, length) == 0))
            break;
    }
    return cell;
}

uint32_t intern_find(const struct intern *intern, const void *bytes, size_t length)
{
    return intern->cell_count ? intern->cells[cell_of(intern, hash_bytes(bytes, length), bytes, length)] : 0;
}

uint32_t intern_bytes(struct intern *intern, const void *bytes, size_t length)
{
    if (length > UINT32_MAX - 1 || intern->count >= UINT32_C(1) << 30 || !grow(intern))
        return 0;
    uint32_t hash = hash_bytes(bytes, length);
    uint32_t cell = cell_of(intern, hash, bytes, length);
    if (intern->cells[cell])
        return intern->cells[cell];
    const uint8_t *copy = copy_bytes(intern, bytes, length);
    if (!copy)
        return 0;
    intern->entries[intern->count++] = (struct intern_entry){.bytes = copy, .length = (uint32_t)length, .hash = hash};
    return intern->cells[cell] = intern->count;
}

uint32_t intern_string(struct intern *intern, const char *string)
{
    return intern_bytes(intern, string, strlen(string));
}

const char *intern_get(const struct intern *intern, uint32_t number, size_t *length)
{
    bool known = number > 0 && number <= intern->count;
    if (length)
        *length = known ? intern->entries[number - 1].length : 0;
    return known ? (const char *)intern->entries[number - 1].bytes : "";
}

void intern_copy(const struct intern *intern, uint32_t number, void *to, size_t size)
{
    size_t length;
    const char *bytes = intern_get(intern, number, &length);
    if (length == size)
        memcpy(to, bytes, size);
}
