/* native_names.c - see native_names.h */
#include "amend/native_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map64.h"
#include "symbols/symbolize.h"
#include "trace/chunk_records.h"
#include "trace/stack_records.h"

/* A chunk is closed behind this many bytes: the frame that crosses it has room. */
#define PAYLOAD_BYTES (32u << 20)

/* While it is read. */
struct loading {
    struct native_names *names;
    struct map64 frame_at, module_at; /* by frame and by index; values are places in the arrays */
    bool failed;
};

/* 0 for the empty string. Not name_table_add(): bytes of a trace are kept as they are. */
static uint32_t add_string(struct loading *loading, const char *bytes, size_t length)
{
    uint32_t number = length ? intern_bytes(&loading->names->strings.strings, bytes, length) : 0;
    loading->failed |= length && number == 0;
    return number;
}

/* The frame's entry, a new one if need be; NULL when memory runs out. */
static struct native_frame *frame_of(struct loading *loading, uint64_t frame)
{
    struct native_names *names = loading->names;
    uint32_t at;
    if (map64_get(&loading->frame_at, frame, &at))
        return &names->frames[at];
    if (names->frame_count >= UINT32_MAX ||
        !grow((void **)&names->frames, names->frame_count, &names->frame_capacity, sizeof *names->frames) ||
        !map64_put(&loading->frame_at, frame, (uint32_t)names->frame_count)) {
        loading->failed = true;
        return NULL;
    }
    names->frames[names->frame_count] = (struct native_frame){.frame = frame, .module = NO_MODULE};
    return &names->frames[names->frame_count++];
}

/* ---- reading: a chunk_reader for each type ---- */

static bool load_nodes(void *context, struct cursor *cursor)
{
    struct loading *loading = context;
    struct node_records records = node_records_of(cursor);
    struct node_record record;
    while (!loading->failed && node_records_next(&records, &record))
        if (record.kind == HSK_NODE_NATIVE)
            frame_of(loading, record.frame);
    return !loading->failed;
}

static bool load_modules(void *context, struct cursor *cursor)
{
    struct loading *loading = context;
    struct native_names *names = loading->names;
    struct module_record record;
    while (!loading->failed && module_records_next(cursor, &record)) {
        uint32_t at = (uint32_t)names->module_count;
        bool known = map64_get(&loading->module_at, record.index, &at);
        if (!known &&
            (!grow((void **)&names->modules, names->module_count, &names->module_capacity, sizeof *names->modules) ||
             !map64_put(&loading->module_at, record.index, at))) {
            loading->failed = true;
            break;
        }
        names->module_count += !known;
        names->modules[at] = (struct native_module){
            .index = record.index,
            .start = record.start,
            .end = record.end,
            .epoch = record.epoch,
            .bias = record.bias,
            .path = add_string(loading, record.path, record.path_length),
            .build_id = add_string(loading, record.build_id, record.build_id_length),
        };
    }
    return !loading->failed;
}

static void load_symbol(struct loading *loading, struct cursor *cursor, const struct symbol_record *record,
                        const uint32_t *strings, uint64_t string_count)
{
    struct native_names *names = loading->names;
    struct symbol_function_record function;
    size_t first = names->functions.count;
    for (uint64_t i = 0; i < record->functions && symbol_functions_take(cursor, string_count, &function); i++) {
        struct native_function copy = {
            .function = strings[function.function], .file = strings[function.file], .line = function.line};
        if (!native_functions_add(&names->functions, &copy)) {
            loading->failed = true;
            return;
        }
    }
    struct native_frame *frame = cursor->failed ? NULL : frame_of(loading, record->frame);
    if (!frame)
        return;
    frame->number = record->module;
    frame->offset = record->offset;
    frame->first = first;
    frame->count = (uint32_t)(names->functions.count - first);
}

static bool load_symbols(void *context, struct cursor *cursor)
{
    struct loading *loading = context;
    uint64_t string_count = symbol_strings_count(cursor);
    uint32_t *strings = calloc(string_count + 1, sizeof *strings); /* of the chunk, as numbers of ours */
    loading->failed |= !strings;
    for (uint64_t i = 1; i <= string_count && !loading->failed; i++) {
        size_t length;
        const char *string = cursor_string(cursor, &length);
        cursor->failed |= length > HSK_MAX_STRING;
        if (!cursor->failed)
            strings[i] = add_string(loading, string, length);
    }
    struct symbol_record record;
    while (!loading->failed && symbol_records_next(cursor, &record))
        load_symbol(loading, cursor, &record, strings, string_count);
    free(strings);
    return !loading->failed;
}

/* The module that `pc` lay in at `epoch`, as in modules.h. */
static size_t module_holding(const struct native_names *names, uint64_t epoch, uint64_t pc)
{
    size_t best = NO_MODULE;
    for (size_t i = 0; i < names->module_count; i++) {
        const struct native_module *module = &names->modules[i];
        if (pc >= module->start && pc < module->end && module->epoch <= epoch &&
            (best == NO_MODULE || module->epoch >= names->modules[best].epoch))
            best = i;
    }
    return best;
}

/* Module and offset of a frame: from its record in SYMBOLS or, where the end of the trace is missing,
 * from the address. */
static void place_frame(const struct loading *loading, struct native_frame *frame)
{
    const struct native_names *names = loading->names;
    uint32_t at;
    if (frame->number) {
        if (map64_get(&loading->module_at, frame->number - 1, &at))
            frame->module = at;
        return;
    }
    uint64_t pc = frame_pc(frame->frame), epoch = frame_epoch(frame->frame);
    frame->module = pc ? module_holding(names, epoch, pc - 1) : NO_MODULE;
    if (frame->module == NO_MODULE)
        frame->module = module_holding(names, epoch, pc);
    if (frame->module != NO_MODULE) {
        frame->number = names->modules[frame->module].index + 1;
        frame->offset = pc - (uint64_t)names->modules[frame->module].bias;
    }
}

static int compare_frames(const void *a, const void *b)
{
    const struct native_frame *x = a, *y = b;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

/* When all frames are there. */
static int end_loading(struct loading *loading)
{
    struct native_names *names = loading->names;
    for (size_t i = 0; i < names->frame_count; i++)
        place_frame(loading, &names->frames[i]);
    if (names->frame_count > 1)
        qsort(names->frames, names->frame_count, sizeof *names->frames, compare_frames);
    map64_free(&loading->frame_at);
    map64_free(&loading->module_at);
    return loading->failed ? -ENOMEM : 0;
}

/* Reads the chunks that there is a function for. 0, or -ENOMEM with a line. */
static int load(struct native_names *names, struct trace_reader *reader, chunk_reader *const *readers, size_t count,
                struct error *error)
{
    struct loading loading = {.names = names};
    *names = (struct native_names){.strings = {.strings = INTERN_INIT, .ceiling = SIZE_MAX / 2}};
    chunk_records_read(reader, readers, count, &loading);
    return end_loading(&loading) == 0 ? 0 : error_set(error, -ENOMEM, "%s: out of memory", reader->path);
}

int native_names_load(struct native_names *names, struct trace_reader *reader, struct error *error)
{
    static chunk_reader *const readers[] = {
        [HSK_CHUNK_NODES] = load_nodes, [HSK_CHUNK_MODULES] = load_modules, [HSK_CHUNK_SYMBOLS] = load_symbols};
    return load(names, reader, readers, HS_COUNT_OF(readers), error);
}

int native_names_load_modules(struct native_names *names, struct trace_reader *reader, struct error *error)
{
    static chunk_reader *const readers[] = {[HSK_CHUNK_MODULES] = load_modules};
    return load(names, reader, readers, HS_COUNT_OF(readers), error);
}

int native_names_set_frames(struct native_names *names, const uint64_t *frames, size_t count)
{
    struct loading loading = {.names = names};
    names->frame_count = names->functions.count = 0;
    for (size_t i = 0; i < count && !loading.failed; i++)
        frame_of(&loading, frames[i]);
    return end_loading(&loading);
}

void native_names_free(struct native_names *names)
{
    free(names->modules);
    free(names->frames);
    free(names->functions.items);
    intern_free(&names->strings.strings);
    *names = (struct native_names){0};
}

/* ---- better names ---- */

static uint32_t named_functions(const struct native_names *names, size_t first, uint32_t count)
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < count; i++)
        named += names->functions.items[first + i].function != 0;
    return named;
}

static bool has_line(const struct native_names *names, size_t first, uint32_t count)
{
    return count > 0 && names->functions.items[first].file && names->functions.items[first].line;
}

bool native_frame_has_functions(const struct native_names *names, const struct native_frame *frame)
{
    return frame->count > 0 && named_functions(names, frame->first, frame->count) == frame->count;
}

bool native_frame_has_line(const struct native_names *names, const struct native_frame *frame)
{
    return has_line(names, frame->first, frame->count);
}

/* What `from` knows and `to` does not; true when that is anything. */
static bool fill_name(struct native_function *to, const struct native_function *from)
{
    bool more = !to->function && from->function;
    if (more)
        to->function = from->function;
    return more;
}

static bool fill_line(struct native_function *to, const struct native_function *from)
{
    bool more = (!to->file || !to->line) && from->file && from->line;
    if (more) {
        to->file = from->file;
        to->line = from->line;
    }
    return more;
}

bool native_frame_improve(struct native_names *names, struct native_frame *frame, size_t first, uint32_t count)
{
    uint32_t old_count = frame->count;
    struct native_function *old = names->functions.items + frame->first, *new = names->functions.items + first;
    bool more = false;
    if (count == 0)
        return false;
    if (count == old_count) {
        for (uint32_t i = 0; i < count; i++)
            more |= fill_name(&old[i], &new[i]) | fill_line(&old[i], &new[i]);
        return more;
    }
    /*
     * With other inlined calls between them, two things mean the same in both: the place, whose line the first one has,
     * and the function that all of it is in, the last one.
     */
    if (count < old_count || named_functions(names, first, count) + !new[count - 1].function <
                                 named_functions(names, frame->first, old_count))
        return fill_name(&old[old_count - 1], &new[count - 1]) | fill_line(&old[0], &new[0]);
    if (old_count > 0) {
        fill_name(&new[count - 1], &old[old_count - 1]);
        fill_line(&new[0], &old[0]);
    }
    frame->first = first;
    frame->count = count;
    return true;
}

/* ---- writing ---- */

/* One chunk's: its strings get numbers of their own. */
struct payload {
    const struct native_names *names;
    struct intern strings;
    size_t string_bytes;
    struct buf records;
    size_t frames;
    bool failed;
};

static uint64_t payload_string(struct payload *payload, uint32_t number)
{
    size_t length;
    const char *string = intern_get(&payload->names->strings.strings, number, &length);
    uint32_t before = payload->strings.count;
    uint32_t local = number ? intern_bytes(&payload->strings, string, length) : 0;
    payload->failed |= number && !local;
    if (payload->strings.count != before)
        payload->string_bytes += length + VARINT_MAX;
    return local;
}

static void add_frame(struct payload *payload, const struct native_frame *frame)
{
    buf_append_varint(&payload->records, frame->frame);
    buf_append_varint(&payload->records, frame->number);
    buf_append_varint(&payload->records, frame->offset);
    buf_append_varint(&payload->records, frame->count);
    for (uint32_t i = 0; i < frame->count; i++) {
        const struct native_function *function = &payload->names->functions.items[frame->first + i];
        buf_append_varint(&payload->records, payload_string(payload, function->function));
        buf_append_varint(&payload->records, payload_string(payload, function->file));
        buf_append_varint(&payload->records, function->line);
    }
    payload->frames++;
}

/* What was gathered, as a payload; nothing is gathered afterwards. */
static struct buf close_payload(struct payload *payload)
{
    struct buf whole = BUF_INIT;
    buf_append_varint(&whole, payload->strings.count);
    for (uint32_t i = 1; i <= payload->strings.count; i++) {
        size_t length;
        const char *string = intern_get(&payload->strings, i, &length);
        buf_append_string(&whole, string, length);
    }
    buf_append(&whole, payload->records.data, payload->records.length);
    whole.failed |= payload->failed || payload->records.failed;
    intern_free(&payload->strings);
    buf_free(&payload->records);
    *payload = (struct payload){.names = payload->names};
    return whole;
}

int native_names_write(const struct native_names *names, struct buf **result, size_t *result_count)
{
    struct payload payload = {.names = names};
    struct buf *payloads = NULL;
    size_t count = 0, capacity = 0;
    bool whole = true;
    for (size_t i = 0; i < names->frame_count && whole; i++) {
        add_frame(&payload, &names->frames[i]);
        bool full =
            payload.frames == SYMBOLIZE_MAX_FRAMES || payload.records.length + payload.string_bytes > PAYLOAD_BYTES;
        if (!full && i + 1 < names->frame_count)
            continue;
        whole = grow((void **)&payloads, count, &capacity, sizeof *payloads);
        if (whole) {
            payloads[count] = close_payload(&payload);
            whole = !payloads[count++].failed;
        }
    }
    buf_free(&payload.records);
    intern_free(&payload.strings);
    if (!whole) {
        while (count > 0)
            buf_free(&payloads[--count]);
        free(payloads);
        return -ENOMEM;
    }
    *result = payloads;
    *result_count = count;
    return 0;
}
