/*
 * walk_names.c - the references of one object, named as people would name them.
 *
 * Layouts that are read whole (tuple, list, dict, set, code, generators, classes' instances) are told from their memory
 * alone; for all others tp_traverse has been asked first, and names consume what it told.
 */
#include "../arena.h"
#include "walk_parts.h"

/* ---- small helpers */

static void special(const char *name, const void *target, bool counted)
{
    if (target)
        walk_edge(HSK_EDGE_SPECIAL, walk_text(name), target, counted);
}

static void special_at(const void *object, uint16_t offset, const char *name, bool counted)
{
    if (offset != PYTHON_NO_FIELD)
        special(name, pointer_at(object, offset), counted);
}

/* Strings that every object needs, asked for once. */
static struct {
    uint32_t class_name, dict_name;
} known;

static uint32_t class_name(void)
{
    if (!known.class_name)
        known.class_name = walk_text("__class__");
    return known.class_name;
}

static uint32_t dict_name(void)
{
    if (!known.dict_name)
        known.dict_name = walk_text("__dict__");
    return known.dict_name;
}

/* An instance of a heap type holds a reference to it, whether its tp_traverse says so or not. */
static void tell_class(const struct walk_shape *shape)
{
    if (shape->extra & EXTRA_CLASS)
        walk_edge(HSK_EDGE_SPECIAL, class_name(), shape->type, true);
}

/* What is not counted but near: so that no scan takes it for a reference that was kept secret. */
static void borrowed_at(const void *object, ptrdiff_t offset, uint32_t name)
{
    const void *target = pointer_at(object, offset);
    if (target)
        walk_edge(HSK_EDGE_BORROWED, name, target, false);
}

static void tell_fields(const struct walk_shape *shape, const void *object)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct walk_field *field = &shape->fields[i];
        walk_edge((enum hsk_edge)field->kind, field->name, pointer_at(object, field->offset), field->counted);
    }
}

/* ---- sequences and sets */

/* Items of closures' tuples are named by the code that reads them. Open addressing; tuple, code. */
static struct {
    const void *(*entries)[2];
    uint32_t mask, used;
} closures;

static uint32_t place_of(const void *tuple)
{
    uint32_t at = (uint32_t)(((uintptr_t)tuple >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & closures.mask;
    while (closures.entries[at][0] && closures.entries[at][0] != tuple)
        at = (at + 1) & closures.mask;
    return at;
}

void walk_closure(const void *tuple, const void *code)
{
    if (!closures.entries || closures.used > closures.mask / 2) {
        const void *(*old)[2] = closures.entries;
        uint32_t old_count = old ? closures.mask + 1 : 0, count = old ? 2 * old_count : 1024;
        const void *(*entries)[2] = arena_map(count * sizeof(*entries));
        if (!entries)
            return;
        closures.entries = entries;
        closures.mask = count - 1;
        for (uint32_t i = 0; i < old_count; i++) {
            if (old[i][0]) {
                uint32_t at = place_of(old[i][0]);
                entries[at][0] = old[i][0];
                entries[at][1] = old[i][1];
            }
        }
        if (old)
            arena_unmap(old, old_count * sizeof(*old));
    }
    uint32_t at = place_of(tuple);
    closures.used += !closures.entries[at][0];
    closures.entries[at][0] = tuple;
    closures.entries[at][1] = code;
}

/* The names of a code's variables: free ones come last. */
static const void *variable_name(const void *code, uint64_t index)
{
    const void *names = pointer_at(code, walk.objects->code.local_names);
    if (!names || index >= object_item_count(names))
        return NULL;
    const void *name = pointer_at(names, walk.objects->tuple.items + (ptrdiff_t)(index * sizeof(void *)));
    return name && walk_is_str(name) ? name : NULL;
}

static void tell_closure(const void *tuple, const void *code)
{
    uint64_t count = object_item_count(tuple);
    uint64_t locals = (uint32_t)int_at(code, walk.objects->code.local_count);
    uint64_t free_count = (uint32_t)int_at(code, walk.objects->code.free_count);
    for (uint64_t i = 0; i < count; i++) {
        const void *name = i < free_count && free_count <= locals ? variable_name(code, locals - free_count + i) : NULL;
        const void *cell = pointer_at(tuple, walk.objects->tuple.items + (ptrdiff_t)(i * sizeof(void *)));
        walk_edge(name ? HSK_EDGE_CELL : HSK_EDGE_INDEX, name ? walk_name(name) : i, cell, true);
    }
}

static void tell_tuple(const void *tuple)
{
    const void *code = closures.entries ? closures.entries[place_of(tuple)][1] : NULL;
    if (code && closures.entries[place_of(tuple)][0] == tuple) {
        tell_closure(tuple, code);
        return;
    }
    uint64_t count = object_item_count(tuple);
    for (uint64_t i = 0; i < count; i++)
        walk_edge(HSK_EDGE_INDEX, i, pointer_at(tuple, walk.objects->tuple.items + (ptrdiff_t)(i * sizeof(void *))),
                  true);
}

static void tell_list(const void *list)
{
    const void *items = pointer_at(list, PYTHON_LIST_ITEMS);
    uint64_t count = items ? object_item_count(list) : 0;
    for (uint64_t i = 0; i < count; i++)
        walk_edge(HSK_EDGE_INDEX, i, pointer_at(items, (ptrdiff_t)(i * sizeof(void *))), true);
}

static void tell_set(const void *set)
{
    const char *table = pointer_at(set, PYTHON_SET_TABLE);
    uint64_t mask = word_at(set, PYTHON_SET_MASK);
    for (uint64_t i = 0; table && i <= mask; i++) {
        const void *key = pointer_at(table, (ptrdiff_t)(i * 16));
        if (key && (int64_t)word_at(table, (ptrdiff_t)(i * 16 + 8)) != -1) /* -1: its place is kept, it is gone */
            walk_edge(HSK_EDGE_ITEM, 0, key, true);
    }
}

/* ---- dicts */

struct keys {
    const char *entries;
    uint64_t count;
    bool general; /* hash, key, value; else key, value */
};

static struct keys read_keys(const void *keys)
{
    return (struct keys){
        .entries = (const char *)keys + PYTHON_KEYS_INDICES + ((size_t)1 << byte_at(keys, PYTHON_KEYS_INDEX_BYTES)),
        .count = word_at(keys, PYTHON_KEYS_COUNT),
        .general = byte_at(keys, PYTHON_KEYS_KIND) == 0,
    };
}

static const void *key_of(const struct keys *keys, uint64_t index)
{
    return keys->general ? pointer_at(keys->entries, (ptrdiff_t)(index * 24 + 8))
                         : pointer_at(keys->entries, (ptrdiff_t)(index * 16));
}

static const void *value_of(const struct keys *keys, uint64_t index)
{
    return keys->general ? pointer_at(keys->entries, (ptrdiff_t)(index * 24 + 16))
                         : pointer_at(keys->entries, (ptrdiff_t)(index * 16 + 8));
}

/* "int 42", where values are recorded. */
static uint32_t integer_text(const void *key)
{
    char text[32] = "int ";
    uint64_t tag = word_at(key, PYTHON_OBJECT_SIZE), digits;
    bool negative;
    if (walk.objects->minor >= 12) {
        digits = tag >> 3;
        negative = (tag & 3) == 2;
    } else {
        negative = (int64_t)tag < 0;
        digits = negative ? -tag : tag;
    }
    if (digits > 2)
        return 0;
    uint64_t value = digits > 0 ? (uint32_t)int_at(key, 24) : 0;
    if (digits > 1)
        value |= (uint64_t)(uint32_t)int_at(key, 28) << 30;
    char *at = text + 4, reversed[24];
    unsigned count = 0;
    do
        reversed[count++] = (char)('0' + value % 10);
    while (value /= 10);
    if (negative)
        *at++ = '-';
    while (count)
        *at++ = reversed[--count];
    return graph_string(text, (size_t)(at - text));
}

/* A value by its key, where that may be told; else by what its key is. */
static void tell_value(enum hsk_edge kind, const void *key, const void *value)
{
    const void *type = object_type(key);
    uint32_t name = 0;
    if (type == python_capi.PyUnicode_Type)
        name = object_type(value) == python_capi.PyModule_Type ? walk_module_name(key) : walk_identifier(key);
    if (name) {
        walk_edge(kind, name, value, true);
        return;
    }
    if (walk.record_values && type == python_capi.PyLong_Type)
        name = integer_text(key);
    walk_edge(HSK_EDGE_VALUE, name ? name : walk_type_name(type), value, true);
}

static void tell_values(const void *const *values, const struct keys *keys, enum hsk_edge kind)
{
    for (uint64_t i = 0; i < keys->count; i++) {
        const void *value = values[i], *key = key_of(keys, i);
        if (!value)
            continue;
        if (key)
            tell_value(kind, key, value);
        else
            walk_edge(HSK_EDGE_REFERENCE, 0, value, true);
    }
}

/* Inline values (3.13+): four bytes, then the references. */
#define INLINE_EMBEDDED 2
#define INLINE_VALID 3

/* Interned strings go when nobody else refers to them. */
static void tell_interned(const struct keys *keys)
{
    for (uint64_t i = 0; i < keys->count; i++)
        walk_edge(HSK_EDGE_BORROWED, 0, key_of(keys, i), false);
}

bool walk_maps_to_itself(const void *dict)
{
    const void *raw = pointer_at(dict, PYTHON_DICT_KEYS);
    struct keys keys = raw ? read_keys(raw) : (struct keys){0};
    for (uint64_t i = 0; i < keys.count; i++) {
        const void *key = key_of(&keys, i);
        if (key)
            return value_of(&keys, i) == key;
    }
    return false;
}

bool python_values_embedded(const void *values)
{
    return byte_at(values, INLINE_EMBEDDED);
}

static void tell_dict(const void *dict)
{
    const void *raw = pointer_at(dict, PYTHON_DICT_KEYS);
    if (!raw)
        return;
    struct keys keys = read_keys(raw);
    if (walk_is_interned(dict)) {
        tell_interned(&keys);
        return;
    }
    const char *values = pointer_at(dict, PYTHON_DICT_VALUES);
    if (values) {
        /* The keys are its class's. The values may still be inside the object that this is the __dict__ of, and its. */
        if (walk.objects->minor < 13)
            tell_values((const void *const *)(const void *)values, &keys, HSK_EDGE_KEY);
        else if (!byte_at(values, INLINE_EMBEDDED))
            tell_values((const void *const *)(const void *)(values + PYTHON_VALUES_FIRST), &keys, HSK_EDGE_KEY);
        return;
    }
    for (uint64_t i = 0; i < keys.count; i++) {
        const void *key = key_of(&keys, i), *value = value_of(&keys, i);
        if (!key || !value)
            continue;
        tell_value(HSK_EDGE_KEY, key, value);
        walk_edge(HSK_EDGE_ITEM, 0, key, true);
    }
}

/* ---- attributes of instances */

static void tell_managed(const struct walk_shape *shape, const void *object)
{
    if (!shape->cached_keys)
        return;
    const struct keys keys = read_keys(shape->cached_keys);
    const char *values = NULL;
    const void *dict = NULL;
    if (walk.objects->minor == 11) {
        values = pointer_at(object, PYTHON_MANAGED_VALUES);
        dict = pointer_at(object, PYTHON_MANAGED_DICT);
    } else if (walk.objects->minor == 12) {
        uint64_t either = word_at(object, PYTHON_MANAGED_DICT);
        if (either & 1)
            values = (const char *)(uintptr_t)(either + 1);
        else
            dict = pointer_at(object, PYTHON_MANAGED_DICT);
    } else {
        dict = pointer_at(object, PYTHON_MANAGED_DICT);
        const char *inside = (const char *)object + shape->basic_size;
        if (shape->flags & PYTHON_FLAG_INLINE_VALUES && byte_at(inside, INLINE_VALID)) {
            struct keys fitting = keys;
            if (fitting.count > byte_at(inside, PYTHON_VALUES_CAPACITY))
                fitting.count = byte_at(inside, PYTHON_VALUES_CAPACITY);
            tell_values((const void *const *)(const void *)(inside + PYTHON_VALUES_FIRST), &fitting,
                        HSK_EDGE_ATTRIBUTE);
        }
    }
    if (values)
        tell_values((const void *const *)(const void *)values, &keys, HSK_EDGE_ATTRIBUTE);
    walk_edge(HSK_EDGE_SPECIAL, dict_name(), dict, true);
}

static void tell_dict_at_end(const struct walk_shape *shape, const void *object)
{
    uint64_t size = shape->basic_size + object_item_count(object) * shape->item_size;
    size = (size + 7) & ~UINT64_C(7);
    int64_t offset = (int64_t)size + shape->dict_offset;
    if (offset >= PYTHON_OBJECT_BYTES && size < UINT64_C(1) << 40)
        walk_edge(HSK_EDGE_SPECIAL, dict_name(), pointer_at(object, offset), false);
}

static void tell_instance(const struct walk_shape *shape, const void *object)
{
    if (shape->flags & PYTHON_FLAG_MANAGED_DICT)
        tell_managed(shape, object);
    else if (shape->dict_offset < 0 && !(shape->extra & EXTRA_LONG))
        tell_dict_at_end(shape, object);
    tell_fields(shape, object);
    tell_class(shape);
    if (shape->weak_offset)
        borrowed_at(object, shape->weak_offset, 0);
}

/* ---- code, generators, classes */

static void tell_code(const void *code)
{
    const struct python_object_offsets *objects = walk.objects;
    special_at(code, objects->code.consts, "co_consts", true);
    special_at(code, objects->code.names, "co_names", true);
    special_at(code, objects->code.exception_table, "co_exceptiontable", true);
    special_at(code, objects->code.local_names, "co_localsplusnames", true);
    special_at(code, objects->code.local_kinds, "co_localspluskinds", true);
    special_at(code, objects->code.file_name, "co_filename", true);
    special_at(code, objects->code.name, "co_name", true);
    special_at(code, objects->code.qualified_name, "co_qualname", true);
    special_at(code, objects->code.line_table, "co_linetable", true);
    special_at(code, objects->code.code, "co_code", true);
    const char *cached = objects->code.cached == PYTHON_NO_FIELD ? NULL : pointer_at(code, objects->code.cached);
    static const char *const names[] = {"co_code", "co_varnames", "co_cellvars", "co_freevars"};
    for (unsigned i = 0; cached && i < 4; i++)
        special(names[i], pointer_at(cached, (ptrdiff_t)(i * sizeof(void *))), true);
}

static void tell_generator(const void *generator)
{
    const struct python_object_offsets *objects = walk.objects;
    const char *frame = (const char *)generator + objects->generator.frame;
    int8_t state = (int8_t)byte_at(generator, objects->generator.state);
    special_at(generator, objects->generator.code, "gi_code", true);
    special_at(generator, objects->generator.name, "__name__", true);
    special_at(generator, objects->generator.qualified_name, "__qualname__", true);
    special_at(generator, objects->generator.exception, "exception being handled", true);
    if (object_type(generator) == python_capi.PyCoro_Type)
        special_at(generator, objects->generator.origin, "cr_origin", true);
    else if (object_type(generator) == python_capi.PyAsyncGen_Type)
        special_at(generator, objects->generator.origin, "finalizer", true); /* of a plain one, it is never set */
    if (state < objects->generator.cleared)
        walk_frame_edges(frame, true);
    else if (objects->minor >= 12)
        special("gi_code", walk_frame_code(frame), true);
}

/* Where each interpreter keeps what is its own of a type that all share (3.12+). */
static const char *static_state(const void *interpreter, const void *type)
{
    const struct python_object_offsets *objects = walk.objects;
    uint64_t index = word_at(type, PYTHON_TYPE_SUBCLASSES) - 1; /* in place of subclasses */
    const char *start = interpreter;
    if (index < objects->interpreter.static_type_count) {
        const char *state = start + objects->interpreter.static_types + index * objects->static_type.size;
        if (pointer_at(state, objects->static_type.type) == type)
            return state;
    }
    if (index < objects->interpreter.extension_type_count) {
        const char *state = start + objects->interpreter.extension_types + index * objects->static_type.size;
        if (pointer_at(state, objects->static_type.type) == type)
            return state;
    }
    return NULL;
}

static void tell_static_class(const void *type)
{
    const struct python_object_offsets *objects = walk.objects;
    special_at(type, PYTHON_TYPE_BASES, "__bases__", true);
    special_at(type, PYTHON_TYPE_MRO, "__mro__", true);
    /* a static type only borrows its base */
    walk_edge(HSK_EDGE_BORROWED, walk_text("__base__"), pointer_at(type, PYTHON_TYPE_BASE), false);
    special_at(type, PYTHON_TYPE_CACHE, "tp_cache", true);
    if (!objects->interpreter.static_types || !(type_flags(type) & PYTHON_FLAG_STATIC_BUILTIN)) {
        special_at(type, PYTHON_TYPE_DICT, "__dict__", true);
        special_at(type, PYTHON_TYPE_SUBCLASSES, "__subclasses__", true);
        return;
    }
    for (const void *one = walk.interpreters; one; one = walk_next_interpreter(one)) {
        const char *state = static_state(one, type);
        if (state) {
            special_at(state, objects->static_type.dict, "__dict__", true);
            special_at(state, objects->static_type.subclasses, "__subclasses__", true);
        }
    }
}

static void tell_cached_keys(const void *raw)
{
    if (!raw)
        return;
    struct keys keys = read_keys(raw);
    for (uint64_t i = 0; i < keys.count; i++)
        walk_edge(HSK_EDGE_ITEM, 0, key_of(&keys, i), true);
}

static void tell_heap_class(const void *type)
{
    const struct python_object_offsets *objects = walk.objects;
    special_at(type, PYTHON_TYPE_DICT, "__dict__", true);
    special_at(type, PYTHON_TYPE_BASES, "__bases__", true);
    special_at(type, PYTHON_TYPE_MRO, "__mro__", true);
    special_at(type, PYTHON_TYPE_BASE, "__base__", true);
    special_at(type, PYTHON_TYPE_CACHE, "tp_cache", true);
    special_at(type, PYTHON_TYPE_SUBCLASSES, "__subclasses__", true);
    special_at(type, objects->type.name, "__name__", true);
    special_at(type, objects->type.qualified_name, "__qualname__", true);
    special_at(type, objects->type.slots, "__slots__", true);
    special_at(type, objects->type.module, "module", true);
    tell_cached_keys(pointer_at(type, objects->type.cached_keys));
    borrowed_at(type, PYTHON_TYPE_WEAK_LIST, 0);
}

/* ---- the rest */

static void tell_weakref(const void *reference)
{
    const void *referent = pointer_at(reference, PYTHON_WEAKREF_OBJECT);
    if (referent && referent != python_capi._Py_NoneStruct)
        walk_edge(HSK_EDGE_WEAK, 0, referent, false);
    special_at(reference, PYTHON_WEAKREF_CALLBACK, "__callback__", true);
    borrowed_at(reference, PYTHON_WEAKREF_PREVIOUS, 0);
    borrowed_at(reference, PYTHON_WEAKREF_NEXT, 0);
}

static void tell_frame_object(const void *object)
{
    const void *frame = pointer_at(object, walk.objects->frame_object.frame);
    if (frame == (const char *)object + walk.objects->frame_object.owned)
        walk_frame_edges(frame, false);
    special("f_back", pointer_at(object, 16), false);
    special("f_trace", pointer_at(object, 32), false);
}

/*
 * The links of an lru_cache form a ring in the order of their use, through the cache, which begins as a link does. Each
 * is owned by the dict of the cache and, what nothing visits, by the one before it in the ring.
 */
static void tell_next_link(const void *object)
{
    const void *next = pointer_at(object, PYTHON_LINK_NEXT);
    if (next && next != object && walk_is_link_type(object_type(next)))
        walk_edge(HSK_EDGE_REFERENCE, 0, next, true);
}

static void name_traversed(const struct walk_shape *shape, const void *object)
{
    if (shape->extra & EXTRA_TUPLE)
        tell_tuple(object);
    if (shape->extra & EXTRA_LIST)
        tell_list(object);
    if (shape->extra & EXTRA_DICT)
        tell_dict(object);
    if (shape->extra & EXTRA_WEAKREF)
        tell_weakref(object);
    if (shape->extra & EXTRA_FRAME)
        tell_frame_object(object);
    if (shape->extra & EXTRA_LINKS)
        tell_next_link(object);
    tell_instance(shape, object);
    if (shape->layout == LAYOUT_TRAVERSED)
        walk_edges_rest(shape->extra & EXTRA_DEQUE);
}

static void name_class(const struct walk_shape *shape, const void *type)
{
    /* type_traverse() aborts on types that were not made at run time */
    if (!(type_flags(type) & PYTHON_FLAG_HEAP)) {
        walk_edges_direct();
        tell_static_class(type);
        tell_class(shape);
        return;
    }
    if (shape->type == python_capi.PyType_Type || !shape->traverse) {
        walk_edges_direct();
        tell_heap_class(type);
        return;
    }
    if (!walk_edges_traverse(shape, type))
        graph_object_flag(HSK_OBJECT_OPAQUE);
    tell_heap_class(type);
    tell_instance(shape, type);
    walk_edges_rest(false);
}

void walk_name_object(const struct walk_shape *shape, const void *object)
{
    switch (shape->layout) {
    case LAYOUT_CLASS:
        name_class(shape, object);
        return;
    case LAYOUT_TRAVERSED:
        if (!walk_edges_traverse(shape, object))
            graph_object_flag(HSK_OBJECT_OPAQUE);
        name_traversed(shape, object);
        return;
    case LAYOUT_UNTRAVERSED:
        walk_edges_direct();
        if (!(shape->extra & (EXTRA_STR | EXTRA_LONG)) && shape->basic_size > PYTHON_OBJECT_BYTES)
            graph_object_flag(HSK_OBJECT_OPAQUE);
        name_traversed(shape, object);
        return;
    case LAYOUT_INSTANCE:
        walk_edges_direct();
        tell_instance(shape, object);
        return;
    case LAYOUT_LINK:
        walk_edges_direct();
        tell_next_link(object);
        return;
    case LAYOUT_TUPLE:
        walk_edges_direct();
        tell_tuple(object);
        return;
    case LAYOUT_LIST:
        walk_edges_direct();
        tell_list(object);
        return;
    case LAYOUT_DICT:
        walk_edges_direct();
        tell_dict(object);
        return;
    case LAYOUT_SET:
        walk_edges_direct();
        tell_set(object);
        return;
    case LAYOUT_CODE:
        walk_edges_direct();
        tell_code(object);
        return;
    case LAYOUT_GENERATOR:
        walk_edges_direct();
        tell_generator(object);
        return;
    case LAYOUT_LEAF:
        return;
    }
}
