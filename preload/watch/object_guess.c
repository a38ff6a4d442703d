/* object_guess.c - see object_guess.h */
#include "object_guess.h"

#include "../emit.h"
#include "../modules.h"
#include "../python/capi.h"
#include "../python/object_read.h"

#define OBJECT_MOST_BYTES (1u << 24)

static const struct python_offsets *layout; /* NULL: there is none to guess by */
static uint16_t qualified_name;             /* where a class keeps it          */

void object_guess_start(const struct python_offsets *offsets, const struct python_object_offsets *objects)
{
    layout = objects ? offsets : NULL;
    qualified_name = objects ? objects->type.qualified_name : 0;
}

bool object_guess_possible(void)
{
    return python_capi.PyType_Type && python_capi.PyDict_Type && python_capi.PyUnicode_Type;
}

unsigned object_count_bytes(void)
{
    return layout && layout->minor >= 12 ? 4 : 8;
}

/* 3.12+: what is negative as an int; before, only static objects, with an odd number that nobody else has. */
bool object_immortal(uint64_t count)
{
    return layout && layout->minor >= 12 && count >> 31;
}

static bool can_read(uintptr_t address)
{
    return address >= HS_PAGE_SIZE && address >> 47 == 0 && address % 8 == 0 && modules_readable(address);
}

/* Is there an object of just this type? */
static bool is_a(const void *object, const void *type)
{
    return can_read((uintptr_t)object + PYTHON_OBJECT_TYPE) && object_type(object) == type;
}

/*
 * Is that a type, and alive? The word may be anything: what is no object has none, and old memory is full of pointers
 * to what has gone. A dead type has the count 0.
 */
static bool is_type(const void *type)
{
    uintptr_t address = (uintptr_t)type;
    if (address % 16 != 0 || !can_read(address) || !can_read(address + PYTHON_TYPE_FLAGS) ||
        !can_read(address + PYTHON_TYPE_FINALIZE + sizeof(void *)))
        return false;
    uint64_t count = emit_counter(type, object_count_bytes()), size = word_at(type, PYTHON_TYPE_BASIC_SIZE);
    uint64_t flags = type_flags(type);
    const void *meta = object_type(type);
    if (count == 0 || count > UINT32_MAX || size < OBJECT_LEAST_BYTES || size > OBJECT_MOST_BYTES ||
        !(flags & PYTHON_FLAG_READY) || !can_read((uintptr_t)pointer_at(type, PYTHON_TYPE_NAME) & ~(uintptr_t)7))
        return false;
    if (meta != python_capi.PyType_Type &&
        (!is_a(meta, python_capi.PyType_Type) || !can_read((uintptr_t)meta + PYTHON_TYPE_FLAGS) ||
         !(type_flags(meta) & PYTHON_FLAG_TYPE)))
        return false;
    return !(flags & PYTHON_FLAG_HEAP) || (is_a(pointer_at(type, PYTHON_TYPE_DICT), python_capi.PyDict_Type) &&
                                           is_a(pointer_at(type, qualified_name), python_capi.PyUnicode_Type));
}

type_value object_value_of_type(struct thread *self, const void *type)
{
    type_value value = type_table_known(type);
    if (HS_LIKELY(value))
        return value;
    return is_type(type) ? type_table_value(self, type) : 0;
}

/*
 * Beside a count of 32 bits 3.14 has 16 bits that are 0 but for immortal objects, and flags. Memory that is free has a
 * pointer or nothing there.
 */
static bool is_count(uint64_t word)
{
    uint64_t never = layout->minor >= 14 ? UINT64_C(0xffff) << 32 : ~UINT64_C(0) << 32;
    return word && (object_immortal(word & UINT32_MAX) || !(word & never));
}

bool object_is_there(const void *address)
{
    if (!layout || !object_guess_possible() || !can_read((uintptr_t)address) ||
        !can_read((uintptr_t)address + PYTHON_OBJECT_TYPE) || !is_count(word_at(address, PYTHON_OBJECT_REFCOUNT)))
        return false;
    return is_type(object_type(address));
}

type_value object_type_value(struct thread *self, const void *object)
{
    return type_table_value(self, object_type(object));
}

type_value object_in_block(struct thread *self, const void *block, size_t size)
{
    static const uint8_t headers[] = {16, 0, 32};
    for (unsigned i = 0; i < sizeof headers; i++) {
        if (headers[i] + OBJECT_LEAST_BYTES > size)
            continue;
        const void *object = (const char *)block + headers[i], *type = object_type(object);
        type_value value = object_value_of_type(self, type);
        if (value && type_value_header(value) == headers[i])
            return value;
    }
    return 0;
}
