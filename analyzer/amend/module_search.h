/*
 * module_search.h - where the file of a module, or its debug information, lies by now.
 *
 * What counts is the build-id alone: a file of another build is never taken, whatever its name. Not thread-safe.
 */
#ifndef HEAPSAKE_AMEND_MODULE_SEARCH_H
#define HEAPSAKE_AMEND_MODULE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "symbols/module_file.h"

struct module_search;

/*
 * `folders`: where to look besides the recorded paths and /usr/lib/debug; they stay the caller's. With `debuginfod` its
 * servers are asked too. A folder that cannot be read, and servers that cannot be asked, are failures: they were named
 * to be used. The caller owns *search.
 */
int module_search_open(struct module_search **search, const char *const *folders, size_t folder_count, bool debuginfod,
                       struct error *error);
/* NULL is nothing. */
void module_search_close(struct module_search *search);

struct found_module {
    struct module_file *file; /* a reference of the caller's; NULL: nothing was found                */
    enum elf_names names;     /* what it tells                                                       */
    char *path;               /* of the file that tells it; the caller frees it                      */
    bool fetched;             /* from debuginfod                                                     */
    struct buf refused;       /* files of other builds where it was expected: terminated sentences    */
    int servers;              /* what debuginfod answered last: 0, or -errno; -ENOENT: has no such file */
};

/*
 * The file of that build that tells most. `path` is the module's as it was recorded, "" when unknown. 0, also when
 * nothing was found, or -ENOMEM. found_module_clear() gives back what `found` holds.
 */
int module_search_find(struct module_search *search, const char *path, const uint8_t *build_id, size_t length,
                       struct found_module *found);
void found_module_clear(struct found_module *found);

#endif
