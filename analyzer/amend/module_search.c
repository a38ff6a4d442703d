/* module_search.c - see module_search.h */
#include "amend/module_search.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "amend/debuginfod.h"
#include "base/grow.h"
#include "internal/compiler.h"

#define SYSTEM_DEBUG_FOLDER "/usr/lib/debug"

/* A native file in one of the folders. */
struct known_file {
    struct elf_identity identity;
    char *path;
};

struct module_search {
    const char *const *folders;
    size_t folder_count;
    struct debuginfod *servers;
    bool walked; /* the rest holds: every native file in the folders, by build-id and the best first */
    struct known_file *files;
    size_t file_count, file_capacity;
};

int module_search_open(struct module_search **result, const char *const *folders, size_t folder_count, bool debuginfod,
                       struct error *error)
{
    for (size_t i = 0; i < folder_count; i++) {
        int fd = open(folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return error_set(error, -errno, "%s: cannot be searched: %s", folders[i], strerror(errno));
        close(fd);
    }
    struct module_search *search = calloc(1, sizeof *search);
    if (!search)
        return error_set(error, -ENOMEM, "out of memory");
    search->folders = folders;
    search->folder_count = folder_count;
    int code = debuginfod ? debuginfod_open(&search->servers, error) : 0;
    if (code != 0)
        module_search_close(search);
    else
        *result = search;
    return code;
}

void module_search_close(struct module_search *search)
{
    if (!search)
        return;
    for (size_t i = 0; i < search->file_count; i++)
        free(search->files[i].path);
    free(search->files);
    debuginfod_close(search->servers);
    free(search);
}

void found_module_clear(struct found_module *found)
{
    module_file_unref(found->file);
    free(found->path);
    buf_free(&found->refused);
    *found = (struct found_module){0};
}

/* ---- everything in the folders ---- */

static int compare_ids(const struct elf_identity *a, const struct elf_identity *b)
{
    if (a->build_id_length != b->build_id_length)
        return a->build_id_length < b->build_id_length ? -1 : 1;
    return memcmp(a->build_id, b->build_id, a->build_id_length);
}

static int compare_files(const void *a, const void *b)
{
    const struct known_file *x = a, *y = b;
    int ids = compare_ids(&x->identity, &y->identity);
    if (ids != 0)
        return ids;
    if (x->identity.names != y->identity.names)
        return x->identity.names > y->identity.names ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* False when memory runs out. What is no native file, or cannot be read, is none of ours. */
static bool note_file(struct module_search *search, const char *path)
{
    struct known_file file = {0};
    int fd = module_root_open(NULL, path);
    bool usable = fd >= 0 && elf_identify(fd, &file.identity) && file.identity.build_id_length > 0;
    if (fd >= 0)
        close(fd);
    if (!usable)
        return true;
    if (!grow((void **)&search->files, search->file_count, &search->file_capacity, sizeof *search->files))
        return false;
    file.path = strdup(path);
    if (file.path)
        search->files[search->file_count++] = file;
    return file.path;
}

/* Links to folders are not followed, so that there is an end; links to files are. */
static bool walk(struct module_search *search)
{
    bool whole = true;
    search->walked = true;
    for (size_t i = 0; i < search->folder_count && whole; i++) {
        char *roots[] = {(char *)(uintptr_t)search->folders[i], NULL};
        FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
        whole = tree;
        for (FTSENT *entry; whole && (entry = fts_read(tree));)
            if (entry->fts_info == FTS_F || entry->fts_info == FTS_SL)
                whole = note_file(search, entry->fts_path);
        if (tree)
            fts_close(tree);
    }
    if (search->file_count > 1)
        qsort(search->files, search->file_count, sizeof *search->files, compare_files);
    return whole;
}

/* The best file of that build; NULL: there is none. */
static const struct known_file *in_folders(const struct module_search *search, const struct elf_identity *wanted)
{
    size_t low = 0, high = search->file_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(&search->files[middle].identity, wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < search->file_count && compare_ids(&search->files[low].identity, wanted) == 0;
    return found ? &search->files[low] : NULL;
}

/* ---- one module ---- */

/* What an open file is called now; NULL when memory runs out. */
static char *path_of(int fd)
{
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return strdup("");
    path[length] = '\0';
    return strdup(path);
}

/* Takes `file` over: keeps it when it tells more than what was found before. False when memory runs out. */
static bool keep_better(struct found_module *found, struct module_file *file, bool fetched)
{
    if (!file)
        return true;
    if (found->file && module_file_names(file) <= found->names) {
        module_file_unref(file);
        return true;
    }
    int debug_fd = module_file_debug_descriptor(file);
    module_file_unref(found->file);
    free(found->path);
    found->file = file;
    found->names = module_file_names(file);
    found->path = path_of(debug_fd >= 0 ? debug_fd : module_file_descriptor(file));
    found->fetched = fetched;
    return found->path;
}

/*
 * A place where the module may lie. `named_after`: a file of another build that is there is told, because one would
 * take it for the module's. `own`: its debug information is looked for as well. False when memory runs out.
 */
static bool try_place(struct found_module *found, const char *path, const struct elf_identity *wanted, bool named_after,
                      bool own)
{
    struct elf_identity identity;
    if (found->names == ELF_DEBUG_INFORMATION)
        return true;
    int fd = module_root_open(NULL, path);
    if (fd < 0)
        return true;
    bool is_elf = elf_identify(fd, &identity);
    if (is_elf && elf_is_build(&identity, wanted->build_id, wanted->build_id_length))
        return keep_better(found, module_file_adopt(fd, NULL, own ? path : NULL), false);
    close(fd);
    if (!is_elf || !named_after)
        return true;
    char text[BUILD_ID_TEXT_SIZE];
    buf_printf(&found->refused, "%s is of another build (build-id %s): it is not used", path,
               identity.build_id_length ? build_id_text(text, identity.build_id, identity.build_id_length) : "none");
    buf_append_byte(&found->refused, 0);
    return !found->refused.failed;
}

static bool try_format(struct found_module *found, const struct elf_identity *wanted, bool named_after,
                       const char *format, ...) HS_PRINTF(4, 5);
static bool try_format(struct found_module *found, const struct elf_identity *wanted, bool named_after,
                       const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return length < 0 || (size_t)length >= sizeof path || try_place(found, path, wanted, named_after, false);
}

/* A folder laid out as /usr/lib/debug is, or as the root of the machine where it ran. */
static bool try_folder(struct found_module *found, const char *folder, const char *path,
                       const struct elf_identity *wanted)
{
    char rest[BUILD_ID_TEXT_SIZE];
    build_id_text(rest, wanted->build_id + 1, wanted->build_id_length - 1);
    return try_format(found, wanted, false, "%s/.build-id/%02x/%s.debug", folder, wanted->build_id[0], rest) &&
           try_format(found, wanted, false, "%s/.build-id/%02x/%s", folder, wanted->build_id[0], rest) &&
           (*path != '/' || (try_format(found, wanted, true, "%s%s.debug", folder, path) &&
                             try_format(found, wanted, true, "%s%s", folder, path)));
}

/* False when memory runs out. */
static bool ask_servers(struct module_search *search, struct found_module *found, const struct elf_identity *wanted)
{
    /* The executable has symbols at least; debug information has them all. */
    for (enum debuginfod_kind kind = DEBUGINFOD_DEBUG_INFORMATION; kind <= DEBUGINFOD_EXECUTABLE; kind++) {
        if (found->names == ELF_DEBUG_INFORMATION || (found->file && kind == DEBUGINFOD_EXECUTABLE))
            return true;
        struct elf_identity identity;
        int fd = debuginfod_fetch(search->servers, wanted->build_id, wanted->build_id_length, kind);
        found->servers = fd < 0 ? fd : 0;
        if (fd < 0)
            continue;
        if (!elf_identify(fd, &identity) || !elf_is_build(&identity, wanted->build_id, wanted->build_id_length)) {
            close(fd);
            static const char text[] = "the server's file is of another build: it is not used";
            buf_append(&found->refused, text, sizeof text);
            if (found->refused.failed)
                return false;
        } else if (!keep_better(found, module_file_adopt(fd, NULL, NULL), true))
            return false;
    }
    return true;
}

static bool is_vdso(const char *path)
{
    return !strchr(path, '/') && strstr(path, "vdso");
}

static bool take_vdso(struct found_module *found, const struct elf_identity *wanted)
{
    size_t length;
    struct module_file *file = module_file_vdso();
    const uint8_t *build_id = file ? module_file_build_id(file, &length) : NULL;
    if (file && length == wanted->build_id_length && memcmp(build_id, wanted->build_id, length) == 0)
        return keep_better(found, file, false);
    module_file_unref(file);
    return true;
}

int module_search_find(struct module_search *search, const char *path, const uint8_t *build_id, size_t length,
                       struct found_module *found)
{
    *found = (struct found_module){0};
    struct elf_identity wanted = {.build_id_length = length};
    if (length == 0 || length > BUILD_ID_MAX_BYTES)
        return 0;
    memcpy(wanted.build_id, build_id, length);
    bool whole = !is_vdso(path) || take_vdso(found, &wanted);
    if (whole && *path == '/')
        whole = try_place(found, path, &wanted, true, true);
    for (size_t i = 0; i < search->folder_count && whole; i++)
        whole = try_folder(found, search->folders[i], path, &wanted);
    if (whole && found->names != ELF_DEBUG_INFORMATION && search->folder_count > 0) {
        whole = search->walked || walk(search);
        const struct known_file *file = whole ? in_folders(search, &wanted) : NULL;
        if (file)
            whole = try_place(found, file->path, &wanted, false, false);
    }
    whole = whole && try_folder(found, SYSTEM_DEBUG_FOLDER, path, &wanted);
    whole = whole && (!search->servers || ask_servers(search, found, &wanted));
    if (!whole)
        found_module_clear(found);
    return whole ? 0 : -ENOMEM;
}
