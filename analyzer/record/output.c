/* output.c - see output.h */
#include "record/output.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING ".hsk"
#define MAX_SUFFIX 10000

struct output {
    _Atomic uint32_t references;
    pthread_mutex_t lock;
    struct trace_writer *writer; /* NULL: finished */
    char *path;
    uint64_t bytes; /* once finished */
    int failure;    /* likewise      */
};

/* Length of `path` without its ending. */
static int stem_length(const char *path)
{
    size_t length = strlen(path), ending = sizeof ENDING - 1;
    if (length > ending && strcmp(path + length - ending, ENDING) == 0 && path[length - ending - 1] != '/')
        length -= ending;
    return (int)length;
}

char *output_child_path(const char *path, int pid, int image)
{
    char *name;
    int length = image >= 0 ? asprintf(&name, "%.*s.%d.%d" ENDING, stem_length(path), path, pid, image)
                            : asprintf(&name, "%.*s.%d" ENDING, stem_length(path), path, pid);
    return length < 0 ? NULL : name;
}

static char *suffixed(const char *path, int number)
{
    char *name;
    if (number == 0)
        return strdup(path);
    return asprintf(&name, "%.*s.again-%d" ENDING, stem_length(path), path, number) < 0 ? NULL : name;
}

int output_open(struct output **result, const char *path, bool force, bool suffixes, struct error *error)
{
    struct output *output = calloc(1, sizeof *output);
    if (!output)
        return error_set(error, -ENOMEM, "out of memory");
    atomic_init(&output->references, 1);
    pthread_mutex_init(&output->lock, NULL);
    int code = -EEXIST;
    for (int number = 0; code == -EEXIST && number < (suffixes ? MAX_SUFFIX : 1); number++) {
        struct error why = {0};
        free(output->path);
        output->path = suffixed(path, number);
        if (!output->path) {
            code = -ENOMEM;
            break;
        }
        code = trace_writer_open(&output->writer, output->path, force, &why);
        if (code != 0 && (code != -EEXIST || !suffixes))
            error_set(error, code, "%s", why.text);
        if (code == -ELOOP && suffixes)
            code = -EEXIST; /* a symbolic link has taken the name */
    }
    if (code != 0) {
        error_set(error, code, "%s: cannot create: %s", path, strerror(-code));
        output_unref(output);
        return code;
    }
    *result = output;
    return 0;
}

struct output *output_ref(struct output *output)
{
    atomic_fetch_add(&output->references, 1);
    return output;
}

void output_unref(struct output *output)
{
    if (!output || atomic_fetch_sub(&output->references, 1) != 1)
        return;
    trace_writer_abandon(output->writer);
    pthread_mutex_destroy(&output->lock);
    free(output->path);
    free(output);
}

int output_chunk(struct output *output, const struct trace_chunk *chunk, struct error *error)
{
    pthread_mutex_lock(&output->lock);
    int code = output->writer ? trace_writer_chunk(output->writer, chunk, error) : -EBADF;
    pthread_mutex_unlock(&output->lock);
    return code;
}

int output_buf(struct output *output, enum hsk_chunk_type type, const struct buf *raw, uint64_t time_first_ns,
               uint64_t time_last_ns, struct error *error)
{
    pthread_mutex_lock(&output->lock);
    int code =
        output->writer ? trace_writer_buf(output->writer, type, raw, time_first_ns, time_last_ns, error) : -EBADF;
    pthread_mutex_unlock(&output->lock);
    return code;
}

int output_flush(struct output *output, struct encoder *encoder, struct error *error)
{
    if (encoder_empty(encoder))
        return 0;
    pthread_mutex_lock(&output->lock);
    int code = output->writer ? encoder_flush(encoder, output->writer, error) : -EBADF;
    pthread_mutex_unlock(&output->lock);
    return code;
}

int output_finish(struct output *output, struct error *error)
{
    pthread_mutex_lock(&output->lock);
    int code = -EBADF;
    if (output->writer) {
        code = trace_writer_finish(output->writer, error);
        output->writer = NULL;
        output->failure = code;
        struct stat status;
        if (lstat(output->path, &status) == 0)
            output->bytes = (uint64_t)status.st_size;
    }
    pthread_mutex_unlock(&output->lock);
    return code;
}

int output_failure(struct output *output)
{
    pthread_mutex_lock(&output->lock);
    int failure = output->writer ? trace_writer_failure(output->writer) : output->failure;
    pthread_mutex_unlock(&output->lock);
    return failure;
}

uint64_t output_bytes(struct output *output)
{
    pthread_mutex_lock(&output->lock);
    uint64_t bytes = output->writer ? trace_writer_bytes(output->writer) : output->bytes;
    pthread_mutex_unlock(&output->lock);
    return bytes;
}

static int rename_finished(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* the file system knows no such flag: a hard link does not replace either */
    if (link(from, to) != 0)
        return -errno;
    unlink(from);
    return 0;
}

int output_rename(struct output *output, const char *path)
{
    int code = -EEXIST;
    pthread_mutex_lock(&output->lock);
    for (int number = 0; code == -EEXIST && number < MAX_SUFFIX; number++) {
        char *name = suffixed(path, number);
        if (!name) {
            code = -ENOMEM;
            break;
        }
        code = output->writer ? trace_writer_rename(output->writer, name, NULL) : rename_finished(output->path, name);
        if (code == 0) {
            free(output->path);
            output->path = name;
        } else {
            free(name);
        }
    }
    pthread_mutex_unlock(&output->lock);
    return code;
}

void output_delete(struct output *output)
{
    pthread_mutex_lock(&output->lock);
    trace_writer_abandon(output->writer);
    output->writer = NULL;
    unlink(output->path);
    pthread_mutex_unlock(&output->lock);
}

char *output_path(struct output *output)
{
    pthread_mutex_lock(&output->lock);
    char *path = strdup(output->path);
    pthread_mutex_unlock(&output->lock);
    return path;
}

char *output_name(struct output *output)
{
    pthread_mutex_lock(&output->lock);
    const char *slash = strrchr(output->path, '/');
    char *name = strdup(slash ? slash + 1 : output->path);
    pthread_mutex_unlock(&output->lock);
    return name;
}
