/*
 * native_names.h - what a trace says of its native frames: their modules, and what they are called.
 *
 * Not thread-safe.
 */
#ifndef HEAPSAKE_AMEND_NATIVE_NAMES_H
#define HEAPSAKE_AMEND_NATIVE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "symbols/native_answers.h"
#include "trace/trace_reader.h"

#define NO_MODULE SIZE_MAX

struct native_module {
    uint64_t index; /* in the trace */
    uint64_t start, end, epoch;
    int64_t bias;
    uint32_t path, build_id; /* strings of the names; 0: empty */
};

struct native_frame {
    uint64_t frame;  /* epoch << 48 | return address                                      */
    uint64_t number; /* of its module, as SYMBOLS has it: index + 1, 0: none              */
    uint64_t offset; /* return address in the module's file                               */
    size_t module;   /* in `modules`; NO_MODULE: it is not known                          */
    size_t first;    /* its functions, innermost inlined call first                       */
    uint32_t count;
};

struct native_names {
    struct native_module *modules;
    size_t module_count, module_capacity;
    struct native_frame *frames; /* ascending, each once */
    size_t frame_count, frame_capacity;
    struct native_functions functions;
    struct name_table strings;
};

/* Reads NODES, MODULES and SYMBOLS; damaged chunks are remembered by the reader. 0 or -ENOMEM; free it
 * in both cases. */
int native_names_load(struct native_names *names, struct trace_reader *reader, struct error *error);
void native_names_free(struct native_names *names);

/* Reads MODULES alone: there are no frames. Returns as before. */
int native_names_load_modules(struct native_names *names, struct trace_reader *reader, struct error *error);
/*
 * These are the frames now, in place of those that there were, and have no names. They may be given twice, in any
 * order. 0 or -ENOMEM.
 */
int native_names_set_frames(struct native_names *names, const uint64_t *frames, size_t count);

/* The function that it is in, and those inlined there, have names. */
bool native_frame_has_functions(const struct native_names *names, const struct native_frame *frame);
/* File and line of where it is. */
bool native_frame_has_line(const struct native_names *names, const struct native_frame *frame);

/*
 * Adds to the frame what a run of names->functions tells more: names, files and lines that it lacks, more inlined
 * calls. Nothing that it has is lost. True when there was anything; the same run once more gives false.
 */
bool native_frame_improve(struct native_names *names, struct native_frame *frame, size_t first, uint32_t count);

/*
 * The payloads of SYMBOLS chunks that have all frames: *payloads is the caller's, as are the *count bufs in it. The
 * same names give the same bytes. 0 or -ENOMEM.
 */
int native_names_write(const struct native_names *names, struct buf **payloads, size_t *count);

#endif
