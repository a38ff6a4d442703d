/* session_nodes.c - see session_nodes.h */
#include "record/session_nodes.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NODES_PAYLOAD_BYTES ((size_t)16 << 20) /* a NODES chunk is written when it has so many */
#define SEGMENT_BYTES (HS_NODES_PER_SEGMENT * sizeof(struct hs_node))

const struct hs_node *session_node(struct session *session, uint32_t number)
{
    uint32_t segment = number / HS_NODES_PER_SEGMENT;
    if (number > HS_NODE_MAX)
        return NULL;
    if (HS_UNLIKELY(!session->node_segments[segment])) {
        uint64_t offset = atomic_load_explicit(&session->shared->node_segments[segment], memory_order_acquire);
        if (offset < HS_HEADER_BYTES || offset % HS_PAGE_SIZE != 0 || offset > HS_SESSION_BYTES - SEGMENT_BYTES)
            return NULL;
        void *nodes = mmap(NULL, SEGMENT_BYTES, PROT_READ, MAP_SHARED, session->memory_fd, (off_t)offset);
        if (nodes == MAP_FAILED)
            return NULL;
        session->node_segments[segment] = nodes;
    }
    return &session->node_segments[segment][number % HS_NODES_PER_SEGMENT];
}

struct nodes_writer {
    struct buf *payload;
    uint32_t code; /* predictors */
    uint64_t frame;
};

/* False: the node has not been written by the program. */
static bool write_node(struct session *session, struct nodes_writer *writer, uint32_t number)
{
    const struct hs_node *shared = session_node(session, number);
    uint32_t kind = shared ? atomic_load_explicit(&shared->kind, memory_order_acquire) : HS_NODE_NONE;
    uint64_t frame = shared ? *(const volatile uint64_t *)&shared->frame : 0;
    uint32_t parent = shared ? *(const volatile uint32_t *)&shared->parent : 0;
    bool there = kind != HS_NODE_NONE;
    if (kind > HS_NODE_SOURCE || parent >= number) {
        kind = HS_NODE_NONE; /* nonsense in one stack, which then has no name */
        parent = 0;
    }
    buf_append_varint(writer->payload, kind);
    buf_append_varint(writer->payload, parent ? number - parent : 0);
    if (kind == HS_NODE_PYTHON) {
        uint32_t code = (uint32_t)(frame >> 32);
        buf_append_signed(writer->payload, (int64_t)(int32_t)(code - writer->code));
        buf_append_varint(writer->payload, (uint32_t)frame);
        writer->code = code;
    } else if (kind == HS_NODE_NATIVE) {
        buf_append_signed(writer->payload, (int64_t)(frame - writer->frame));
        writer->frame = frame;
    } else if (kind == HS_NODE_SOURCE) {
        buf_append_varint(writer->payload, frame);
    }
    return there;
}

static void remember_hole(struct session *session, uint32_t number)
{
    if (session->hole_count == session->hole_capacity) {
        size_t capacity = session->hole_capacity ? session->hole_capacity * 2 : 16;
        uint32_t *holes = reallocarray(session->holes, capacity, sizeof *holes);
        if (!holes)
            return; /* that stack stays without a name */
        session->holes = holes;
        session->hole_capacity = capacity;
    }
    session->holes[session->hole_count++] = number;
}

static void write_payload(struct session *session)
{
    uint64_t now = session->encoder.time_ns;
    session_write(session, HSK_CHUNK_NODES, &session->nodes_payload, now, now);
}

void session_write_nodes(struct session *session, uint32_t count)
{
    while (session->nodes_written < count) {
        if (session->nodes_payload.length >= NODES_PAYLOAD_BYTES)
            write_payload(session);
        if (session->nodes_payload.length == 0) {
            /* a new chunk: its predictors begin anew */
            session->last_node_code = 0;
            session->last_node_frame = 0;
            buf_append_varint(&session->nodes_payload, session->nodes_written);
        }
        struct nodes_writer writer = {&session->nodes_payload, session->last_node_code, session->last_node_frame};
        uint32_t number = session->nodes_written++;
        if (!write_node(session, &writer, number) && number != 0)
            remember_hole(session, number);
        session->last_node_code = writer.code;
        session->last_node_frame = writer.frame;
    }
}

/* Nodes whose numbers had been reserved, but which were not written yet when their turn came. */
static void fill_holes(struct session *session)
{
    size_t left = 0;
    struct buf payload = BUF_INIT;
    for (size_t i = 0; i < session->hole_count; i++) {
        uint32_t number = session->holes[i];
        struct nodes_writer writer = {.payload = &payload};
        buf_append_varint(&payload, number);
        if (write_node(session, &writer, number))
            session_write(session, HSK_CHUNK_NODES, &payload, session->encoder.time_ns, session->encoder.time_ns);
        else
            session->holes[left++] = number;
        buf_clear(&payload);
    }
    session->hole_count = left;
    buf_free(&payload);
}

void session_flush_nodes(struct session *session)
{
    write_payload(session);
    if (HS_UNLIKELY(session->hole_count > 0))
        fill_holes(session);
}

void session_free_nodes(struct session *session)
{
    for (unsigned i = 0; i < HS_MAX_NODE_SEGMENTS; i++)
        if (session->node_segments[i])
            munmap(session->node_segments[i], SEGMENT_BYTES);
    buf_free(&session->nodes_payload);
    free(session->holes);
}
