/*
 * leak_story.h - what leaks in a program's story, which a test tells line by line (make_graph.h).
 *
 * A text begins with STAGE; its last line, the snapshot at the exit, is added. The trace is in temporary_file.
 */
#ifndef HEAPSAKE_TESTS_UNIT_LEAK_STORY_H
#define HEAPSAKE_TESTS_UNIT_LEAK_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/leak_causes.h"
#include "report/graph_report.h"

/* Frames that every story has: the program's own, and an import. */
#define STAGE                                                                                                          \
    "stack main <module> app.py 1\n"                                                                                   \
    "stack work work app.py 10 main\n"                                                                                 \
    "stack other other app.py 20 main\n"                                                                               \
    "stack find _find_and_load '<frozen importlib._bootstrap>' 1 main\n"                                               \
    "stack imported <module> lib.py 1 find\n"                                                                          \
    "type app.Session gc heap\n"                                                                                       \
    "type app.Parent gc heap\n"                                                                                        \
    "type app.Child gc heap\n"                                                                                         \
    "type dict gc\n"                                                                                                   \
    "type list gc\n"                                                                                                   \
    "root modules interpreter sys.modules\n"                                                                           \
    "object allmodules dict stack=imported\n"                                                                          \
    "edge modules allmodules reference\n"                                                                              \
    "object app module stack=imported\n"                                                                               \
    "edge allmodules app key app\n"                                                                                    \
    "object appdict dict stack=imported\n"                                                                             \
    "edge app appdict special __dict__\n"                                                                              \
    "object start dict stack=main\n"                                                                                   \
    "edge appdict start key start\n"

struct analysis {
    struct report report;
    struct graph_report graph;
    struct leaks leaks;
};

/* Everything that `heapsake leaks` does before it prints; `text` is freed. Of a program with Python, or without. */
struct analysis *analyse(struct buf *text, bool python);
void done(struct analysis *analysis);

/* The one leak there is, and nothing else; `type` NULL: it has none. */
const struct leak *only(struct analysis *analysis, enum leak_cause cause, const char *type, uint64_t count);

/* Nothing leaks in it; `text` is freed. */
void silent(struct buf *text);

/* A fact of its evidence; NULL: there is none. */
const char *fact(const struct leak *leak, const char *key);

/* The innermost function of a stack, until the next call. */
const char *innermost(struct analysis *analysis, uint32_t stack);

/* Something allocated and freed, for the numbers `from` to `to`: the program goes on. */
void churn(struct buf *text, const char *name, int from, int to);

#endif
