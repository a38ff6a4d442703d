/* trace_reader.c - see trace_reader.h */
#include "trace/trace_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "base/grow.h"

#define HEADER_BYTES sizeof(struct hsk_chunk_header)
#define MAX_PROBLEMS 200
#define SCAN_BYTES (1u << 20)
#define MAX_FILE_HEADER 4096u

static const char *const chunk_names[] = {
    [HSK_CHUNK_PROCESS] = "PROCESS", [HSK_CHUNK_EVENTS] = "EVENTS",   [HSK_CHUNK_NODES] = "NODES",
    [HSK_CHUNK_CODES] = "CODES",     [HSK_CHUNK_MODULES] = "MODULES", [HSK_CHUNK_SYMBOLS] = "SYMBOLS",
    [HSK_CHUNK_THREADS] = "THREADS", [HSK_CHUNK_SAMPLES] = "SAMPLES", [HSK_CHUNK_INHERITED] = "INHERITED",
    [HSK_CHUNK_NOTE] = "NOTE",       [HSK_CHUNK_END] = "END",         [HSK_CHUNK_INDEX] = "INDEX",
    [HSK_CHUNK_TYPES] = "TYPES",     [HSK_CHUNK_GRAPH] = "GRAPH",     [HSK_CHUNK_SNAPSHOT] = "SNAPSHOT",
};

const char *trace_chunk_name(unsigned type)
{
    return type < HS_COUNT_OF(chunk_names) ? chunk_names[type] : NULL;
}

int trace_reader_bytes(struct trace_reader *reader, uint64_t offset, void *out, size_t length)
{
    if (offset > reader->bytes || length > reader->bytes - offset)
        return -ENODATA;
    if (reader->memory) {
        memcpy(out, reader->memory + offset, length);
        return 0;
    }
    uint8_t *at = out;
    while (length > 0) {
        ssize_t got = pread(reader->fd, at, length, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (got == 0)
            return -ENODATA; /* it was cut while we read */
        at += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

void trace_reader_problem(struct trace_reader *reader, const char *format, ...)
{
    if (reader->problem_count == MAX_PROBLEMS) {
        reader->problems_left_out++;
        return;
    }
    if (!grow((void **)&reader->problems, reader->problem_count, &reader->problem_capacity, sizeof *reader->problems)) {
        reader->problems_left_out++;
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct buf *problem = &reader->problems[reader->problem_count];
    *problem = BUF_INIT;
    buf_append(problem, text, strlen(text) + 1);
    if (problem->failed) {
        buf_free(problem);
        reader->problems_left_out++;
        return;
    }
    reader->problem_count++;
}

static void note_damage(struct trace_reader *reader, uint64_t offset)
{
    if (offset < reader->damage_offset)
        reader->damage_offset = offset;
}

/*
 * More ordinals than the chunks before can hold, and an inherited table, are a lie: they would make a small file
 * take much memory.
 */
static bool ordinals_possible(const struct hsk_chunk_header *header)
{
    return header->ordinal_first <= HSK_MAX_ORDINAL &&
           header->ordinal_first <= header->number * HSK_MAX_EVENTS_OPS + HSK_MAX_CHUNK_RAW;
}

static bool header_valid(const struct hsk_chunk_header *header, uint64_t offset)
{
    return header->magic == HSK_CHUNK_MAGIC &&
           header->header_crc ==
               (uint32_t)crc32(0, (const Bytef *)header, offsetof(struct hsk_chunk_header, header_crc)) &&
           header->stored_bytes <= HSK_MAX_CHUNK_STORED && header->raw_bytes <= HSK_MAX_CHUNK_RAW &&
           header->number <= offset / HEADER_BYTES && header->time_first_ns <= header->time_last_ns &&
           ordinals_possible(header) && header->ordinal_count <= HSK_MAX_EVENTS_OPS &&
           header->event_count <= HSK_MAX_EVENTS_OPS;
}

static int add_place(struct trace_reader *reader, uint64_t offset, const struct hsk_chunk_header *header,
                     enum trace_chunk_state state)
{
    if (!grow((void **)&reader->chunks, reader->chunk_count, &reader->chunk_capacity, sizeof *reader->chunks))
        return -ENOMEM;
    reader->chunks[reader->chunk_count++] = (struct trace_place){.offset = offset, .state = state, .header = *header};
    return 0;
}

static const char *describe_type(const struct hsk_chunk_header *header)
{
    const char *name = trace_chunk_name(header->type);
    return name ? name : "unknown type";
}

void trace_reader_damaged(struct trace_reader *reader, size_t i, const char *what)
{
    struct trace_place *place = &reader->chunks[i];
    if (place->state == TRACE_CHUNK_DAMAGED)
        return;
    place->state = TRACE_CHUNK_DAMAGED;
    note_damage(reader, place->offset);
    if (place->header.type == HSK_CHUNK_EVENTS)
        trace_reader_problem(reader, "chunk %llu (EVENTS, byte %llu, %.3f s to %.3f s, %u events): %s",
                             (unsigned long long)place->header.number, (unsigned long long)place->offset,
                             (double)place->header.time_first_ns / 1e9, (double)place->header.time_last_ns / 1e9,
                             place->header.event_count, what);
    else
        trace_reader_problem(reader, "chunk %llu (%s, byte %llu): %s", (unsigned long long)place->header.number,
                             describe_type(&place->header), (unsigned long long)place->offset, what);
}

/* Decompresses the frames of `stored` into reader->raw. NULL, or what is wrong. */
static const char *decompress(struct trace_reader *reader, uint32_t raw_bytes)
{
    static const char wrong_size[] = "its frames do not have the size that its header says";
    const struct buf *stored = &reader->stored;
    uint64_t announced = 0;
    for (size_t at = 0; at < stored->length;) {
        unsigned long long content = ZSTD_getFrameContentSize(stored->data + at, stored->length - at);
        size_t frame = ZSTD_findFrameCompressedSize(stored->data + at, stored->length - at);
        if (ZSTD_isError(frame))
            return "its frames are damaged";
        if (content > raw_bytes - announced) /* unknown and error are large numbers */
            return wrong_size;
        announced += content;
        at += frame;
    }
    if (announced != raw_bytes)
        return wrong_size;
    buf_clear(&reader->raw);
    if (!buf_reserve(&reader->raw, (size_t)raw_bytes + TRACE_PADDING))
        return "out of memory";
    size_t length = ZSTD_decompressDCtx(reader->zstd, reader->raw.data, raw_bytes, stored->data, stored->length);
    if (ZSTD_isError(length))
        return "its contents do not match their checksum";
    if (length != raw_bytes)
        return wrong_size;
    memset(reader->raw.data + length, 0, TRACE_PADDING);
    reader->raw.length = length;
    return NULL;
}

int trace_reader_load(struct trace_reader *reader, size_t i, const uint8_t **raw, size_t *length)
{
    struct trace_place *place = &reader->chunks[i];
    if (place->state == TRACE_CHUNK_DAMAGED)
        return -EBADMSG;
    buf_clear(&reader->stored);
    const char *wrong = NULL;
    uint32_t stored_bytes = place->header.stored_bytes;
    if (!buf_reserve(&reader->stored, (size_t)stored_bytes + 1)) {
        wrong = "out of memory";
    } else {
        int code = trace_reader_bytes(reader, place->offset + HEADER_BYTES, reader->stored.data, stored_bytes);
        reader->stored.length = stored_bytes;
        wrong = code == -ENODATA ? "the file ends inside it" : code != 0 ? strerror(-code) : NULL;
    }
    if (!wrong)
        wrong = decompress(reader, place->header.raw_bytes);
    if (wrong) {
        trace_reader_damaged(reader, i, wrong);
        return -EBADMSG;
    }
    place->state = TRACE_CHUNK_WHOLE;
    *raw = reader->raw.data;
    *length = reader->raw.length;
    return 0;
}

/* Places from the index; false when it is not whole or does not fit the file: then walk. */
static bool read_index(struct trace_reader *reader, uint64_t first_offset)
{
    struct hsk_footer footer;
    struct hsk_chunk_header header;
    if (reader->bytes < first_offset + HEADER_BYTES + sizeof footer ||
        trace_reader_bytes(reader, reader->bytes - sizeof footer, &footer, sizeof footer) != 0 ||
        footer.magic != HSK_FOOTER_MAGIC ||
        footer.crc != (uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct hsk_footer, crc)) ||
        footer.chunk_count == 0 || trace_reader_bytes(reader, footer.index_offset, &header, sizeof header) != 0 ||
        !header_valid(&header, footer.index_offset) || header.type != HSK_CHUNK_INDEX ||
        header.number != footer.chunk_count - 1 ||
        footer.index_offset + HEADER_BYTES + header.stored_bytes != reader->bytes - sizeof footer)
        return false;

    const uint8_t *raw;
    size_t length;
    if (add_place(reader, footer.index_offset, &header, TRACE_CHUNK_UNREAD) != 0)
        return false;
    if (trace_reader_load(reader, 0, &raw, &length) != 0)
        goto unusable;
    struct trace_place index_place = reader->chunks[0];
    reader->chunk_count = 0;

    struct cursor cursor = {.at = raw, .end = raw + length};
    uint64_t offset = sizeof(struct hsk_file_header), end = first_offset;
    for (uint64_t number = 0; number < footer.chunk_count - 1; number++) {
        offset += cursor_varint(&cursor);
        uint64_t type = cursor_varint(&cursor), stored = cursor_varint(&cursor);
        uint64_t time_first = cursor_varint(&cursor), time_span = cursor_varint(&cursor);
        uint64_t ordinal_first = cursor_varint(&cursor), ordinals = cursor_varint(&cursor);
        uint64_t events = cursor_varint(&cursor);
        if (cursor.failed || offset < end || stored > HSK_MAX_CHUNK_STORED || offset > footer.index_offset ||
            offset + HEADER_BYTES + stored > footer.index_offset)
            goto unusable;
        end = offset + HEADER_BYTES + stored;
        bool valid = trace_reader_bytes(reader, offset, &header, sizeof header) == 0 && header_valid(&header, offset) &&
                     header.number == number && header.type == type && header.stored_bytes == stored;
        if (!valid)
            header = (struct hsk_chunk_header){.type = (uint16_t)type,
                                               .stored_bytes = (uint32_t)stored,
                                               .number = number,
                                               .time_first_ns = time_first,
                                               .time_last_ns = time_first + time_span,
                                               .ordinal_first = ordinal_first,
                                               .ordinal_count = (uint32_t)ordinals,
                                               .event_count = (uint32_t)events};
        if (add_place(reader, offset, &header, TRACE_CHUNK_UNREAD) != 0)
            goto unusable;
        if (!valid)
            trace_reader_damaged(reader, reader->chunk_count - 1, "its header is damaged");
    }
    if (cursor.at != cursor.end || add_place(reader, index_place.offset, &index_place.header, TRACE_CHUNK_WHOLE) != 0)
        goto unusable;
    reader->known_chunks = footer.chunk_count;
    reader->indexed = true;
    return true;

unusable:
    reader->chunk_count = 0;
    reader->damage_offset = UINT64_MAX;
    for (size_t i = 0; i < reader->problem_count; i++)
        buf_free(&reader->problems[i]);
    reader->problem_count = 0;
    return false;
}

/* The offset of the next valid header at or behind `offset`, UINT64_MAX when there is none. */
static uint64_t search_header(struct trace_reader *reader, uint64_t offset, uint8_t *window)
{
    static const uint8_t magic[4] = {'C', 'H', 'N', 'K'};
    while (offset + HEADER_BYTES <= reader->bytes) {
        uint64_t left = reader->bytes - offset;
        size_t length = left < SCAN_BYTES ? (size_t)left : SCAN_BYTES;
        if (trace_reader_bytes(reader, offset, window, length) != 0) {
            offset += HS_PAGE_SIZE; /* an unreadable sector */
            continue;
        }
        for (const uint8_t *at = window; (at = memmem(at, length - (size_t)(at - window), magic, sizeof magic)) != NULL;
             at++) {
            struct hsk_chunk_header header;
            uint64_t here = offset + (uint64_t)(at - window);
            if (trace_reader_bytes(reader, here, &header, sizeof header) == 0 && header_valid(&header, here))
                return here;
        }
        if (length < SCAN_BYTES)
            break;
        offset += length - sizeof magic + 1;
    }
    return UINT64_MAX;
}

static bool footer_at(struct trace_reader *reader, uint64_t offset)
{
    struct hsk_footer footer;
    return reader->bytes - offset == sizeof footer && trace_reader_bytes(reader, offset, &footer, sizeof footer) == 0 &&
           footer.magic == HSK_FOOTER_MAGIC &&
           footer.crc == (uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct hsk_footer, crc));
}

static bool has_type(const struct trace_reader *reader, enum hsk_chunk_type type)
{
    for (size_t i = reader->chunk_count; i-- > 0;)
        if (reader->chunks[i].header.type == type)
            return true;
    return false;
}

/* Places from the headers themselves. */
static int walk_chunks(struct trace_reader *reader, uint64_t offset)
{
    uint8_t *window = NULL;
    int code = 0;
    uint64_t payload = offset; /* where a search may begin: inside the last chunk, which may be the damaged one */
    while (offset < reader->bytes) {
        struct hsk_chunk_header header;
        if (trace_reader_bytes(reader, offset, &header, sizeof header) == 0 && header_valid(&header, offset)) {
            bool inside = header.stored_bytes <= reader->bytes - offset - HEADER_BYTES;
            code = add_place(reader, offset, &header, TRACE_CHUNK_UNREAD);
            if (code != 0)
                break;
            payload = offset + HEADER_BYTES;
            if (inside) {
                offset = payload + header.stored_bytes;
                continue;
            }
            reader->chunks[reader->chunk_count - 1].state = TRACE_CHUNK_DAMAGED;
            trace_reader_problem(reader, "chunk %llu (%s, byte %llu): the file ends inside it",
                                 (unsigned long long)header.number, describe_type(&header), (unsigned long long)offset);
        } else if (footer_at(reader, offset)) {
            break;
        }
        if (!window && !(window = malloc(SCAN_BYTES))) {
            code = -ENOMEM;
            break;
        }
        uint64_t next = search_header(reader, payload, window);
        if (next == UINT64_MAX) {
            /* a footer that is there but damaged, or a file that was cut off */
            const struct trace_place *last = reader->chunk_count ? &reader->chunks[reader->chunk_count - 1] : NULL;
            reader->truncated = !last || last->header.type != HSK_CHUNK_INDEX || last->state == TRACE_CHUNK_DAMAGED ||
                                reader->bytes - offset != sizeof(struct hsk_footer);
            note_damage(reader, reader->truncated ? reader->bytes : offset);
            break;
        }
        note_damage(reader, offset);
        if (next > offset)
            trace_reader_problem(reader, "%llu bytes at byte %llu are no chunk", (unsigned long long)(next - offset),
                                 (unsigned long long)offset);
        offset = next;
    }
    free(window);
    return code;
}

/* What a walk can know of chunks that it did not find. */
static void count_known(struct trace_reader *reader)
{
    uint64_t last = 0;
    for (size_t i = 0; i < reader->chunk_count; i++)
        if (reader->chunks[i].header.number >= last)
            last = reader->chunks[i].header.number + 1;
    bool has_index = has_type(reader, HSK_CHUNK_INDEX);
    reader->known_chunks = last + !reader->has_end + !has_index;
    if (reader->known_chunks < reader->chunk_count)
        reader->known_chunks = reader->chunk_count;
    if (!reader->has_end)
        trace_reader_problem(
            reader, "the end is missing: what came behind %.3f s is not known",
            reader->chunk_count ? (double)reader->chunks[reader->chunk_count - 1].header.time_last_ns / 1e9 : 0.0);
    if (!has_index) {
        reader->truncated = true;
        note_damage(reader, reader->bytes);
        trace_reader_problem(reader, "the index is missing: it was rebuilt");
    } else {
        trace_reader_problem(reader, "index or footer are damaged: the index was rebuilt");
    }
}

/* The recorder's version from the PROCESS chunk, if this version of the format can be read that far. */
static void recorder_version(struct trace_reader *reader, char *version, size_t size)
{
    snprintf(version, size, "(version unknown)");
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].header.type != HSK_CHUNK_PROCESS || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        struct cursor cursor = {.at = raw, .end = raw + length};
        while (cursor.at < cursor.end) {
            uint64_t tag = cursor_varint(&cursor);
            size_t value_length;
            const char *value = cursor_string(&cursor, &value_length);
            if (tag == HSK_FIELD_RECORDER_VERSION && value && value_length < size) {
                memcpy(version, value, value_length);
                version[value_length] = '\0';
                return;
            }
        }
    }
}

/* The file header has no checksum: a version or feature that this reader does not know is believed. */
static int check_version(struct trace_reader *reader, const struct hsk_file_header *header, struct error *error)
{
    if (header->version <= HSK_FORMAT_VERSION && header->version > 0 && header->incompatible == 0)
        return 0;
    char version[64];
    recorder_version(reader, version, sizeof version);
    if (header->version != HSK_FORMAT_VERSION)
        return error_set(
            error, -ENOTSUP,
            "%s: has format version %u, written by heapsake %s: heapsake %s reads up to version %u: open it "
            "with the heapsake that wrote it",
            reader->path, header->version, version, HEAPSAKE_VERSION, HSK_FORMAT_VERSION);
    return error_set(
        error, -ENOTSUP,
        "%s: uses features 0x%llx, written by heapsake %s, which version %s does not know: open it with the "
        "heapsake that wrote it",
        reader->path, (unsigned long long)header->incompatible, version, HEAPSAKE_VERSION);
}

static int open_contents(struct trace_reader *reader, struct error *error)
{
    struct hsk_file_header header = {0};
    struct hsk_chunk_header first;
    if (reader->bytes == 0)
        return error_set(error, -EINVAL, "%s: is empty: no trace was written", reader->path);
    if (reader->bytes < sizeof header)
        return error_set(error, -EINVAL, "%s: is not a heapsake trace", reader->path);
    int code = trace_reader_bytes(reader, 0, &header, sizeof header);
    if (code != 0)
        return error_set(error, code, "%s: cannot read: %s", reader->path, strerror(-code));
    bool magic_whole = memcmp(header.magic, HSK_FILE_MAGIC, sizeof header.magic) == 0;
    uint64_t first_offset = header.header_bytes;
    bool length_whole = first_offset >= sizeof header && first_offset <= MAX_FILE_HEADER;
    if (!length_whole || !magic_whole)
        first_offset = sizeof header;
    bool chunk_follows =
        trace_reader_bytes(reader, first_offset, &first, sizeof first) == 0 && header_valid(&first, first_offset);
    if (!magic_whole && !chunk_follows)
        return error_set(error, -EINVAL, "%s: is not a heapsake trace", reader->path);
    if (magic_whole && !chunk_follows && length_whole && first_offset != sizeof header &&
        trace_reader_bytes(reader, sizeof header, &first, sizeof first) == 0 && header_valid(&first, sizeof header)) {
        length_whole = false;
        first_offset = sizeof header;
    }
    reader->format_version = header.version;
    reader->damage_offset = UINT64_MAX;

    if (!read_index(reader, first_offset)) {
        code = walk_chunks(reader, first_offset);
        if (code != 0)
            return error_set(error, code, "%s: %s", reader->path, strerror(-code));
    }
    reader->has_end = has_type(reader, HSK_CHUNK_END);
    code = check_version(reader, &header, error);
    if (code != 0)
        return code;
    if (!magic_whole || !length_whole) {
        trace_reader_problem(reader, "the file header is damaged");
        note_damage(reader, 0);
    }
    if (!reader->indexed)
        count_known(reader);
    else if (!reader->has_end)
        trace_reader_problem(reader, "the end is missing");
    if (reader->chunk_count == 0)
        return error_set(error, -EINVAL, "%s: truncated at byte %llu: no chunk recovered", reader->path,
                         (unsigned long long)reader->bytes);
    return 0;
}

static struct trace_reader *new_reader(const char *path, struct error *error)
{
    struct trace_reader *reader = calloc(1, sizeof *reader);
    if (reader) {
        reader->fd = -1;
        reader->path = strdup(path);
        reader->zstd = ZSTD_createDCtx();
        reader->stored.ceiling = HSK_MAX_CHUNK_STORED + 1;
        reader->raw.ceiling = HSK_MAX_CHUNK_RAW + TRACE_PADDING;
        if (reader->path && reader->zstd)
            return reader;
    }
    trace_reader_close(reader);
    error_set(error, -ENOMEM, "out of memory");
    return NULL;
}

static int open_file(struct trace_reader *reader, struct error *error)
{
    const char *path = reader->path;
    struct stat status;
    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (reader->fd < 0)
        return error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(reader->fd, &status) != 0)
        return error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, -EINVAL, "%s: is %s, not a heapsake trace", path,
                         S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
    reader->bytes = (uint64_t)status.st_size;
    return open_contents(reader, error);
}

int trace_reader_open(const char *path, struct trace_reader **result, struct error *error)
{
    struct trace_reader *reader = new_reader(path, error);
    if (!reader)
        return -ENOMEM;
    int code = open_file(reader, error);
    if (code == 0)
        *result = reader;
    else
        trace_reader_close(reader);
    return code;
}

int trace_reader_open_memory(const void *bytes, size_t length, const char *name, struct trace_reader **result,
                             struct error *error)
{
    struct trace_reader *reader = new_reader(name, error);
    if (!reader)
        return -ENOMEM;
    reader->memory = bytes;
    reader->bytes = length;
    int code = open_contents(reader, error);
    if (code == 0)
        *result = reader;
    else
        trace_reader_close(reader);
    return code;
}

int trace_reader_grow(struct trace_reader *reader)
{
    struct stat status;
    if (reader->fd < 0)
        return -EBADF;
    if (fstat(reader->fd, &status) != 0)
        return -errno;
    reader->bytes = (uint64_t)status.st_size;
    struct trace_place *last = reader->chunk_count ? &reader->chunks[reader->chunk_count - 1] : NULL;
    uint64_t offset = sizeof(struct hsk_file_header);
    if (last && last->state == TRACE_CHUNK_DAMAGED) {
        offset = last->offset; /* it was being written: look again */
        reader->chunk_count--;
    } else if (last) {
        offset = last->offset + HEADER_BYTES + last->header.stored_bytes;
    }
    struct hsk_chunk_header header;
    while (trace_reader_bytes(reader, offset, &header, sizeof header) == 0 && header_valid(&header, offset) &&
           header.stored_bytes <= reader->bytes - offset - HEADER_BYTES) {
        int code = add_place(reader, offset, &header, TRACE_CHUNK_UNREAD);
        if (code != 0)
            return code;
        offset += HEADER_BYTES + header.stored_bytes;
    }
    return 0;
}

int trace_reader_lock(struct trace_reader *reader)
{
    if (reader->fd < 0 || flock(reader->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EBUSY : 0;
}

int trace_reader_status(const struct trace_reader *reader, struct stat *status)
{
    return reader->fd < 0 ? -EBADF : fstat(reader->fd, status) != 0 ? -errno : 0;
}

void trace_reader_close(struct trace_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    for (size_t i = 0; i < reader->problem_count; i++)
        buf_free(&reader->problems[i]);
    free(reader->problems);
    ZSTD_freeDCtx(reader->zstd);
    buf_free(&reader->stored);
    buf_free(&reader->raw);
    free(reader->chunks);
    free(reader->path);
    free(reader);
}

static uint64_t recovered_chunks(const struct trace_reader *reader)
{
    uint64_t recovered = 0;
    for (size_t i = 0; i < reader->chunk_count; i++)
        recovered += reader->chunks[i].state != TRACE_CHUNK_DAMAGED;
    return recovered;
}

uint64_t trace_reader_lost_chunks(const struct trace_reader *reader)
{
    uint64_t recovered = recovered_chunks(reader);
    return reader->known_chunks > recovered ? reader->known_chunks - recovered : 0;
}

bool trace_reader_growing(const struct trace_reader *reader)
{
    if (reader->has_end || reader->indexed || reader->chunk_count == 0 || reader->damage_offset < reader->bytes ||
        !reader->truncated)
        return false;
    const struct trace_place *last = &reader->chunks[reader->chunk_count - 1];
    uint64_t whole = recovered_chunks(reader) + (last->state == TRACE_CHUNK_DAMAGED);
    if (whole + 2 != reader->known_chunks) /* END and INDEX */
        return false;
    if (reader->fd < 0 || flock(reader->fd, LOCK_SH | LOCK_NB) != 0)
        return reader->fd >= 0 && errno == EWOULDBLOCK;
    flock(reader->fd, LOCK_UN);
    return false;
}

bool trace_reader_complete(const struct trace_reader *reader)
{
    return reader->indexed && reader->has_end && reader->problem_count == 0 && reader->problems_left_out == 0;
}

bool trace_reader_describe_damage(const struct trace_reader *reader, struct error *error)
{
    if (trace_reader_complete(reader))
        return false;
    if (reader->damage_offset == UINT64_MAX) {
        error_set(error, 0, "%s: %s", reader->path,
                  reader->problem_count ? (const char *)reader->problems[0].data : "is not complete");
        return true;
    }
    uint64_t offset = reader->damage_offset < reader->bytes ? reader->damage_offset : reader->bytes;
    if (reader->truncated && offset == reader->bytes)
        error_set(error, 0, "%s: truncated at byte %llu: %llu of %llu chunks recovered", reader->path,
                  (unsigned long long)reader->bytes, (unsigned long long)recovered_chunks(reader),
                  (unsigned long long)reader->known_chunks);
    else
        error_set(error, 0, "%s: %s at byte %llu: %llu of %llu chunks recovered", reader->path,
                  reader->truncated ? "damaged or truncated" : "damaged", (unsigned long long)offset,
                  (unsigned long long)recovered_chunks(reader), (unsigned long long)reader->known_chunks);
    return true;
}
