/* test_stack_table.c - a stack has one number, whoever asks, while the table grows under many threads (preload/stack_table.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "session.h"
#include "stack_table.h"
#include "thread.h"

__thread struct thread *thread_self;
struct thread *thread_slow(void) { return NULL; }

static int setup(void **state)
{
    (void)state;
    int fd = memfd_create("session", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, HS_SESSION_BYTES), 0);
    struct hs_session *header = mmap(NULL, HS_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    header->magic = HS_SESSION_MAGIC;
    header->version = HS_SESSION_VERSION;
    header->bytes = HS_SESSION_BYTES;
    assert_true(session_map(fd));
    close(fd);
    return 0;
}

static const struct hs_node *node(uint32_t number)
{
    return session.node_segments[number / HS_NODES_PER_SEGMENT] + number % HS_NODES_PER_SEGMENT;
}

static void check(uint32_t number, uint32_t parent, uint32_t kind, uint64_t frame)
{
    assert_int_not_equal(number, 0);
    assert_true(number < atomic_load(&session.shared->node_count));
    assert_int_equal(node(number)->frame, frame);
    assert_int_equal(node(number)->parent, parent);
    assert_int_equal(atomic_load(&((struct hs_node *)node(number))->kind), kind);
}

static void equal_stacks_share_a_number(void **state)
{
    (void)state;
    uint32_t a = stack_node(0, HS_NODE_PYTHON, 42);
    assert_int_equal(a, stack_node(0, HS_NODE_PYTHON, 42));
    uint32_t b = stack_node(a, HS_NODE_PYTHON, 42);
    assert_int_not_equal(a, b);
    assert_int_not_equal(a, stack_node(0, HS_NODE_NATIVE, 42));
    assert_int_not_equal(b, stack_node(a, HS_NODE_PYTHON, 43));
    assert_int_equal(b, stack_node(a, HS_NODE_PYTHON, 42));
}

#define STACKS 300000u /* several segments, many times the first index */
#define THREADS 4u

static uint32_t numbers[THREADS][STACKS];

static void *add_all(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t which = (i * 7919u + thread * 1000u) % STACKS; /* each thread in its own order */
        numbers[thread][which] = stack_node(0, HS_NODE_NATIVE, (uint64_t)which * 64 + 1);
    }
    return NULL;
}

static void threads_agree_while_it_grows(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint32_t before = atomic_load(&session.shared->node_count);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_all, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned thread = 0; thread < THREADS; thread++)
        for (uint32_t i = 0; i < STACKS; i++)
            check(numbers[thread][i], 0, HS_NODE_NATIVE, (uint64_t)i * 64 + 1);
    /* twins are allowed, but rare */
    uint32_t made = atomic_load(&session.shared->node_count) - before;
    assert_true(made >= STACKS);
    assert_true(made < STACKS + STACKS / 10);
    /* and now, alone: every stack is found, none is added */
    uint32_t then = atomic_load(&session.shared->node_count);
    for (uint32_t i = 0; i < STACKS; i++)
        check(stack_node(0, HS_NODE_NATIVE, (uint64_t)i * 64 + 1), 0, HS_NODE_NATIVE, (uint64_t)i * 64 + 1);
    assert_int_equal(atomic_load(&session.shared->node_count), then);
}

static void a_child_goes_on_with_its_parents_numbers(void **state)
{
    (void)state;
    static struct hs_node *parents[HS_MAX_NODE_SEGMENTS];
    uint32_t number = stack_node(0, HS_NODE_NATIVE, 65);
    uint32_t count = atomic_load(&session.shared->node_count);
    for (unsigned i = 0; i < HS_MAX_NODE_SEGMENTS; i++) {
        parents[i] = session.node_segments[i];
        session.node_segments[i] = NULL;
    }
    struct session_mappings old = session_detach_mappings();
    setup(NULL);
    assert_true(stack_table_copy(parents, count));
    session_unmap(old);
    assert_int_equal(stack_node(0, HS_NODE_NATIVE, 65), number);
    check(number, 0, HS_NODE_NATIVE, 65);
    uint32_t fresh = stack_node(number, HS_NODE_NATIVE, 99);
    assert_true(fresh >= count);
    check(fresh, number, HS_NODE_NATIVE, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_stacks_share_a_number),
        cmocka_unit_test(threads_agree_while_it_grows),
        cmocka_unit_test(a_child_goes_on_with_its_parents_numbers),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
