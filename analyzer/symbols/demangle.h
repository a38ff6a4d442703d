/*
 * demangle.h - C++ and Rust names as people write them.
 */
#ifndef HEAPSAKE_SYMBOLS_DEMANGLE_H
#define HEAPSAKE_SYMBOLS_DEMANGLE_H

#include <stdbool.h>

#define DEMANGLE_MAX_INPUT 8192
#define DEMANGLE_MAX_OUTPUT 4096

/* Does it look like a mangled name at all? What a C programmer wrote never does. */
bool is_mangled(const char *name);

/*
 * The readable form of a C++ (Itanium ABI) or Rust (legacy or v0) name, without the hash that Rust adds; longer
 * ones are cut and end in "...". NULL when `name` is not mangled, is damaged, too long, or memory ran out: show it
 * as it is then. The caller frees it. Thread-safe.
 */
char *demangle(const char *name);

#endif
