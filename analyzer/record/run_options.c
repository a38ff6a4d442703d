/* run_options.c - see run_options.h */
#include "record/run_options.h"

#include <string.h>

void run_options_apply(const struct run_options *from, struct recorder_options *to)
{
    *to = (struct recorder_options){
        .output = from->output,
        .force = from->force,
        .native = from->native,
        .policy = {.off = from->no_snapshot,
                   .every_ns = (uint64_t)(from->snapshot_every < 1e9 ? from->snapshot_every * 1e9 : 1e18),
                   .growth_bytes = from->snapshot_on_growth},
        .snapshot_signal = from->no_snapshot ? 0 : from->snapshot_signal,
        .no_exit_snapshot = from->no_exit_snapshot,
        .record_values = from->record_values && !from->no_snapshot,
        .refs = from->refs,
        .watch = from->watch,
        .ref_functions = from->ref_functions,
        .no_objects = from->no_objects || from->no_snapshot,
        .drop = strcmp(from->on_full, "drop") == 0,
        .children = strcmp(from->children, "none") == 0     ? CHILDREN_NONE
                    : strcmp(from->children, "python") == 0 ? CHILDREN_PYTHON
                                                            : CHILDREN_ALL,
    };
}
