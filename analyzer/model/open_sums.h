/*
 * open_sums.h - what was born in each of the regions that are open to one thread, and the most of it that lived at
 * once.
 *
 * A block that is born is born in all of them; one that ends was born in those that began before it, and in the order
 * of the begins these are the first ones. So a birth adds to all, and an end subtracts from the first k. The regions
 * are the leaves of a binary tree in that order, and what happens to all leaves below a node is noted at the node
 * alone, until something happens to a part of them: then the note is passed on to its two children.
 *
 *                  +24, most 40            three births and an end that concerned all four regions
 *               ┌───────┴───────┐
 *           -8, most 0          .          then the end of a block from before the third one's begin
 *           ┌───┴───┐       ┌───┴───┐
 *          100      60      20      0      what each had before: its own are the notes on its way, the lowest first
 *
 * A note says what its changes, in their order, come to, and the most that they have come to on the way and when. Of
 * one note and a later one together: the sum of both, and as the most the earlier one's or its sum and the later one's
 * most.
 *
 * A birth takes one step; an end, a begin and a look as many as the tree is high, and an end of a block that is younger
 * than all regions one. Ordinals and ids are given in ascending order. Sums are modulo 2^64: damaged numbers give
 * nonsense, and nothing worse. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_OPEN_SUMS_H
#define HEAPSAKE_MODEL_OPEN_SUMS_H

#include <stddef.h>
#include <stdint.h>

/* Of one region, since it began. */
struct open_sum {
    uint64_t allocations, allocated_bytes;
    uint64_t live_blocks, live_bytes; /* of what was born in it                                       */
    uint64_t peak_bytes, peak_event,
        peak_ns; /* the most of it that lived, and when that was reached first; 0: nothing */
};

struct open_note;
struct open_leaf;

struct open_sums {
    size_t open; /* how many regions are */
    /* private */
    struct open_note *notes;  /* 1 is the root, n's children are 2n and 2n + 1, the leaves' begin at `width` */
    struct open_leaf *leaves; /* in the order of the begins, with those that have ended until there is no more room */
    size_t width, used;       /* width: a power of two, or 0; used: leaves */
    uint64_t allocations, allocated_bytes; /* all births that were told */
};

/* All zero is empty. */
void open_sums_free(struct open_sums *sums);

/* A region begins, before the allocation `ordinal`. `id` is the caller's. 0 or -ENOMEM, and then
 * nothing has changed. */
int open_sums_begin(struct open_sums *sums, uint32_t id, uint64_t ordinal);
/* The region ends, which is open: its sums. */
struct open_sum open_sums_end(struct open_sums *sums, uint32_t id);

/* A block is born in all regions that are open. */
void open_sums_born(struct open_sums *sums, uint64_t size, uint64_t event, uint64_t time_ns);
/* A block ends that was born in those that were open then. */
void open_sums_ended(struct open_sums *sums, uint64_t ordinal, uint64_t size);

/* All regions that are open, in the order of their begins. */
void open_sums_visit(struct open_sums *sums, void (*visit)(void *context, uint32_t id, const struct open_sum *sum),
                     void *context);

#endif
