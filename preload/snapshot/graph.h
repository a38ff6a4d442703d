/*
 * graph.h - in the snapshot child: the records of the GRAPH stream (docs/TRACE_FORMAT.md), one node at a time.
 *
 *     graph_object_begin(...);
 *     graph_edge(...); ...
 *     graph_end();
 *
 * Strings and types are written when they are first named. When the recorder has gone, or asks to stop, everything
 * here becomes a no-op and graph_stopped() is true. Single-threaded; memory comes from arena.h.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_GRAPH_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapsake/trace_format.h"
#include "internal/snapshot.h"

bool graph_begin(struct hs_area *area);
/* Writes the records that have not been written yet. */
void graph_flush(void);
/* The same, then the fields, the counts of nodes and edges among them, and the end. */
void graph_finish(void);
bool graph_stopped(void);

/* The number of a string, which is copied; 0 for the empty one. Bytes as they are; longer than 4 KiB is cut. */
uint32_t graph_string(const char *bytes, size_t length);

/*
 * The number of a type, by the address of its type object. *known says whether the caller need not describe it: when
 * false, graph_type_describe() must follow with the number before the next record is ended.
 */
uint32_t graph_type(const void *type, bool *known);
void graph_type_describe(uint32_t number, uint32_t flags, uint64_t basic_size, uint32_t node, const char *module,
                         size_t module_length, const char *name, size_t name_length);

struct graph_object {
    uint32_t node;
    uint32_t type;    /* graph_type()                                                    */
    uint64_t address; /* of the object: behind its header of the collector                */
    uint64_t size;    /* of the object alone; counts only when it lies in no live block     */
    uint64_t refcount;
    uint32_t flags; /* enum hsk_object_flag                                            */
};
/* The block that the object lies in is looked up (nodes.h), for the ordinal. Stamps begin anew. */
void graph_object_begin(const struct graph_object *object);
void graph_block_begin(uint32_t node, uint32_t block_index);
/* `name` and `where` are strings' numbers. */
void graph_root_begin(uint32_t node, enum hsk_root kind, uint32_t name, uint32_t where, uint64_t line);

/* An edge of the node that was begun. Stamps the target. Argument: see enum hsk_edge. */
void graph_edge(enum hsk_edge kind, uint64_t argument, uint32_t target);
/* A flag that turned out while edges were told. */
void graph_object_flag(uint32_t flag);
void graph_end(void);
/* The address of the object that was begun; 0: none. */
uintptr_t graph_current_object(void);

/* For the SNAPSHOT chunk: a number, or a sentence that says what is not as it should be (the same one is said once). */
void graph_field(enum hsk_field tag, uint64_t value);
void graph_problem(const char *sentence);

uint64_t graph_edge_count(void);

#endif
