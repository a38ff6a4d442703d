/*
 * heapsake.h - what a program can ask of heapsake while it is traced.
 *
 * For C and C++. There is nothing to link: each function looks once whether the process is traced (libheapsake.so is
 * there), and costs some nanoseconds when it is not. All may be called at any time, from any thread, before and after
 * the library has come or gone; none of them throws, takes a lock of the program's, or changes errno.
 */
#ifndef HEAPSAKE_HEAPSAKE_H
#define HEAPSAKE_HEAPSAKE_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns when the process is not traced, or not any more. */
#define HEAPSAKE_NOT_TRACED (-ENOTCONN)

/* ---- how the functions are found; not for use ---- */

typedef int heapsake_watch_function(const void *address, unsigned bytes);
typedef int heapsake_unwatch_function(const void *address);

/* libheapsake.so may be loaded later: a name that is missing is asked for again, but not each time. */
#define HEAPSAKE_ASK_EVERY 1024u

static inline void *heapsake_find(void **known, unsigned *asked, const char *name)
{
    void *function = __atomic_load_n(known, __ATOMIC_ACQUIRE);
    if (__builtin_expect(function != NULL, 0))
        return function;
    if (__builtin_expect(__atomic_fetch_add(asked, 1, __ATOMIC_RELAXED) % HEAPSAKE_ASK_EVERY != 0, 1))
        return NULL;
    int saved_errno = errno;
    function = dlsym(NULL, name); /* NULL: RTLD_DEFAULT, which not every source has declared */
    if (function == NULL)
        (void)dlerror();
    else
        __atomic_store_n(known, function, __ATOMIC_RELEASE);
    errno = saved_errno;
    return function;
}

static inline int heapsake_call_watch(const void *address, unsigned bytes)
{
    static void *known;
    static unsigned asked;
    union {
        void *address;
        heapsake_watch_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_watch");
    return found.address != NULL ? found.function(address, bytes) : HEAPSAKE_NOT_TRACED;
}

/* ---- watches ---- */

/*
 * Records every change of a Python object's reference count from now on, with the stack of who makes it: until the
 * object dies, or heapsake_unwatch(). `object` is a PyObject *, and the caller holds the GIL. The processor has four
 * watchpoints; one that the program asks for goes before those of `run --watch`. `heapsake refs` shows what was seen.
 *
 * Returns 0, also when it is watched already, or
 *
 *     HEAPSAKE_NOT_TRACED
 *     -EBUSY       four counters are watched already that the program or --watch=symbol: asked for
 *     -EINVAL      there is no interpreter that runs, or the object is immortal
 *     -EPERM       the kernel forbids it (the sysctl kernel.perf_event_paranoid above 2, or a seccomp filter), or the
 *                  caller does not hold the GIL
 *     -EMFILE      it would take more than a quarter of the descriptors that the program may have: four for each thread
 *                  that there is at the first watch, 256 threads at most
 *     -EOPNOTSUPP  this Python is free-threaded
 *     another negative errno: this machine has no watchpoints
 */
static inline int heapsake_watch(const void *object)
{
    return heapsake_call_watch(object, 0);
}

/*
 * The same for any counter of 1, 2, 4 or 8 bytes, whose address is a multiple of that: a reference count of the
 * program's own. Each write to it is an event, with the value behind it; until its block of malloc's or its mapping is
 * freed, or heapsake_unwatch(). Where threads change it under one lock, each event has its own value; where they do so
 * by atomic operations, two that happen at the same moment may both show what both have made of it.
 *
 * Returns as heapsake_watch() does; -EINVAL for another size or address.
 */
static inline int heapsake_watch_counter(const void *counter, size_t size)
{
    return size >= 1 && size <= 8 ? heapsake_call_watch(counter, (unsigned)size) : -EINVAL;
}

/* Ends the watch on that object or counter. Returns 0, -ENOENT: it was not watched, or HEAPSAKE_NOT_TRACED. */
static inline int heapsake_unwatch(const void *address)
{
    static void *known;
    static unsigned asked;
    union {
        void *address;
        heapsake_unwatch_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_unwatch");
    return found.address != NULL ? found.function(address) : HEAPSAKE_NOT_TRACED;
}

#ifdef __cplusplus
}
#endif

#endif
