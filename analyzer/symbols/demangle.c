/* demangle.c - see demangle.h */
#include "symbols/demangle.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Without the recursion limit of libiberty being lifted: a name that exceeds it stays as it is. */
#define OPTIONS (DMGL_PARAMS | DMGL_ANSI)

/* What the demangler's callbacks fill: never longer than DEMANGLE_MAX_OUTPUT, however much comes. */
struct output {
    size_t length;
    bool cut;
    char text[DEMANGLE_MAX_OUTPUT];
};

static void append(const char *text, size_t length, void *context)
{
    struct output *output = context;
    size_t room = sizeof output->text - sizeof "..." - output->length;
    if (length > room) {
        length = room;
        output->cut = true;
    }
    memcpy(output->text + output->length, text, length);
    output->length += length;
}

bool is_mangled(const char *name)
{
    if (name[0] != '_')
        return false;
    if (name[1] == 'Z')
        return isalnum((unsigned char)name[2]);
    /* Rust v0: a path begins with one of these letters, behind an optional version number. */
    return name[1] == 'R' && name[2] && (isdigit((unsigned char)name[2]) || strchr("CMXYNIB", name[2])) &&
           isalnum((unsigned char)name[3]);
}

/* "name(int) [clone .cold]": what the compiler made of the function says nothing to its reader. */
static size_t without_clones(const char *text, size_t length)
{
    while (length && text[length - 1] == ']') {
        const char *clone = NULL;
        for (size_t i = length; i-- > 0;) {
            if (!strncmp(text + i, " [clone ", 8)) {
                clone = text + i;
                break;
            }
        }
        if (!clone)
            break;
        length = (size_t)(clone - text);
    }
    return length;
}

/* "path::name::h0123456789abcdef": the 17 characters that legacy Rust adds, and the separator. */
static size_t without_hash(const char *text, size_t length)
{
    if (length < 19 || strncmp(text + length - 19, "::h", 3) != 0)
        return length;
    for (size_t i = length - 16; i < length; i++)
        if (!isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
            return length;
    return length - 19;
}

static bool run(const char *name, struct output *output)
{
    output->length = 0;
    output->cut = false;
    /* Rust's legacy names are valid C++ names too, so Rust is asked first; it refuses those without a hash. */
    if (rust_demangle_callback(name, 0, append, output) && output->length)
        return true;
    output->length = 0;
    output->cut = false;
    return name[1] == 'Z' && cplus_demangle_v3_callback(name, OPTIONS, append, output) && output->length;
}

char *demangle(const char *name)
{
    if (!is_mangled(name) || strnlen(name, DEMANGLE_MAX_INPUT + 1) > DEMANGLE_MAX_INPUT)
        return NULL;
    struct output output;
    if (!run(name, &output)) {
        /* A Rust name of LTO ends in ".llvm.123", and both demanglers balk at suffixes they do not know. */
        const char *dot = strchr(name, '.');
        if (!dot)
            return NULL;
        char *stem = strndup(name, (size_t)(dot - name));
        bool done = stem && run(stem, &output);
        free(stem);
        if (!done)
            return NULL;
    }
    size_t length = output.length;
    if (output.cut) {
        while (length && ((unsigned char)output.text[length - 1] & 0xc0) == 0x80)
            length--; /* not through the middle of a character */
        if (length && (unsigned char)output.text[length - 1] >= 0xc0)
            length--;
        memcpy(output.text + length, "...", 3);
        length += 3;
    } else
        length = without_hash(output.text, without_clones(output.text, length));
    return strndup(output.text, length);
}
