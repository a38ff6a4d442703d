/* text_file.c - see text_file.h */
#include "base/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int text_file_read(struct buf *text, const char *path, const char *what, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, -errno, "%s: %s", path, strerror(errno));
    char part[16384];
    size_t got;
    errno = 0;
    while (!text->failed && (got = fread(part, 1, sizeof part, file)) > 0)
        buf_append(text, part, got);
    int code = ferror(file) ? -(errno ? errno : EIO) : 0;
    fclose(file);
    if (code != 0)
        return error_set(error, code, "%s: cannot be read: %s", path, strerror(-code));
    buf_append_byte(text, 0);
    if (text->failed)
        return error_set(error, -EFBIG, "%s: larger than %zu KiB: not a file of %s", path, text->ceiling >> 10, what);
    text->length--;
    return 0;
}
