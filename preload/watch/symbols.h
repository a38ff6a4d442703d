/*
 * symbols.h - variables that --watch names: symbol:NAME. For this folder.
 *
 * A name is looked for among what the loaded modules export, and then in the symbol tables of their files, where the
 * names of a program's own variables are.
 */
#ifndef HEAPSAKE_PRELOAD_SYMBOLS_H
#define HEAPSAKE_PRELOAD_SYMBOLS_H

#include <stdbool.h>

#include "../thread.h"
#include "internal/watch_spec.h"

/* Takes a SPEC with a symbol, and its text, which stays. */
void symbols_want(const struct hs_watch_spec *spec, const char *text, unsigned request);
bool symbols_wanted(void);
void symbols_give_up(void);

/*
 * Watches those that are found; the others are said to be missing, once. No module comes or goes meanwhile. `self` is
 * inside.
 */
void symbols_find(struct thread *self);

void symbols_after_fork(void);

#endif
