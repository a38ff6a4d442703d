/*
 * py_count.c - a preload that counts what CPython asks its allocators for: the
 * interpreter's own numbers, to compare a trace with.
 *
 * Wraps the allocators of all three domains from its constructor, counts each
 * request in its outermost domain, and writes the counts to the file named by
 * COUNTS_FILE when the process exits. It leaves the environment, so children are not counted.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "truth.h"

struct allocator { /* PyMemAllocatorEx */
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

enum { RAW, MEM, OBJECT, DOMAINS };
static const char *const names[DOMAINS] = {"py_raw", "py_mem", "py_object"};

static struct allocator real[DOMAINS];
static _Atomic long long allocations[DOMAINS], frees[DOMAINS], bytes[DOMAINS];
static __thread int depth __attribute__((tls_model("initial-exec")));
static char path[4096];
static bool installed;

static void count(int domain, const void *block, size_t size)
{
    if (block && !depth) {
        allocations[domain]++;
        bytes[domain] += (long long)size;
    }
}

static void *count_malloc(void *context, size_t size)
{
    int domain = (int)(intptr_t)context;
    depth++;
    void *block = real[domain].malloc(real[domain].context, size);
    depth--;
    count(domain, block, size);
    return block;
}

static void *count_calloc(void *context, size_t members, size_t size)
{
    int domain = (int)(intptr_t)context;
    depth++;
    void *block = real[domain].calloc(real[domain].context, members, size);
    depth--;
    count(domain, block, members * size);
    return block;
}

static void *count_realloc(void *context, void *old, size_t size)
{
    int domain = (int)(intptr_t)context;
    depth++;
    void *block = real[domain].realloc(real[domain].context, old, size);
    depth--;
    if (block && old && !depth)
        frees[domain]++;
    count(domain, block, size);
    return block;
}

static void count_free(void *context, void *block)
{
    int domain = (int)(intptr_t)context;
    if (block && !depth)
        frees[domain]++;
    depth++;
    real[domain].free(real[domain].context, block);
    depth--;
}

static void write_counts(void)
{
    char text[1000];
    int length = 0, file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        return;
    for (int i = 0; i < DOMAINS; i++)
        length += snprintf(text + length, sizeof text - (size_t)length,
                           "%s\"%s\": {\"allocations\": %lld, \"frees\": %lld, \"allocated_bytes\": %lld}", i ? ", " : "{",
                           names[i], allocations[i], frees[i], bytes[i]);
    length += snprintf(text + length, sizeof text - (size_t)length, ", \"installed\": %d}\n", installed);
    if (write(file, text, (size_t)length) != length)
        unlink(path);
    close(file);
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("COUNTS_FILE");
    if (!name)
        return;
    snprintf(path, sizeof path, "%s", name);
    unsetenv("COUNTS_FILE");
    unsetenv("LD_PRELOAD");
    void (*get)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    if (!get || !set)
        return;
    for (int i = 0; i < DOMAINS; i++) {
        struct allocator ours = {(void *)(intptr_t)i, count_malloc, count_calloc, count_realloc, count_free};
        get(i, &real[i]);
        set(i, &ours);
    }
    installed = true;
}

__attribute__((destructor)) static void end(void)
{
    if (path[0])
        write_counts();
}
