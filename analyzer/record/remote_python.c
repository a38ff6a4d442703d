/* remote_python.c - see remote_python.h */
#include "record/remote_python.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "internal/compiler.h"
#include "symbols/elf_file.h"

#define COOKIE "xdebugpy"
#define MAX_ENTRIES 100000u /* a list that is changed while it is read might lead in a circle */

/* Where a version has what in _Py_DebugOffsets. It has not moved within a minor version. */
static const struct layout {
    unsigned minor;
    unsigned debugger_support; /* its last part: the six fields below */
} layouts[] = {{14, 712}, {15, 840}};

/* The beginning is the same in all of them. */
struct head {
    char cookie[8];
    uint64_t version; /* PY_VERSION_HEX: 0x030e01f0; f: no pre-release */
    uint64_t free_threaded;
    struct {
        uint64_t size, finalizing, interpreters_head;
    } runtime;
    struct {
        uint64_t size, id, next, threads_head, threads_main, between[11];
    } interpreter;
    struct {
        uint64_t size, prev, next, interpreter;
    } thread;
};
_Static_assert(offsetof(struct head, interpreter) == 48 && offsetof(struct head, thread) == 176, "as CPython has it");

struct debugger_support {
    uint64_t breaker, support, enabled, flag, script, script_bytes;
};

enum event { /* bits of the lowest byte of eval_breaker */
             EVENT_DROP_GIL = 1 << 0,
             EVENT_SIGNALS = 1 << 1,
             EVENT_CALLS = 1 << 2,
             EVENT_EXCEPTION = 1 << 3,
             EVENT_STOP = 1 << 5, /* which is what debuggers set */
};

static bool read_bytes(const struct remote_python *python, uint64_t address, void *bytes, size_t size)
{
    return pread(python->memory, bytes, size, (off_t)address) == (ssize_t)size;
}

static bool read_word(const struct remote_python *python, uint64_t address, uint64_t *word)
{
    return read_bytes(python, address, word, sizeof *word);
}

static bool write_bytes(const struct remote_python *python, uint64_t address, const void *bytes, size_t size)
{
    return pwrite(python->memory, bytes, size, (off_t)address) == (ssize_t)size;
}

/* ---- finding it ---- */

/* 1: the file has an interpreter's section, whose place is filled in; 0: it has none, or cannot be read. */
static int find_section(const struct mapping *mapping, int folder, uint64_t *address, uint64_t *size)
{
    uint64_t first;
    int fd = mapping_open(mapping, folder);
    struct elf_file *file = fd < 0 ? NULL : elf_file_open(fd);
    bool found = file && elf_file_bits(file) == 64 && elf_file_section(file, ".PyRuntime", address, size) &&
                 elf_file_address(file, mapping->offset, &first);
    elf_file_close(file);
    if (found)
        *address += mapping->start - first;
    return found;
}

/* How many interpreters there are; `address` and `size` are the first one's. */
static unsigned find_runtime(const struct mapped_files *files, int folder, uint64_t *address, uint64_t *size)
{
    unsigned found = 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct mapping *first = files->files[i].first;
        uint64_t other[2];
        if (files->files[i].code &&
            (strncmp(mapping_file(first), "libpython", 9) == 0 || mapping_is_executable(first, folder)))
            found += (unsigned)find_section(first, folder, found ? &other[0] : address, found ? &other[1] : size);
    }
    return found;
}

static int read_offsets(const struct remote_python *python, uint64_t section_bytes, struct head *head,
                        struct debugger_support *support, struct error *error)
{
    const struct layout *layout = NULL;
    if (section_bytes < sizeof *head || !read_bytes(python, python->runtime, head, sizeof *head) ||
        memcmp(head->cookie, COOKIE, sizeof head->cookie) != 0)
        return error_set(error, -ENOENT, "its Python does not tell its version");
    unsigned major = head->version >> 24 & 0xff, minor = head->version >> 16 & 0xff;
    if (major < 3 || (major == 3 && minor < 14))
        return error_set(error, -ENOENT, "its Python is %u.%u, and takes no requests of debuggers", major, minor);
    for (size_t i = 0; i < HS_COUNT_OF(layouts); i++)
        if (major == 3 && layouts[i].minor == minor)
            layout = &layouts[i];
    if (!layout || (head->version & 0xf0) != 0xf0)
        return error_set(error, -ENOTSUP, "its Python is %s%u.%u, which heapsake knows too little of to ask it",
                         layout ? "a pre-release of " : "", major, minor);
    if (head->free_threaded)
        return error_set(error, -ENOTSUP, "its Python is free-threaded, and heapsake does not ask such a one");
    uint64_t address = python->runtime + layout->debugger_support;
    if (section_bytes < layout->debugger_support + sizeof *support ||
        !read_bytes(python, address, support, sizeof *support))
        return error_set(error, -ENOTSUP, "its Python does not tell where it takes requests of debuggers");
    return 0;
}

static bool fits(uint64_t offset, uint64_t bytes, uint64_t size)
{
    return offset < size && bytes <= size - offset;
}

/* Is each field within its structure? */
static bool is_plausible(const struct head *head, const struct debugger_support *support, uint64_t section_bytes)
{
    return head->runtime.size <= section_bytes && fits(head->runtime.finalizing, 8, head->runtime.size) &&
           fits(head->runtime.interpreters_head, 8, head->runtime.size) &&
           head->interpreter.size < head->runtime.size && fits(head->interpreter.id, 8, head->interpreter.size) &&
           fits(head->interpreter.next, 8, head->interpreter.size) &&
           fits(head->interpreter.threads_main, 8, head->interpreter.size) &&
           fits(head->interpreter.threads_head, 8, head->interpreter.size) &&
           fits(support->enabled, 4, head->interpreter.size) && head->thread.size < 1 << 20 &&
           fits(head->thread.interpreter, 8, head->thread.size) && fits(head->thread.next, 8, head->thread.size) &&
           fits(support->breaker, 8, head->thread.size) && support->breaker % 8 == 0 && support->script_bytes >= 64 &&
           fits(support->support, 4, head->thread.size) &&
           fits(support->flag, 4, head->thread.size - support->support) &&
           (support->support + support->flag) % 4 == 0 &&
           fits(support->script, support->script_bytes, head->thread.size - support->support);
}

/* The main one, which is a part of the runtime, and not the first of the list when there are others. */
static bool find_main_interpreter(const struct remote_python *python, const struct head *head, uint64_t *interpreter)
{
    uint64_t at, id;
    bool known = read_word(python, python->runtime + head->runtime.interpreters_head, &at);
    for (unsigned i = 0; known && at && i < MAX_ENTRIES; i++) {
        if (!read_word(python, at + head->interpreter.id, &id))
            return false;
        if (id == 0) {
            *interpreter = at;
            return at > python->runtime && fits(at - python->runtime, head->interpreter.size, head->runtime.size);
        }
        known = read_word(python, at + head->interpreter.next, &at);
    }
    return false;
}

/*
 * Its main thread's state. A program that embeds Python may have said of no thread that it is the main one: then the
 * first thread's that it had, which is a part of the interpreter and so stays where it is whatever the thread does.
 */
static bool find_thread(const struct remote_python *python, const struct head *head, uint64_t interpreter,
                        uint64_t *thread)
{
    uint64_t at, owner;
    if (!read_word(python, interpreter + head->interpreter.threads_main, thread))
        return false;
    bool known = !*thread && read_word(python, interpreter + head->interpreter.threads_head, &at);
    for (unsigned i = 0; known && at && i < MAX_ENTRIES && !*thread; i++) {
        if (at > interpreter && fits(at - interpreter, head->thread.size, head->interpreter.size))
            *thread = at;
        known = read_word(python, at + head->thread.next, &at);
    }
    return *thread && read_word(python, *thread + head->thread.interpreter, &owner) && owner == interpreter;
}

static int find_place(struct remote_python *python, uint64_t section_bytes, struct error *error)
{
    struct head head;
    struct debugger_support support;
    uint64_t interpreter, thread, finalizing;
    uint32_t enabled;
    int code = read_offsets(python, section_bytes, &head, &support, error);
    if (code != 0)
        return code;
    python->finalizing = python->runtime + head.runtime.finalizing;
    if (!is_plausible(&head, &support, section_bytes))
        return error_set(error, -ENOTSUP, "its Python describes itself otherwise than its version is known to");
    if (!read_word(python, python->finalizing, &finalizing) || finalizing ||
        !find_main_interpreter(python, &head, &interpreter))
        return error_set(error, -ENOTSUP, "its Python is just beginning, or ends");
    if (!read_bytes(python, interpreter + support.enabled, &enabled, sizeof enabled) || enabled != 1)
        return error_set(error, -ENOTSUP,
                         "its Python was told to take no requests of debuggers (PYTHON_DISABLE_REMOTE_DEBUG, -X "
                         "disable-remote-debug), or built so");
    if (!find_thread(python, &head, interpreter, &thread))
        return error_set(error, -ENOTSUP, "its Python has no main thread that could be asked");
    python->flag = thread + support.support + support.flag;
    python->script = thread + support.support + support.script;
    python->script_bytes = support.script_bytes;
    python->breaker = thread + support.breaker;
    return 0;
}

int remote_python_open(struct remote_python *python, int folder, const struct mapped_files *files, struct error *error)
{
    uint64_t bytes = 0;
    *python = (struct remote_python){.memory = -1};
    unsigned found = find_runtime(files, folder, &python->runtime, &bytes);
    if (found == 0)
        return error_set(error, -ENOENT, "it runs no Python of 3.13 or later, or one whose file cannot be read");
    if (found > 1)
        return error_set(error, -ENOTSUP, "it has more than one Python, and which one runs is not known");
    python->memory = openat(folder, "mem", O_RDWR | O_CLOEXEC);
    if (python->memory < 0)
        return error_set(error, -EACCES, "its memory cannot be written to (%s)", strerror(errno));
    int code = find_place(python, bytes, error);
    if (code != 0)
        remote_python_close(python);
    return code;
}

void remote_python_close(struct remote_python *python)
{
    if (python->memory >= 0)
        close(python->memory);
    python->memory = -1;
}

/* ---- a request ---- */

enum request_state remote_python_state(const struct remote_python *python)
{
    uint64_t finalizing;
    uint8_t events;
    int32_t flag;
    /* the flag last: it falls after the event has */
    if (!read_word(python, python->finalizing, &finalizing) || finalizing ||
        !read_bytes(python, python->breaker, &events, sizeof events) ||
        !read_bytes(python, python->flag, &flag, sizeof flag))
        return REQUEST_NO_MORE;
    return flag != 1 ? REQUEST_NONE : events & EVENT_STOP ? REQUEST_WAITS : REQUEST_ASLEEP;
}

void remote_python_script(const struct remote_python *python, char *path, size_t size)
{
    size_t bytes = size <= python->script_bytes ? size : python->script_bytes;
    if (!read_bytes(python, python->script, path, bytes))
        path[0] = '\0';
    path[bytes - 1] = '\0';
}

bool remote_python_name_script(const struct remote_python *python, const char *path)
{
    size_t bytes = strlen(path) + 1;
    return bytes <= python->script_bytes && write_bytes(python, python->script, path, bytes);
}

static bool set_flag(const struct remote_python *python, uint8_t value)
{
    return write_bytes(python, python->flag, &value, sizeof value);
}

bool remote_python_raise_flag(const struct remote_python *python)
{
    return set_flag(python, 1);
}

bool remote_python_lower_flag(const struct remote_python *python)
{
    return set_flag(python, 0);
}

/*
 * Between the reading and the writing another thread may set a bit, or this one take one back. Signals, calls and an
 * exception are looked for in another place when their bits are set, and not finding any is no harm: they are always
 * set. A collection that is due is asked for again at the next allocation, and one too many is no harm. Whoever wants
 * the GIL asks again, too, but a thread that hands it over when nobody wants it waits for ever: that bit is never
 * written. Where it is set nothing needs to be: having seen to its events, whichever they are, the thread looks for a
 * request in each case (_Py_HandlePending()).
 */
bool remote_python_nudge(const struct remote_python *python)
{
    uint8_t events;
    if (!read_bytes(python, python->breaker, &events, sizeof events) || events & EVENT_DROP_GIL)
        return false;
    events |= EVENT_STOP | EVENT_SIGNALS | EVENT_CALLS | EVENT_EXCEPTION;
    return write_bytes(python, python->breaker, &events, sizeof events);
}
