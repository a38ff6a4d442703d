/* test_site_history.c - live blocks by slice of the run, against a plain count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "model/site_history.h"

/* Whatever the length of a run, each slice holds what was live when its last ordinal had come. */
static void test_slices(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {1, 63, 64, 65, 2047, 2048, 2049, 5000, 100000};
    for (size_t i = 0; i < HS_COUNT_OF(lengths); i++) {
        struct site_history *history = site_history_new();
        uint64_t length = lengths[i];
        for (uint64_t ordinal = 0; ordinal < length; ordinal++) {
            site_history_alloc(history, ordinal, 7);
            if (ordinal % 2)
                site_history_end_block(history, 7);
        }
        site_history_finish(history, length);
        assert_false(history->failed);
        assert_true(history->slices >= 1 && history->slices <= HISTORY_SLICES);
        const struct site_track *track = site_history_track(history, 7);
        for (uint32_t slice = 0; slice < history->slices; slice++) {
            uint64_t end = (slice + 1) * history->width < length ? (slice + 1) * history->width : length;
            assert_int_equal(track->at[slice], end - end / 2);
            assert_int_equal(site_history_slice(history, end - 1), slice);
        }
        assert_null(site_history_track(history, 70000));
        assert_int_equal(site_history_slice(history, HSK_MAX_ORDINAL), history->slices - 1);
        site_history_free(history);
    }
}

/* Ordinals of a forked child begin late, and damage skips some: nothing takes long, nothing is lost. */
static void test_jumps(void **state)
{
    (void)state;
    struct site_history *history = site_history_new();
    static const uint64_t ordinals[] = {0, 5, 1000000, UINT64_C(1) << 30, HSK_MAX_ORDINAL};
    for (size_t i = 0; i < HS_COUNT_OF(ordinals); i++)
        site_history_alloc(history, ordinals[i], (uint32_t)i);
    site_history_alloc(history, 3, HSK_MAX_NODE);
    site_history_alloc(history, 3, UINT32_MAX); /* no node has this number */
    site_history_finish(history, HSK_MAX_ORDINAL + 1);
    assert_false(history->failed);
    for (uint32_t node = 0; node < HS_COUNT_OF(ordinals); node++)
        assert_int_equal(site_history_track(history, node)->at[history->slices - 1], 1);
    assert_null(site_history_track(history, UINT32_MAX));
    site_history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slices), cmocka_unit_test(test_jumps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
