/*
 * memory.h - the memory file of a session, and how the program learns that the recorder has died.
 *
 * The header's recorder_alive holds our main thread's id, as if a robust mutex were locked. When
 * that thread ends, however it ends, the kernel walks the thread's list of such locks and
 * marks each FUTEX_OWNER_DIED. libc keeps the links of that list beside the locks, that is,
 * where the program could change them; so the list here is our own, and its links lie in a private page
 * in front of each header:
 *
 *     reserved            shared
 *     | link, private | header, shared with the program ...
 *
 * All functions but memory_file_new(): main thread only. That thread must use no robust mutex of libc's.
 */
#ifndef HEAPSAKE_RECORD_MEMORY_H
#define HEAPSAKE_RECORD_MEMORY_H

#include <stdint.h>

#include "base/error.h"
#include "internal/session.h"

struct session_memory {
    int fd;                    /* of the whole file; -1: none   */
    struct hs_session *shared; /* its header alone              */
    void *reserved;
};

/* A memory file of that length, sealed against changes of it; its descriptor or a negative errno. Any thread. */
int memory_file_new(const char *name, uint64_t bytes);

/* A sealed memory file with its header filled; `options` are enum hs_option. 0 or a negative errno with `error`. */
int memory_new(struct session_memory *memory, uint64_t id, uint32_t options, uint64_t origin_ns, struct error *error);
void memory_free(struct session_memory *memory);

#endif
