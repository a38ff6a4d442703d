/* stream.c - see stream.h */
#include "stream.h"

#include <string.h>

#include "../session.h"
#include "../sys.h"

#define SPINS 200
#define NAP_NS UINT64_C(20000000)

static struct {
    struct hs_area *area;
    char *ring;
    uint64_t head;
    bool stopped;
} stream;

void stream_begin(struct hs_area *area)
{
    stream.area = area;
    stream.ring = (char *)area + HS_AREA_STREAM;
    stream.head = 0;
    stream.stopped = false;
}

void stream_stop(void)
{
    stream.stopped = true;
}
bool stream_stopped(void)
{
    return stream.stopped;
}

/* Waits until `size` bytes are free, at most HS_STREAM_BYTES. */
static bool make_room(uint64_t size)
{
    struct hs_area *area = stream.area;
    for (unsigned round = 0; !stream.stopped; round++) {
        uint64_t tail = atomic_load_explicit(&area->tail, memory_order_acquire);
        uint64_t unread = stream.head - tail;
        if (unread > HS_STREAM_BYTES)
            break; /* read what was never written: the recorder is out of its mind */
        if (atomic_load_explicit(&area->stop, memory_order_relaxed))
            break;
        if (HS_STREAM_BYTES - unread >= size)
            return true;
        if (round < SPINS) {
            __builtin_ia32_pause();
            continue;
        }
        if (!session_recorder_alive())
            break;
        uint32_t wake = atomic_load(&area->wake);
        atomic_store(&area->waiting, 1);
        if (atomic_load(&area->tail) == tail)
            sys_futex_wait(&area->wake, wake, NAP_NS);
        atomic_store(&area->waiting, 0);
    }
    stream.stopped = true;
    return false;
}

static uint64_t put(uint64_t at, const void *bytes, size_t length)
{
    size_t offset = (size_t)(at & (HS_STREAM_BYTES - 1));
    size_t first = length < HS_STREAM_BYTES - offset ? length : HS_STREAM_BYTES - offset;
    memcpy(stream.ring + offset, bytes, first);
    memcpy(stream.ring, (const char *)bytes + first, length - first);
    return at + length;
}

void stream_write(enum hs_stream_kind kind, const void *bytes, size_t length)
{
    static const char padding[8];
    size_t padded = (length + 7) & ~(size_t)7;
    if (stream.stopped || length > HS_STREAM_FRAME_MAX || !make_room(sizeof(struct hs_stream_frame) + padded))
        return;
    struct hs_stream_frame frame = {.kind = kind, .length = (uint32_t)length};
    uint64_t at = put(stream.head, &frame, sizeof frame);
    at = put(at, bytes, length);
    stream.head = put(at, padding, padded - length);
    atomic_store_explicit(&stream.area->head, stream.head, memory_order_release);
}
