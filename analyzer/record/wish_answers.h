/*
 * wish_answers.h - what a thread of the program waits for is answered: see struct hs_message_wish. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_WISH_ANSWERS_H
#define HEAPSAKE_RECORD_WISH_ANSWERS_H

#include <stdint.h>

#include "internal/session.h"

/* `result`: 0 or more, or a negative errno. Wakes the thread. */
void wish_answer(struct hs_ring *ring, uint32_t wish, int32_t result);

/* Wakes the thread that waits at the ring, for room in it or for an answer; nothing if none does. */
void ring_wake(struct hs_ring *ring);

#endif
