/* source_path.c - see source_path.h */
#include "report/source_path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Appends the components of `bytes` to an absolute path (without a slash at its end), resolving "." and "..". */
static void append_components(struct buf *path, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        const char *slash = memchr(bytes + at, '/', length - at);
        size_t end = slash ? (size_t)(slash - bytes) : length;
        size_t size = end - at;
        if (size == 2 && bytes[at] == '.' && bytes[at + 1] == '.') {
            while (path->length > 0 && path->data[--path->length] != '/')
                ;
        } else if (size > 0 && !(size == 1 && bytes[at] == '.')) {
            buf_append_byte(path, '/');
            buf_append(path, bytes + at, size);
        }
        at = end + 1;
    }
}

static void append_workspace(struct buf *path)
{
    const char *workspace = getenv("GITHUB_WORKSPACE");
    char *folder = workspace && workspace[0] == '/' ? strdup(workspace) : getcwd(NULL, 0);
    if (folder)
        append_components(path, folder, strlen(folder));
    free(folder);
}

bool source_path(struct buf *path, const struct frame *frame, const char *folder)
{
    struct buf absolute = BUF_INIT, workspace = BUF_INIT;
    struct text file = frame->file;
    bool native = frame->language != FRAME_PYTHON;
    if (!file.bytes || file.length == 0 || file.bytes[0] == '<' ||
        (native && file.length > 2 && memcmp(file.bytes, "../", 3) == 0))
        return false;
    append_workspace(&workspace);
    if (file.bytes[0] != '/') {
        if (folder && !native)
            append_components(&absolute, folder, strlen(folder));
        else
            buf_append(&absolute, workspace.data, workspace.length);
    }
    append_components(&absolute, file.bytes, file.length);
    size_t root = workspace.length;
    bool below = root > 0 && absolute.length > root + 1 && memcmp(absolute.data, workspace.data, root) == 0 &&
                 absolute.data[root] == '/';
    bool known = absolute.length > 0 && !absolute.failed && !workspace.failed;
    if (known && below)
        buf_append(path, absolute.data + root + 1, absolute.length - root - 1);
    else if (known)
        buf_append(path, absolute.data, absolute.length);
    buf_free(&absolute);
    buf_free(&workspace);
    return known && !path->failed;
}

bool source_uri(struct buf *uri, const struct frame *frame, const char *folder)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    struct buf path = BUF_INIT;
    bool known = source_path(&path, frame, folder);
    if (known && path.data[0] == '/')
        buf_append(uri, "file://", 7);
    for (size_t i = 0; known && i < path.length; i++) {
        if (path.data[i] && strchr(plain, path.data[i]))
            buf_append_byte(uri, path.data[i]);
        else
            buf_printf(uri, "%%%02X", path.data[i]);
    }
    buf_free(&path);
    return known && !uri->failed;
}
