/* recorder_start.h - with a bare LD_PRELOAD, the library starts its recorder itself. */
#ifndef HEAPSAKE_PRELOAD_RECORDER_START_H
#define HEAPSAKE_PRELOAD_RECORDER_START_H

#include <stdbool.h>

/*
 * Starts `heapsake record` beside this process and waits (at most HS_HELLO_SECONDS) until it listens; the session's
 * address is set then. The program never meets it: no SIGCHLD, nothing for wait(), no descriptor, no terminal signal.
 * On failure says so in one line on standard error. Constructor only.
 */
bool recorder_start(char *const envp[]);

#endif
