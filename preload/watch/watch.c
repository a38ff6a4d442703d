/* watch.c - see watch.h */
#include "watch.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "../emit.h"
#include "../proc_text.h"
#include "api.h"
#include "births.h"
#include "by_address.h"
#include "symbols.h"
#include "trap.h"
#include "watched.h"

#define LOOK_EVERY_NS UINT64_C(100000000)
#define FARTHEST ((size_t)1 << 20) /* a counter that lies farther behind the start of its block is not looked for */

/* ---- what cannot be watched ---- */

/* /proc/sys/kernel/perf_event_paranoid; -1: not known. */
static int paranoia(void)
{
    char text[16];
    uint64_t level;
    bool known =
        proc_read("/proc/sys/kernel/perf_event_paranoid", text, sizeof text) > 0 && proc_number(text, 10, &level, NULL);
    return known ? (int)level : -1;
}

static void say_why(struct thread *self, int code)
{
    switch (code) {
    case -EACCES:
    case -EPERM:
        emit_blind_spot(self,
                        paranoia() > 2
                            ? "Counts are not watched: the kernel forbids watchpoints (the sysctl "
                              "kernel.perf_event_paranoid is above 2)."
                            : "Counts are not watched: perf_event_open is forbidden here (by a container's seccomp "
                              "filter or a security module).");
        return;
    case -ENOSPC:
        emit_blind_spot(self, "Counts are not watched: the processor's watchpoints are in use by somebody else.");
        return;
    case -ENOSYS:
        emit_blind_spot(self, "Counts are not watched: that needs Linux 5.18.");
        return;
    case -EMFILE:
        emit_blind_spot(
            self,
            "Counts are not watched: that takes four descriptors for each thread, and the program may not open so "
            "many (ulimit -n).");
        return;
    case -EINTR:
        emit_blind_spot(self, "Counts are not watched: the program blocks SIGTRAP, or has taken it.");
        return;
    default:
        emit_blind_spot(self, "Counts are not watched: this machine has no watchpoints that work.");
    }
}

/* ---- what --watch asks for ---- */

static void take_line(const char *line, unsigned request)
{
    struct hs_watch_spec spec;
    if (hs_watch_parse(&spec, line, strlen(line)) || spec.trace.bytes)
        return; /* the command has refused it, or put another in its place */
    if (spec.address)
        by_address_want(&spec, line, request);
    else if (spec.symbol.bytes)
        symbols_want(&spec, line, request);
    else
        births_want(&spec, request);
}

/*
 * What is asked for refers to the text for as long as the process lives: a forked child's session is another one, and
 * its parent's memory is unmapped there.
 */
static void read_lines(void)
{
    static char lines[HS_WATCH_BYTES];
    memcpy(lines, session.shared->watch, sizeof lines - 1);
    char *rest = lines;
    for (unsigned request = 0; rest && *rest && request < HS_WATCH_REQUESTS; request++)
        take_line(strsep(&rest, "\n"), request);
}

static void give_up(void)
{
    births_give_up();
    symbols_give_up();
    by_address_give_up();
}

void watch_start(struct thread *self)
{
    if (!session.shared->watch[0])
        return;
    read_lines();
    if (!births_wanted() && !symbols_wanted() && !by_address_wanted())
        return;
    watched_start();
    int code = trap_prepare();
    if (code == 0) {
        births_tell_asked();
        symbols_find(self);
        return;
    }
    give_up();
    say_why(self, code);
}

void watch_addresses(struct thread *self)
{
    by_address_begin(self);
}

void watch_end(struct thread *self)
{
    give_up();
    watched_end_all(self, HSK_WATCH_DETACHED);
}

void watch_stop(void)
{
    give_up();
    births_forget();
    watched_forget();
    trap_stop();
}

void watch_after_fork(struct thread *self)
{
    watched_after_fork();
    births_after_fork();
    symbols_after_fork();
    if (symbols_wanted())
        symbols_find(self);
    by_address_begin(self);
}

/* ---- while something is watched ---- */

void watch_tick(struct thread *self)
{
    static _Atomic uint64_t looked_ns;
    uint64_t then = atomic_load_explicit(&looked_ns, memory_order_relaxed);
    if (self->clock_ns - then < LOOK_EVERY_NS || !atomic_compare_exchange_strong(&looked_ns, &then, self->clock_ns))
        return;
    watched_look_after(self);
}

/* Does a counter that is not an object's lie in this block of malloc's, or in that mapping? */
static bool goes_with(const struct watched *place, enum hs_domain domain, const void *block, size_t size)
{
    size_t behind = (uintptr_t)place->address - (uintptr_t)block;
    if (size)
        return behind < size;
    return domain == HS_DOMAIN_MALLOC && behind < FARTHEST && behind < malloc_usable_size((void *)block);
}

void watch_freed(struct thread *self, enum hs_domain domain, const void *block, size_t size)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        struct watched *place = &watched[i];
        uint32_t watch = atomic_load_explicit(&place->watch, memory_order_acquire);
        if (HS_LIKELY(!watch))
            continue;
        if (place->python ? place->block == block || (size && goes_with(place, domain, block, size))
                          : goes_with(place, domain, block, size))
            watched_end(self, place, watch, HSK_WATCH_DIED);
    }
}

/* ---- what the program asks for: include/heapsake/heapsake.h ---- */

HS_EXPORT int heapsake_api_watch(const void *address, unsigned bytes)
{
    if (!address || (bytes != 0 && bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) ||
        (bytes && (uintptr_t)address % bytes != 0))
        return -EINVAL;
    int saved_errno = errno;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    int code = by_address_watch(self, address, bytes, HS_WATCH_BY_PROGRAM, __builtin_frame_address(0));
    hook_leave(self);
    errno = saved_errno;
    return code;
}

HS_EXPORT int heapsake_api_unwatch(const void *address)
{
    int saved_errno = errno, code = -ENOENT;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    struct watched *place = by_address_find(address);
    if (place) {
        watched_end(self, place, atomic_load(&place->watch), HSK_WATCH_ASKED);
        code = 0;
    }
    hook_leave(self);
    errno = saved_errno;
    return code;
}
