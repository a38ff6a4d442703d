/* marks.c - see marks.h */
#include "marks.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#include "emit.h"
#include "heapsake/trace_format.h"
#include "python/capi.h"
#include "python/python.h"
#include "python/stack.h"
#include "python/walk.h"
#include "snapshot/headroom.h"
#include "snapshot/take.h"
#include "sys.h"
#include "wishes.h"

#define SECOND_NS UINT64_C(1000000000)
#define FLUSH_NS (60 * SECOND_NS)
#define SNAPSHOT_NS                                                                                                    \
    (150 * SECOND_NS) /* and as much more for each GiB that is resident: the recorder gives up before                  \
                       */

HS_EXPORT int heapsake_api_tracing(void)
{
    struct thread *self = hook_enter();
    if (!self)
        return 0;
    hook_leave(self);
    return 1;
}

/* ---- names ---- */

/* "#" and the hash as 16 digits stand for the end of a name that is too long. */
#define HASH_LENGTH 17u

static void write_hash(char text[HASH_LENGTH], const char *name, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    text[0] = '#';
    for (unsigned i = 1; i < HASH_LENGTH; i++, hash <<= 4)
        text[i] = "0123456789abcdef"[hash >> 60];
}

/* No character of UTF-8 is cut in two. */
static size_t whole_characters(const char *name, size_t length)
{
    size_t end = length;
    while (end > 0 && length - end < 3 && ((unsigned char)name[end] & 0xc0) == 0x80)
        end--;
    return ((unsigned char)name[end] & 0xc0) == 0x80 ? length : end;
}

static bool emit_named(struct thread *self, struct hs_message_mark *mark, const char *name, size_t length)
{
    char hash[HASH_LENGTH];
    struct emit_part parts[] = {{mark, sizeof *mark}, {name, length}, {hash, 0}};
    if (HS_UNLIKELY(length > HS_MARK_NAME_MAX)) {
        write_hash(hash, name, length);
        parts[1].length = whole_characters(name, HS_MARK_NAME_MAX - sizeof hash);
        parts[2].length = sizeof hash;
    }
    mark->name_length = (uint32_t)(parts[1].length + parts[2].length);
    return emit_message(self, HS_MESSAGE_MARK, parts, 3);
}

/* ---- marks and regions ---- */

HS_EXPORT int heapsake_api_mark(const char *name, size_t length)
{
    if (!name)
        return -EINVAL;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    struct hs_message_mark mark = {.kind = HSK_MARK_NAMED};
    bool told = emit_named(self, &mark, name, length);
    hook_leave(self);
    return told ? 0 : -ENOTCONN;
}

/*
 * Numbers of regions go round; those of a forked child go on where its parent's were, and those of a later session
 * where the one before ended, so that a number of another one's region is none of ours.
 */
static uint32_t next_region(void)
{
    static _Atomic uint32_t regions;
    uint32_t region;
    do
        region = (atomic_fetch_add_explicit(&regions, 1, memory_order_relaxed) + 1) & INT_MAX;
    while (region == 0);
    return region;
}

HS_EXPORT int heapsake_api_region_begin(const char *name, size_t length, unsigned flags, int *region)
{
    if (!name || flags & ~(unsigned)HSK_REGION_ALL_THREADS)
        return *region = -EINVAL;
    struct thread *self = hook_enter();
    if (!self)
        return *region = -ENOTCONN;
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_BEGIN, .flags = flags, .region = next_region()};
    bool told = emit_named(self, &mark, name, length);
    hook_leave(self);
    *region = told ? (int)mark.region : -ENOTCONN;
    return told ? 0 : -ENOTCONN;
}

HS_EXPORT int heapsake_api_region_end(const int *region)
{
    if (*region <= 0)
        return *region == 0 ? -EINVAL : *region;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_END, .region = (uint32_t)*region};
    bool told = emit_message(self, HS_MESSAGE_MARK, &(struct emit_part){&mark, sizeof mark}, 1);
    hook_leave(self);
    return told ? 0 : -ENOTCONN;
}

/* ---- what is waited for ---- */

HS_EXPORT int heapsake_api_flush(void)
{
    struct wish wish;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    bool told = wish_tell(self, &wish, HS_WISH_FLUSH);
    hook_leave(self);
    return told ? wish_await(&wish, FLUSH_NS) : -ENOTCONN;
}

/*
 * Takes a snapshot, or asks the recorder for one where this thread may not: in a program that runs Python, without the
 * GIL. 0: its end is to be waited for. `self` is inside.
 */
static int take(struct thread *self, struct wish *wish)
{
    if (python_state == PYTHON_STARTING)
        return -EAGAIN;
    if (python_state == PYTHON_RUNNING && !python_graph_known())
        return -EOPNOTSUPP;
    if (python_state == PYTHON_RUNNING && !python_graph_possible() && snapshot_under_way())
        return -EBUSY;
    if (python_state == PYTHON_RUNNING && !python_graph_possible())
        return wish_tell(self, wish, HS_WISH_SNAPSHOT) ? 0 : -ENOTCONN;
    *wish = wish_make(self);
    return snapshot_take_wished(self, wish->number);
}

/* What Python calls while it waits for something. NULL: the thread keeps the GIL, or has none. */
static void *let_go_of_gil(unsigned flags)
{
    bool lets_go = flags & SNAPSHOT_WITHOUT_GIL && python_state == PYTHON_RUNNING && python_capi.PyEval_SaveThread &&
                   python_capi.PyEval_RestoreThread && stack_is_attached();
    return lets_go ? python_capi.PyEval_SaveThread() : NULL;
}

static void take_gil_again(void *thread_state)
{
    if (thread_state)
        python_capi.PyEval_RestoreThread(thread_state);
}

static int take_when_possible(struct wish *wish, unsigned flags, uint64_t until_ns)
{
    for (;;) {
        struct thread *self = hook_enter();
        if (!self)
            return -ENOTCONN;
        int code = take(self, wish);
        hook_leave(self);
        uint64_t now = sys_monotonic_ns();
        if (code != -EBUSY || now > until_ns)
            return code;
        void *thread_state = let_go_of_gil(flags);
        snapshot_await_child(until_ns - now);
        take_gil_again(thread_state);
    }
}

HS_EXPORT int heapsake_api_snapshot(unsigned flags)
{
    if (flags & ~SNAPSHOT_WITHOUT_GIL)
        return -EINVAL;
    int saved_errno = errno;
    uint64_t timeout_ns = SNAPSHOT_NS * (1 + (headroom_resident() >> 30));
    uint64_t until_ns = sys_monotonic_ns() + timeout_ns;
    int code;
    do { /* whoever was asked by the recorder may find another one under way, too */
        struct wish wish;
        code = take_when_possible(&wish, flags, until_ns);
        if (code == 0) {
            void *thread_state = let_go_of_gil(flags);
            code = wish_await(&wish, timeout_ns);
            take_gil_again(thread_state);
        }
    } while (code == -EBUSY && sys_monotonic_ns() < until_ns);
    errno = saved_errno;
    return code;
}
