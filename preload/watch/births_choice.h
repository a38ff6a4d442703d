/*
 * births_choice.h - which of the births that match are watched: for births.c, and guessed_births.c. Requests are bits
 * in the order in which they were asked for. With the GIL held.
 */
#ifndef HEAPSAKE_PRELOAD_BIRTHS_CHOICE_H
#define HEAPSAKE_PRELOAD_BIRTHS_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "watched.h"

struct birth_request;

/* All requests, those that have a site: condition, and whether one counts its births (every:). */
uint32_t births_all(void);
extern uint32_t births_with_site __attribute__((visibility("hidden")));
extern bool births_want_all __attribute__((visibility("hidden")));

/* Of the requests that a type may be for, those that the calling thread's place is for, too. */
uint32_t births_narrow(struct thread *self, uint32_t asked);

/* Is `number`, of a --watch, among those requests? */
bool births_are_for(uint32_t asked, uint32_t number);

/* Counts a birth: the first of the requests that chooses it, NULL: none. */
struct birth_request *births_choose(uint32_t asked);
/* Watches what was chosen, as far as there is a watchpoint. Fills the rest of the order. */
void births_begin(struct thread *self, struct birth_request *request, struct watch_order *order);

#endif
