/* trace_writer.c - see trace_writer.h */
#include "record/trace_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_BYTES (64 << 10) /* held behind the end of the file, so that END and INDEX fit on a full disk */

struct trace_writer {
    int fd;
    int failure;
    char *path;
    uint64_t offset;      /* end of the last whole chunk */
    uint64_t chunk_count; /* without INDEX */
    uint64_t last_offset; /* of the chunk that the index names last */
    uint64_t reserved_to; /* bytes of the file that have room on the disk */
    struct buf index;
    struct buf stored; /* header and frames of the chunk being written */
    ZSTD_CCtx *zstd;
};

/* The whole of it, or a negative errno. */
static int write_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t written = pwrite(fd, at, length, (off_t)offset);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (written == 0)
            return -EIO;
        at += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return 0;
}

static int create_new(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* A new file beside the old one, moved over it at once. */
static int replace_old(const char *path, struct error *error)
{
    struct stat old;
    if (lstat(path, &old) != 0)
        return errno == ENOENT ? create_new(path) : -errno;
    if (S_ISLNK(old.st_mode))
        return error_set(error, -ELOOP, "%s: is a symbolic link, which --force does not replace: name the file itself",
                         path);
    if (!S_ISREG(old.st_mode))
        return error_set(error, -EEXIST, "%s: is not a regular file, which --force does not replace", path);

    char beside[PATH_MAX];
    int fd = -EEXIST;
    for (unsigned attempt = 0; fd == -EEXIST && attempt < 100; attempt++) {
        if ((size_t)snprintf(beside, sizeof beside, "%s.%ld.%u", path, (long)getpid(), attempt) >= sizeof beside)
            return -ENAMETOOLONG;
        fd = create_new(beside);
    }
    if (fd < 0)
        return fd;
    if (rename(beside, path) != 0) {
        int code = -errno;
        unlink(beside);
        close(fd);
        return code;
    }
    return fd;
}

static int describe_open_failure(int code, const char *path, struct error *error)
{
    switch (code) {
    case -EEXIST:
        return error_set(error, code, "%s: exists already: choose another name with -o, or replace it with --force",
                         path);
    case -EACCES:
    case -EPERM:
    case -EROFS:
    case -ENOENT:
    case -ENOTDIR:
        return error_set(error, code, "%s: cannot create: %s: choose another place with -o", path, strerror(-code));
    default:
        return error_set(error, code, "%s: cannot create: %s", path, strerror(-code));
    }
}

int trace_writer_open(struct trace_writer **result, const char *path, bool force, struct error *error)
{
    struct trace_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return error_set(error, -ENOMEM, "out of memory");
    writer->fd = -1;
    writer->index.ceiling = writer->stored.ceiling =
        HSK_MAX_CHUNK_STORED + sizeof(struct hsk_chunk_header) + (1u << 20);
    writer->path = strdup(path);
    writer->zstd = chunk_compressor();
    int code = -ENOMEM;
    if (!writer->path || !writer->zstd)
        goto failed;
    writer->fd = force ? replace_old(path, error) : create_new(path);
    if (writer->fd < 0) {
        code = describe_open_failure(writer->fd, path, error);
        goto failed;
    }
    /* Held to the end: who would write the trace anew sees by it that it is not finished. Not every file system can. */
    int locked = flock(writer->fd, LOCK_EX | LOCK_NB);
    (void)locked;
    struct hsk_file_header header = {.version = HSK_FORMAT_VERSION, .header_bytes = sizeof header};
    memcpy(header.magic, HSK_FILE_MAGIC, sizeof header.magic);
    code = write_all(writer->fd, &header, sizeof header, 0);
    if (code != 0) {
        error_set(error, code, "%s: cannot write: %s", path, strerror(-code));
        unlink(path);
        goto failed;
    }
    writer->offset = writer->last_offset = sizeof header;
    *result = writer;
    return 0;

failed:
    error_set(error, code, "%s: cannot create: %s", path, strerror(-code));
    trace_writer_abandon(writer);
    return code;
}

/* Room for the closing chunks behind the end; a file system that cannot do it simply has none. */
static void reserve_behind(struct trace_writer *writer)
{
    if (writer->reserved_to >= writer->offset + RESERVE_BYTES / 2)
        return;
    if (fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, (off_t)writer->offset, RESERVE_BYTES) == 0)
        writer->reserved_to = writer->offset + RESERVE_BYTES;
}

/* Appends bytes behind the last whole chunk, or leaves the file as it was. */
static int append_whole(struct trace_writer *writer, const void *bytes, size_t length, struct error *error)
{
    int code = write_all(writer->fd, bytes, length, writer->offset);
    if (code == 0) {
        writer->offset += length;
        return 0;
    }
    int truncated;
    do
        truncated = ftruncate(writer->fd, (off_t)writer->offset);
    while (truncated != 0 && errno == EINTR);
    writer->reserved_to = 0;
    if (writer->failure == 0)
        writer->failure = code;
    return error_set(error, code, "%s: cannot write: %s: the trace ends at byte %llu", writer->path, strerror(-code),
                     (unsigned long long)writer->offset);
}

static bool is_closing_chunk(enum hsk_chunk_type type)
{
    return type == HSK_CHUNK_NOTE || type == HSK_CHUNK_END || type == HSK_CHUNK_INDEX;
}

/* Fills writer->stored with header and frames. `header` as chunk_pack() wants it, but for the number. */
static int pack_chunk(struct trace_writer *writer, struct hsk_chunk_header *header, const struct trace_part *parts,
                      size_t part_count, struct error *error)
{
    header->number = writer->chunk_count;
    int code = chunk_pack(&writer->stored, header, parts, part_count, writer->zstd);
    if (code == -EFBIG)
        return error_set(error, code, "%s: a chunk of type %u has more than %u bytes", writer->path, header->type,
                         HSK_MAX_CHUNK_RAW);
    return code == 0 ? 0 : error_set(error, code, "%s: out of memory", writer->path);
}

int trace_writer_chunk(struct trace_writer *writer, const struct trace_chunk *chunk, struct error *error)
{
    if (writer->failure != 0 && !is_closing_chunk(chunk->type))
        return error_set(error, writer->failure, "%s: cannot write: %s", writer->path, strerror(-writer->failure));
    struct hsk_chunk_header header = {
        .type = (uint16_t)chunk->type,
        .time_first_ns = chunk->time_first_ns,
        .time_last_ns = chunk->time_last_ns,
        .ordinal_first = chunk->ordinal_first,
        .ordinal_count = chunk->ordinal_count,
        .event_count = chunk->event_count,
    };
    int code = pack_chunk(writer, &header, chunk->parts, chunk->part_count, error);
    if (code != 0)
        return code;
    /* Before the write: the index must name every chunk that the file has. */
    if (!buf_reserve(&writer->index, CHUNK_INDEX_MAX))
        return error_set(error, -ENOMEM, "%s: out of memory", writer->path);
    uint64_t offset = writer->offset;
    code = append_whole(writer, writer->stored.data, writer->stored.length, error);
    if (code != 0)
        return code;
    chunk_index_append(&writer->index, offset - writer->last_offset, &header);
    writer->last_offset = offset;
    writer->chunk_count++;
    if (writer->failure == 0)
        reserve_behind(writer);
    return 0;
}

int trace_writer_buf(struct trace_writer *writer, enum hsk_chunk_type type, const struct buf *raw,
                     uint64_t time_first_ns, uint64_t time_last_ns, struct error *error)
{
    if (raw->failed)
        return error_set(error, -ENOMEM, "%s: out of memory", writer->path);
    if (raw->length == 0)
        return 0;
    struct trace_part part = {raw->data, raw->length};
    struct trace_chunk chunk = {
        .type = type, .time_first_ns = time_first_ns, .time_last_ns = time_last_ns, .parts = &part, .part_count = 1};
    return trace_writer_chunk(writer, &chunk, error);
}

int trace_writer_finish(struct trace_writer *writer, struct error *error)
{
    uint64_t index_offset = writer->offset;
    struct trace_part part = {writer->index.data, writer->index.length};
    struct hsk_chunk_header header = {.type = HSK_CHUNK_INDEX};
    int code = pack_chunk(writer, &header, &part, 1, error);
    if (code == 0) {
        struct hsk_footer footer = chunk_footer(index_offset, writer->chunk_count + 1);
        buf_append(&writer->stored, &footer, sizeof footer);
        code = writer->stored.failed ? error_set(error, -ENOMEM, "%s: out of memory", writer->path)
                                     : append_whole(writer, writer->stored.data, writer->stored.length, error);
    }
    if (code == 0 && writer->failure != 0)
        code = error_set(error, writer->failure, "%s: cannot write: %s", writer->path, strerror(-writer->failure));
    trace_writer_abandon(writer);
    return code;
}

void trace_writer_abandon(struct trace_writer *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0) {
        /* gives the reserve back; a failure leaves some blocks behind the end, which nobody reads */
        int ignored = ftruncate(writer->fd, (off_t)writer->offset);
        (void)ignored;
        flock(writer->fd, LOCK_UN); /* a clone of the recorder may hold the descriptor a moment longer */
        close(writer->fd);
    }
    ZSTD_freeCCtx(writer->zstd);
    buf_free(&writer->index);
    buf_free(&writer->stored);
    free(writer->path);
    free(writer);
}

int trace_writer_rename(struct trace_writer *writer, const char *path, struct error *error)
{
    char *copy = strdup(path);
    if (!copy)
        return error_set(error, -ENOMEM, "out of memory");
    int code = 0;
    if (renameat2(AT_FDCWD, writer->path, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        code = -errno;
        if (code == -EINVAL || code == -ENOSYS) {
            /* the file system knows no such flag: a hard link does not replace either */
            code = link(writer->path, path) == 0 ? 0 : -errno;
            if (code == 0)
                unlink(writer->path);
        }
    }
    if (code != 0) {
        if (code != -EEXIST)
            error_set(error, code, "%s: cannot rename to %s: %s", writer->path, path, strerror(-code));
        free(copy);
        return code;
    }
    free(writer->path);
    writer->path = copy;
    return 0;
}

uint64_t trace_writer_bytes(const struct trace_writer *writer)
{
    return writer->offset;
}
const char *trace_writer_path(const struct trace_writer *writer)
{
    return writer->path;
}
int trace_writer_failure(const struct trace_writer *writer)
{
    return writer->failure;
}

void trace_field_bytes(struct buf *buf, enum hsk_field tag, const void *value, size_t length)
{
    buf_append_varint(buf, tag);
    buf_append_string(buf, value, length < HSK_MAX_STRING ? length : HSK_MAX_STRING);
}

void trace_field_string(struct buf *buf, enum hsk_field tag, const char *value)
{
    trace_field_bytes(buf, tag, value, strlen(value));
}

void trace_field_number(struct buf *buf, enum hsk_field tag, uint64_t value)
{
    char text[24];
    trace_field_bytes(buf, tag, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}
