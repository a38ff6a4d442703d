/*
 * process_tree.h - the processes of a recording: which traces there are beside one, and who is whose child.
 *
 * A process is the traces of its images, one replaced by the next with an exec. What is beside a trace is found
 * by the names that traces hold (CHILD, IMAGE_BEFORE), and among the files whose names begin as its own
 * does by RECORDING and PARENT_TRACE: so a recording that was cut off, and a child that began when its parent
 * had ended, have their places too. Of the traces what PROCESS, NOTE and END say is read, no event.
 */
#ifndef HEAPSAKE_MODEL_PROCESS_TREE_H
#define HEAPSAKE_MODEL_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/trace_info.h"

#define PROCESS_NONE SIZE_MAX

/* One image's trace. */
struct process_image {
    char *file;             /* its name, without the folder                                    */
    const char *problem;    /* why nothing of it is known: a few words; NULL: it was read           */
    struct trace_info info; /* nothing, when there is a problem                               */
    uint64_t events;        /* allocations and frees; without an END: those in the file         */
    bool complete;          /* as far as a look at its END and INDEX tells                     */

    /* private */
    size_t before, after, parent; /* images; PROCESS_NONE */
};

struct tree_process {
    const struct process_image **images; /* in their order, the last one last; at least one */
    size_t image_count;
    int64_t pid;   /* -1: not known                                               */
    size_t parent; /* a process before this one; PROCESS_NONE: none of them, or not known */
    unsigned depth;
};

struct process_tree {
    struct tree_process
        *processes; /* a parent before its children, children by their start; the first is the asked trace's */
    size_t count;
    struct process_image *images;
    size_t image_count;
    const struct process_image **chains; /* what the processes' images point into */
};

/* All that belongs to the trace `path` and stems from it. 0 or -ENOMEM. */
int process_tree_load(struct process_tree *tree, const char *path, struct error *error);
void process_tree_free(struct process_tree *tree);

/* The last image, whose trace bears the process's name. */
static inline const struct process_image *tree_process_last(const struct tree_process *process)
{
    return process->images[process->image_count - 1];
}

/* Live at the end, as reports count: when the program was done, else at the last event. */
static inline uint64_t process_live_bytes(const struct process_image *image)
{
    return image->info.has_done ? image->info.done_live_bytes : image->info.live_bytes;
}

struct process_sums {
    size_t processes, traces; /* traces: that were read */
    uint64_t events, allocations, frees, allocated_bytes;
    uint64_t live_bytes; /* of last images: what an exec replaces is gone                            */
    uint64_t peak_bytes; /* each process's highest peak, added up: together they never had more than this */
    size_t missing;      /* traces that could not be read           */
    size_t unfinished;   /* ... that have no END: their bytes are not in the sums */
};

void process_tree_sum(const struct process_tree *tree, struct process_sums *sums);

#endif
