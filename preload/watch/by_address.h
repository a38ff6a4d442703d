/*
 * by_address.h - watches on what is there already: what heapsake_watch() is given, and --watch=addr:. For this folder.
 */
#ifndef HEAPSAKE_PRELOAD_BY_ADDRESS_H
#define HEAPSAKE_PRELOAD_BY_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "internal/watch_spec.h"

/*
 * Watches a counter of `bytes` bytes, or (0) the count of an object, of which the caller knows that it is one, with the
 * GIL held. 0, also when that is watched already, or a negative errno:
 *
 *   -EINVAL: an object that lives for ever, or no interpreter runs; -EPERM: the GIL is not held, or watchpoints are
 *   forbidden; -EOPNOTSUPP: a free-threaded interpreter; -EBUSY: all watchpoints are taken; and what trap_prepare()
 * says.
 *
 * `self` is inside. `frame_address`: of the hook in which the program asks; NULL: it does not.
 */
int by_address_watch(struct thread *self, const void *address, unsigned bytes, uint32_t request,
                     const void *frame_address);
/* The watch that lies there and is no sample's; its place in watched[], or NULL. */
struct watched *by_address_find(const void *address);

/* Takes a SPEC with an address, and its text, which stays. */
void by_address_want(const struct hs_watch_spec *spec, const char *text, unsigned request);
bool by_address_wanted(void);
void by_address_give_up(void);

/*
 * Watches those that --watch asks for; of what cannot be watched it says why. Where an interpreter runs, the GIL is
 * held. `self` is inside.
 */
void by_address_begin(struct thread *self);

#endif
