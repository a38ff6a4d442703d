/* test_watched.c - what samples may cost (preload/watch/watched.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "emit.h"
#include "modules.h"
#include "session.h"
#include "watch/trap.h"
#include "watch/watched.h"

#define MS UINT64_C(1000000)
#define BEFORE_NS (300 * MS) /* processor time that the program has used before it is watched */

/* ---- what is not tried here ---- */

uint64_t emit_counter(const volatile void *counter, unsigned bytes)
{
    return counter ? bytes : 0;
}
uint64_t emit_watch(struct thread *self, uint32_t watch, const volatile void *counter, unsigned bytes, uint32_t node)
{
    (void)self;
    return watch + node + emit_counter(counter, bytes);
}
bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count)
{
    (void)self;
    (void)kind;
    return parts && count;
}
bool modules_readable(uintptr_t address)
{
    return address != 0;
}
bool watchpoint_aim(unsigned point, const void *address, unsigned bytes, uint64_t tag)
{
    return point < WATCHPOINTS && address && bytes && tag;
}
void watchpoint_release(unsigned point)
{
    (void)point;
}
bool watchpoints_there(void)
{
    return true;
}
void watchpoints_close(void) {}
void watchpoints_after_fork(void) {}
int trap_prepare(void)
{
    return 0;
}
bool trap_is_ours(void)
{
    return true;
}
bool trap_slows_copies(void)
{
    return false;
}
uint64_t trap_now(void)
{
    return 0;
}
uint64_t trap_since(uint64_t began)
{
    return began;
}
uint64_t trap_tag(unsigned point, uint32_t watch)
{
    return point + watch;
}

/* ---- a session's clock ---- */

static struct hs_session header;

static void clock_is(uint64_t ns)
{
    atomic_store(&header.clock_ns, ns);
}

static uint64_t used_ns(void)
{
    struct timespec used;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * 1000 * MS + (uint64_t)used.tv_nsec;
}

/* A session begins, of a program that has worked before. */
static int begin(void **state)
{
    (void)state;
    while (used_ns() < BEFORE_NS)
        ;
    session.shared = &header;
    clock_is(0);
    watched_start();
    return 0;
}

static void a_program_that_has_worked_has_earned_nothing(void **state)
{
    (void)state;
    assert_true(watched_affordable());
    watched_spend(WATCH_FREE_NS - MS);
    clock_is(1);
    assert_true(watched_affordable());
    watched_spend(2 * MS); /* less than BEFORE_NS would pay */
    assert_true(2 * MS < BEFORE_NS / WATCH_BUSY_SHARE);
    clock_is(2);
    assert_false(watched_affordable());
}

static void time_that_passes_pays(void **state)
{
    (void)state;
    watched_spend(WATCH_FREE_NS + 2 * MS);
    clock_is(WATCH_IDLE_SHARE * MS);
    assert_false(watched_affordable());
    clock_is(WATCH_IDLE_SHARE * 3 * MS);
    assert_true(watched_affordable());
}

/* What an attach has spent is nothing to the next one, which may come at any time of its session's clock. */
static void each_session_begins_anew(void **state)
{
    (void)state;
    clock_is(5);
    watched_spend(WATCH_FREE_NS * 2);
    assert_false(watched_affordable());
    watched_start();
    assert_true(watched_affordable());
    watched_spend(WATCH_FREE_NS * 2);
    assert_false(watched_affordable());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_program_that_has_worked_has_earned_nothing, begin),
        cmocka_unit_test_setup(time_that_passes_pays, begin),
        cmocka_unit_test_setup(each_session_begins_anew, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
