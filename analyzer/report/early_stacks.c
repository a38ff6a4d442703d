/* early_stacks.c - see early_stacks.h */
#include "report/early_stacks.h"

static int find(void *context, const uint64_t *frames, size_t count)
{
    return early_names_find(context, frames, count);
}

static const struct buf *found(void *context, size_t number)
{
    return early_names_found(context, number);
}

int early_stacks(struct stacks *stacks, struct trace_reader *reader, struct early_names **early, struct error *error)
{
    int code = *early ? 0 : early_names_open(early, error);
    if (code == 0)
        code = early_names_read_modules(*early, reader, error);
    if (code == 0)
        stacks_set_name_source(stacks, (struct name_source){.context = *early, .find = find, .found = found});
    return code;
}
