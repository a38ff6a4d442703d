/*
 * births.h - which objects are watched: those that --watch asks for by type and site, from their birth on.
 *
 * 3.13 and later tell of each birth (python/objects.c). Before, births are guessed: guessed_births.h.
 *
 * All of it happens with the GIL held, but for births_want() and births_give_up(). From 3.12 on interpreters may have
 * GILs of their own: what they share here is atomic, or a number that may be off by a few (sampling.h).
 */
#ifndef HEAPSAKE_PRELOAD_BIRTHS_H
#define HEAPSAKE_PRELOAD_BIRTHS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../python/text.h"
#include "../python/type_table.h"
#include "../thread.h"
#include "internal/watch_spec.h"

/* Takes a SPEC of objects, whose texts stay: request number `request`. Before an interpreter is found. */
void births_want(const struct hs_watch_spec *spec, unsigned request);
/* The session has begun: tells its recorder which of them are looked after. */
void births_tell_asked(void);
/* None of them can be had. */
void births_give_up(void);

/* Does anybody ask for objects? */
bool births_wanted(void);

/* From python.c: an interpreter was found, which tells of births (3.13+), or not. `offsets` may be NULL. */
void births_python(struct thread *self, const struct python_offsets *offsets, bool told);

/* From type_table.c: the requests, a bit each, that objects of a type may be for. */
uint32_t births_requests_of_type(struct text module, struct text name);

/* 3.13+: an object was born whose type is asked for. `walked`: its stack is the one that was walked last. */
void births_born(struct thread *self, const void *object, type_value value, const void *frame_address, bool walked);

/* What is known of places and stacks belongs to a session that has ended. No thread is inside of a hook. */
void births_forget(void);

void births_after_fork(void);

#endif
