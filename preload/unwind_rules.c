/*
 * unwind_rules.c - the rules of call frames, remembered by return address.
 *
 * Growth. The thread that wins `growing` makes a table of twice the size, copies, publishes it, and discards the
 * old one's pages: a late reader sees zeroes there, which is a miss, and what a late writer puts there is lost.
 *
 * Unloaded modules. rules_forget() discards the entries in place. A rule that is being inserted at that moment by
 * another thread is one of a module on that thread's stack, so it is of a module that stays. A growth that copied
 * before and publishes after is noticed by its own thread, which looks at the generation again when it has published.
 */
#include <string.h>

#include "arena.h"
#include "modules.h"
#include "unwind_rules.h"

#define FIRST_TABLE_BYTES 32768u
#define MAX_TABLE_BYTES (UINT64_C(64) << 20)
#define LISTED_MAX 0x8000u
#define LISTED_BYTES (LISTED_MAX * sizeof(uint64_t))

_Atomic(struct rule_table *) rule_table;
static _Atomic uint32_t growing;

/* ---- the list of rules that codes have no bits for ---- */

/*
 * Each is one word, so that it is read whole or not at all; 0: not written yet.
 *   63            36 35            8  7 6   5 4    3      2..0
 *  [ rbp offset, 28 ][ CFA offset, 28 ][ 1 ][ rbp ][mem][rbp?] [kind]
 */
static _Atomic(_Atomic uint64_t *) listed;
static _Atomic uint32_t listed_used;

#define OFFSET_BITS 28
#define OFFSET_MASK ((UINT64_C(1) << OFFSET_BITS) - 1)

static bool offset_fits(int32_t offset)
{
    return offset >= -(INT32_C(1) << (OFFSET_BITS - 1)) && offset < (INT32_C(1) << (OFFSET_BITS - 1));
}

static int32_t offset_of(uint64_t bits)
{
    return (int32_t)((uint32_t)(bits & OFFSET_MASK) << (32 - OFFSET_BITS)) >> (32 - OFFSET_BITS);
}

static uint64_t to_word(struct unwind_rule rule)
{
    return (uint64_t)rule.kind | (uint64_t)rule.cfa_from_rbp << 3 | (uint64_t)rule.cfa_in_memory << 4 |
           (uint64_t)rule.rbp << 5 | UINT64_C(1) << 7 | ((uint64_t)(uint32_t)rule.cfa_offset & OFFSET_MASK) << 8 |
           ((uint64_t)(uint32_t)rule.rbp_offset & OFFSET_MASK) << (8 + OFFSET_BITS);
}

static struct unwind_rule from_word(uint64_t word)
{
    return (struct unwind_rule){
        .kind = word & 7,
        .cfa_from_rbp = word >> 3 & 1,
        .cfa_in_memory = word >> 4 & 1,
        .rbp = word >> 5 & 3,
        .cfa_offset = offset_of(word >> 8),
        .rbp_offset = offset_of(word >> (8 + OFFSET_BITS)),
    };
}

struct unwind_rule rule_listed(uint32_t code)
{
    _Atomic uint64_t *list = atomic_load_explicit(&listed, memory_order_acquire);
    uint64_t word = list ? atomic_load_explicit(&list[code & (LISTED_MAX - 1)], memory_order_relaxed) : 0;
    return from_word(word); /* 0 is UNWIND_UNKNOWN */
}

/* The number of a rule in the list; RULE_CODE_NONE when there is no room: then it is worked out each time. */
static uint32_t list_rule(struct unwind_rule rule)
{
    if (!offset_fits(rule.cfa_offset) || !offset_fits(rule.rbp_offset))
        return RULE_CODE_NONE;
    _Atomic uint64_t *list = atomic_load_explicit(&listed, memory_order_acquire);
    if (!list) {
        _Atomic uint64_t *fresh = arena_map(LISTED_BYTES);
        if (!fresh)
            return RULE_CODE_NONE;
        if (atomic_compare_exchange_strong(&listed, &list, fresh))
            list = fresh;
        else
            arena_unmap(fresh, LISTED_BYTES); /* nobody else has seen it */
    }
    uint64_t word = to_word(rule);
    uint32_t used = atomic_load_explicit(&listed_used, memory_order_acquire);
    if (used > LISTED_MAX)
        used = LISTED_MAX;
    for (uint32_t i = 0; i < used; i++)
        if (atomic_load_explicit(&list[i], memory_order_relaxed) == word)
            return RULE_CODE_LISTED | i;
    if (used == LISTED_MAX)
        return RULE_CODE_NONE;
    uint32_t number = atomic_fetch_add_explicit(&listed_used, 1, memory_order_relaxed);
    if (number >= LISTED_MAX)
        return RULE_CODE_NONE;
    atomic_store_explicit(&list[number], word, memory_order_release);
    return RULE_CODE_LISTED | number;
}

static uint32_t code_of(struct unwind_rule rule)
{
    if (rule.kind == UNWIND_FRAME && !rule.cfa_in_memory && rule.cfa_offset >= 8 && rule.cfa_offset <= 1023 * 8 &&
        rule.cfa_offset % 8 == 0) {
        uint32_t code = (rule.cfa_from_rbp ? RULE_CODE_FROM_RBP : 0) | (uint32_t)rule.cfa_offset << 1;
        if (rule.rbp == UNWIND_RBP_SAME)
            return code;
        if (rule.rbp == UNWIND_RBP_AT_CFA && rule.rbp_offset <= -16 && rule.rbp_offset >= -15 * 8 &&
            rule.rbp_offset % 8 == 0)
            return code | (uint32_t)(-rule.rbp_offset / 8);
    }
    return list_rule(rule);
}

/* ---- the table ---- */

static struct rule_table *table_new(size_t bytes)
{
    /* A power of two of entries, and the head in front of them. */
    size_t entries = bytes / sizeof(uint64_t);
    size_t whole = (sizeof(struct rule_table) + bytes + HS_PAGE_SIZE - 1) & ~(size_t)(HS_PAGE_SIZE - 1);
    struct rule_table *table = arena_map(whole);
    if (!table)
        return NULL;
    table->mask = entries - 1;
    table->bytes = bytes;
    return table;
}

/* Discards the entries, not the head: late readers go on with its mask. */
static void table_clear(struct rule_table *table)
{
    /* The first page holds the head: its entries are zeroed one by one. */
    size_t first = (HS_PAGE_SIZE - sizeof *table) / sizeof table->entries[0];
    for (size_t i = 0; i < first && i <= table->mask; i++)
        atomic_store_explicit(&table->entries[i], 0, memory_order_relaxed);
    size_t whole = (sizeof *table + table->bytes + HS_PAGE_SIZE - 1) & ~(size_t)(HS_PAGE_SIZE - 1);
    if (whole > HS_PAGE_SIZE)
        arena_discard((char *)table + HS_PAGE_SIZE, whole - HS_PAGE_SIZE);
    atomic_store_explicit(&table->used, 0, memory_order_relaxed);
}

static void insert(struct rule_table *table, uint64_t pc, uint32_t code)
{
    uint64_t entry = pc << 16 | code;
    uint64_t cell = rule_cell(pc);
    for (unsigned i = 0; i < RULE_PROBES; i++) {
        _Atomic uint64_t *place = &table->entries[(cell + i) & table->mask];
        uint64_t found = atomic_load_explicit(place, memory_order_relaxed);
        if (!found &&
            atomic_compare_exchange_strong_explicit(place, &found, entry, memory_order_release, memory_order_relaxed)) {
            atomic_fetch_add_explicit(&table->used, 1, memory_order_relaxed);
            return;
        }
        if (found >> 16 == pc)
            return;
    }
}

static void grow(struct rule_table *table, uint32_t generation)
{
    uint32_t idle = 0;
    if (table->bytes >= MAX_TABLE_BYTES || !atomic_compare_exchange_strong(&growing, &idle, 1))
        return;
    struct rule_table *bigger = NULL;
    if (atomic_load(&rule_table) == table)
        bigger = table_new(table->bytes * 2);
    if (bigger) {
        for (uint64_t i = 0; i <= table->mask; i++) {
            uint64_t entry = atomic_load_explicit(&table->entries[i], memory_order_relaxed);
            if (entry)
                insert(bigger, entry >> 16, (uint32_t)entry & 0xffff);
        }
        atomic_store(&rule_table, bigger);
        table_clear(table);
        if (atomic_load(&modules_generation) != generation)
            table_clear(bigger);
    }
    atomic_store(&growing, 0);
}

static void remember(uint64_t pc, struct unwind_rule rule, uint32_t generation)
{
    uint32_t code = code_of(rule);
    if (code == RULE_CODE_NONE || atomic_load(&modules_generation) != generation)
        return;
    struct rule_table *table = atomic_load(&rule_table);
    if (!table) {
        struct rule_table *first = table_new(FIRST_TABLE_BYTES);
        if (!first)
            return;
        if (atomic_compare_exchange_strong(&rule_table, &table, first))
            table = first;
        else
            arena_unmap(first, (sizeof *first + first->bytes + HS_PAGE_SIZE - 1) & ~(size_t)(HS_PAGE_SIZE - 1));
    }
    insert(table, pc, code);
    if (atomic_load_explicit(&table->used, memory_order_relaxed) > (table->mask + 1) / 2)
        grow(table, generation);
}

HS_COLD bool rule_make(struct thread *self, uint64_t pc, uint32_t generation, struct unwind_rule *rule)
{
    struct module_range module;
    *rule = (struct unwind_rule){.kind = UNWIND_NO_MODULE};
    if (!modules_find(pc - 1, &module))
        return true; /* generated code comes and goes: not remembered */
    if (!modules_announce(self, &module, generation))
        return false;
    *rule = unwind_cfi_rule(pc, &module);
    remember(pc, *rule, generation);
    return true;
}

void rules_forget(void)
{
    struct rule_table *table = atomic_load(&rule_table);
    if (table)
        table_clear(table);
}

void rules_after_fork(void)
{
    atomic_store(&growing, 0);
}
