/*
 * baseline.h - the leaks and totals of a run that somebody has accepted, as a text file made to be committed.
 *
 *     heapsake baseline 1
 *     # comments
 *     program <TAB> web_app.py
 *     peak <TAB> 12345678            bytes; so live and leaked; allocations counts
 *     leak <TAB> CAUSE <TAB> TYPE <TAB> SITE <TAB> COUNT <TAB> BYTES <TAB> LINES
 *
 * One leak a line, in an order that depends on nothing but causes, types and sites (leak_site.h); TYPE is "-" where
 * there is none; LINES are those of SITE's frames, with commas. 1 is the version of all that: what counts as a leak,
 * how sites are written. A file of another version cannot be compared with. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_BASELINE_H
#define HEAPSAKE_MODEL_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "model/leak_site.h"

#define BASELINE_VERSION 1u

struct baseline_leak {
    char *cause, *type; /* as in the file: "-" */
    struct leak_site site;
    uint64_t count, bytes;
    size_t leak;                       /* of a trace: the index of the largest of the leaks that are added up here */
    const struct baseline_leak *match; /* after baseline_match(): its like; NULL: it has none */
};

struct baseline {
    char *program; /* escaped */
    uint64_t peak, live, leaked, allocations;
    struct baseline_leak *leaks; /* in their order, no two alike */
    size_t count, capacity;
};
#define BASELINE_INIT ((struct baseline){0})

/*
 * Adds a leak of a trace; call baseline_settle() behind the last one, which sorts them and adds up what cannot be told
 * apart. 0 or -ENOMEM.
 */
int baseline_add(struct baseline *baseline, const struct leak *leak, size_t index, const struct stacks *stacks);
void baseline_settle(struct baseline *baseline);

/* The file's text; look at text->failed. */
void baseline_write(const struct baseline *baseline, struct buf *text);

/* -EINVAL when it is not a baseline of this version, or damaged; the one line says where. */
int baseline_parse(struct baseline *baseline, const char *text, size_t length, const char *name, struct error *error);
int baseline_load(struct baseline *baseline, const char *path, struct error *error);

/*
 * Finds for each leak of `now` the one of `before` that it is: the same cause, type and site, and the same lines; of
 * what is then left, by the order of their lines, as code that moved stays in its order. At last growing and held are one cause:
 * which of them is told of what is reachable depends on how the run went on.
 */
void baseline_match(struct baseline *before, struct baseline *now);

void baseline_free(struct baseline *baseline);

#endif
