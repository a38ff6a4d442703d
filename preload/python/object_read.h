/* object_read.h - reading fields of Python objects by their offsets. The caller knows that the memory is there. */
#ifndef HEAPSAKE_PRELOAD_PYTHON_OBJECT_READ_H
#define HEAPSAKE_PRELOAD_PYTHON_OBJECT_READ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "object_offsets.h"

static inline const void *pointer_at(const void *object, ptrdiff_t offset)
{
    const void *pointer; /* the interpreter's own structs may be less aligned than a pointer */
    memcpy(&pointer, (const char *)object + offset, sizeof pointer);
    return pointer;
}

static inline uint64_t word_at(const void *object, ptrdiff_t offset)
{
    uint64_t word;
    memcpy(&word, (const char *)object + offset, sizeof word);
    return word;
}

static inline int32_t int_at(const void *object, ptrdiff_t offset)
{
    int32_t number;
    memcpy(&number, (const char *)object + offset, sizeof number);
    return number;
}

static inline uint8_t byte_at(const void *object, ptrdiff_t offset)
{
    return *((const uint8_t *)object + offset);
}

static inline const void *object_type(const void *object)
{
    return pointer_at(object, PYTHON_OBJECT_TYPE);
}
static inline uint64_t type_flags(const void *type)
{
    return word_at(type, PYTHON_TYPE_FLAGS);
}

static inline uint64_t object_item_count(const void *object)
{
    int64_t size = (int64_t)word_at(object, PYTHON_OBJECT_SIZE);
    return (uint64_t)(size < 0 ? -size : size);
}

#endif
