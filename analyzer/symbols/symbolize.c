/* symbolize.c - see symbolize.h */
#include "symbols/symbolize.h"

#include <errno.h>
#include <stdlib.h>

#include "heapsake/trace_format.h"
#include "symbols/known_names.h"
#include "symbols/native_dwfl.h"

/* Of the chunk's 64 MiB the names take at most this; frames beyond keep module and offset. */
#define MAX_NAME_BYTES (32u << 20)
#define MAX_FUNCTIONS (2u << 20)

struct named_frame {
    uint64_t frame;
    size_t module; /* SIZE_MAX: none */
    struct native_query query;
};

/* By module, then by address: each file is opened once, and its tables are read forwards. */
static int compare_named_frames(const void *a, const void *b)
{
    const struct named_frame *x = a, *y = b;
    if (x->module != y->module)
        return x->module < y->module ? -1 : 1;
    if (x->query.return_address != y->query.return_address)
        return x->query.return_address < y->query.return_address ? -1 : 1;
    return x->frame < y->frame ? -1 : x->frame > y->frame;
}

static int compare_frames(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static size_t unique(uint64_t *frames, size_t count)
{
    qsort(frames, count, sizeof *frames, compare_frames);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || frames[kept - 1] != frames[i])
            frames[kept++] = frames[i];
    return kept;
}

static void find_module(const struct module_set *set, struct named_frame *named)
{
    uint64_t pc = frame_pc(named->frame);
    uint32_t epoch = frame_epoch(named->frame);
    /* The call's module; a trampoline may be the first thing in one. */
    named->module = pc ? module_set_find(set, epoch, pc - 1) : SIZE_MAX;
    if (named->module == SIZE_MAX)
        named->module = module_set_find(set, epoch, pc);
    named->query = (struct native_query){.return_address = pc};
    if (named->module != SIZE_MAX)
        named->query.return_address = pc - module_set_get(set, named->module)->bias;
}

/* One module's frames: those that nobody has asked for before go to native_dwfl.h, one behind the other. */
static bool name_module(const struct module_file *file, struct named_frame *named, size_t count,
                        struct name_table *names, struct native_functions *functions)
{
    struct known_names *known = module_file_unchanged(file) ? module_file_known_names(file) : NULL;
    struct native_query *queries = malloc(count * sizeof *queries);
    size_t *asked = malloc(count * sizeof *asked), unknown = 0;
    bool whole = queries && asked;
    for (size_t i = 0; i < count && whole; i++)
        if (!known_names_get(known, &named[i].query, names, functions)) {
            asked[unknown] = i;
            queries[unknown++] = named[i].query;
        }
    whole = whole && native_symbolize(file, queries, unknown, names, functions);
    /* Where names had to be left out for want of room, the next one shall look itself. */
    bool memorable = whole && known && names->bytes < names->ceiling / 2 && module_file_unchanged(file);
    for (size_t i = 0; i < unknown && whole; i++) {
        named[asked[i]].query = queries[i];
        if (memorable)
            known_names_put(known, &queries[i], names, functions);
    }
    free(queries);
    free(asked);
    return whole;
}

static bool name_all(const struct module_set *set, struct named_frame *named, size_t count, struct name_table *names,
                     struct native_functions *functions)
{
    for (size_t first = 0, end; first < count; first = end) {
        size_t module = named[first].module;
        for (end = first + 1; end < count && named[end].module == module;)
            end++;
        const struct module_file *file = module == SIZE_MAX ? NULL : module_set_get(set, module)->file;
        if (file && functions->count < MAX_FUNCTIONS &&
            !name_module(file, named + first, end - first, names, functions))
            return false;
    }
    return true;
}

static void write_symbols(const struct named_frame *named, size_t count, const struct name_table *names,
                          const struct native_functions *functions, struct buf *payload)
{
    buf_append_varint(payload, names->strings.count);
    for (uint32_t i = 1; i <= names->strings.count; i++) {
        size_t length;
        const char *string = intern_get(&names->strings, i, &length);
        buf_append_string(payload, string, length);
    }
    for (size_t i = 0; i < count; i++) {
        const struct native_query *query = &named[i].query;
        bool inside = named[i].module != SIZE_MAX;
        buf_append_varint(payload, named[i].frame);
        buf_append_varint(payload, inside ? named[i].module + 1 : 0);
        buf_append_varint(payload, inside ? query->return_address : 0);
        buf_append_varint(payload, query->count);
        for (uint32_t j = 0; j < query->count; j++) {
            const struct native_function *function = &functions->items[query->first + j];
            buf_append_varint(payload, function->function);
            buf_append_varint(payload, function->file);
            buf_append_varint(payload, function->line);
        }
    }
}

int symbolize_frames(const struct module_set *set, uint64_t *frames, size_t count, struct buf *symbols,
                     struct buf *modules, struct error *error)
{
    if (count > SYMBOLIZE_MAX_FRAMES)
        return error_set(error, -EINVAL, "%zu native frames in one chunk; %u are the most", count,
                         SYMBOLIZE_MAX_FRAMES);
    count = unique(frames, count);
    struct named_frame *named = malloc((count + 1) * sizeof *named);
    struct name_table names = {.strings = INTERN_INIT, .ceiling = MAX_NAME_BYTES};
    struct native_functions functions = {0};
    bool whole = named;
    if (named) {
        for (size_t i = 0; i < count; i++) {
            named[i] = (struct named_frame){.frame = frames[i]};
            find_module(set, &named[i]);
        }
        qsort(named, count, sizeof *named, compare_named_frames);
        whole = name_all(set, named, count, &names, &functions);
    }
    if (whole) {
        write_symbols(named, count, &names, &functions, symbols);
        if (modules)
            module_set_write(set, modules);
    }
    free(named);
    free(functions.items);
    intern_free(&names.strings);
    if (!whole || symbols->failed || (modules && modules->failed))
        return error_set(error, -ENOMEM, "out of memory while naming %zu native frames", count);
    return 0;
}
