/* session.c - see session.h */
#include "session.h"

#include <linux/futex.h>

#include "arena.h"
#include "sys.h"
#include "thread.h"

struct session session;
struct tracing_live tracing_live;

struct session_mapping {
    struct session_mapping *next;
    void *memory;
    size_t size;
};

static struct session_mapping *mappings;
static char *anchor; /* the last page that is mapped: the end of what has been carved */
static _Atomic uint32_t carving;

static void remember_mapping(void *memory, size_t size)
{
    struct session_mapping *mapping = arena_alloc(sizeof *mapping);
    if (!mapping)
        return; /* it stays mapped in forked children, nothing worse */
    *mapping = (struct session_mapping){mappings, memory, size};
    mappings = mapping;
}

struct session_mappings session_detach_mappings(void)
{
    struct session_mappings detached = {mappings};
    mappings = NULL;
    anchor = NULL;
    session.shared = NULL;
    atomic_store(&carving, 0); /* the thread that held it may not exist in this process */
    return detached;
}

void session_unmap(struct session_mappings detached)
{
    for (struct session_mapping *mapping = detached.first; mapping; mapping = mapping->next)
        sys_munmap(mapping->memory, mapping->size);
}

bool session_map(int fd)
{
    struct hs_session *shared = sys_mmap(NULL, HS_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_failed(shared))
        return false;
    if (shared->magic != HS_SESSION_MAGIC || shared->version != HS_SESSION_VERSION ||
        shared->bytes != HS_SESSION_BYTES) {
        sys_munmap(shared, HS_HEADER_BYTES);
        return false;
    }
    sys_madvise(shared, HS_HEADER_BYTES, MADV_DONTDUMP);
    atomic_store_explicit(&shared->used, HS_HEADER_BYTES, memory_order_relaxed);
    atomic_store_explicit(&shared->node_count, 1, memory_order_relaxed); /* 0 is the root */
    remember_mapping(shared, HS_HEADER_BYTES);
    anchor = (char *)shared + HS_HEADER_BYTES - HS_PAGE_SIZE;
    session.shared = shared;
    session.options = shared->options;
    session.pid = sys_getpid();
    atomic_store_explicit(&session.threaded, 0, memory_order_relaxed);
    return true;
}

void *session_carve(uint64_t size, uint64_t *offset)
{
    size = (size + HS_PAGE_SIZE - 1) & ~(uint64_t)(HS_PAGE_SIZE - 1);
    while (atomic_exchange_explicit(&carving, 1, memory_order_acquire))
        sys_yield();
    char *segment = NULL;
    struct hs_session *shared = session.shared;
    uint64_t used = atomic_load_explicit(&shared->used, memory_order_relaxed);
    if (size <= HS_SESSION_BYTES - used) {
        /* old size 0: map the anchor's page once more, and what lies behind it */
        char *again = sys_mremap(anchor, 0, HS_PAGE_SIZE + size, MREMAP_MAYMOVE);
        if (!sys_failed(again)) {
            sys_munmap(again, HS_PAGE_SIZE);
            segment = again + HS_PAGE_SIZE;
            anchor = segment + size - HS_PAGE_SIZE;
            sys_madvise(segment, size, MADV_DONTDUMP);
            remember_mapping(segment, size);
            *offset = used;
            atomic_store_explicit(&shared->used, used + size, memory_order_release);
        }
    }
    atomic_store_explicit(&carving, 0, memory_order_release);
    return segment;
}

void session_begin(void)
{
    atomic_store(&session.state, SESSION_ON);
    atomic_store_explicit(&tracing_live.word, session.generation, memory_order_release);
}

void session_close(void)
{
    atomic_store(&session.state, SESSION_OFF);
    atomic_store(&tracing_live.word, 0);
}

void session_tell_end(enum hs_detach why)
{
    uint32_t attached = HS_ATTACHED;
    if (session.shared)
        atomic_compare_exchange_strong(&session.shared->detached, &attached, why);
}

void session_end(enum hs_detach why)
{
    session_close();
    session_tell_end(why);
}

bool session_recorder_alive(void)
{

    uint32_t word = *(volatile uint32_t *)&session.shared->recorder_alive; /* glibc: the lock word comes first */
    return word != 0 && !(word & FUTEX_OWNER_DIED);
}
