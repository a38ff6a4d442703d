/*
 * number_table.c - see number_table.h
 *
 * Open addressing. A key, once written, stays: forgetting an object sets its
 * value to 0, and the next object at that address takes the entry over.
 * The table is copied to one of twice the size when half of its keys are used; the old one's pages are given
 * back but stay mapped, so that a thread that still reads there finds an empty table.
 */
#include "number_table.h"

#include <stddef.h>

#include "../arena.h"

#define FIRST_ENTRIES 1024u

struct entry {
    _Atomic uintptr_t key;
    number_value value;
};

struct number_entries {
    size_t mask;
    _Atomic size_t keys;
    struct entry *entries; /* pages of their own: they can be discarded */
};

static size_t slot_of(const struct number_entries *table, uintptr_t key)
{
    return (size_t)((key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & table->mask;
}

/* The entry of an object; a free one is made its own when `add`. NULL: not there, or no room. */
static struct entry *find(struct number_entries *table, uintptr_t object, bool add)
{
    for (size_t at = slot_of(table, object), probes = 0; probes <= table->mask; at = (at + 1) & table->mask, probes++) {
        struct entry *entry = &table->entries[at];
        uintptr_t key = atomic_load_explicit(&entry->key, memory_order_acquire);
        if (key == object)
            return entry;
        if (key)
            continue;
        if (!add)
            return NULL;
        if (atomic_compare_exchange_strong(&entry->key, &key, object)) {
            atomic_fetch_add_explicit(&table->keys, 1, memory_order_relaxed);
            return entry;
        }
        if (key == object)
            return entry;
    }
    return NULL;
}

static struct number_entries *make_entries(size_t entries)
{
    struct number_entries *table = arena_alloc(sizeof *table);
    if (!table)
        return NULL;
    table->entries = arena_map(entries * sizeof(struct entry));
    table->mask = entries - 1;
    return table->entries ? table : NULL;
}

/* The entries to use from now on: `old` when another thread is at it or memory is short. */
static struct number_entries *grow(struct number_table *owner, struct number_entries *old)
{
    if (atomic_exchange_explicit(&owner->growing, 1, memory_order_acquire))
        return old;
    struct number_entries *now = atomic_load(&owner->current);
    if (now != old) {
        atomic_store_explicit(&owner->growing, 0, memory_order_release);
        return now;
    }
    size_t live = 0, old_entries = old ? old->mask + 1 : 0;
    for (size_t i = 0; i < old_entries; i++)
        live += atomic_load(&old->entries[i].value) != 0;
    size_t entries = FIRST_ENTRIES;
    while (entries < live * 4)
        entries *= 2;
    struct number_entries *fresh = make_entries(entries);
    if (!fresh) {
        atomic_store_explicit(&owner->growing, 0, memory_order_release);
        return old;
    }
    for (size_t i = 0; i < old_entries; i++) {
        uint64_t value = atomic_load(&old->entries[i].value);
        struct entry *copy = value ? find(fresh, atomic_load(&old->entries[i].key), true) : NULL;
        if (copy)
            atomic_store(&copy->value, value);
    }
    atomic_store(&owner->current, fresh);
    /* A number taken away meanwhile is gone from the old table alone. */
    for (size_t i = 0; i <= fresh->mask && old; i++) {
        struct entry *copy = &fresh->entries[i];
        uintptr_t key = atomic_load(&copy->key);
        uint64_t value = atomic_load(&copy->value);
        struct entry *original = key && value ? find(old, key, false) : NULL;
        if (original && atomic_load(&original->value) != value)
            atomic_compare_exchange_strong(&copy->value, &value, 0);
    }
    if (old)
        arena_discard(old->entries, old_entries * sizeof(struct entry));
    atomic_store_explicit(&owner->growing, 0, memory_order_release);
    return fresh;
}

number_value *number_table_entry(struct number_table *table, const void *object)
{
    struct number_entries *entries = atomic_load_explicit(&table->current, memory_order_acquire);
    if (!entries || atomic_load_explicit(&entries->keys, memory_order_relaxed) > entries->mask / 2) {
        entries = grow(table, entries);
        if (!entries)
            return NULL;
    }
    struct entry *entry = find(entries, (uintptr_t)object, true);
    return entry ? &entry->value : NULL;
}

uint32_t number_table_next(struct number_table *table)
{
    return atomic_fetch_add(&table->last_number, 1) + 1;
}

bool number_table_forget(struct number_table *table, const void *object)
{
    bool had_one = false;
    struct number_entries *entries = atomic_load(&table->current), *seen;
    do {
        seen = entries;
        struct entry *entry = entries ? find(entries, (uintptr_t)object, false) : NULL;
        had_one = (entry && atomic_exchange(&entry->value, 0)) || had_one;
        entries = atomic_load(&table->current);
    } while (entries != seen);
    return had_one;
}

void number_table_forget_all(struct number_table *table)
{
    struct number_entries *entries = atomic_load(&table->current), *seen;
    do {
        seen = entries;
        for (size_t i = 0; entries && i <= entries->mask; i++)
            atomic_store(&entries->entries[i].value, 0);
        entries = atomic_load(&table->current);
    } while (entries != seen);
}

void number_table_after_fork(struct number_table *table)
{
    /* Another thread may have been at it when the process was copied; what it had not published is lost with it. */
    atomic_store(&table->growing, 0);
}
