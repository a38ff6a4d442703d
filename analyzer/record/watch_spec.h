/*
 * watch_spec.h - `--watch SPEC`: is it right, and can anything be watched here?
 *
 * What the terms mean is in include/internal/watch_spec.h.
 */
#ifndef HEAPSAKE_RECORD_WATCH_SPEC_H
#define HEAPSAKE_RECORD_WATCH_SPEC_H

#include "command.h"

/*
 * Checks each SPEC and puts what it means in the place of leak:TRACE#N. Returns an enum exit_code; what is wrong has been
 * printed. `command`: for the message. `running`: the program runs already, and its addresses mean something.
 */
int watch_spec_check(struct option_strings *specs, const char *command, bool running);

/*
 * NULL, or why no count can be watched here, and what would help, as a sentence without a full stop. Tries it: what
 * the kernel allows this process it allows its children.
 */
const char *watch_obstacle(void);

/* Do copies of memory take several times as long while a watchpoint is armed? False where that cannot be tried. */
bool watch_slows_copies(void);

#endif
