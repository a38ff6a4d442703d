/* native_answers.c - see native_answers.h */
#include "symbols/native_answers.h"

#include <string.h>

#include "base/grow.h"

uint32_t name_table_add(struct name_table *names, const char *string)
{
    size_t length = string ? strnlen(string, NATIVE_NAME_MAX) : 0;
    if (!length || length > names->ceiling - names->bytes)
        return 0;
    uint32_t before = names->strings.count;
    uint32_t number = intern_bytes(&names->strings, string, length);
    if (names->strings.count != before)
        names->bytes += length;
    return number;
}

bool native_functions_add(struct native_functions *functions, const struct native_function *function)
{
    if (!grow((void **)&functions->items, functions->count, &functions->capacity, sizeof *function))
        return false;
    functions->items[functions->count++] = *function;
    return true;
}
