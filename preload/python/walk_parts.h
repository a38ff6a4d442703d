/*
 * walk_parts.h - what the parts of the walk over Python's objects share. For walk*.c only.
 *
 *   walk.c         which objects there are; the record of each
 *   walk_shape.c   what is known of a type, worked out once
 *   walk_edges.c   the references of one object: what tp_traverse visits, consumed by those that have names
 *   walk_names.c   names for the layouts that are known
 *   walk_frames.c  frames: locals, what they run
 *   walk_roots.c   what the interpreter and its threads hold
 *
 * Single-threaded, in a child that dies with what it has mapped: nothing is given back.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_WALK_PARTS_H
#define HEAPSAKE_PRELOAD_PYTHON_WALK_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../snapshot/graph.h"
#include "../snapshot/nodes.h"
#include "../snapshot/scan.h"
#include "capi.h"
#include "object_offsets.h"
#include "object_read.h"
#include "offsets.h"
#include "type_names.h"

struct walk {
    const struct python_offsets *offsets;
    const struct python_object_offsets *objects;
    const void *interpreters;   /* the first of the list                                              */
    const void *class_traverse; /* tp_traverse of what a class statement makes; NULL: not found            */
    bool record_values;
};
extern struct walk walk __attribute__((visibility("hidden")));

/* ---- walk_shape.c */

enum walk_layout {
    LAYOUT_LEAF,  /* holds no references                                                      */
    LAYOUT_TUPLE, /* exactly the built-in types: their references are read, not visited          */
    LAYOUT_LIST,
    LAYOUT_DICT,
    LAYOUT_SET,
    LAYOUT_CODE,
    LAYOUT_GENERATOR,
    LAYOUT_LINK,        /* of an lru_cache: the cache visits what it holds                          */
    LAYOUT_CLASS,       /* type objects                                                             */
    LAYOUT_INSTANCE,    /* of a class without C bases: type, attributes, slots, all of it readable         */
    LAYOUT_TRAVERSED,   /* tp_traverse tells; names where they are known                                */
    LAYOUT_UNTRAVERSED, /* no tp_traverse, but not known to hold nothing                                 */
};

/* More that is known of a layout that is traversed. */
enum walk_extra {
    EXTRA_TUPLE = 1 << 0, /* of a subclass too */
    EXTRA_LIST = 1 << 1,
    EXTRA_DICT = 1 << 2,
    EXTRA_WEAKREF = 1 << 3,
    EXTRA_FRAME = 1 << 4,
    EXTRA_DEQUE = 1 << 5,
    EXTRA_STR = 1 << 6,
    EXTRA_BYTEARRAY = 1 << 7,
    EXTRA_LONG = 1 << 8,
    EXTRA_CLASS = 1 << 9,  /* its instances hold a reference to it */
    EXTRA_LINKS = 1 << 10, /* an lru_cache, the head of a ring of links */
};

struct walk_field {
    uint32_t offset;
    uint32_t name; /* a string's number                                                        */
    uint8_t kind;  /* enum hsk_edge                                                             */
    bool counted;  /* a counted reference even where tp_traverse does not visit it                   */
};

#define WALK_FIELDS 64 /* more slots than that go nameless */

struct walk_shape {
    const void *type;
    uint32_t number; /* graph_type()                                                        */
    uint32_t name;   /* the string of its qualified name; 0: not asked for yet                  */
    enum walk_layout layout;
    uint32_t extra;
    uint64_t flags; /* tp_flags                                                            */
    uint64_t basic_size, item_size;
    int64_t dict_offset, weak_offset;
    int (*traverse)(void *object, int (*visit)(void *object, void *argument), void *argument);
    int (*is_gc)(const void *object);
    const void *cached_keys; /* ht_cached_keys                                                      */
    struct walk_field *fields;
    uint32_t field_count;
};

/* Is it the type of the links of lru_caches? */
bool walk_is_link_type(const void *type);

bool walk_shapes_begin(void);
/* What is known of a type; NULL: no memory. Stays where it is. */
const struct walk_shape *walk_shape_of(const void *type);
/* The same if an object of that type, or the type, has been told; else NULL. The word may be anything. */
const struct walk_shape *walk_shape_known(const void *type);
/* The string of a type's qualified name, and of an attribute, dict key or variable: a str. */
uint32_t walk_type_name(const void *type);
uint32_t walk_text(const char *text);
/* The string of a str, if it reads as an identifier does (or values are recorded); 0: it is not to be told. */
uint32_t walk_identifier(const void *string);
/* The same of a module's name, which may have dots. */
uint32_t walk_module_name(const void *string);
/* The string of a str that is a name in a program's source: told as it is. */
uint32_t walk_name(const void *string);
static inline bool walk_is_str(const void *object)
{
    return type_flags(object_type(object)) & PYTHON_FLAG_STR;
}

/* ---- walk_edges.c: the references of the object whose record is begun */

bool walk_edges_begin(void);
/* Lets tp_traverse tell all references; false: it crashed, what it told until then is kept. */
bool walk_edges_traverse(const struct walk_shape *shape, const void *object);
/* No tp_traverse: whatever is told counts. */
void walk_edges_direct(void);
/* No record is begun: what is told is made known to the walk, no more. */
void walk_edges_reach(void);
/*
 * A reference that has a name. When the traverse told of it (or there was none), it becomes an edge;
 * otherwise only if it is `counted` all the same. NULL targets are left out.
 */
void walk_edge(enum hsk_edge kind, uint64_t argument, const void *target, bool counted);
/* The rest of what the traverse told, nameless; with `indexed`, numbered in its order. */
void walk_edges_rest(bool indexed);

/* ---- walk_names.c */

void walk_name_object(const struct walk_shape *shape, const void *object);
/* Is the value under the dict's first key the key, as in dicts of interned strings? */
bool walk_maps_to_itself(const void *dict);
/* A closure's tuple belongs to functions of this code: its items are named by the free variables. */
/* Are these the values inside an object (3.13+), which hold for its __dict__ too? */
bool python_values_embedded(const void *values);
void walk_closure(const void *tuple, const void *code);

/* ---- walk_frames.c */

/* What a frame (struct _PyInterpreterFrame) owns, as edges of the record that is begun. */
void walk_frame_edges(const void *frame, bool counted);
/* The code object that a frame runs, or NULL. */
const void *walk_frame_code(const void *frame);
uint32_t walk_frame_line(const void *frame, const void *code);
/* Slots between the locals and the end of the frame; where the stack ends is not known (up to 3.13). */
void walk_frame_stack_words(const void *frame);

/* ---- walk_roots.c */

/* Tells the walk of what roots refer to, and the records of the roots themselves, at the end. */
void walk_roots_reach(void);
void walk_roots_tell(void);

/* ---- walk.c */

#define INTERPRETERS_MAX 1000 /* of a list that may be damaged */
/* Does this word look like an object? For fields that may have moved; reads guarded memory. */
bool walk_plausible(const void *object);
/* Is this a dict that is not counted in the refcounts of what it holds? */
bool walk_is_interned(const void *dict);
/* The first interpreter, the next one. */
const void *walk_next_interpreter(const void *interpreter);

#endif
