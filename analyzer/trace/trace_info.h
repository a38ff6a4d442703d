/*
 * trace_info.h - what the PROCESS, NOTE and END chunks of a trace say.
 *
 * Strings are copies, terminated, and belong to the info; NULL when the trace does not say.
 */
#ifndef HEAPSAKE_TRACE_TRACE_INFO_H
#define HEAPSAKE_TRACE_TRACE_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/trace_reader.h"

struct text_list {
    char **texts;
    size_t count, capacity;
};

struct trace_info {
    char *recorder_version, *executable, *working_directory, *host, *parent_trace, *python_version, *ended_by, *renamed;
    char *recording, *image_before;
    struct text_list arguments, environment_names, options, blind_spots, children, watches, coverage;
    int64_t pid, parent_pid; /* -1: not said */
    int64_t image;
    bool forked;
    uint64_t start_time_ns; /* Unix time; 0: not said */

    bool has_end;
    uint64_t duration_ns;         /* of the recording; without END: the time of the last chunk */
    int exit_status, exit_signal; /* -1: none or unknown */
    bool out_of_memory;           /* that signal was the kernel's, for lack of memory */
    uint64_t memory_limit;        /* ... of a cgroup with this limit in bytes; 0: none or unknown */
    uint64_t allocations, frees, lost, lost_stacks;
    uint64_t peak_bytes, peak_time_ns, peak_event, allocated_bytes;
    uint64_t live_bytes, live_blocks; /* at the last event */
    bool has_done;                    /* the program said when it was done: what lived then ... */
    uint64_t done_live_bytes, done_live_blocks;
    uint64_t objects, unknown_objects; /* births of Python objects; births and deaths that were left out */
    bool has_peak;                     /* END has said all of peak_* */

    uint64_t samples, resident_first, resident_max; /* SAMPLES: how many, bytes */
};

/* Reads all those chunks; damaged ones are remembered by the reader. 0 or -ENOMEM. */
int trace_info_read(struct trace_info *info, struct trace_reader *reader, struct error *error);
/* The same without SAMPLES, of which a long trace has many. */
int trace_info_read_fields(struct trace_info *info, struct trace_reader *reader, struct error *error);
void trace_info_free(struct trace_info *info);

/* Is it of a process that ran already? */
bool trace_info_attached(const struct trace_info *info);

/* A field's number: decimal; what is no number counts as 0, what is too large as the largest. */
uint64_t trace_field_value(const char *text, size_t length);

#endif
