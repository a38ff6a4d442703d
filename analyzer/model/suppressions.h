/*
 * suppressions.h - leaks that somebody knows of and does not want to see again.
 *
 * Three formats, told apart by the first line that is no comment:
 *
 *   ours       [name], then lines "key = glob"; all keys given must match. cause, type: of the leak; function, file,
 *              module: of one frame of its stack, all of them of the same one.
 *   Valgrind   { name, kind, frames }: blocks of kind ...:Leak; frames fun:, obj:, src: and "...", innermost first.
 *   LSan       leak:PATTERN: a part of a function's, file's or module's name, of any frame; * ^ $ as in LSan.
 *
 * Valgrind's and LSan's speak of native blocks: they match leaks of cause `lost`, and blocks of no known cause.
 * Matching takes no more time than pattern times text. Not thread-safe: matches are counted.
 */
#ifndef HEAPSAKE_MODEL_SUPPRESSIONS_H
#define HEAPSAKE_MODEL_SUPPRESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/stacks.h"

enum suppression_format { SUPPRESSION_OURS = 0, SUPPRESSION_VALGRIND, SUPPRESSION_LSAN };

/* How a lost block is lost, as bits, for Valgrind's match-leak-kinds. */
enum suppression_kind {
    SUPPRESSION_DEFINITE = 1,
    SUPPRESSION_INDIRECT = 2,
    SUPPRESSION_POSSIBLE = 4,
    SUPPRESSION_REACHABLE = 8,
    SUPPRESSION_ALL_KINDS = 15
};

struct suppression;

struct suppressions {
    struct suppression *list;
    size_t count, capacity;
};
#define SUPPRESSIONS_INIT ((struct suppressions){0})

/* What is to be matched. */
struct suppression_subject {
    const char *cause;          /* NULL: not known */
    const char *type;           /* NULL: not known */
    unsigned kind;              /* enum suppression_kind */
    const struct frame *frames; /* innermost first */
    size_t frame_count;
};

/*
 * Adds what is in a file. -EINVAL and one line "FILE:LINE: what" when it is not as it should be, other negative errno
 * values when it cannot be read.
 */
int suppressions_load(struct suppressions *suppressions, const char *path, struct error *error);
/* The same for text in memory; `name` is for messages. */
int suppressions_parse(struct suppressions *suppressions, const char *text, size_t length, const char *name,
                       struct error *error);
void suppressions_free(struct suppressions *suppressions);

/* Does one of them match? It is counted, and so are the subject's bytes. */
bool suppressions_match(struct suppressions *suppressions, const struct suppression_subject *subject, uint64_t bytes);

struct suppression_use {
    const char *name;
    uint64_t matches, bytes;
};
struct suppression_use suppressions_use(const struct suppressions *suppressions, size_t index);

/* `*` matches any bytes, `?` one. */
bool suppressions_glob(const char *pattern, const char *text, size_t length);

#endif
