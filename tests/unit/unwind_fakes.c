/* unwind_fakes.c - a small arena, stack table, and recorder for the unwinder's test and benchmark. */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"
#include "emit.h"
#include "stack_table.h"
#include "thread.h"
#include "unwind_fakes.h"

#define NODES (1u << 20)

__thread struct thread *thread_self;
static __thread struct thread own;

bool fake_no_memory;
struct fake_module fake_modules[FAKE_MODULES];
_Atomic uint32_t fake_module_count;
_Atomic uint64_t fake_node_calls;

static struct hs_node *nodes;
static _Atomic uint32_t *node_cells;
static _Atomic uint32_t node_count = 1;
static atomic_flag node_lock = ATOMIC_FLAG_INIT;

struct thread *fake_self(void)
{
    own.tid = (uint32_t)syscall(SYS_gettid);
    thread_self = &own;
    return &own;
}

void *arena_map(size_t size)
{
    if (fake_no_memory)
        return NULL;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *arena_alloc(size_t size)
{
    return arena_map(size);
}
void arena_unmap(void *memory, size_t size)
{
    munmap(memory, size);
}
void arena_discard(void *memory, size_t size)
{
    madvise(memory, size, MADV_DONTNEED);
}

bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count)
{
    (void)self;
    if (kind != HS_MESSAGE_MODULE || count != 3)
        __builtin_trap();
    uint32_t number = atomic_fetch_add(&fake_module_count, 1);
    if (number >= FAKE_MODULES)
        __builtin_trap();
    memcpy(&fake_modules[number].message, parts[0].bytes, sizeof fake_modules[number].message);
    memcpy(fake_modules[number].build_id, parts[1].bytes, parts[1].length);
    memcpy(fake_modules[number].path, parts[2].bytes, parts[2].length);
    return true;
}

uint32_t stack_node(uint32_t parent, enum hs_node_kind kind, uint64_t frame)
{
    atomic_fetch_add_explicit(&fake_node_calls, 1, memory_order_relaxed);
    while (atomic_flag_test_and_set_explicit(&node_lock, memory_order_acquire))
        ;
    if (!nodes) {
        nodes = arena_map(NODES * sizeof *nodes);
        node_cells = arena_map(2 * NODES * sizeof *node_cells);
        if (!nodes || !node_cells)
            __builtin_trap();
    }
    uint64_t hash = (frame * UINT64_C(0x9e3779b97f4a7c15) ^ parent) * UINT64_C(0xff51afd7ed558ccd);
    uint32_t number = 0;
    for (uint64_t at = hash >> 43;; at++) {
        _Atomic uint32_t *cell = &node_cells[at & (2 * NODES - 1)];
        number = *cell;
        if (!number) {
            number = node_count;
            if (number == NODES)
                __builtin_trap();
            node_count++;
            nodes[number] = (struct hs_node){.frame = frame, .parent = parent, .kind = kind};
            *cell = number;
            break;
        }
        if (nodes[number].frame == frame && nodes[number].parent == parent && nodes[number].kind == (uint32_t)kind)
            break;
    }
    atomic_flag_clear_explicit(&node_lock, memory_order_release);
    return number;
}

struct hs_node fake_node(uint32_t number)
{
    return nodes[number];
}
uint32_t fake_node_count(void)
{
    return node_count;
}
