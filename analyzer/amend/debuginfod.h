/*
 * debuginfod.h - files by build-id from the servers that DEBUGINFOD_URLS names.
 *
 * libdw does the asking: it opens libdebuginfod where that is installed, which keeps what it fetched in a cache of
 * the user's. Asked only when the user said so. Not thread-safe.
 */
#ifndef HEAPSAKE_AMEND_DEBUGINFOD_H
#define HEAPSAKE_AMEND_DEBUGINFOD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct debuginfod;

/* -ENOTSUP with the reason and what to do: no library, or no servers. */
int debuginfod_open(struct debuginfod **servers, struct error *error);
/* NULL is nothing. */
void debuginfod_close(struct debuginfod *servers);

enum debuginfod_kind { DEBUGINFOD_DEBUG_INFORMATION, DEBUGINFOD_EXECUTABLE };

/* A descriptor of the file, which is the caller's and may be anything: its build-id is to be checked. -errno. */
int debuginfod_fetch(struct debuginfod *servers, const uint8_t *build_id, size_t length, enum debuginfod_kind kind);

#endif
