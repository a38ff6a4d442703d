/* area.c - see area.h */
#include "record/area.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/snapshot.h"
#include "record/memory.h"

/* Below a millisecond of copying, which is mostly page faults; a clone, most of whose pages are huge, is
 * about as much. */
uint64_t area_copied_at_once = 20000;

#define LIVE_OFFSET (HS_AREA_STREAM + HS_STREAM_BYTES)

/* ---- live blocks ---- */

struct copy {
    struct hs_live_block *blocks;
    uint64_t count, capacity;
};

static void copy_block(void *context, const struct live_block *block)
{
    struct copy *copy = context;
    if (block->domain == HS_DOMAIN_ARENA || copy->count == copy->capacity)
        return;
    copy->blocks[copy->count++] = hs_live_block_pack(block->address, block->size, block->ordinal);
}

static uint64_t most_blocks(const struct session *session)
{
    return session->live.used + session->live.side_used + session->mapped.count + session->rings.count;
}

/* Calls nothing that locks or allocates: it may run in a clone of a process with many threads. */
static void copy_live(const struct area *area, const struct session *session)
{
    struct copy copy = {.blocks = (struct hs_live_block *)((char *)area->shared + LIVE_OFFSET),
                        .capacity = (area->bytes - LIVE_OFFSET) / sizeof(struct hs_live_block)};
    live_table_visit(&session->live, copy_block, &copy);
    for (size_t i = 0; i < session->mapped.count; i++) {
        const struct mapped_range *range = &session->mapped.ranges[i];
        copy_block(&copy, &(struct live_block){.address = range->start,
                                               .size = range->end - range->start,
                                               .ordinal = range->ordinal,
                                               .domain = HS_DOMAIN_MMAP});
    }
    /* A block that another thread was about to reallocate: it may still have been there. */
    for (uint32_t i = 0; i < session->rings.count; i++) {
        const struct pending_realloc *pending = &session->rings.readers[i]->realloc;
        if (pending->open && pending->known)
            copy_block(&copy, &pending->block);
    }
    area->shared->live_count = copy.count;
}

/* The clone keeps no descriptor: whoever waits for the end of one must not wait for it. */
static void copy_and_end(const struct area *area, const struct session *session)
{
    close_range(0, ~0u, 0);
    prctl(PR_SET_NAME, "heapsake-copy");
    copy_live(area, session);
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

int area_open(struct area *area, const struct session *session, uint32_t number, uint32_t options)
{
    uint64_t blocks = most_blocks(session);
    *area = (struct area){.fd = -1};
    area->bytes = (LIVE_OFFSET + blocks * sizeof(struct hs_live_block) + HS_PAGE_SIZE - 1) & -(uint64_t)HS_PAGE_SIZE;
    area->fd = memory_file_new("heapsake-area", area->bytes);
    if (area->fd < 0)
        return area->fd;
    void *shared = mmap(NULL, area->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, area->fd, 0);
    if (shared == MAP_FAILED) {
        int code = -errno;
        close(area->fd);
        *area = (struct area){.fd = -1};
        return code;
    }
    area->shared = shared;
    area->shared->magic = HS_AREA_MAGIC;
    area->shared->bytes = area->bytes;
    area->shared->live_offset = LIVE_OFFSET;
    area->shared->number = number;
    area->shared->options = options;
    if (blocks > area_copied_at_once) {
        /* No exit signal: nobody else is to notice it. */
        area->copier = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
        if (area->copier == 0)
            copy_and_end(area, session);
        if (area->copier > 0)
            return 0;
        area->copier = 0;
    }
    copy_live(area, session);
    area->ready = true;
    return 0;
}

static void stop_copier(struct area *area)
{
    if (area->copier == 0)
        return;
    kill(area->copier, SIGKILL);
    while (waitpid(area->copier, NULL, __WALL) < 0 && errno == EINTR)
        ;
    area->copier = 0;
}

static void wake_child(struct area *area)
{
    atomic_fetch_add(&area->shared->wake, 1);
    syscall(SYS_futex, &area->shared->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void area_close(struct area *area)
{
    stop_copier(area);
    if (area->shared) {
        atomic_store(&area->shared->stop, 1);
        wake_child(area);
        munmap(area->shared, area->bytes);
    }
    if (area->fd >= 0)
        close(area->fd);
    *area = (struct area){.fd = -1};
}

bool area_ready(struct area *area)
{
    int status = 0;
    if (area->copier == 0 || waitpid(area->copier, &status, __WALL | WNOHANG) != area->copier)
        return area->ready;
    area->copier = 0;
    area->ready = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    area->ill = !area->ready;
    return area->ready;
}

/* ---- the stream ---- */

static void copy_out(const struct area *area, uint64_t at, void *to, size_t length)
{
    const char *stream = (const char *)area->shared + HS_AREA_STREAM;
    size_t start = (size_t)(at & (HS_STREAM_BYTES - 1));
    size_t first = length < HS_STREAM_BYTES - start ? length : (size_t)HS_STREAM_BYTES - start;
    memcpy(to, stream + start, first);
    memcpy((char *)to + first, stream, length - first);
}

unsigned area_frame(struct area *area, struct buf *payload)
{
    struct hs_stream_frame frame;
    buf_clear(payload);
    if (area->ill)
        return 0;
    uint64_t head = atomic_load_explicit(&area->shared->head, memory_order_acquire);
    uint64_t filled = head - area->tail;
    if (filled > HS_STREAM_BYTES) {
        area->ill = true;
        return 0;
    }
    if (filled < sizeof frame)
        return 0;
    copy_out(area, area->tail, &frame, sizeof frame);
    uint64_t whole = sizeof frame + (((uint64_t)frame.length + 7) & ~UINT64_C(7));
    if (frame.length > HS_STREAM_FRAME_MAX || frame.kind < HS_STREAM_GRAPH || frame.kind > HS_STREAM_END) {
        area->ill = true;
        return 0;
    }
    if (whole > filled)
        return 0;
    if (!buf_reserve(payload, frame.length))
        return 0; /* perhaps later; the child waits until its deadline */
    copy_out(area, area->tail + sizeof frame, payload->data, frame.length);
    payload->length = frame.length;
    area->tail += whole;
    atomic_store(&area->shared->tail, area->tail);
    if (atomic_load(&area->shared->waiting))
        wake_child(area);
    return frame.kind;
}
