/* test_sampling.c - which births are watched (preload/watch/sampling.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "watch/sampling.h"

#define BURST 8u
#define BURSTS 400u

/* A birth that can be had, or not. Is it watched? */
static bool comes(struct sampling *sampling, bool available)
{
    if (!sampling_sees(sampling))
        return false;
    if (!available) {
        sampling_misses(sampling);
        return false;
    }
    if (!sampling_picks(sampling))
        return false;
    sampling_took(sampling);
    return true;
}

/* How often each of the births of a burst was watched. */
struct taken {
    unsigned of[BURST], all;
};

static void take(struct taken *taken, unsigned i)
{
    taken->of[i]++;
    taken->all++;
}

static void assert_all_within_reach(const struct taken *taken)
{
    for (unsigned i = 0; i < BURST; i++)
        if (taken->of[i] < taken->all / BURST / 8)
            fail_msg("birth %u of each burst: %u of %u", i, taken->of[i], taken->all);
}

/* Watchpoints become free when a burst has gone. */
static void watchpoints_are_few(void **state)
{
    (void)state;
    for (unsigned points = 1; points <= 4; points++) {
        struct sampling sampling = {0};
        struct taken taken = {0};
        for (unsigned n = 0; n < BURSTS; n++)
            for (unsigned i = 0, used = 0; i < BURST; i++)
                if (comes(&sampling, used < points)) {
                    used++;
                    take(&taken, i);
                }
        assert_true(taken.all >= BURSTS * points / 2);
        assert_all_within_reach(&taken);
    }
}

/* There is time for one between two bursts, of many requests each, while the program sleeps. */
static void watches_are_dear(void **state)
{
    (void)state;
    struct sampling sampling = {0};
    struct taken taken = {0};
    for (unsigned n = 0; n < BURSTS; n++) {
        bool affordable = true;
        for (unsigned i = 0; i < 50 * BURST; i++)
            if (comes(&sampling, affordable)) {
                affordable = false;
                take(&taken, i % BURST);
            }
    }
    assert_true(taken.all >= BURSTS / 2);
    assert_all_within_reach(&taken);
}

static void what_can_be_had_is_had(void **state)
{
    (void)state;
    for (uint64_t every = 0; every <= 1; every++) {
        struct sampling sampling = {.every = every};
        for (unsigned i = 0; i < 100; i++)
            assert_true(comes(&sampling, true));
    }
}

/* What comes once in a while is watched soon after many have gone by. */
static void the_rare_are_not_waited_for_for_ever(void **state)
{
    (void)state;
    struct sampling sampling = {0};
    for (unsigned i = 0; i < 1000000; i++)
        assert_false(comes(&sampling, false));
    unsigned passed = 0;
    while (!comes(&sampling, true))
        assert_true(++passed <= 256);
}

static void one_in_n(void **state)
{
    (void)state;
    struct sampling sampling = {.every = BURST};
    struct taken taken = {0};
    for (unsigned n = 0; n < BURSTS; n++) {
        unsigned before = taken.all;
        for (unsigned i = 0; i < BURST; i++)
            if (comes(&sampling, true))
                take(&taken, i);
        assert_int_equal(taken.all, before + 1);
    }
    assert_all_within_reach(&taken);
    sampling = (struct sampling){.every = 1};
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(comes(&sampling, i % 7 < 3), i % 7 < 3);
    sampling = (struct sampling){.every = UINT64_MAX};
    assert_true(comes(&sampling, true));
    for (unsigned i = 0; i < 1000; i++)
        assert_false(comes(&sampling, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchpoints_are_few),
        cmocka_unit_test(watches_are_dear),
        cmocka_unit_test(what_can_be_had_is_had),
        cmocka_unit_test(the_rare_are_not_waited_for_for_ever),
        cmocka_unit_test(one_in_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
