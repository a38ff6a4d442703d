/* test_live_table.c - the table of live blocks against a plain array, and the ranges of mappings against bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "dice.h"
#include "record/live_table.h"
#include "record/mapped_ranges.h"

static uint64_t dice;

static struct live_block block_at(uint64_t address, uint64_t size, uint64_t ordinal, unsigned domain)
{
    return (struct live_block){.address = address,
                               .size = size,
                               .ordinal = ordinal,
                               .node = (uint32_t)(ordinal * 7 & HS_NODE_MAX),
                               .domain = domain};
}

static void expect_block(struct live_table *table, const struct live_block *expected)
{
    struct live_block found;
    assert_true(live_table_take(table, expected->address, expected->domain == HS_DOMAIN_ARENA, &found));
    assert_int_equal(found.address, expected->address);
    assert_int_equal(found.size, expected->size);
    assert_int_equal(found.ordinal, expected->ordinal);
    assert_int_equal(found.node, expected->node);
    assert_int_equal(found.domain, expected->domain);
}

static void test_extremes(void **state)
{
    (void)state;
    struct live_table table;
    assert_int_equal(live_table_init(&table), 0);
    const struct live_block blocks[] = {
        block_at(8, 0, 0, HS_DOMAIN_MALLOC),
        block_at(HS_ADDRESS_MASK - 7, 1, (UINT64_C(1) << 40) - 1, HS_DOMAIN_PY_OBJECT),
        block_at(0x1000, 0xfffe, 5, HS_DOMAIN_PY_RAW),
        block_at(0x2000, 0xffff, 6, HS_DOMAIN_PY_RAW),
        block_at(0x3000, 0x10000, 7, HS_DOMAIN_MALLOC),
        block_at(0x4000, UINT64_MAX, 8, HS_DOMAIN_MALLOC),
        block_at(0x5001, 3, 9, HS_DOMAIN_MALLOC), /* not aligned: its neighbours share the key's upper bits */
        block_at(0x5007, UINT64_MAX - 1, 10, HS_DOMAIN_MALLOC),
        block_at(0x5000, 4, 11, HS_DOMAIN_MALLOC),
        block_at(0x6000, 100, 12, HS_DOMAIN_PY_OBJECT),
        block_at(0x6000, 1 << 20, 13, HS_DOMAIN_ARENA), /* an arena where a block begins */
    };
    for (size_t i = 0; i < HS_COUNT_OF(blocks); i++)
        assert_int_equal(live_table_put(&table, &blocks[i]), LIVE_PUT);
    for (size_t i = 0; i < HS_COUNT_OF(blocks); i++)
        assert_int_equal(live_table_put(&table, &blocks[i]), LIVE_PUT_TAKEN);
    for (size_t i = HS_COUNT_OF(blocks); i-- > 0;)
        expect_block(&table, &blocks[i]);
    struct live_block found;
    for (size_t i = 0; i < HS_COUNT_OF(blocks); i++)
        assert_false(live_table_take(&table, blocks[i].address, blocks[i].domain == HS_DOMAIN_ARENA, &found));
    assert_int_equal(table.used, 0);
    assert_int_equal(table.side_used, 0);
    live_table_destroy(&table);
}

struct sum {
    uint64_t blocks, bytes, ordinals;
};

static void add(void *context, const struct live_block *block)
{
    struct sum *sum = context;
    sum->blocks++;
    sum->bytes += block->size;
    sum->ordinals += block->ordinal;
}

/* Random puts and takes, with addresses that collide often, against an array. */
static void test_against_array(void **state)
{
    (void)state;
    enum { ADDRESSES = 20000 };
    struct live_table table;
    struct live_block *truth = calloc(ADDRESSES, sizeof *truth);
    assert_non_null(truth);
    assert_int_equal(live_table_init(&table), 0);
    dice = 88172645463325252u;
    uint64_t ordinal = 0;
    for (int step = 0; step < 1000000; step++) {
        uint64_t at = dice_roll(&dice) % ADDRESSES;
        /* neighbours, pages apart, and far away; some of them not aligned */
        uint64_t address = 0x7f0000000000 + (at % 5000) * 16 + (at / 5000) * 0x100000000 + (at % 97 == 0 ? 4 : 0);
        if (truth[at].address) {
            expect_block(&table, &truth[at]);
            truth[at].address = 0;
        } else {
            uint64_t size = step % 50 == 0 ? dice_roll(&dice) >> 20 : dice_roll(&dice) % 1000;
            truth[at] = block_at(address, size, ordinal++, (unsigned)(at % 97 == 1 ? HS_DOMAIN_ARENA : at % 4 + 2) % 6);
            if (truth[at].domain == HS_DOMAIN_MMAP)
                truth[at].domain = HS_DOMAIN_MALLOC;
            assert_int_equal(live_table_put(&table, &truth[at]), LIVE_PUT);
        }
    }
    struct sum expected = {0}, found = {0}, copied = {0};
    for (int i = 0; i < ADDRESSES; i++)
        if (truth[i].address)
            add(&expected, &truth[i]);
    live_table_visit(&table, add, &found);
    assert_memory_equal(&found, &expected, sizeof found);

    struct live_table copy;
    assert_int_equal(live_table_copy(&copy, &table), 0);
    live_table_renumber(&copy, 0);
    live_table_visit(&copy, add, &copied);
    assert_int_equal(copied.blocks, expected.blocks);
    assert_int_equal(copied.bytes, expected.bytes);
    assert_int_equal(copied.ordinals, expected.blocks * (expected.blocks - 1) / 2);
    for (int i = 0; i < ADDRESSES; i++)
        if (truth[i].address)
            expect_block(&table, &truth[i]);
    assert_int_equal(table.used, 0);
    assert_true(copy.used > 0);
    live_table_destroy(&table);
    live_table_destroy(&copy);
    free(truth);
}

static void test_memory_per_block(void **state)
{
    (void)state;
    struct live_table table;
    assert_int_equal(live_table_init(&table), 0);
    for (uint64_t i = 1; i <= 4000000; i++) {
        struct live_block block = block_at(i * 48, 48, i, HS_DOMAIN_MALLOC);
        uint64_t before = table.mask;
        assert_int_equal(live_table_put(&table, &block), LIVE_PUT);
        uint64_t entries = table.mask + 1;
        /* Up to 8 MiB it may be roomier: those belong to the recorder's own 64 MiB. */
        if (before != table.mask && entries > 1 << 20) /* while it grew, both were there */
            assert_true((entries + before + 1) * sizeof(struct live_entry) <= 65 * i);
        if (entries > 1 << 20)
            assert_true(entries * sizeof(struct live_entry) <= 64 * i);
    }
    live_table_destroy(&table);
}

/* Pages as bytes of an array: who owns each of them. */
static void test_ranges(void **state)
{
    (void)state;
    enum { PAGES = 300 };
    uint32_t owner[PAGES] = {0}, next_ordinal = 1;
    struct mapped_ranges ranges = MAPPED_RANGES_INIT;
    dice = 3141592653589793u;
    for (int step = 0; step < 100000; step++) {
        uint64_t start = dice_roll(&dice) % PAGES, end = start + 1 + dice_roll(&dice) % 20;
        if (end > PAGES)
            end = PAGES;
        struct mapped_range range;
        while (mapped_ranges_take(&ranges, start, end, &range)) {
            for (uint64_t page = range.start; page < range.end; page++)
                assert_int_equal(owner[page], range.ordinal);
            struct mapped_range left = range, right = range;
            left.end = start;
            right.start = end;
            if (range.start < start)
                assert_true(mapped_ranges_put(&ranges, &left));
            if (range.end > end)
                assert_true(mapped_ranges_put(&ranges, &right));
        }
        memset(owner + start, 0, (end - start) * sizeof owner[0]);
        if (step % 3) {
            range = (struct mapped_range){.start = start, .end = end, .ordinal = next_ordinal++};
            assert_true(mapped_ranges_put(&ranges, &range));
            for (uint64_t page = start; page < end; page++)
                owner[page] = (uint32_t)range.ordinal;
        }
        for (size_t i = 1; i < ranges.count; i++)
            assert_true(ranges.ranges[i - 1].end <= ranges.ranges[i].start);
    }
    uint64_t pages = 0, owned = 0;
    for (size_t i = 0; i < ranges.count; i++)
        pages += ranges.ranges[i].end - ranges.ranges[i].start;
    for (int page = 0; page < PAGES; page++)
        owned += owner[page] != 0;
    assert_int_equal(pages, owned);
    struct mapped_range first = ranges.ranges[0], taken;
    assert_false(mapped_ranges_take_at(&ranges, PAGES + 1, &taken));
    assert_true(mapped_ranges_take_at(&ranges, first.start, &taken));
    assert_memory_equal(&first, &taken, sizeof first);
    mapped_ranges_free(&ranges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_memory_per_block),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
