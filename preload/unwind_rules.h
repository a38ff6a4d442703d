/*
 * unwind_rules.h - the rules of call frames, remembered by return address.
 *
 * A hash table from pc to rule, 8 bytes an entry: pc << 16 | code. A code says
 * the usual rules by itself; the others are numbers into a list of rules.
 *
 *      15 14 13              4 3       0
 *     [ 0 ][b][ CFA offset / 8 ][ rbp / 8 ]   CFA = rsp (b = 0) or rbp (b = 1) + offset;
 *                                             the caller's rbp at CFA - 8 * (rbp / 8), or unchanged (0)
 *     [ 1 ][       number of a rule      ]
 *
 * Insert-only, lock-free, async-signal-safe. An insert may get lost; then the rule is worked out again.
 * A pc in the table has had its module announced in the table's generation (modules.h).
 */
#ifndef HEAPSAKE_PRELOAD_UNWIND_RULES_H
#define HEAPSAKE_PRELOAD_UNWIND_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "internal/compiler.h"
#include "thread.h"
#include "unwind_cfi.h"

#define RULE_CODE_LISTED 0x8000u
#define RULE_CODE_FROM_RBP 0x4000u
#define RULE_CODE_NONE 0u /* of no rule */
#define RULE_PROBES 32u   /* entries looked at before giving up */

struct rule_table {
    uint64_t mask; /* entries - 1 */
    size_t bytes;  /* of the entries */
    _Atomic uint32_t used;
    _Atomic uint64_t entries[];
};

extern _Atomic(struct rule_table *) rule_table __attribute__((visibility("hidden")));

/* Return addresses are as good as random in their low bits, and this lies on the walk's critical path. */
HS_ALWAYS_INLINE uint64_t rule_cell(uint64_t pc)
{
    return pc ^ pc >> 15;
}

/* The code of pc's rule; RULE_CODE_NONE when it is not remembered. `table` may be NULL. */
HS_ALWAYS_INLINE uint32_t rule_lookup(const struct rule_table *table, uint64_t pc)
{
    if (HS_UNLIKELY(!table))
        return RULE_CODE_NONE;
    uint64_t cell = rule_cell(pc), mask = table->mask;
    for (unsigned i = 0; i < RULE_PROBES; i++) {
        uint64_t entry = atomic_load_explicit(&table->entries[(cell + i) & mask], memory_order_acquire);
        if (HS_LIKELY(entry >> 16 == pc))
            return (uint32_t)entry & 0xffff;
        if (!entry)
            break;
    }
    return RULE_CODE_NONE;
}

/* The rule that a listed code stands for. */
struct unwind_rule rule_listed(uint32_t code);

/*
 * Works out the rule of pc, announces its module, and remembers the rule. Returns false when a module turned
 * out to have been unloaded (see modules_announce): everything known is void, begin again.
 */
bool rule_make(struct thread *self, uint64_t pc, uint32_t generation, struct unwind_rule *rule);

/* After the generation of the modules has grown: forgets every rule. */
void rules_forget(void);

/* In a forked child: a growth that another thread had begun will not be finished. */
void rules_after_fork(void);

#endif
