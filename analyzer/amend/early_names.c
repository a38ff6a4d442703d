/* early_names.c - see early_names.h */
#include "amend/early_names.h"

#include <errno.h>
#include <stdlib.h>

#include "amend/module_search.h"
#include "amend/naming.h"
#include "amend/native_names.h"
#include "base/grow.h"

struct early_names {
    struct module_search *search;
    struct native_names names; /* the modules, and the frames that were asked for last */
    struct buf *found;
    size_t found_count, found_capacity;
};

int early_names_open(struct early_names **result, struct error *error)
{
    struct early_names *early = calloc(1, sizeof *early);
    if (!early)
        return error_set(error, -ENOMEM, "out of memory");
    int code = module_search_open(&early->search, NULL, 0, false, error);
    if (code == 0)
        *result = early;
    else
        early_names_close(early);
    return code;
}

void early_names_close(struct early_names *early)
{
    if (!early)
        return;
    for (size_t i = 0; i < early->found_count; i++)
        buf_free(&early->found[i]);
    free(early->found);
    native_names_free(&early->names);
    module_search_close(early->search);
    free(early);
}

int early_names_read_modules(struct early_names *early, struct trace_reader *reader, struct error *error)
{
    native_names_free(&early->names);
    return native_names_load_modules(&early->names, reader, error);
}

/* Takes the payloads over. */
static int keep(struct early_names *early, struct buf *payloads, size_t count)
{
    size_t kept = 0;
    while (kept < count && grow((void **)&early->found, early->found_count, &early->found_capacity, sizeof *payloads))
        early->found[early->found_count++] = payloads[kept++];
    for (size_t i = kept; i < count; i++)
        buf_free(&payloads[i]);
    free(payloads);
    return kept == count ? 0 : -ENOMEM;
}

int early_names_find(struct early_names *early, const uint64_t *frames, size_t count)
{
    struct naming naming = {0};
    struct buf *payloads;
    size_t payload_count;
    int code = native_names_set_frames(&early->names, frames, count);
    if (code == 0)
        code = naming_run(&naming, &early->names, early->search);
    naming_free(&naming);
    if (code == 0)
        code = native_names_write(&early->names, &payloads, &payload_count);
    return code == 0 ? keep(early, payloads, payload_count) : code;
}

const struct buf *early_names_found(const struct early_names *early, size_t number)
{
    return number < early->found_count ? &early->found[number] : NULL;
}
