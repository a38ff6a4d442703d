/* test_event.c - slots keep what is put into them, for every field at its limits (include/internal/event.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "internal/event.h"

static void fields_do_not_touch_each_other(void **state)
{
    (void)state;
    const uint64_t addresses[] = {0, 1, 0x7fffffffffff, HS_ADDRESS_MASK};
    const uint32_t sizes[] = {0, 1, UINT32_MAX};
    const uint32_t nodes[] = {0, 1, HS_NODE_MAX};
    const uint64_t sequences[] = {0, 0xff, 0x100, 0xffff, 0x10000, UINT64_MAX};
    for (unsigned a = 0; a < HS_COUNT_OF(addresses); a++)
        for (unsigned s = 0; s < HS_COUNT_OF(sizes); s++)
            for (unsigned n = 0; n < HS_COUNT_OF(nodes); n++)
                for (unsigned q = 0; q < HS_COUNT_OF(sequences); q++)
                    for (unsigned type = 1; type < HS_SLOT_TYPES; type++)
                        for (unsigned domain = 0; domain < HS_DOMAINS; domain++) {
                            struct hs_slot slot = hs_slot_pack((enum hs_slot_type)type, (enum hs_domain)domain,
                                                               addresses[a], sizes[s], nodes[n]);
                            assert_false(hs_slot_sequenced(slot));
                            hs_slot_set_sequence(&slot, sequences[q]);
                            assert_true(hs_slot_sequenced(slot));
                            assert_int_equal(hs_slot_type(slot), type);
                            assert_int_equal(hs_slot_domain(slot), domain);
                            assert_int_equal(hs_slot_address(slot), addresses[a]);
                            assert_int_equal(hs_slot_size(slot), sizes[s]);
                            assert_int_equal(hs_slot_node(slot), nodes[n]);
                            assert_int_equal(hs_slot_sequence(slot), sequences[q] & 0xffff);
                        }
}

static void stripes_are_in_range_and_used(void **state)
{
    (void)state;
    unsigned seen[HS_STRIPES] = {0};
    for (uint64_t address = 0x555500000000; address < 0x555500000000 + (1 << 20); address += 16) {
        unsigned stripe = hs_stripe_of(address, HS_DOMAIN_MALLOC);
        assert_true(stripe < HS_ADDRESS_STRIPES);
        assert_int_equal(stripe, hs_stripe_of(address, HS_DOMAIN_PY_OBJECT)); /* one address, one order */
        seen[stripe]++;
    }
    for (unsigned stripe = 0; stripe < HS_ADDRESS_STRIPES; stripe++)
        assert_true(seen[stripe] > 100);
    assert_int_equal(hs_stripe_of(0x7f0000001000, HS_DOMAIN_MMAP), HS_MMAP_STRIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_do_not_touch_each_other),
        cmocka_unit_test(stripes_are_in_range_and_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
