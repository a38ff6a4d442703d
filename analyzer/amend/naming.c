/* naming.c - see naming.h */
#include "amend/naming.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/native_dwfl.h"

/* Frames of one build of one module stand together, however often and wherever it was loaded; then by offset. */
struct placed_frame {
    const struct native_names *names;
    struct native_frame *frame;
};

static const struct native_module *module_of(const struct placed_frame *placed)
{
    return &placed->names->modules[placed->frame->module];
}

static int compare_strings(const struct native_names *names, uint32_t a, uint32_t b)
{
    size_t a_length, b_length;
    const char *x = intern_get(&names->strings.strings, a, &a_length);
    const char *y = intern_get(&names->strings.strings, b, &b_length);
    int order = a == b ? 0 : memcmp(x, y, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_builds(const struct placed_frame *a, const struct placed_frame *b)
{
    const struct native_module *x = module_of(a), *y = module_of(b);
    int order = compare_strings(a->names, x->path, y->path);
    return order ? order : compare_strings(a->names, x->build_id, y->build_id);
}

static int compare_placed(const void *a, const void *b)
{
    const struct placed_frame *x = a, *y = b;
    int order = compare_builds(x, y);
    if (order == 0)
        order = (x->frame->offset > y->frame->offset) - (x->frame->offset < y->frame->offset);
    return order ? order : (x->frame->frame > y->frame->frame) - (x->frame->frame < y->frame->frame);
}

static void count_frame(struct frame_counts *counts, const struct native_names *names, const struct native_frame *frame)
{
    counts->functions += native_frame_has_functions(names, frame);
    counts->lines += native_frame_has_line(names, frame);
}

/* False when memory runs out. */
static bool name_frames(struct named_module *module, struct native_names *names, struct placed_frame *placed,
                        size_t count)
{
    struct native_query *queries = calloc(count, sizeof *queries);
    for (size_t i = 0; queries && i < count; i++)
        queries[i].return_address = placed[i].frame->offset;
    bool whole = queries && native_symbolize(module->found.file, queries, count, &names->strings, &names->functions);
    for (size_t i = 0; whole && i < count; i++)
        module->improved += native_frame_improve(names, placed[i].frame, queries[i].first, queries[i].count);
    free(queries);
    return whole;
}

/* Nothing can be added to frames that have all of it. False when memory runs out. */
static bool name_module(struct naming *naming, struct native_names *names, struct module_search *search,
                        struct placed_frame *placed, size_t count)
{
    const struct native_module *of = module_of(placed);
    struct named_module module = {.frames = count};
    module.path = intern_get(&names->strings.strings, of->path, NULL);
    module.build_id = (const uint8_t *)intern_get(&names->strings.strings, of->build_id, &module.build_id_length);
    for (size_t i = 0; i < count; i++)
        count_frame(&module.before, names, placed[i].frame);
    if (module.before.functions == count && module.before.lines == count)
        return true;
    if (module_search_find(search, module.path, module.build_id, module.build_id_length, &module.found) != 0)
        return false;
    bool whole = !module.found.file || name_frames(&module, names, placed, count);
    for (size_t i = 0; i < count; i++)
        count_frame(&module.after, names, placed[i].frame);
    naming->improved += module.improved;
    naming->modules[naming->count++] = module;
    return whole;
}

int naming_run(struct naming *naming, struct native_names *names, struct module_search *search)
{
    *naming = (struct naming){.frames = names->frame_count};
    struct placed_frame *placed = calloc(names->frame_count + 1, sizeof *placed);
    size_t count = 0;
    bool whole = placed;
    for (size_t i = 0; whole && i < names->frame_count; i++) {
        count_frame(&naming->before, names, &names->frames[i]);
        if (names->frames[i].module != NO_MODULE)
            placed[count++] = (struct placed_frame){names, &names->frames[i]};
    }
    naming->without_module = names->frame_count - count;
    if (count > 1)
        qsort(placed, count, sizeof *placed, compare_placed);
    size_t builds = 0;
    for (size_t i = 0; i < count; i++)
        builds += i == 0 || compare_builds(&placed[i - 1], &placed[i]) != 0;
    whole = whole && (naming->modules = calloc(builds + 1, sizeof *naming->modules));
    for (size_t first = 0, end; whole && first < count; first = end) {
        for (end = first + 1; end < count && compare_builds(&placed[first], &placed[end]) == 0;)
            end++;
        whole = name_module(naming, names, search, placed + first, end - first);
    }
    for (size_t i = 0; whole && i < names->frame_count; i++)
        count_frame(&naming->after, names, &names->frames[i]);
    free(placed);
    return whole ? 0 : -ENOMEM;
}

void naming_free(struct naming *naming)
{
    for (size_t i = 0; i < naming->count; i++)
        found_module_clear(&naming->modules[i].found);
    free(naming->modules);
    *naming = (struct naming){0};
}
