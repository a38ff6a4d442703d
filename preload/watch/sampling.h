/*
 * sampling.h - which of the births that match are watched, where not all can be. For this folder.
 *
 * Programs do the same again and again: the birth that comes first when a watchpoint is free, or can be afforded, would
 * be of the same kind each time, and what leaks may be the fifth of each request. So a birth is picked at random among
 * as many as went by unwatched before; with every:N, one of each N is. The numbers are the same in each run.
 *
 * One thread at a time: the GIL is held. Where two interpreters have one each, a birth may be counted once for both.
 */
#ifndef HEAPSAKE_PRELOAD_SAMPLING_H
#define HEAPSAKE_PRELOAD_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

struct sampling {
    uint64_t every; /* 0: not given; 1: each that can be had */
    /* private, 0 at first */
    uint64_t seen;
    uint64_t next;   /* the one that was picked last, by `seen` */
    uint32_t passed; /* went by since then                      */
    uint32_t chance;
};

/* Counts a birth. False: this one is left alone. Else the caller says whether it could be had. */
bool sampling_sees(struct sampling *sampling);
/* It cannot be had: no watchpoint is free, or it is too dear. */
void sampling_misses(struct sampling *sampling);
/* It can. Is it picked? Then it is to be watched, or nothing is. */
bool sampling_picks(struct sampling *sampling);
/* It is watched. */
void sampling_took(struct sampling *sampling);

/* Less than `limit`, which is not 0; all are equally likely where it is small. `chance`: 0 at first, private. */
uint64_t sampling_random_below(uint32_t *chance, uint64_t limit);

#endif
