/*
 * heapsake.h - what a program can ask of heapsake while it is traced.
 *
 * For C and C++ as gcc and clang know them, from gnu89 and C++98 on. There is nothing to link (with a glibc before 2.34:
 * -ldl): each function looks whether the process is traced, that is whether libheapsake.so is there, and costs some
 * nanoseconds when it is not. It looks again once a second, so that a later `heapsake attach` is noticed. All may be called
 * at any time, from any thread, before and after the library has come or gone; none of them throws, takes a lock of the
 * program's, or changes errno.
 *
 * Signal handlers. Looking for the library is nothing for them: dlsym is not. A function that has found it, in a call
 * outside of any handler, may be called from handlers afterwards, but heapsake_snapshot(), heapsake_flush() and the watches
 * may not.
 *
 * Forked children. All functions go on working there; a region of the parent's is none of the child's, so that ending it
 * does nothing.
 */
#ifndef HEAPSAKE_HEAPSAKE_H
#define HEAPSAKE_HEAPSAKE_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns when the process is not traced, or not any more. */
#define HEAPSAKE_NOT_TRACED (-ENOTCONN)

/* ---- how the functions are found; not for use ---- */

typedef int heapsake_watch_function(const void *address, unsigned bytes);
typedef int heapsake_unwatch_function(const void *address);

typedef int heapsake_plain_function(void);
typedef int heapsake_mark_function(const char *name, size_t length);
typedef int heapsake_begin_function(const char *name, size_t length, unsigned flags, int *region);
typedef int heapsake_end_function(const int *region);
typedef int heapsake_snapshot_function(unsigned flags);

/* A library that was attached is not among those whose names all see. */
static __inline__ void *heapsake_ask(const char *name)
{
    int saved_errno = errno;
    void *function = dlsym(NULL, name); /* NULL: RTLD_DEFAULT, which not every source has declared */
    if (function == NULL) {
        void *library = dlopen("libheapsake.so", RTLD_LAZY | RTLD_NOLOAD); /* it stays: nothing to close */
        if (library != NULL)
            function = dlsym(library, name);
        if (function == NULL)
            (void)dlerror();
    }
    errno = saved_errno;
    return function;
}

/*
 * libheapsake.so may be loaded later: a name that is missing is asked for again, once a second. Threads that come while
 * one is asking ask, too: what they want to say would be lost.
 */
static __inline__ void *heapsake_find(void **known, time_t *asked, const char *name)
{
    time_t now;
    void *function = __atomic_load_n(known, __ATOMIC_ACQUIRE);
    if (__builtin_expect(function != NULL, 0))
        return function;
    now = time(NULL);
    if (__builtin_expect(__atomic_load_n(asked, __ATOMIC_RELAXED) == now, 1))
        return NULL;
    function = heapsake_ask(name);
    if (function != NULL)
        __atomic_store_n(known, function, __ATOMIC_RELEASE);
    else
        __atomic_store_n(asked, now, __ATOMIC_RELAXED);
    return function;
}

static __inline__ int heapsake_call_watch(const void *address, unsigned bytes)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_watch_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_watch");
    return found.address != NULL ? found.function(address, bytes) : HEAPSAKE_NOT_TRACED;
}

/* ---- marks and regions ---- */

/* Is this process traced now? 1 or 0. */
static __inline__ int heapsake_tracing(void)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_plain_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_tracing");
    return found.address != NULL && found.function();
}

/*
 * The program is at this point: a moment that reports know by its name. Any bytes but NUL; of a name of more than 4096 bytes the end
 * is replaced by "#" and a hash of the whole. Returns 0, or HEAPSAKE_NOT_TRACED.
 */
static __inline__ int heapsake_mark(const char *name)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_mark_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_mark");
    return found.address != NULL ? found.function(name, strlen(name)) : HEAPSAKE_NOT_TRACED;
}

/* What all threads allocate is born in the region, not only what its own does. */
#define HEAPSAKE_ALL_THREADS 1u

/*
 * A part of the program begins: what this thread allocates until heapsake_region_end() is born in it, and reports tell it
 * apart by the region's name. Each call is an occurrence of that name. Regions may nest and overlap, also in one thread;
 * what is allocated then is born in each of them. Any thread may end it. One that is not ended is open until the
 * trace ends, which reports say.
 *
 * Returns the number of the occurrence, above 0, for heapsake_region_end(); HEAPSAKE_NOT_TRACED; -EINVAL: unknown flags.
 */
static __inline__ int heapsake_region_begin(const char *name, unsigned flags)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_begin_function *function;
    } found;
    int region = HEAPSAKE_NOT_TRACED;
    found.address = heapsake_find(&known, &asked, "heapsake_api_region_begin");
    if (found.address != NULL)
        (void)found.function(name, strlen(name), flags, &region);
    return region;
}

/*
 * Ends what heapsake_region_begin() has begun and given this number. Of a negative one nothing was begun, and nothing is
 * done. Returns 0, or HEAPSAKE_NOT_TRACED.
 */
static __inline__ int heapsake_region_end(int region)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_end_function *function;
    } found;
    if (region <= 0)
        return region < 0 ? region : -EINVAL;
    found.address = heapsake_find(&known, &asked, "heapsake_api_region_end");
    return found.address != NULL ? found.function(&region) : HEAPSAKE_NOT_TRACED;
}

/* ---- snapshots and flushes ---- */

/*
 * Takes a snapshot of the object graph now, and returns its number, above 0, when it is whole in the trace file together with
 * everything that was recorded before. The program stands still for a moment, and this thread waits for the rest; when one is
 * under way already, it waits for the end of that first.
 *
 * In a program that runs Python it is taken at once if the calling thread holds the GIL, which it keeps. Else the main
 * thread takes it between two instructions, or a thread that is made for it; it may not hold a lock then that they wait for.
 *
 * Or it returns
 *
 *     HEAPSAKE_NOT_TRACED, also when the recorder dies meanwhile
 *     -EPERM       snapshots are switched off (--no-snapshot)
 *     -EOPNOTSUPP  this Python is free-threaded, or of an unknown version
 *     -EAGAIN      Python is just being initialized or finalized
 *     -ENOMEM      there is too little memory for one
 *     -EBUSY       the one that was under way did not come to its end in time
 *     -ETIMEDOUT   the recorder stands still; or, without the GIL, Python did not come to it within ten seconds
 *     -EIO         it is not whole: the trace says why
 *     another negative errno: no process could be made for it
 */
static __inline__ int heapsake_snapshot(void)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_snapshot_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_snapshot");
    return found.address != NULL ? found.function(0) : HEAPSAKE_NOT_TRACED;
}

/*
 * Returns 0 when everything that was recorded before is in the trace file, which can be read while the program runs.
 * Or HEAPSAKE_NOT_TRACED, also when the recorder dies meanwhile; -ETIMEDOUT: the recorder stands still; another negative
 * errno: the file cannot be written.
 */
static __inline__ int heapsake_flush(void)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_plain_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_flush");
    return found.address != NULL ? found.function() : HEAPSAKE_NOT_TRACED;
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
static __inline__ int heapsake_watch(const void *object)
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
static __inline__ int heapsake_watch_counter(const void *counter, size_t size)
{
    return size >= 1 && size <= 8 ? heapsake_call_watch(counter, (unsigned)size) : -EINVAL;
}

/* Ends the watch on that object or counter. Returns 0, -ENOENT: it was not watched, or HEAPSAKE_NOT_TRACED. */
static __inline__ int heapsake_unwatch(const void *address)
{
    static void *known;
    static time_t asked;
    union {
        void *address;
        heapsake_unwatch_function *function;
    } found;
    found.address = heapsake_find(&known, &asked, "heapsake_api_unwatch");
    return found.address != NULL ? found.function(address) : HEAPSAKE_NOT_TRACED;
}

#ifdef __cplusplus
}

#if __cplusplus >= 201103L
#define HEAPSAKE_NOEXCEPT noexcept
#else
#define HEAPSAKE_NOEXCEPT throw()
#endif

namespace heapsake {

/*
 * A region from its construction to its destruction, or to end():
 *
 *     heapsake::region parse("parse");
 *
 * Moving it (since C++11) passes the end of it on. The name may go once it has begun.
 */
class region {
public:
    explicit region(const char *name, unsigned flags = 0) HEAPSAKE_NOEXCEPT : number_(heapsake_region_begin(name, flags)) {}
    ~region() { end(); }

    void end() HEAPSAKE_NOEXCEPT
    {
        heapsake_region_end(number_);
        number_ = HEAPSAKE_NOT_TRACED;
    }

#if __cplusplus >= 201103L
    region(region &&other) noexcept : number_(other.number_) { other.number_ = HEAPSAKE_NOT_TRACED; }
    region &operator=(region &&other) noexcept
    {
        if (this != &other) {
            end();
            number_ = other.number_;
            other.number_ = HEAPSAKE_NOT_TRACED;
        }
        return *this;
    }
    region(const region &) = delete;
    region &operator=(const region &) = delete;
#else
private:
    region(const region &);
    region &operator=(const region &);
#endif

private:
    int number_;
};

} /* namespace heapsake */

#undef HEAPSAKE_NOEXCEPT
#endif

#endif
