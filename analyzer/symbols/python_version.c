/* python_version.c - see python_version.h */
#include "symbols/python_version.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"

#define LIBRARY_PREFIX "libpython"

/* Where the loader looks without being told; an entry that is not there costs nothing. */
static const char *const library_folders[] = {
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/usr/lib64",
    "/usr/lib",
};

/* ---- one file ---- */

/* "libpython3.12.so.1.0", "python3.10", "libpython3.13t.so"; false: the name tells no version. */
static bool parse_name(struct python_version *version, const char *name)
{
    if (strncmp(name, "lib", 3) == 0)
        name += 3;
    int length = 0;
    *version = (struct python_version){.micro = -1};
    if (sscanf(name, "python%u.%u%n", &version->major, &version->minor, &length) != 2)
        return false;
    version->free_threaded = name[length] == 't';
    return true;
}

/* From 3.13 on _PyRuntime begins with an 8-byte cookie, the version, and whether there is no GIL. */
static bool is_free_threaded(const struct elf_file *file)
{
    uint64_t words[3];
    return elf_file_variable(file, "_PyRuntime", words, sizeof words) && memcmp(words, "xdebugpy", 8) == 0 &&
           words[2] == 1;
}

int python_version_read(struct python_version *version, const struct elf_file *file, const char *name)
{
    if (!elf_file_exports(file, "PyMem_SetAllocator") || !elf_file_exports(file, "Py_IsInitialized"))
        return -ENOENT;
    uint64_t number;
    if (elf_file_variable(file, "Py_Version", &number, sizeof number) && number >> 32 == 0)
        *version = (struct python_version){
            .major = number >> 24 & 0xff,
            .minor = number >> 16 & 0xff,
            .micro = number >> 8 & 0xff,
            .free_threaded = is_free_threaded(file),
        };
    else if (!parse_name(version, name))
        *version = (struct python_version){.major = 3, .micro = -1}; /* 3.0: some version before 3.11 */
    return 0;
}

/* ---- a program, and the library that it would load ---- */

static struct elf_file *open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? NULL : elf_file_open(fd);
}

/* In each of the folders of `list`, separated by colons; $ORIGIN is `origin`. */
static struct elf_file *open_in_list(const char *list, const char *origin, const char *name)
{
    struct elf_file *found = NULL;
    for (const char *at = list; at && *at && !found; at += strcspn(at, ":"), at += *at == ':') {
        char path[2 * PATH_MAX];
        int length = (int)strcspn(at, ":"), word = 0;
        if (strncmp(at, "$ORIGIN", 7) == 0)
            word = 7;
        else if (strncmp(at, "${ORIGIN}", 9) == 0)
            word = 9;
        int used = snprintf(path, sizeof path, "%s%.*s/%s", word ? origin : "", length - word, at + word, name);
        if (length > word + (word == 0) && used > 0 && (size_t)used < sizeof path)
            found = open_file(path);
    }
    return found;
}

static struct elf_file *open_library(const struct elf_file *program, const char *origin, const char *name)
{
    struct elf_file *found = open_in_list(getenv("LD_LIBRARY_PATH"), origin, name);
    const char *run_path;
    for (size_t i = 0; !found && (run_path = elf_file_run_path(program, i)); i++)
        found = open_in_list(run_path, origin, name);
    for (size_t i = 0; !found && i < HS_COUNT_OF(library_folders); i++)
        found = open_in_list(library_folders[i], origin, name);
    return found;
}

static const char *needed_library(const struct elf_file *program)
{
    const char *needed;
    for (size_t i = 0; (needed = elf_file_needed(program, i)); i++)
        if (strncmp(needed, LIBRARY_PREFIX, strlen(LIBRARY_PREFIX)) == 0)
            return needed;
    return NULL;
}

int python_version_of_program(struct python_version *version, const char *path)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return -ENOENT;
    struct elf_file *program = open_file(real);
    if (!program)
        return -ENOENT;
    char *slash = strrchr(real, '/');
    int code = python_version_read(version, program, slash + 1);
    const char *name = code == 0 ? NULL : needed_library(program);
    if (name) {
        *slash = '\0';
        struct elf_file *library = open_library(program, real, name);
        code = library ? python_version_read(version, library, name) : -ENOENT;
        elf_file_close(library);
        if (code != 0 && parse_name(version, name))
            code = 0;
    }
    elf_file_close(program);
    return code;
}

/* ---- what is known ---- */

enum python_support python_version_support(const struct python_version *version)
{
    unsigned minor = version->minor;
    if (version->major != 3 || minor > 15)
        return PYTHON_SUPPORT_NONE;
    if (version->free_threaded)
        return minor >= 14 ? PYTHON_SUPPORT_STACKS : PYTHON_SUPPORT_NONE;
    return minor >= 11 ? PYTHON_SUPPORT_FULL : minor >= 9 ? PYTHON_SUPPORT_STACKS : PYTHON_SUPPORT_NONE;
}

const char *python_version_lack(const struct python_version *version)
{
    switch (python_version_support(version)) {
    case PYTHON_SUPPORT_NONE:
        return "heapsake does not know this version, its memory is recorded at malloc, without Python's names";
    case PYTHON_SUPPORT_STACKS:
        return "its memory is recorded with Python's stacks, its objects are not";
    case PYTHON_SUPPORT_FULL:
        break;
    }
    return NULL;
}

const char *python_version_text(const struct python_version *version, char text[PYTHON_VERSION_TEXT])
{
    char micro[16] = "";
    if (version->micro >= 0)
        snprintf(micro, sizeof micro, ".%d", version->micro);
    if (version->minor == 0)
        snprintf(text, PYTHON_VERSION_TEXT, "CPython before 3.11");
    else
        snprintf(text, PYTHON_VERSION_TEXT, "CPython %u.%u%s%s", version->major & 0xff, version->minor & 0xff, micro,
                 version->free_threaded ? ", free-threaded" : "");
    return text;
}
