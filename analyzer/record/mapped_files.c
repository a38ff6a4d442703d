/* mapped_files.c - see mapped_files.h */
#include "record/mapped_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Does `mapping` go on with the run that `last` belongs to? */
static bool continues(const struct mapping *last, const struct mapping *mapping)
{
    return last->inode == mapping->inode && last->device == mapping->device && last->offset <= mapping->offset;
}

int mapped_files_read(struct mapped_files *files, int folder)
{
    *files = MAPPED_FILES_INIT;
    int code = process_maps_read(&files->maps, folder);
    if (code != 0 || files->maps.count == 0)
        return code;
    files->files = calloc(files->maps.count, sizeof *files->files); /* more than enough */
    if (!files->files) {
        mapped_files_free(files);
        return -ENOMEM;
    }
    const struct mapping *last = NULL; /* of the run; NULL: there is none */
    for (size_t i = 0; i < files->maps.count; i++) {
        const struct mapping *mapping = &files->maps.all[i];
        if (!*mapping->name)
            continue; /* perhaps the zeroes behind a file's data: the run may go on */
        if (*mapping->name != '/') {
            last = NULL;
            continue;
        }
        if (!last || !continues(last, mapping))
            files->files[files->count++].first = mapping;
        files->files[files->count - 1].code |= mapping->execute;
        last = mapping;
    }
    return 0;
}

void mapped_files_free(struct mapped_files *files)
{
    free(files->files);
    process_maps_free(&files->maps);
    *files = MAPPED_FILES_INIT;
}

const struct mapping *mapped_files_find(const struct mapped_files *files, const char *name, bool prefix)
{
    for (size_t i = 0; i < files->count; i++) {
        const char *own = mapping_file(files->files[i].first);
        if (files->files[i].code && (prefix ? strncmp(own, name, strlen(name)) : strcmp(own, name)) == 0)
            return files->files[i].first;
    }
    return NULL;
}
