/* trace_info.c - see trace_info.h */
#include "trace/trace_info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

static bool add_text(struct text_list *list, const char *text, size_t length)
{
    if (!grow((void **)&list->texts, list->count, &list->capacity, sizeof *list->texts))
        return false;
    char *copy = strndup(text, length);
    if (!copy)
        return false;
    list->texts[list->count++] = copy;
    return true;
}

static void free_list(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list->texts);
}

static bool set_text(char **to, const char *text, size_t length)
{
    char *copy = strndup(text, length);
    if (!copy)
        return false;
    free(*to);
    *to = copy;
    return true;
}

uint64_t trace_field_value(const char *text, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return UINT64_MAX;
    return value;
}

static int64_t signed_of(uint64_t value)
{
    return value > INT64_MAX ? -1 : (int64_t)value;
}

/* Where a field goes to whose value is one text; NULL: the field is none of these. */
static char **text_of(struct trace_info *info, uint64_t tag)
{
    switch (tag) {
    case HSK_FIELD_RECORDER_VERSION:
        return &info->recorder_version;
    case HSK_FIELD_EXECUTABLE:
        return &info->executable;
    case HSK_FIELD_WORKING_DIRECTORY:
        return &info->working_directory;
    case HSK_FIELD_HOST:
        return &info->host;
    case HSK_FIELD_PARENT_TRACE:
        return &info->parent_trace;
    case HSK_FIELD_PYTHON_VERSION:
        return &info->python_version;
    case HSK_FIELD_RECORDING:
        return &info->recording;
    case HSK_FIELD_IMAGE_BEFORE:
        return &info->image_before;
    case HSK_FIELD_RENAMED:
        return &info->renamed;
    case HSK_FIELD_ENDED_BY:
        return &info->ended_by;
    default:
        return NULL;
    }
}

/* ... that may be there several times */
static struct text_list *list_of(struct trace_info *info, uint64_t tag)
{
    switch (tag) {
    case HSK_FIELD_ARGUMENT:
        return &info->arguments;
    case HSK_FIELD_ENVIRONMENT_NAME:
        return &info->environment_names;
    case HSK_FIELD_OPTION:
        return &info->options;
    case HSK_FIELD_WATCH:
        return &info->watches;
    case HSK_FIELD_COVERAGE:
        return &info->coverage;
    case HSK_FIELD_CHILD:
        return &info->children;
    default:
        return NULL;
    }
}

/* ... that is a number */
static uint64_t *number_of(struct trace_info *info, uint64_t tag)
{
    switch (tag) {
    case HSK_FIELD_START_TIME:
        return &info->start_time_ns;
    case HSK_FIELD_DURATION:
        return &info->duration_ns;
    case HSK_FIELD_ALLOCATIONS:
        return &info->allocations;
    case HSK_FIELD_FREES:
        return &info->frees;
    case HSK_FIELD_LOST:
        return &info->lost;
    case HSK_FIELD_LOST_STACKS:
        return &info->lost_stacks;
    case HSK_FIELD_PEAK_BYTES:
        return &info->peak_bytes;
    case HSK_FIELD_PEAK_TIME:
        return &info->peak_time_ns;
    case HSK_FIELD_PEAK_EVENT:
        return &info->peak_event;
    case HSK_FIELD_LIVE_BYTES:
        return &info->live_bytes;
    case HSK_FIELD_LIVE_BLOCKS:
        return &info->live_blocks;
    case HSK_FIELD_ALLOCATED_BYTES:
        return &info->allocated_bytes;
    case HSK_FIELD_OBJECTS:
        return &info->objects;
    case HSK_FIELD_UNKNOWN_OBJECTS:
        return &info->unknown_objects;
    case HSK_FIELD_MEMORY_LIMIT:
        return &info->memory_limit;
    case HSK_FIELD_DONE_LIVE_BYTES:
        return &info->done_live_bytes;
    case HSK_FIELD_DONE_LIVE_BLOCKS:
        return &info->done_live_blocks;
    default:
        return NULL;
    }
}

static bool add_blind_spot(struct text_list *list, const char *text, size_t length)
{
    for (size_t i = 0; i < list->count; i++)
        if (strlen(list->texts[i]) == length && memcmp(list->texts[i], text, length) == 0)
            return true; /* a NOTE that END repeats */
    return add_text(list, text, length);
}

/* False when memory runs out. */
static bool take_field(struct trace_info *info, uint64_t tag, const char *text, size_t length)
{
    char **one = text_of(info, tag);
    struct text_list *several = list_of(info, tag);
    uint64_t *number = number_of(info, tag), value = trace_field_value(text, length);
    if (one)
        return set_text(one, text, length);
    if (several)
        return add_text(several, text, length);
    if (number)
        *number = value;
    switch (tag) {
    case HSK_FIELD_BLIND_SPOT:
        return add_blind_spot(&info->blind_spots, text, length);
    case HSK_FIELD_PID:
        info->pid = signed_of(value);
        break;
    case HSK_FIELD_PARENT_PID:
        info->parent_pid = signed_of(value);
        break;
    case HSK_FIELD_IMAGE:
        info->image = signed_of(value);
        break;
    case HSK_FIELD_FORKED:
        info->forked = value == 1;
        break;
    case HSK_FIELD_EXIT_STATUS:
        info->exit_status = (int)(value & 0xff);
        break;
    case HSK_FIELD_EXIT_SIGNAL:
        info->exit_signal = (int)(value & 0x7f);
        break;
    case HSK_FIELD_OUT_OF_MEMORY:
        info->out_of_memory = value == 1;
        break;
    case HSK_FIELD_PEAK_EVENT:
        info->has_peak = true;
        break;
    case HSK_FIELD_DONE_LIVE_BYTES:
        info->has_done = true;
        break;
    default:
        break; /* of a later version */
    }
    return true;
}

/* False when memory runs out. */
static bool take_fields(struct trace_info *info, struct trace_reader *reader, size_t i, const uint8_t *raw,
                        size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    while (cursor.at < cursor.end) {
        uint64_t tag = cursor_varint(&cursor);
        size_t text_length;
        const char *text = cursor_string(&cursor, &text_length);
        if (cursor.failed || text_length > HSK_MAX_STRING) {
            trace_reader_damaged(reader, i, "its fields cannot be read");
            return true;
        }
        if (!take_field(info, tag, text, text_length))
            return false;
    }
    return true;
}

static void take_samples(struct trace_info *info, struct trace_reader *reader, size_t i, const uint8_t *raw,
                         size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    while (cursor.at < cursor.end) {
        cursor_varint(&cursor);
        uint64_t resident = cursor_varint(&cursor);
        if (cursor.failed) {
            trace_reader_damaged(reader, i, "its samples cannot be read");
            return;
        }
        if (info->samples++ == 0)
            info->resident_first = resident;
        if (resident > info->resident_max)
            info->resident_max = resident;
    }
}

static int read_info(struct trace_info *info, struct trace_reader *reader, bool samples, struct error *error)
{
    *info = (struct trace_info){.pid = -1, .parent_pid = -1, .exit_status = -1, .exit_signal = -1};
    uint64_t last_ns = 0;
    for (size_t i = 0; i < reader->chunk_count; i++) {
        unsigned type = reader->chunks[i].header.type;
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].header.time_last_ns > last_ns && reader->chunks[i].state != TRACE_CHUNK_DAMAGED)
            last_ns = reader->chunks[i].header.time_last_ns;
        if (type != HSK_CHUNK_PROCESS && type != HSK_CHUNK_NOTE && type != HSK_CHUNK_END &&
            (type != HSK_CHUNK_SAMPLES || !samples))
            continue;
        if (trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (type == HSK_CHUNK_SAMPLES) {
            take_samples(info, reader, i, raw, length);
            continue;
        }
        if (!take_fields(info, reader, i, raw, length)) {
            trace_info_free(info);
            return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
        }
        info->has_end |= type == HSK_CHUNK_END;
    }
    if (!info->has_end || info->duration_ns == 0)
        info->duration_ns = last_ns;
    return 0;
}

int trace_info_read(struct trace_info *info, struct trace_reader *reader, struct error *error)
{
    return read_info(info, reader, true, error);
}

int trace_info_read_fields(struct trace_info *info, struct trace_reader *reader, struct error *error)
{
    return read_info(info, reader, false, error);
}

void trace_info_free(struct trace_info *info)
{
    char *const texts[] = {info->recorder_version, info->executable,     info->working_directory, info->host,
                           info->parent_trace,     info->python_version, info->ended_by,          info->renamed,
                           info->recording,        info->image_before};
    for (size_t i = 0; i < HS_COUNT_OF(texts); i++)
        free(texts[i]);
    free_list(&info->arguments);
    free_list(&info->environment_names);
    free_list(&info->options);
    free_list(&info->blind_spots);
    free_list(&info->children);
    free_list(&info->watches);
    free_list(&info->coverage);
    *info = (struct trace_info){0};
}

bool trace_info_attached(const struct trace_info *info)
{
    for (size_t i = 0; i < info->options.count; i++)
        if (strcmp(info->options.texts[i], "attached") == 0)
            return true;
    return false;
}
