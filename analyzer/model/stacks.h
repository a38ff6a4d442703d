/*
 * stacks.h - from the numbers of stack nodes to frames that people can read.
 *
 * A trace names a stack by a node of a prefix tree of code positions. Here nodes become
 * stacks of resolved frames (function, file, line, module): nodes that differ
 * only in what cannot be told apart (two instructions of one line, two equal
 * nodes) give one and the same stack. Stacks form a prefix tree too: a stack is its innermost frame
 * and its caller's stack. What the trace does not know becomes a frame that says so, never an error.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_STACKS_H
#define HEAPSAKE_MODEL_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "trace/trace_reader.h"

enum frame_language {
    FRAME_PYTHON = 0,
    FRAME_NATIVE = 1,
    FRAME_MISSING = 2, /* frames above could not be read, or are not in the file: says so in `function` */
};

struct text {
    const char *bytes; /* NULL: not known; not to be trusted: any bytes */
    size_t length;
};

/* Is it known, and just this string? */
static inline bool text_is(struct text text, const char *string)
{
    return text.bytes && text.length == strlen(string) && memcmp(text.bytes, string, text.length) == 0;
}

/* Is it known, and does it begin with the string, or hold it? */
static inline bool text_begins(struct text text, const char *string)
{
    size_t length = strlen(string);
    return text.bytes && text.length >= length && memcmp(text.bytes, string, length) == 0;
}
static inline bool text_holds(struct text text, const char *string)
{
    return text.bytes && memmem(text.bytes, text.length, string, strlen(string));
}

/* What is behind the last slash of a path. */
static inline struct text text_base_name(struct text path)
{
    const char *slash = path.bytes ? memrchr(path.bytes, '/', path.length) : NULL;
    size_t skip = slash ? (size_t)(slash + 1 - path.bytes) : 0;
    return (struct text){path.bytes ? path.bytes + skip : NULL, path.length - skip};
}

struct frame {
    struct text function, file, module;
    uint32_t line; /* 0: not known */
    enum frame_language language;
    uint32_t first_line; /* of the function, where the trace tells it (Python); else 0 */
    uint64_t code; /* the same in two traces: the frame's function, or its module, has not changed; 0: not known */
};

/* A file of code that was mapped into the process. */
struct stack_module {
    uint64_t start, end;
    struct text path, build_id; /* build_id: bytes */
    bool is_executable;
};

/* Where code lies. */
struct stack_place {
    uint64_t address; /* a return address in the process                                            */
    uint32_t module;  /* number of the module + 1; 0: none is known                                  */
    uint32_t frames;  /* that lie there: what is inlined, and what that is inlined into; at least one */
};

struct stacks;

/* Reads NODES, CODES, MODULES and SYMBOLS of the trace; damaged chunks are remembered by the reader. 0 or -ENOMEM. */
int stacks_load(struct stacks **stacks, struct trace_reader *reader, struct error *error);
void stacks_free(struct stacks *stacks);

/*
 * Where names of native frames come from that the trace has none for. It must not read the trace: that is in the midst
 * of being read.
 */
struct name_source {
    void *context;
    /* Looks for the names of frames that it was not asked for before; one may be given twice. 0 or -ENOMEM. */
    int (*find)(void *context, const uint64_t *frames, size_t count);
    /* What was found so far, as payloads of SYMBOLS chunks with every frame that was asked for; NULL: no more than
     * `number`. */
    const struct buf *(*found)(void *context, size_t number);
};

/* Before any stack is asked for; the source's context stays as long as the stacks. */
void stacks_set_name_source(struct stacks *stacks, struct name_source source);

bool stacks_have_name_source(const struct stacks *stacks);

/*
 * The stack of the node will be asked for. Without a source this is nothing. With one, names are looked for when a
 * stack is asked for that lacks some: of all stacks that are expected then, at once; and of all in the trace when that
 * one was not.
 */
void stacks_expect(struct stacks *stacks, uint32_t node);

/* The stack of a node: 0 is the empty one. Equal stacks have equal numbers. */
uint32_t stacks_of_node(struct stacks *stacks, uint32_t node);

/* The innermost frame of a stack that is not 0; texts stay valid as long as `stacks`. */
struct frame stacks_frame(const struct stacks *stacks, uint32_t stack);

/* The stack of the caller; 0 at the end. Smaller than `stack`. */
uint32_t stacks_caller(const struct stacks *stacks, uint32_t stack);

/* A number of the innermost frame of a stack that is not 0: equal frames have equal ones. They are 1 .. count. */
uint32_t stacks_frame_number(const struct stacks *stacks, uint32_t stack);
struct frame stacks_numbered_frame(const struct stacks *stacks, uint32_t number);
uint32_t stacks_frame_count(const struct stacks *stacks);

/*
 * Where the innermost frames of a stack lie that is not 0; where nodes with different addresses have given the same
 * stack, that of one of them. False: they are not native code, or it is not known.
 */
bool stacks_place(const struct stacks *stacks, uint32_t stack, struct stack_place *place);

/* All modules of the trace, 0 .. count - 1, also those that others took the addresses of. */
uint32_t stacks_module_count(const struct stacks *stacks);
struct stack_module stacks_module(const struct stacks *stacks, uint32_t number);

/* Does the trace have any frame of that language? */
bool stacks_have(const struct stacks *stacks, enum frame_language language);

/*
 * What is left of each stack with the frames of one language alone (missing ones stay): an array by stack, of those
 * that there are now, which the caller frees. Equal stacks have equal numbers again. NULL when memory runs out.
 */
uint32_t *stacks_of_language(struct stacks *stacks, enum frame_language language);

/* Number of different stacks; they are 1 .. count. */
uint32_t stacks_count(const struct stacks *stacks);

/* Memory ran out on the way: some stacks are 0 that are not empty. */
bool stacks_failed(const struct stacks *stacks);

#endif
