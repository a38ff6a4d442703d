/*
 * make_graph.h - whole traces with snapshots, from a description that people can read.
 *
 * made_graph_write() writes a trace of which a text says, line by line and in the order of time, what happened:
 *
 *     # the parent and its child hold each other
 *     stack load load_users app.py 12              a stack: name, function, file, line[, its caller's name]
 *     type app.User gc heap                        optional: flags of a type; without it: none. node=NODE: its type object
 *     time 100                                     milliseconds since the start
 *     object parent app.User size=64 stack=load tracked
 *     object child app.Child size=48
 *     block buffer 4096 stack=load                 a block that is no object: its size
 *     root main frame main app.py 20               node, kind, name, where, line (or offset, or tid); "-": ""
 *     edge parent child attribute child            from, to, kind[, argument]
 *     edge child parent attribute parent
 *     edge parent buffer owns 16
 *     cut main parent                              all edges between two nodes are gone
 *     free buffer                                  the block is freed; node and edges are gone
 *     snapshot exit                                the graph as it is now, with its reason
 *
 *   object NAME TYPE [size=N] [refs=N | refs=+N] [at=0xADDRESS] [stack=NAME] [domain=NAME] [in=NODE] [noblock] [FLAG...]
 *   block NAME SIZE [stack=NAME] [at=0xADDRESS] [domain=malloc|mmap|py_raw|py_mem|py_object|arena]
 *
 * Objects and blocks are allocated where they stand: their ordinals are 0, 1, 2 ... in the order of the text. `noblock`
 * objects (static ones) have none, and `in=NODE` lies in the block of another. An object's refcount is the
 * number of counted edges to it at the snapshot, `refs=+N` adds some that nothing explains, `refs=N` says it. FLAGs are those of
 * enum hsk_object_flag, edge and root kinds those of enum hsk_edge and hsk_root, type flags those of enum hsk_type_flag, all in
 * lower case. An argument is a number for index, hidden, owns, pointer and interior, else a string.
 *
 *     mark NAME                                    a mark
 *     begin OCCURRENCE NAME [all]                  a region begins: its number in the trace, its name, of all threads?
 *     end OCCURRENCE                               it ends
 *     thread N                                     what follows is of this thread
 *
 * More lines: `parts N` (a GRAPH chunk after N records), `finalize` (the mark), `leave-out NODE` (it is named but not described),
 * `not-whole` (of the next snapshot), `problem TEXT...` (of the next snapshot), `split NODE` (its edges come in a record each).
 * Words are separated by spaces; '...' holds a word with spaces, in which \xNN is a byte, and # begins a comment.
 */
#ifndef HEAPSAKE_TESTS_UNIT_MAKE_GRAPH_H
#define HEAPSAKE_TESTS_UNIT_MAKE_GRAPH_H

/* Writes the trace over whatever is at `path`. 0 or a negative errno; a wrong line is printed. */
int made_graph_write(const char *path, const char *text);

/* The number that a node has in the graphs of the text written last: they count from 0 in its order. -1: no such name. */
int made_graph_node(const char *name);

#endif
