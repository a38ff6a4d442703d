/*
 * walk.c - see walk.h
 *
 *   permanent generations, then the others  ->  nodes, queued (nodes.h)
 *   what roots refer to                     ->  nodes, queued
 *   the queue, until it is empty            ->  a record of each object; its targets are queued in turn
 *   roots                                   ->  their records
 *   blocks that look like objects           ->  nodes, queued; or dead, and not to be read
 *
 * Objects that the collector does not track are found by references to them. A str, or a dict of such, to which
 * nothing refers is one that somebody forgot: its block shows what it is, since the walk knows its type by then.
 */
#include "walk.h"

#include "../modules.h"
#include "../snapshot/child.h"
#include "stack.h"
#include "walk_parts.h"

struct walk walk;

#define GENERATIONS 3

static uint64_t unreadable;   /* objects */
static uint32_t frozen_nodes; /* nodes below are of permanent generations */

const void *walk_next_interpreter(const void *interpreter)
{
    return pointer_at(interpreter, walk.objects->interpreter.next);
}

/* Each interpreter may have one of its own. */
bool walk_is_interned(const void *dict)
{
    if (walk.objects->interpreter.interned == PYTHON_NO_FIELD)
        return false;
    const void *one = walk.interpreters;
    for (unsigned i = 0; one && i < INTERPRETERS_MAX; i++, one = walk_next_interpreter(one)) {
        if (pointer_at(one, walk.objects->interpreter.interned) == dict)
            return true;
    }
    return false;
}

/* ---- which objects there are */

static bool is_address(uintptr_t word, uintptr_t alignment)
{
    return word >= 4096 && word < UINT64_C(1) << 47 && word % alignment == 0;
}

/* A list's head, as links in and out of it agree. */
static bool is_list(const char *head)
{
    uintptr_t next = word_at(head, PYTHON_GC_NEXT), previous = word_at(head, PYTHON_GC_PREVIOUS);
    if (!is_address(next, 4) || !is_address(previous, 4))
        return false;
    const uintptr_t mask = ~(uintptr_t)PYTHON_GC_POINTER_MASK;
    return (word_at((const void *)next, PYTHON_GC_PREVIOUS) & mask) == (uintptr_t)head &&
           (word_at((const void *)(previous & mask), PYTHON_GC_NEXT) & mask) == (uintptr_t)head;
}

static bool are_lists(const char *first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!is_list(first + i * walk.objects->gc.generation_size))
            return false;
    }
    return true;
}

/*
 * So many list heads, one behind the other, at that offset of the collector's state. They may lie four bytes to either
 * side of where the headers of another release of the same version put them, for their alignment was changed within
 * 3.13 and 3.14. NULL: they are not there.
 */
static const char *find_lists(const char *gc, uint32_t offset, unsigned count)
{
    static const int shifts[] = {0, -4, 4};
    struct child_guard guard;
    for (unsigned i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        const char *first = gc + offset + shifts[i];
        if (CHILD_GUARDED(&guard)) {
            bool fits = are_lists(first, count);
            child_guard_end(&guard);
            if (fits)
                return first;
        }
    }
    return NULL;
}

static void note_closure(const void *function)
{
    const void *closure = pointer_at(function, walk.objects->function.closure);
    if (closure)
        walk_closure(closure, pointer_at(function, walk.objects->function.code));
}

static void enumerate(const char *head)
{
    const uintptr_t mask = ~(uintptr_t)PYTHON_GC_POINTER_MASK;
    uintptr_t at = word_at(head, PYTHON_GC_NEXT) & mask;
    for (uint64_t i = 0; at && at != (uintptr_t)head && i < UINT32_MAX; i++) {
        const void *object = (const char *)at + PYTHON_GC_HEAD_BYTES;
        if (object_type(object) == python_capi.PyFunction_Type)
            note_closure(object);
        nodes_of_object(object);
        at = word_at((const void *)at, PYTHON_GC_NEXT) & mask;
    }
}

static bool enumerate_all(void)
{
    const char *one = walk.interpreters;
    for (unsigned i = 0; one && i < INTERPRETERS_MAX; i++, one = walk_next_interpreter(one)) {
        const char *permanent = find_lists(one + walk.objects->interpreter.gc, walk.objects->gc.permanent, 1);
        if (!permanent)
            return false;
        enumerate(permanent);
    }
    frozen_nodes = nodes_count();
    one = walk.interpreters;
    for (unsigned i = 0; one && i < INTERPRETERS_MAX; i++, one = walk_next_interpreter(one)) {
        const char *first = find_lists(one + walk.objects->interpreter.gc, walk.objects->gc.generations, GENERATIONS);
        if (!first)
            return false;
        for (unsigned generation = 0; generation < GENERATIONS; generation++)
            enumerate(first + generation * walk.objects->gc.generation_size);
    }
    return true;
}

/* ---- the record of one object */

#define IMMORTAL_3_11 500000000u
#define STATIC_ALLOCATED (1u << 2) /* ob_flags, 3.14+ */

static bool has_gc_head(const struct walk_shape *shape, const void *object)
{
    if (!(shape->flags & PYTHON_FLAG_GC))
        return false;
    /* static types have no head; whatever else tp_is_gc decides on is not guessed at */
    if (shape->layout == LAYOUT_CLASS)
        return type_flags(object) & PYTHON_FLAG_HEAP;
    return !shape->is_gc;
}

static bool is_static(const void *object, const struct walk_shape *shape)
{
    if (shape->layout == LAYOUT_CLASS)
        return !(type_flags(object) & PYTHON_FLAG_HEAP);
    if (nodes_find_block((uintptr_t)object) != BLOCK_NONE)
        return false;
    struct module_range range;
    return modules_find((uintptr_t)object, &range);
}

static uint32_t read_flags(const struct walk_shape *shape, const void *object, uint32_t node, uint64_t refcount)
{
    uint32_t flags = 0;
    if (has_gc_head(shape, object)) {
        const char *head = (const char *)object - PYTHON_GC_HEAD_BYTES;
        if (word_at(head, PYTHON_GC_NEXT)) {
            flags |= HSK_OBJECT_TRACKED;
            if (word_at(head, PYTHON_GC_PREVIOUS) & PYTHON_GC_FINALIZED)
                flags |= HSK_OBJECT_FINALIZED;
        }
    }
    if (node < frozen_nodes)
        flags |= HSK_OBJECT_FROZEN;
    if (walk.objects->minor == 11 ? refcount >= IMMORTAL_3_11 : (int32_t)refcount < 0)
        flags |= HSK_OBJECT_IMMORTAL;
    if (!(flags & HSK_OBJECT_TRACKED) && is_static(object, shape))
        flags |= HSK_OBJECT_STATIC;
    if (shape->layout == LAYOUT_CLASS)
        flags |= HSK_OBJECT_TYPE;
    if (shape->weak_offset &&
        !(shape->layout == LAYOUT_CLASS && flags & HSK_OBJECT_STATIC && walk.objects->minor >= 12) &&
        pointer_at(object, shape->weak_offset))
        flags |= HSK_OBJECT_WEAK;
    if (shape->type == python_capi.PyUnicode_Type && byte_at(object, walk.offsets->string.state) & 3)
        flags |= HSK_OBJECT_INTERNED;
    return flags;
}

static uint64_t string_size(const void *string)
{
    const struct python_offsets *offsets = walk.offsets;
    uint32_t state = (uint32_t)int_at(string, offsets->string.state) >> offsets->string.kind_shift;
    uint64_t length = word_at(string, offsets->string.length), kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact)
        return offsets->string.compact_data + 8u;
    return ascii ? offsets->string.ascii_data + length + 1 : offsets->string.compact_data + (length + 1) * kind;
}

static uint64_t integer_size(const struct walk_shape *shape, const void *integer)
{
    uint64_t digits =
        walk.objects->minor >= 12 ? word_at(integer, PYTHON_OBJECT_SIZE) >> 3 : object_item_count(integer);
    return shape->basic_size + digits * shape->item_size;
}

static uint64_t read_size(const struct walk_shape *shape, const void *object)
{
    if (shape->extra & EXTRA_STR)
        return shape->type == python_capi.PyUnicode_Type ? string_size(object) : shape->basic_size;
    if (shape->extra & EXTRA_LONG)
        return integer_size(shape, object);
    uint64_t size = shape->basic_size;
    if (shape->item_size)
        size += object_item_count(object) * shape->item_size;
    if (shape->flags & PYTHON_FLAG_INLINE_VALUES && walk.objects->minor >= 13)
        size += 8u + 9u * byte_at((const char *)object + shape->basic_size, 0);
    return size;
}

/* ---- words of the object that its record does not tell yet */

static void own(const void *object, ptrdiff_t offset)
{
    const void *memory = pointer_at(object, offset);
    if (memory)
        scan_owned((uintptr_t)memory, (uint64_t)offset);
}

/*
 * Everything in a dict's keys and values has been told. What else is there looks like references and is none: hashes,
 * which for ids are addresses, and places that were used before.
 */
static void own_dict(const void *dict)
{
    const void *values = pointer_at(dict, PYTHON_DICT_VALUES);
    if (!values)
        own(dict, PYTHON_DICT_KEYS); /* else they are the class's */
    else if (walk.objects->minor < 13 || !python_values_embedded(values))
        own(dict, PYTHON_DICT_VALUES);
}

/* Memory that words [from, to) point to, other than objects. */
static void own_words(const void *object, ptrdiff_t from, ptrdiff_t to)
{
    for (; from < to; from += (ptrdiff_t)sizeof(void *))
        own(object, from);
}

/* What is not plain ASCII may have its UTF-8 kept beside it, and what is not compact, its characters. */
static void own_string(const void *string)
{
    const struct python_offsets *offsets = walk.offsets;
    uint32_t state = (uint32_t)int_at(string, offsets->string.state) >> offsets->string.kind_shift;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact || !ascii)
        own_words(string, offsets->string.state + 8, offsets->string.compact_data + (compact ? 0 : 8));
}

/* Not its bytecode: inline caches refer to what they have seen, gone or not. Nor a field that nobody sets. */
static void own_code(const void *code)
{
    ptrdiff_t end = walk.offsets->code.bytecode, unset = walk.offsets->code.first_traceable - 8;
    if (walk.objects->minor < 14)
        unset = end;
    own_words(code, PYTHON_OBJECT_BYTES + 8, unset);
    own_words(code, unset + 8, end);
}

#define DEQUE_BLOCKS_MAX (1u << 26)

/*
 * Blocks of a deque: a link, 64 items, of which some were used before, a link. That of the last one is what it was when
 * the block was used before, which may be a block of the same deque.
 */
static void own_deque(const void *deque)
{
    enum { LEFT_BLOCK = 24, RIGHT_BLOCK = 32, RIGHT_LINK = 8 + 64 * 8 };
    const void *block = pointer_at(deque, LEFT_BLOCK), *last = pointer_at(deque, RIGHT_BLOCK);
    for (uint32_t i = 0; block && i < DEQUE_BLOCKS_MAX; i++) {
        uint32_t index = nodes_find_block((uintptr_t)block);
        struct nodes_block known = index == BLOCK_NONE ? (struct nodes_block){0} : nodes_block(index);
        if (known.start != (uintptr_t)block || known.size < RIGHT_LINK + sizeof(void *))
            return;
        scan_owned((uintptr_t)block, LEFT_BLOCK);
        if (block == last)
            return;
        block = pointer_at(block, RIGHT_LINK);
    }
}

/* Attributes kept apart, which only the words before the object point to. */
static void own_values(const struct walk_shape *shape, const void *object)
{
    if (!(shape->flags & PYTHON_FLAG_MANAGED_DICT))
        return;
    if (walk.objects->minor == 11)
        own(object, PYTHON_MANAGED_VALUES);
    else if (walk.objects->minor == 12 && word_at(object, PYTHON_MANAGED_DICT) & 1)
        own(object, PYTHON_MANAGED_DICT);
}

/* How far the object reaches; 0: nobody knows. */
static uint64_t scanned_size(const struct walk_shape *shape, const void *object, uint64_t size)
{
    if (shape->extra & EXTRA_LONG)
        size = shape->basic_size;
    if (!shape->item_size && size <= UINT64_C(1) << 20)
        return size;
    uint32_t index = nodes_find_block((uintptr_t)object);
    if (index == BLOCK_NONE)
        return 0;
    struct nodes_block block = nodes_block(index);
    uint64_t left = block.start + block.size - (uintptr_t)object;
    return size < left ? size : left;
}

static void scan(const struct walk_shape *shape, const void *object, uint64_t size)
{
    uintptr_t start = (uintptr_t)object;
    switch (shape->layout) {
    case LAYOUT_TUPLE:
    case LAYOUT_LINK:
        return;
    case LAYOUT_LEAF:
        if (shape->extra & EXTRA_STR)
            own_string(object);
        else if (shape->extra & EXTRA_BYTEARRAY)
            scan_object(start, start + size);
        return;
    case LAYOUT_LIST:
        own(object, PYTHON_LIST_ITEMS);
        return;
    case LAYOUT_DICT:
        own_dict(object);
        return;
    case LAYOUT_SET:
        own(object, PYTHON_SET_TABLE);
        return;
    case LAYOUT_CODE:
        own_code(object);
        return;
    case LAYOUT_GENERATOR: /* its frame has stale words above the top of the stack */
        return;
    default:
        break;
    }
    if (shape->extra & EXTRA_LIST)
        own(object, PYTHON_LIST_ITEMS);
    if (shape->extra & EXTRA_DICT)
        own_dict(object);
    if (shape->extra & EXTRA_DEQUE)
        own_deque(object);
    own_values(shape, object);
    size = scanned_size(shape, object, size);
    if (size)
        scan_object(start, start + size);
}

/* ---- its record */

static void tell_object(const void *object, uint32_t node)
{
    const struct walk_shape *shape = walk_shape_of(object_type(object));
    if (!shape)
        return;
    if (shape->layout == LAYOUT_CLASS && type_flags(object) & PYTHON_FLAG_READY)
        walk_shape_of(object); /* its TYPE record says what the class is called, even if it has no instance */
    uint64_t refcount = word_at(object, PYTHON_OBJECT_REFCOUNT);
    if (walk.objects->minor >= 12)
        refcount &= UINT32_MAX;
    struct graph_object record = {
        .node = node,
        .type = shape->number,
        .address = (uintptr_t)object,
        .size = read_size(shape, object),
        .refcount = refcount,
        .flags = read_flags(shape, object, node, refcount),
    };
    graph_object_begin(&record);
    walk_name_object(shape, object);
    scan(shape, object, record.size);
    graph_end();
}

/* What a tp_traverse of an extension visits may be anything. Of what cannot be read, no more than the node is known. */
static __attribute__((noinline)) bool tell_object_guarded(const void *object, uint32_t node)
{
    struct child_guard guard;
    if (CHILD_GUARDED(&guard)) {
        tell_object(object, node);
        child_guard_end(&guard);
        return true;
    }
    graph_end();
    return false;
}

static bool tell_queue(void)
{
    const void *object;
    uint32_t node;
    while (nodes_next_object(&object, &node)) {
        if (graph_stopped())
            return false;
        unreadable += !tell_object_guarded(object, node);
    }
    return true;
}

bool walk_plausible(const void *object)
{
    struct child_guard guard;
    bool plausible = false;
    if (!is_address((uintptr_t)object, sizeof(void *)))
        return false;
    if (CHILD_GUARDED(&guard)) {
        const void *type = object_type(object);
        plausible = is_address((uintptr_t)type, sizeof(void *)) && type_flags(type) & PYTHON_FLAG_READY &&
                    type_flags(object_type(type)) & PYTHON_FLAG_TYPE && word_at(object, PYTHON_OBJECT_REFCOUNT) != 0;
        child_guard_end(&guard);
        return plausible;
    }
    return false;
}

/* ---- blocks in which the walk has found no object: forgotten ones, and dead ones on freelists */

#define REFCOUNT_MAX (UINT64_C(1) << 28) /* more is no count, or one that is never used */

enum block_content { CONTENT_OTHER, CONTENT_FORGOTTEN, CONTENT_DEAD };

/* From 3.14 on a freelist has the next dead object where the count was: an address, and no count below
 * 2^32 with flags. */
static bool is_link(uint64_t refcount)
{
    return walk.objects->minor >= 14 && ((refcount >> 32 & 0xffff) || nodes_find_block(refcount) != BLOCK_NONE);
}

/* What a freelist keeps has no count any more, and the collector does not know it: its head is empty. */
static bool is_dead(const void *object, uint64_t refcount)
{
    const char *head = (const char *)object - PYTHON_GC_HEAD_BYTES;
    return (refcount == 0 || is_link(refcount)) && word_at(head, PYTHON_GC_NEXT) == 0;
}

/* Of an object that would lie so far behind the block's start. */
static enum block_content content_at(const void *object, struct nodes_block block, bool behind_head)
{
    uint64_t offset = (uintptr_t)object - block.start;
    if (block.size < offset + PYTHON_OBJECT_BYTES)
        return CONTENT_OTHER;
    const struct walk_shape *shape = walk_shape_known(object_type(object));
    if (!shape || shape->layout == LAYOUT_CLASS || has_gc_head(shape, object) != behind_head)
        return CONTENT_OTHER;
    uint64_t refcount = word_at(object, PYTHON_OBJECT_REFCOUNT);
    if (behind_head && is_dead(object, refcount))
        return CONTENT_DEAD;
    if (is_link(refcount))
        return CONTENT_OTHER;
    if (walk.objects->minor >= 14)
        refcount &= UINT32_MAX;
    if (refcount == 0 || refcount > REFCOUNT_MAX || offset + read_size(shape, object) > block.size)
        return CONTENT_OTHER;
    /* 3.11 keeps its dict of interned strings where only its data refers to it; it holds no references to them */
    if (shape->layout == LAYOUT_DICT && walk.objects->minor == 11 && walk_maps_to_itself(object))
        return CONTENT_OTHER;
    return CONTENT_FORGOTTEN;
}

static __attribute__((noinline)) void look_into(uint32_t index)
{
    struct nodes_block block = nodes_block(index);
    struct child_guard guard;
    if (!CHILD_GUARDED(&guard))
        return;
    const char *object = (const void *)block.start;
    enum block_content content = content_at(object, block, false);
    if (content == CONTENT_OTHER) {
        object += PYTHON_GC_HEAD_BYTES;
        content = content_at(object, block, true);
    }
    child_guard_end(&guard);
    if (content == CONTENT_FORGOTTEN)
        nodes_of_object(object);
    else if (content == CONTENT_DEAD)
        scan_stale(index);
}

static void look_into_blocks(void)
{
    for (uint32_t i = 0; i < nodes_block_count(); i++) {
        if (!nodes_object_in_block(i) && !scan_is_owned(i))
            look_into(i);
    }
}

/* ---- the whole */

/* The class ModuleSpec of importlib's bootstrap is made by a class statement in every interpreter. */
static const void *find_class_traverse(void)
{
    for (const struct python_root_field *field = walk.objects->interpreter_roots; field->name; field++) {
        if (strcmp(field->name, "importlib") != 0)
            continue;
        const void *module = pointer_at(walk.interpreters, field->offset);
        const void *dict = module && walk_plausible(module) ? pointer_at(module, PYTHON_OBJECT_BYTES) : NULL;
        const void *type = dict ? python_dict_find(walk.offsets, dict, "ModuleSpec") : NULL;
        return type && type_flags(object_type(type)) & PYTHON_FLAG_TYPE ? pointer_at(type, PYTHON_TYPE_TRAVERSE) : NULL;
    }
    return NULL;
}

static bool begin(bool record_values)
{
    walk.offsets = stack_offsets();
    walk.objects =
        walk.offsets && !walk.offsets->free_threaded ? python_object_offsets_find(walk.offsets->minor) : NULL;
    if (!walk.objects || !python_capi.PyInterpreterState_Head || !python_capi.PyType_Type ||
        !python_capi.PyFunction_Type) {
        graph_problem("Objects of this version of Python are not known to heapsake.");
        return false;
    }
    if (python_object_offsets_check(walk.objects, python_capi._PyRuntime) != PYTHON_CHECK_AGREES) {
        graph_problem("This Python keeps its objects otherwise than its version is known to: they are not walked.");
        return false;
    }
    walk.record_values = record_values;
    walk.interpreters = python_capi.PyInterpreterState_Head();
    if (!walk.interpreters || !walk_shapes_begin() || !walk_edges_begin()) {
        graph_problem("There was no memory for the walk over Python's objects.");
        return false;
    }
    walk.class_traverse = find_class_traverse();
    return true;
}

bool python_graph_walk(bool record_values)
{
    if (!begin(record_values))
        return false;
    if (!enumerate_all()) {
        graph_problem("This Python keeps its collector's lists otherwise than its version is known to: its objects are "
                      "not walked.");
        return false;
    }
    walk_roots_reach();
    if (!tell_queue())
        return false;
    walk_roots_tell();
    if (!tell_queue())
        return false;
    look_into_blocks();
    if (!tell_queue())
        return false;
    if (unreadable)
        graph_problem("Some of what objects refer to could not be read, and is no object: an extension's tp_traverse "
                      "tells of something else.");
    return true;
}

bool python_graph_known(void)
{
    const struct python_offsets *offsets = stack_offsets();
    return offsets && !offsets->free_threaded && python_object_offsets_find(offsets->minor);
}

bool python_graph_possible(void)
{
    return python_graph_known() && python_capi.Py_IsInitialized() && stack_is_attached();
}
