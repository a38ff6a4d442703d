/*
 * dice.h - random numbers for tests, the same in each run: xorshift.
 *
 *     static uint64_t dice = 1;
 *     uint64_t number = dice_roll(&dice) % 6;
 */
#ifndef HEAPSAKE_TESTS_UNIT_DICE_H
#define HEAPSAKE_TESTS_UNIT_DICE_H

#include <stdint.h>

/* The next of 2^64 - 1 numbers; `dice` begins as any of them, which are all but 0. */
static inline uint64_t dice_roll(uint64_t *dice)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return *dice;
}

#endif
