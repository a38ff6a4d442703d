/*
 * modules.h - the native modules of one traced image, and their files kept open.
 *
 * A module's file can vanish, be replaced, or lie in another mount namespace by
 * the time the trace is finished. So the recorder opens each one when it is
 * announced, through the traced process' own root, and compares the build-ids
 * there and then; frames of a module whose file is another are never named.
 *
 * Ownership: a set owns its modules. Open files are shared by all sets
 * (module_file.h) and closed with the last set that uses them. When no descriptor is to be had, the module stays
 * without a file and is named by its path and offsets.
 *
 * Threads: a set belongs to one thread at a time. Different sets may be used by
 * different threads at once: what they share is locked inside.
 */
#ifndef HEAPSAKE_SYMBOLS_MODULES_H
#define HEAPSAKE_SYMBOLS_MODULES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "internal/event.h"
#include "symbols/module_file.h"

struct module {
    uint64_t start, end; /* mapped range                                                     */
    uint64_t bias;       /* address in memory minus address in the file                       */
    uint32_t epoch;      /* frames of this epoch and later ones may lie in it                  */
    uint32_t flags;      /* enum hsk_module_flag                                              */
    uint8_t *build_id;   /* of the mapped image                                               */
    size_t build_id_length;
    char *path;               /* as the process names it; the executable's real path                */
    struct module_file *file; /* NULL unless HSK_MODULE_MATCHES                               */
};

struct module_set;

/*
 * A set for process `pid` (as the recorder sees it). Call it while the process is known to be alive and is still the
 * traced image, that is between its hello and its welcome: the executable and the root are taken here, so that modules
 * announced by a process that has died since are found too. NULL when memory ran out.
 */
struct module_set *module_set_new(pid_t pid);

/* The set of a forked child `pid`: the same modules, then its own. NULL when memory ran out. */
struct module_set *module_set_clone(const struct module_set *parent, pid_t pid);

/* NULL is allowed. */
void module_set_free(struct module_set *set);

/*
 * Adds what HS_MESSAGE_MODULE announced: `path` (path_length bytes, 0: the executable) and `build_id`
 * (build_id_length bytes) are the message's strings. A module that is in the set already (same range, bias and epoch)
 * is not added again. Opens the file now. That it cannot be opened is no error: the module's flags tell. Returns 0,
 * -EINVAL when the message makes no sense, -ENOMEM.
 */
int module_set_add(struct module_set *set, const struct hs_message_module *message, const char *path,
                   size_t path_length, const uint8_t *build_id, size_t build_id_length);

size_t module_set_count(const struct module_set *set);
const struct module *module_set_get(const struct module_set *set, size_t index);

/* The module that `pc` lay in at `epoch`, as an index; SIZE_MAX when there is none. */
size_t module_set_find(const struct module_set *set, uint32_t epoch, uint64_t pc);

/* The executable's path as /proc/PID/exe had it at module_set_new(), "" when it could not be read. */
const char *module_set_executable(const struct module_set *set);

/* Appends the payload of HSK_CHUNK_MODULES, indices 0 .. count-1. */
void module_set_write(const struct module_set *set, struct buf *payload);

#endif
