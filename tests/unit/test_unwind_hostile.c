/*
 * test_unwind_hostile.c - stacks and unwind tables that are garbage: the unwinder ends, and touches nothing outside of
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "dice.h"
#include "modules.h"
#include "stack_table.h"
#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_referee.h"
#include "unwind_rules.h"

/* ---- hostile stacks ---- */

static uint64_t dice = 1;

/* Words that lead an unwinder astray: real return addresses, addresses of this stack, near misses, and garbage. */
static uint64_t evil_word(const uint64_t *pcs, size_t count, uintptr_t low, uintptr_t high)
{
    switch (dice_roll(&dice) % 8) {
    case 0:
    case 1:
    case 2:
        return pcs[dice_roll(&dice) % count];
    case 3:
        return low + dice_roll(&dice) % (high - low) / 8 * 8;
    case 4:
        return high - dice_roll(&dice) % 64;
    case 5:
        return low + dice_roll(&dice) % (2 * (high - low));
    case 6:
        return pcs[dice_roll(&dice) % count] + dice_roll(&dice) % 256;
    default:
        return dice_roll(&dice) >> dice_roll(&dice) % 64;
    }
}

/* Return addresses of stacks that were whole. */
static uint64_t hostile_pcs[MANY];
static size_t hostile_pc_count;

static NOINLINE void collect(void)
{
    bool truncated;
    uint64_t pcs[UNWIND_MAX_FRAMES];
    size_t count = unwind_pcs(thread_self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &truncated);
    for (size_t i = 0; i < count && hostile_pc_count < MANY; i++)
        hostile_pcs[hostile_pc_count++] = pcs[i];
}

static void collect_in_handler(int number)
{
    (void)number;
    collect();
}

static void raise_here(void)
{
    raise(SIGUSR1);
}

static void test_hostile_stacks(void **state)
{
    (void)state;
    signal(SIGUSR1, collect_in_handler);
    for (unsigned seed = 0; seed < 40; seed++)
        all_shapes[seed % 4]->mixed(seed, 5, seed % 4 ? collect : raise_here);
    signal(SIGUSR1, SIG_DFL);
    assert_true(hostile_pc_count > 200);

    size_t size = 16 * 4096;
    char *memory = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    uintptr_t low = (uintptr_t)memory + 4096, high = low + size;
    assert_int_equal(mprotect((void *)low, size, PROT_READ | PROT_WRITE), 0);
    uint64_t *words = (uint64_t *)low;

    static struct thread victims[2];
    victims[1].stack_low = low;
    victims[1].stack_high = high;
    victims[0].tid = victims[1].tid = 1;
    uint64_t pcs[UNWIND_MAX_FRAMES];
    size_t frames = 0;
    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i < size / 8; i++)
            words[i] = evil_word(hostile_pcs, hostile_pc_count, low, high);
        for (unsigned start = 0; start < 300; start++) {
            uintptr_t frame = low + dice_roll(&dice) % (size - 16) / 16 * 16;
            if (start % 3 == 0)
                frame = start % 2 ? high - 16 : low; /* at the very edges */
            for (unsigned i = 0; i < 2; i++) {
                bool truncated;
                uint32_t node = unwind_node(&victims[i], (const void *)frame);
                size_t count = unwind_pcs(&victims[i], (const void *)frame, pcs, UNWIND_MAX_FRAMES, &truncated);
                assert_true(count <= UNWIND_MAX_FRAMES);
                assert_true(!count || node);
                frames += count;
                if (count)
                    assert_int_equal(fake_node(node).frame & HS_ADDRESS_MASK, pcs[0] & HS_ADDRESS_MASK);
            }
            words[dice_roll(&dice) % (size / 8)] = evil_word(hostile_pcs, hostile_pc_count, low, high);
        }
    }
    assert_true(frames > 200 * 300);

    /* A remembered stack of which the outer half is gone: it is known by then how far that could be read. */
    size_t half = size / 2;
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < size / 8; i++)
            words[i] = evil_word(hostile_pcs, hostile_pc_count, low, high);
        for (size_t at = 0; at < size - 16; at += 64)
            unwind_node(&victims[0], (const void *)(low + at));
        assert_int_equal(mprotect((void *)(low + half), half, PROT_NONE), 0);
        unwind_unmapped((void *)(low + half), half);
        for (size_t at = 0; at < half - 16; at += 64)
            unwind_node(&victims[0], (const void *)(low + at));
        assert_int_equal(mprotect((void *)(low + half), half, PROT_READ | PROT_WRITE), 0);
    }
    munmap(memory, size + 8192);
    unwind_unmapped(memory, size + 8192);
}

/* Real calls on a stack whose outer part has been spoiled. */
static ucontext_t main_context, spoiled_context;
static uint64_t *spoil_from, *spoil_to;

static NOINLINE void spoil_and_unwind(void)
{
    static uint64_t saved[65536];
    uint64_t *from = (uint64_t *)__builtin_frame_address(0) + 2;
    size_t count = (size_t)(spoil_to - from);
    memcpy(saved, from, count * 8);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++)
            from[dice_roll(&dice) % count] =
                evil_word(hostile_pcs, hostile_pc_count, (uintptr_t)from, (uintptr_t)spoil_to);
        unwind_node(thread_self, __builtin_frame_address(0));
    }
    memcpy(from, saved, count * 8);
}

static void spoiled(void)
{
    for (unsigned seed = 0; seed < 300; seed++)
        all_shapes[seed % 4]->mixed(seed, 10, spoil_and_unwind);
    swapcontext(&spoiled_context, &main_context);
}

static void test_spoiled_stack(void **state)
{
    (void)state;
    size_t size = 256 * 1024;
    char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(mprotect(memory + size, 4096, PROT_NONE), 0);
    spoil_from = (uint64_t *)memory;
    spoil_to = (uint64_t *)(memory + size);
    getcontext(&spoiled_context);
    spoiled_context.uc_stack.ss_sp = memory;
    spoiled_context.uc_stack.ss_size = size;
    makecontext(&spoiled_context, spoiled, 0);
    swapcontext(&main_context, &spoiled_context);
    munmap(memory, size + 4096);
    unwind_unmapped(memory, size + 4096);
    compare();
    report();
}

/* ---- damaged unwind tables ---- */

static void test_damaged_tables(void **state)
{
    (void)state;
    struct module_range module;
    uintptr_t qsort_pc = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort");
    assert_true(modules_find(qsort_pc, &module));
    size_t size = (module.end - module.start + 4095) & ~(size_t)4095;
    /* A copy of libc without a byte readable behind it; what it says of itself is relative to itself. */
    char *copy = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(copy, MAP_FAILED);
    copy += 4096;
    assert_int_equal(mprotect(copy, size, PROT_READ | PROT_WRITE), 0);
    for (size_t at = 0; at < size; at += 4096)
        modules_copy(copy + at, module.start + at, 4096); /* holes stay zero */
    size_t tables = (uintptr_t)module.eh_frame_hdr - module.start;
    struct module_range other = {(uintptr_t)copy, (uintptr_t)copy + size, NULL, (const uint8_t *)copy + tables};
    uintptr_t moved = (uintptr_t)copy - module.start;

    unsigned frames = 0;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t pc = qsort_pc + i * 16;
        struct unwind_rule ours = unwind_cfi_rule(pc, &module), theirs = unwind_cfi_rule(pc + moved, &other);
        assert_memory_equal(&ours, &theirs, sizeof ours);
        frames += ours.kind == UNWIND_FRAME;
    }
    assert_true(frames > 500);

    /* Bits are flipped in the header, the table and the records until little is left; nothing outside is touched. */
    size_t reach = size - tables < 150000 ? size - tables : 150000;
    for (unsigned round = 0; round < 4000; round++) {
        for (unsigned i = 0; i < 10; i++) {
            size_t at = tables + dice_roll(&dice) % (round % 50 ? reach : 12);
            copy[at] = (char)(round % 3 ? copy[at] ^ 1 << dice_roll(&dice) % 8 : (char)dice_roll(&dice));
        }
        if (round % 50 < 25) /* most of the time the header is whole */
            memcpy(copy + tables, module.eh_frame_hdr, 12);
        for (unsigned i = 0; i < (round % 50 < 25 ? 100 : 4); i++)
            unwind_cfi_rule((uintptr_t)copy + dice_roll(&dice) % size, &other);
    }
    munmap(copy - 4096, size + 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_stacks),
        cmocka_unit_test(test_spoiled_stack),
        cmocka_unit_test(test_damaged_tables),
    };
    return cmocka_run_group_tests(tests, referee_setup, NULL);
}
