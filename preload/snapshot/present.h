/*
 * present.h - in the snapshot child: which pages of a range have ever been touched.
 *
 * Reading a page that was never touched would make one, and a program may have mapped a thousand times the memory that
 * it uses. The child has page tables of its own only where the program's pages were its own, so shared and unchanged
 * file pages do not count as present: neither holds pointers of this process, as a rule.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_PRESENT_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_PRESENT_H

#include <stdbool.h>
#include <stdint.h>

/* Opens /proc/self/pagemap, for as long as the child lives. Without it every page counts as present. */
void present_begin(void);

/*
 * The first run of present memory in [*from, to): moves *from to its begin and returns its end. Returns 0 when there is
 * none. Short ranges are not asked about.
 */
uintptr_t present_run(uintptr_t *from, uintptr_t to);

#endif
