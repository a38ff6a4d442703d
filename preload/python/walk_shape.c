/*
 * walk_shape.c - what is known of a type: how its instances tell their references, and where names for them are.
 *
 * Names come from the types themselves: tp_members says of a slot, or of a field of a C struct, what Python calls it.
 * What is added here by hand are fields that have getters instead, or that no traverse visits.
 */
#include <string.h>

#include "../arena.h"
#include "walk_parts.h"

#define TABLE_CELLS_FIRST 4096u
#define MEMBER_BYTES 40 /* struct PyMemberDef: name, type, offset, flags, documentation */
#define MEMBER_OBJECT 6
#define MEMBER_OBJECT_EX 16
#define MEMBERS_MAX 4096
#define BASES_MAX 512

static struct {
    struct walk_shape **cells;
    uint32_t mask, used;
} table;

static struct walk_field building[WALK_FIELDS];
static uint32_t building_count;

static uint32_t hash(const void *pointer, uint32_t mask)
{
    return (uint32_t)(((uintptr_t)pointer >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
}

bool walk_shapes_begin(void)
{
    table.cells = arena_map(TABLE_CELLS_FIRST * sizeof(*table.cells));
    table.mask = TABLE_CELLS_FIRST - 1;
    table.used = 0;
    return table.cells != NULL;
}

static bool grow(void)
{
    uint32_t old_cells = table.mask + 1, mask = 2 * old_cells - 1;
    struct walk_shape **cells = arena_map((size_t)(mask + 1) * sizeof(*cells));
    if (!cells)
        return false;
    for (uint32_t i = 0; i < old_cells; i++) {
        if (!table.cells[i])
            continue;
        uint32_t at = hash(table.cells[i]->type, mask);
        while (cells[at])
            at = (at + 1) & mask;
        cells[at] = table.cells[i];
    }
    arena_unmap(table.cells, old_cells * sizeof(*cells));
    table.cells = cells;
    table.mask = mask;
    return true;
}

/* ---- fields */

static bool is_special(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && name[0] == '_' && name[1] == '_' && name[length - 1] == '_' && name[length - 2] == '_';
}

static void add_field(uint32_t offset, enum hsk_edge kind, uint32_t name, bool counted)
{
    if (offset == PYTHON_NO_FIELD || building_count == WALK_FIELDS)
        return;
    for (uint32_t i = 0; i < building_count; i++) {
        if (building[i].offset == offset) {
            building[i].counted |= counted;
            return;
        }
    }
    building[building_count++] =
        (struct walk_field){.offset = offset, .name = name, .kind = (uint8_t)kind, .counted = counted};
}

static void add(uint32_t offset, const char *name)
{
    add_field(offset, HSK_EDGE_SPECIAL, walk_text(name), false);
}

static void add_counted(uint32_t offset, const char *name)
{
    add_field(offset, HSK_EDGE_SPECIAL, walk_text(name), true);
}

/* The members of one type, which its bases do not repeat. */
static void add_members(const void *type, uint64_t basic_size, bool counted)
{
    const char *member = pointer_at(type, PYTHON_TYPE_MEMBERS);
    for (unsigned i = 0; member && i < MEMBERS_MAX; i++, member += MEMBER_BYTES) {
        const char *name = pointer_at(member, 0);
        int kind = int_at(member, 8);
        uint64_t offset = word_at(member, 16);
        if (!name)
            return;
        if ((kind == MEMBER_OBJECT || kind == MEMBER_OBJECT_EX) && offset >= PYTHON_OBJECT_BYTES &&
            offset + sizeof(void *) <= basic_size && offset % sizeof(void *) == 0)
            add_field((uint32_t)offset, is_special(name) ? HSK_EDGE_SPECIAL : HSK_EDGE_ATTRIBUTE, walk_text(name),
                      counted);
    }
}

static void add_function(void)
{
    const struct python_object_offsets *objects = walk.objects;
    add(objects->function.code, "__code__");
    add(objects->function.globals, "__globals__");
    add(objects->function.builtins, "__builtins__");
    add(objects->function.defaults, "__defaults__");
    add(objects->function.kwdefaults, "__kwdefaults__");
    add(objects->function.closure, "__closure__");
    add(objects->function.dict, "__dict__");
    add(objects->function.name, "__name__");
    add(objects->function.qualified_name, "__qualname__");
    add(objects->function.doc, "__doc__");
    add(objects->function.module, "__module__");
    add(objects->function.annotations, "__annotations__");
    add(objects->function.annotate, "__annotate__");
    add(objects->function.typeparams, "__type_params__");
}

static void add_exception(void)
{
    const struct python_object_offsets *objects = walk.objects;
    add(objects->exception.args, "args");
    add(objects->exception.traceback, "__traceback__");
    add(objects->exception.cause, "__cause__");
    add(objects->exception.context, "__context__");
    add(objects->exception.notes, "__notes__");
    add(objects->exception.dict, "__dict__");
}

static bool is_base_type(const void *type, const void *base)
{
    for (unsigned i = 0; type && base && i < BASES_MAX; i++, type = pointer_at(type, PYTHON_TYPE_BASE)) {
        if (type == base)
            return true;
    }
    return false;
}

static bool is_descriptor(const void *type)
{
    const struct python_capi *capi = &python_capi;
    return type == capi->PyMethodDescr_Type || type == capi->PyClassMethodDescr_Type ||
           type == capi->PyMemberDescr_Type || type == capi->PyGetSetDescr_Type || type == capi->PyWrapperDescr_Type;
}

/* Fields that tp_members does not tell. */
static void add_known(const void *type)
{
    const struct python_capi *capi = &python_capi;
    if (type == capi->PyFunction_Type)
        add_function();
    else if (type == capi->PyMethod_Type) {
        add(16, "__func__");
        add(24, "__self__");
    } else if (type == capi->PyCFunction_Type)
        add(24, "__self__");
    else if (type == capi->PyCell_Type)
        add(16, "cell_contents");
    else if (type == capi->PyTraceBack_Type) {
        add(16, "tb_next");
        add(24, "tb_frame");
    } else if (type == capi->PyDictProxy_Type)
        add(16, "mapping");
    else if (is_descriptor(type)) {
        add(16, "__objclass__");
        add_counted(24, "__name__");
        add_counted(32, "__qualname__");
    } else if (type == capi->PyModule_Type)
        add_counted(walk.objects->module.name, "__name__");
    else if (type == capi->PyRange_Type)
        add_counted(40, "len");
    if (type_flags(type) & PYTHON_FLAG_EXCEPTION)
        add_exception();
}

static void add_fields(struct walk_shape *shape)
{
    building_count = 0;
    add_known(shape->type);
    bool counted = shape->layout == LAYOUT_UNTRAVERSED || shape->layout == LAYOUT_INSTANCE;
    const void *type = shape->type;
    for (unsigned i = 0; type && i < BASES_MAX; i++, type = pointer_at(type, PYTHON_TYPE_BASE))
        add_members(type, shape->basic_size, counted);
    if (shape->dict_offset > 0 && !(shape->flags & PYTHON_FLAG_MANAGED_DICT))
        add_field((uint32_t)shape->dict_offset, HSK_EDGE_SPECIAL, walk_text("__dict__"), counted);
    shape->field_count = building_count;
    shape->fields = building_count ? arena_alloc(building_count * sizeof(building[0])) : NULL;
    if (shape->fields)
        memcpy(shape->fields, building, building_count * sizeof(building[0]));
    else
        shape->field_count = 0;
}

/* ---- layouts */

static bool text_is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

bool walk_is_link_type(const void *type)
{
    return text_is(pointer_at(type, PYTHON_TYPE_NAME), "functools._lru_list_elem");
}

static bool is_leaf(const void *type)
{
    const struct python_capi *capi = &python_capi;
    return type == capi->PyUnicode_Type || type == capi->PyBytes_Type || type == capi->PyLong_Type ||
           type == capi->PyBool_Type || type == capi->PyFloat_Type || type == capi->PyComplex_Type ||
           type == capi->PyByteArray_Type || type == capi->PyBaseObject_Type ||
           type == object_type(capi->_Py_NoneStruct);
}

/* A class of a class statement (or one made like it) over `object` and others of its kind. */
static bool is_plain_class(const void *type)
{
    if (!walk.class_traverse || pointer_at(type, PYTHON_TYPE_TRAVERSE) != walk.class_traverse)
        return false;
    for (unsigned i = 0; type && i < BASES_MAX; i++, type = pointer_at(type, PYTHON_TYPE_BASE)) {
        if (type == python_capi.PyBaseObject_Type)
            return true;
        if (!(type_flags(type) & PYTHON_FLAG_HEAP) || pointer_at(type, PYTHON_TYPE_TRAVERSE) != walk.class_traverse)
            return false;
    }
    return false;
}

static enum walk_layout choose_layout(const struct walk_shape *shape)
{
    const struct python_capi *capi = &python_capi;
    const void *type = shape->type;
    if (is_leaf(type))
        return LAYOUT_LEAF;
    if (type == capi->PyTuple_Type)
        return LAYOUT_TUPLE;
    if (type == capi->PyList_Type)
        return LAYOUT_LIST;
    if (type == capi->PyDict_Type || type == capi->PyFrozenDict_Type) /* the same, with a hash behind */
        return LAYOUT_DICT;
    if (type == capi->PySet_Type || type == capi->PyFrozenSet_Type)
        return LAYOUT_SET;
    if (type == capi->PyCode_Type)
        return LAYOUT_CODE;
    if (type == capi->PyGen_Type || type == capi->PyCoro_Type || type == capi->PyAsyncGen_Type)
        return LAYOUT_GENERATOR;
    if (walk_is_link_type(type))
        return LAYOUT_LINK;
    if (shape->flags & PYTHON_FLAG_TYPE)
        return LAYOUT_CLASS;
    if (is_plain_class(type))
        return LAYOUT_INSTANCE;
    return shape->flags & PYTHON_FLAG_GC && shape->traverse ? LAYOUT_TRAVERSED : LAYOUT_UNTRAVERSED;
}

static uint32_t choose_extra(const struct walk_shape *shape)
{
    const struct python_capi *capi = &python_capi;
    const void *type = shape->type;
    uint32_t extra = 0;
    if (shape->flags & PYTHON_FLAG_TUPLE)
        extra |= EXTRA_TUPLE;
    if (shape->flags & PYTHON_FLAG_LIST)
        extra |= EXTRA_LIST;
    if (shape->flags & PYTHON_FLAG_DICT)
        extra |= EXTRA_DICT;
    if (shape->flags & PYTHON_FLAG_STR)
        extra |= EXTRA_STR;
    if (shape->flags & PYTHON_FLAG_LONG)
        extra |= EXTRA_LONG;
    if (type == capi->PyFrame_Type)
        extra |= EXTRA_FRAME;
    if (type == capi->PyByteArray_Type)
        extra |= EXTRA_BYTEARRAY;
    if (is_base_type(type, capi->_PyWeakref_RefType) || type == capi->_PyWeakref_ProxyType ||
        type == capi->_PyWeakref_CallableProxyType)
        extra |= EXTRA_WEAKREF;
    if (text_is(pointer_at(type, PYTHON_TYPE_NAME), "collections.deque"))
        extra |= EXTRA_DEQUE;
    if (text_is(pointer_at(type, PYTHON_TYPE_NAME), "functools._lru_cache_wrapper"))
        extra |= EXTRA_LINKS;
    if (shape->flags & PYTHON_FLAG_HEAP && !walk_is_link_type(type)) /* the cache visits the type of its links, too */
        extra |= EXTRA_CLASS;
    return extra;
}

/* ---- what the trace says of it */

static bool recycles(const void *type)
{
    const struct python_capi *capi = &python_capi;
    if (type == capi->PyTuple_Type || type == capi->PyList_Type || type == capi->PyDict_Type ||
        type == capi->PyFloat_Type)
        return true;
    return walk.objects->minor >= 14 && (type == capi->PyLong_Type || type == capi->PyMethod_Type ||
                                         type == capi->PyCFunction_Type || type == capi->PyRange_Type);
}

static void describe(const struct walk_shape *shape)
{
    static struct python_type_name name;
    const void *type = shape->type;
    python_type_name_read(walk.offsets, walk.objects, type, &name);
    uint32_t flags = python_type_flags(type);
    if (recycles(type))
        flags |= HSK_TYPE_RECYCLES;
    graph_type_describe(shape->number, flags, shape->basic_size, nodes_of_object(type), name.module.bytes,
                        name.module.length, name.name.bytes, name.name.length);
}

static struct walk_shape *make(const void *type)
{
    struct walk_shape *shape = arena_alloc(sizeof *shape);
    if (!shape)
        return NULL;
    shape->type = type;
    shape->flags = type_flags(type);
    shape->basic_size = word_at(type, PYTHON_TYPE_BASIC_SIZE);
    shape->item_size = word_at(type, PYTHON_TYPE_ITEM_SIZE);
    shape->dict_offset = (int64_t)word_at(type, PYTHON_TYPE_DICT_OFFSET);
    shape->weak_offset = (int64_t)word_at(type, PYTHON_TYPE_WEAK_OFFSET);
    shape->cached_keys = shape->flags & PYTHON_FLAG_HEAP ? pointer_at(type, walk.objects->type.cached_keys) : NULL;
    *(const void **)&shape->traverse = pointer_at(type, PYTHON_TYPE_TRAVERSE);
    *(const void **)&shape->is_gc = pointer_at(type, PYTHON_TYPE_IS_GC);
    shape->layout = choose_layout(shape);
    shape->extra = choose_extra(shape);
    bool known = false;
    shape->number = graph_type(type, &known);
    if (!known)
        describe(shape);
    if (shape->layout >= LAYOUT_CLASS)
        add_fields(shape);
    return shape;
}

const struct walk_shape *walk_shape_known(const void *type)
{
    uint32_t at = hash(type, table.mask);
    while (table.cells[at] && table.cells[at]->type != type)
        at = (at + 1) & table.mask;
    return table.cells[at];
}

const struct walk_shape *walk_shape_of(const void *type)
{
    const struct walk_shape *known = walk_shape_known(type);
    if (known)
        return known;
    if (table.used > table.mask / 2 && !grow())
        return NULL;
    struct walk_shape *shape = make(type);
    if (!shape)
        return NULL;
    uint32_t at = hash(type, table.mask); /* of a table that may have grown */
    while (table.cells[at])
        at = (at + 1) & table.mask;
    table.cells[at] = shape;
    table.used++;
    return shape;
}

/* ---- strings */

uint32_t walk_text(const char *text)
{
    return graph_string(text, strlen(text));
}

uint32_t walk_type_name(const void *type)
{
    struct walk_shape *shape = (struct walk_shape *)walk_shape_of(type);
    static struct python_type_name name;
    if (!shape)
        return 0;
    if (!shape->name) {
        python_type_name_read(walk.offsets, walk.objects, type, &name);
        shape->name = graph_string(name.name.bytes, name.name.length);
    }
    return shape->name;
}

/*
 * What a program calls things, and never a password, a token, an address or a card's number: docs/GRAPH.md has the
 * rule. Names of source code are interned, which allows more.
 */
#define NAME_MAX_BYTES 64u
#define KEY_MAX_BYTES 32u
#define DIGITS_MAX 8u
#define WORD_MAX 16u /* of letters with digits among them, between underscores: beyond, they look like a token */
#define KEY_WORD_MAX 24u

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c, bool interned)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (interned && (unsigned char)c >= 0x80);
}

static bool is_token(size_t letters, size_t digits, bool interned)
{
    return (letters + digits > WORD_MAX && digits > (interned ? 2 : 0)) ||
           (letters + digits > KEY_WORD_MAX && !interned);
}

/* Which strings are told. */
enum telling { TELL_NAMES, TELL_DOTTED_NAMES, TELL_ANY };

static bool is_identifier(struct text text, bool interned)
{
    if (!text.bytes || !text.length || text.length > (interned ? NAME_MAX_BYTES : KEY_MAX_BYTES) ||
        is_digit(text.bytes[0]))
        return false;
    size_t letters = 0, digits = 0, all_digits = 0; /* the first two: of the word */
    for (size_t i = 0; i < text.length; i++) {
        char c = text.bytes[i];
        if (is_digit(c)) {
            digits++;
            all_digits++;
        } else if (is_letter(c, interned)) {
            letters++;
        } else if (c == '_') {
            letters = digits = 0;
        } else {
            return false;
        }
        if (all_digits > DIGITS_MAX || is_token(letters, digits, interned))
            return false;
    }
    return true;
}

/* "pkg.sub": what stands between the dots reads as names. */
static bool is_dotted(struct text text)
{
    while (text.bytes) {
        const char *dot = memchr(text.bytes, '.', text.length);
        size_t length = dot ? (size_t)(dot - text.bytes) : text.length;
        if (!is_identifier((struct text){text.bytes, length}, true))
            return false;
        if (!dot)
            return true;
        text = (struct text){dot + 1, text.length - length - 1};
    }
    return false;
}

static bool may_be_told(struct text text, enum telling telling, bool interned)
{
    return telling == TELL_ANY || (telling == TELL_DOTTED_NAMES ? is_dotted(text) : is_identifier(text, interned));
}

/* The strings of strs that were asked for lately: most are asked for again and again. */
static struct {
    const void *string;
    uint32_t number;
    enum telling telling;
} recent[1 << 14];

static uint32_t string_number(const void *string, enum telling telling)
{
    static char buffer[4096];
    uint32_t at = hash(string, (1 << 14) - 1);
    if (recent[at].string == string && recent[at].telling == telling)
        return recent[at].number;
    struct text text = text_read(walk.offsets, string, buffer, sizeof buffer);
    recent[at].string = string;
    recent[at].telling = telling;
    bool interned = byte_at(string, walk.offsets->string.state) & 3;
    recent[at].number = text.bytes && may_be_told(text, telling, interned) ? graph_string(text.bytes, text.length) : 0;
    return recent[at].number;
}

uint32_t walk_identifier(const void *string)
{
    return string_number(string, walk.record_values ? TELL_ANY : TELL_NAMES);
}

uint32_t walk_module_name(const void *string)
{
    return string_number(string, walk.record_values ? TELL_ANY : TELL_DOTTED_NAMES);
}

uint32_t walk_name(const void *string)
{
    return string_number(string, TELL_ANY);
}
