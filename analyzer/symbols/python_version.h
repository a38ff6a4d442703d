/*
 * python_version.h - which CPython is in a file, read and never run, and what heapsake knows of that version.
 */
#ifndef HEAPSAKE_SYMBOLS_PYTHON_VERSION_H
#define HEAPSAKE_SYMBOLS_PYTHON_VERSION_H

#include <stdbool.h>

#include "symbols/elf_file.h"

struct python_version {
    unsigned major, minor;
    int micro; /* -1: not told (the version is from the file's name: up to 3.10 no variable has it) */
    bool free_threaded;
};

/* 0: `file`, whose name is `name`, is an interpreter (an executable or a libpython). -ENOENT: it is none. */
int python_version_read(struct python_version *version, const struct elf_file *file, const char *name);

/* The same of a program at `path`, or of the libpython that it would load. -ENOENT too when it cannot be read. */
int python_version_of_program(struct python_version *version, const char *path);

enum python_support {
    PYTHON_SUPPORT_NONE,   /* memory is recorded at malloc, and that is all                     */
    PYTHON_SUPPORT_STACKS, /* memory with the functions of Python, no objects                   */
    PYTHON_SUPPORT_FULL,   /* objects, snapshots and counts too                                 */
};

/* As the tables of preload/python/ have it; tests/unit/test_python_version.c compares. Thread-safe. */
enum python_support python_version_support(const struct python_version *version);

/* What cannot be recorded of it, as a sentence without a full stop; NULL with full support. */
const char *python_version_lack(const struct python_version *version);

#define PYTHON_VERSION_TEXT 48
/* "CPython 3.13.5, free-threaded" into `text`, which is returned. */
const char *python_version_text(const struct python_version *version, char text[PYTHON_VERSION_TEXT]);

#endif
