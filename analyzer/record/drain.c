/* drain.c - see drain.h */
#include "record/drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record/messages.h"
#include "record/recorder.h"
#include "record/wish_answers.h"

/*
 * Slots that are copied and prefetched at once: 2 KiB of slots, and as many cache lines of the live table as are on
 * their way together. Each slot makes at most OPS_PER_SLOT ops before encoder_full() is looked at.
 */
#define BATCH 128u
#define OPS_PER_SLOT 4u
_Static_assert(BATCH *OPS_PER_SLOT <= ENCODER_SLACK, "an encoder has room for a batch");

#define MIN_RING_SLOTS 16u
#define STILL_NS UINT64_C(1000000000) /* a number that has not come after this time will not come */

static bool nonsense(struct session *session, const char *what)
{
    if (!session->wrong[0])
        snprintf(session->wrong, sizeof session->wrong, "%s", what);
    return false;
}

static void out_of_memory(struct session *session)
{
    session_note(session, HSK_FIELD_BLIND_SPOT,
                 "The recorder ran out of memory: the trace ends before the program did.");
    session_stop(session, HS_STOP_ASKED);
}

/* ---- rings ---- */

static struct ring_reader *open_ring(struct session *session, uint64_t offset)
{
    if (offset % HS_PAGE_SIZE != 0 || offset < HS_HEADER_BYTES || offset >= HS_SESSION_BYTES) {
        nonsense(session, "a ring outside of the shared memory");
        return NULL;
    }
    struct ring_reader *reader = calloc(1, sizeof *reader);
    struct hs_ring *ring =
        mmap(NULL, HS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, session->memory_fd, (off_t)offset);
    if (!reader || ring == MAP_FAILED)
        goto no_memory;
    uint64_t slot_count = *(volatile uint32_t *)&ring->slot_count;
    uint64_t bytes = sizeof *ring + slot_count * sizeof(struct hs_slot);
    munmap(ring, HS_PAGE_SIZE);
    if (slot_count < MIN_RING_SLOTS || (slot_count & (slot_count - 1)) != 0 || bytes > HS_SESSION_BYTES - offset) {
        nonsense(session, "a ring of impossible size");
        free(reader);
        return NULL;
    }
    ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session->memory_fd, (off_t)offset);
    if (ring == MAP_FAILED)
        goto no_memory;
    reader->ring = ring;
    reader->mapped_bytes = bytes;
    reader->slot_count = slot_count;
    reader->thread = UINT32_MAX;
    return reader;

no_memory:
    free(reader);
    out_of_memory(session);
    return NULL;
}

static uint64_t head_of(const struct ring_reader *reader)
{
    return atomic_load_explicit(&reader->ring->head, memory_order_acquire);
}

/* Rings that were announced since; false when something is wrong. */
static bool notice_rings(struct session *session)
{
    uint32_t announced = atomic_load_explicit(&session->shared->ring_count, memory_order_acquire);
    if (HS_LIKELY(announced <= session->ring_count))
        return true;
    if (announced > HS_MAX_RINGS)
        announced = HS_MAX_RINGS; /* numbers beyond are never announced */
    struct ring_reader **rings = reallocarray(session->rings, announced, sizeof *rings);
    if (!rings) {
        out_of_memory(session);
        return false;
    }
    session->rings = rings;
    while (session->ring_count < announced) {
        uint32_t number = session->ring_count;
        uint64_t offset = atomic_load_explicit(&session->shared->rings[number], memory_order_acquire);
        if (offset == 0)
            break; /* counted, but not yet announced; those behind it have to wait a moment */
        struct ring_reader *reader = open_ring(session, offset);
        if (!reader)
            return false;
        for (uint32_t i = 0; i < number; i++)
            rings[i]->barrier = head_of(rings[i]);
        reader->known_then = number;
        rings[session->ring_count++] = reader;
    }
    return true;
}

static bool is_ready(const struct session *session, struct ring_reader *reader)
{
    if (HS_LIKELY(reader->ready))
        return true;
    for (uint32_t i = 0; i < reader->known_then; i++)
        if (!session->rings[i]->sequenced && session->rings[i]->tail < session->rings[i]->barrier)
            return false;
    return reader->ready = true;
}

/* ---- events ---- */

static void count_allocation(struct session *session, uint64_t size, unsigned domain)
{
    struct session_totals *totals = &session->totals;
    if (HS_UNLIKELY(domain == HS_DOMAIN_ARENA))
        return;
    totals->allocated_bytes += size;
    totals->live_bytes += size;
    totals->live_blocks++;
    if (totals->live_bytes > totals->peak_bytes) {
        totals->peak_bytes = totals->live_bytes;
        totals->peak_time_ns = session->encoder.time_ns;
        totals->peak_event = session->encoder.allocations + session->encoder.frees;
    }
}

static void count_end(struct session *session, uint64_t ordinal, uint64_t size, unsigned domain)
{
    struct session_totals *totals = &session->totals;
    if (HS_UNLIKELY(ordinal < session->inherited)) {
        totals->inherited_bytes -= size;
        totals->inherited_blocks--;
    } else if (HS_LIKELY(domain != HS_DOMAIN_ARENA)) {
        totals->live_bytes -= size;
        totals->live_blocks--;
    }
}

/* More ops than OPS_PER_SLOT may come from one slot: makes room. */
static void make_room(struct session *session)
{
    if (encoder_full(&session->encoder))
        session_flush(session);
}

static void end_block(struct session *session, const struct live_block *block, bool is_realloc)
{
    encoder_free(&session->encoder, block->ordinal, is_realloc);
    count_end(session, block->ordinal, block->size, block->domain);
}

static HS_COLD bool begin_range(struct session *session, uint64_t start, uint64_t end, uint32_t node, bool is_realloc)
{
    struct mapped_range range = {.start = start, .end = end, .node = node};
    make_room(session);
    range.ordinal = encoder_alloc(&session->encoder, start, end - start, node, HS_DOMAIN_MMAP, is_realloc);
    session->last_address = 0;
    count_allocation(session, end - start, HS_DOMAIN_MMAP);
    if (mapped_ranges_put(&session->mapped, &range))
        return true;
    out_of_memory(session);
    return false;
}

/* [start, end) is gone: ranges in it end; of those that reach beyond, the rest begins anew. */
static HS_COLD bool unmap(struct session *session, uint64_t start, uint64_t end)
{
    struct mapped_range range;
    while (mapped_ranges_take(&session->mapped, start, end, &range)) {
        make_room(session);
        encoder_free(&session->encoder, range.ordinal, false);
        count_end(session, range.ordinal, range.end - range.start, HS_DOMAIN_MMAP);
        if ((range.start < start && !begin_range(session, range.start, start, range.node, false)) ||
            (range.end > end && !begin_range(session, end, range.end, range.node, false)))
            return false;
    }
    return true;
}

/* A block is at the address already: its free was not seen (dropped, or overtaken). */
static HS_COLD bool put_again(struct session *session, const struct live_block *block, enum live_put put)
{
    struct live_block old;
    if (put == LIVE_PUT_TAKEN &&
        live_table_take(&session->live, block->address, block->domain == HS_DOMAIN_ARENA, &old)) {
        end_block(session, &old, false);
        session->made_up++;
        put = live_table_put(&session->live, block);
    }
    if (put == LIVE_PUT)
        return true;
    out_of_memory(session);
    return false;
}

HS_ALWAYS_INLINE bool begin_block(struct session *session, uint64_t address, uint64_t size, uint32_t node,
                                  unsigned domain, bool is_realloc)
{
    if (HS_UNLIKELY(domain == HS_DOMAIN_MMAP)) {
        uint64_t end = address + size;
        if (size == 0)
            return true;
        if (size > HS_ADDRESS_MASK || end > HS_ADDRESS_MASK + 1)
            return nonsense(session, "a mapping beyond the address space");
        if (!is_realloc && !unmap(session, address, end))
            return false;
        return begin_range(session, address, end, node, is_realloc);
    }
    struct live_block block = {.address = address, .size = size, .node = node, .domain = domain};
    block.ordinal = session->encoder.next_ordinal;
    enum live_put put = live_table_put(&session->live, &block);
    /* The old block must end before the new one begins. */
    if (HS_UNLIKELY(put != LIVE_PUT) && !put_again(session, &block, put))
        return false;
    encoder_alloc(&session->encoder, address, size, node, domain, is_realloc);
    session->last_address = domain == HS_DOMAIN_ARENA ? 0 : address;
    count_allocation(session, size, domain);
    return true;
}

/* Takes out the block or range at an address, whose end is to be told; false: there is none. */
static bool take_any(struct session *session, uint64_t address, unsigned domain, struct live_block *block)
{
    if (HS_LIKELY(domain != HS_DOMAIN_MMAP))
        return live_table_take(&session->live, address, domain == HS_DOMAIN_ARENA, block);
    struct mapped_range range;
    if (!mapped_ranges_take_at(&session->mapped, address, &range))
        return false;
    *block = (struct live_block){.address = range.start,
                                 .size = range.end - range.start,
                                 .ordinal = range.ordinal,
                                 .node = range.node,
                                 .domain = HS_DOMAIN_MMAP};
    return true;
}

static bool put_back(struct session *session, const struct live_block *block)
{
    if (block->domain != HS_DOMAIN_MMAP) {
        if (live_table_put(&session->live, block) != LIVE_PUT_NO_MEMORY)
            return true; /* taken: somebody else's block is there now, and this one can have ended unseen only */
    } else {
        struct mapped_range range = {.start = block->address,
                                     .end = block->address + block->size,
                                     .ordinal = block->ordinal,
                                     .node = block->node};
        if (mapped_ranges_put(&session->mapped, &range))
            return true;
    }
    out_of_memory(session);
    return false;
}

/* A realloc that was begun and will not be finished: its block stays what it was. */
static bool undo_realloc(struct session *session, struct ring_reader *reader)
{
    struct pending_realloc pending = reader->realloc;
    reader->realloc.open = false;
    return !pending.open || !pending.known || put_back(session, &pending.block);
}

static bool begin_realloc(struct session *session, struct ring_reader *reader, uint64_t address, unsigned domain)
{
    if (!undo_realloc(session, reader))
        return false;
    struct pending_realloc *pending = &reader->realloc;
    if (address == session->last_address)
        session->last_address = 0;
    pending->open = true;
    pending->known = take_any(session, address, domain, &pending->block);
    pending->block.address = address;
    if (!pending->known)
        pending->block.domain = domain;
    return true;
}

/* The block of the realloc under way ends; true when the next allocation replaces a known one. */
static bool end_realloc(struct session *session, struct ring_reader *reader, bool is_realloc)
{
    struct pending_realloc pending = reader->realloc;
    reader->realloc.open = false;
    if (!pending.open)
        return false;
    if (pending.known)
        end_block(session, &pending.block, is_realloc);
    else if (pending.block.domain != HS_DOMAIN_MMAP)
        encoder_free_unknown(&session->encoder, pending.block.address, pending.block.domain);
    return pending.known;
}

static bool commit_realloc(struct session *session, struct ring_reader *reader, uint64_t address, uint64_t size,
                           uint32_t node, unsigned domain)
{
    /* What a moved mapping lands on must go first, so that free and allocation stay together. */
    if (domain == HS_DOMAIN_MMAP && size <= HS_ADDRESS_MASK && !unmap(session, address, address + size))
        return false;
    bool replaces = end_realloc(session, reader, true);
    return begin_block(session, address, size, node, domain, replaces);
}

/* ---- objects ---- */

/* The ordinal of the block that an object is in. Objects are born in the block that came last, mostly. */
HS_ALWAYS_INLINE bool block_of_object(struct session *session, uint64_t address, uint64_t *ordinal)
{
    if (HS_LIKELY(address == session->last_address)) {
        *ordinal = session->encoder.next_ordinal - 1;
        return true;
    }
    if (live_table_find(&session->live, address, ordinal))
        return true;
    session->unknown_objects++;
    return false;
}

/* ---- counts ---- */

static HS_COLD bool take_count(struct session *session, uint64_t address, uint64_t size, uint32_t node)
{
    unsigned source = hs_count_source(size);
    uint64_t ordinal, count = hs_count_count(size), block = address - hs_count_header(size);
    if (source == 0 || source >= HS_COUNT_SOURCES)
        return nonsense(session, "a count from an unknown source");
    if (live_table_find(&session->live, block, &ordinal))
        encoder_count(&session->encoder, source, ordinal, count, hs_count_down(size), node);
    else
        encoder_count_loose(&session->encoder, source, address, count, hs_count_down(size), hs_count_type(size), node);
    return true;
}

static HS_COLD bool take_watch(struct session *session, uint64_t watch, uint64_t count, uint32_t node)
{
    if (watch == 0 || watch > UINT32_MAX)
        return nonsense(session, "a watch that does not exist");
    encoder_watch(&session->encoder, (uint32_t)watch, count, node);
    return true;
}

/* ---- order ---- */

HS_ALWAYS_INLINE uint64_t number_of(const struct ring_reader *reader, struct hs_slot slot, unsigned stripe)
{
    uint64_t last = reader->last_sequence[stripe];
    return last + (uint16_t)(hs_slot_sequence(slot) - (uint16_t)last);
}

/* Is it this event's turn? Moves on when it is. */
HS_ALWAYS_INLINE bool is_due(struct session *session, struct ring_reader *reader, struct hs_slot slot, unsigned stripe)
{
    uint64_t number = number_of(reader, slot, stripe);
    reader->sequenced = true;
    if (HS_UNLIKELY(number != session->expected[stripe])) {
        if (number > session->expected[stripe]) {
            reader->blocked = true;
            reader->blocked_stripe = stripe;
            reader->blocked_number = number;
            return false;
        }
        /* Its number was skipped: it was given up too early. Late is better than never. */
        session->overtaken++;
        reader->last_sequence[stripe] = number + 1;
        return true;
    }
    reader->last_sequence[stripe] = session->expected[stripe] = number + 1;
    return true;
}

/* No number that is waited for will come: goes on with the least one of those that are there; `stripes`: below it. */
static bool skip_gap(struct session *session, bool over, unsigned stripes)
{
    struct ring_reader *least = NULL;
    for (uint32_t i = 0; i < session->ring_count; i++) {
        struct ring_reader *reader = session->rings[i];
        if (reader->blocked && reader->blocked_stripe < stripes &&
            (!least || reader->blocked_number - session->expected[reader->blocked_stripe] <
                           least->blocked_number - session->expected[least->blocked_stripe]))
            least = reader;
    }
    if (!least)
        return false;
    uint64_t *expected = &session->expected[least->blocked_stripe];
    for (uint32_t i = 0; i < session->ring_count; i++)
        if (session->rings[i]->blocked && session->rings[i]->blocked_stripe == least->blocked_stripe &&
            session->rings[i]->blocked_number < least->blocked_number)
            least = session->rings[i];
    /* A thread that was killed leaves the number of the event that it was about to write: nothing is missing. */
    *(over ? &session->torn : &session->skipped) += least->blocked_number - *expected;
    *expected = least->blocked_number;
    return true;
}

/* ---- one ring ---- */

static uint64_t message_length(struct hs_slot slot)
{
    return hs_slot_sequenced(slot) ? hs_slot_size(slot) : slot.w1;
}

/* With its head; at least 1, of a length that makes no sense any number. */
static uint64_t message_slots(struct hs_slot slot)
{
    return 1 + message_length(slot) / sizeof slot + (message_length(slot) % sizeof slot != 0);
}

/* ---- messages that stand behind what all threads have done before ---- */

/*
 * Everything that was done before anything that stands before the rings' `cut` stands before their `barrier`, also in
 * rings that have appeared meanwhile: it was in a ring before the heads were read for the second time.
 */
static bool cut_rings(struct session *session)
{
    for (uint32_t i = 0; i < session->ring_count; i++)
        session->rings[i]->cut = head_of(session->rings[i]);
    if (!notice_rings(session))
        return false;
    for (uint32_t i = 0; i < session->ring_count; i++)
        session->rings[i]->fork_barrier = head_of(session->rings[i]);
    return true;
}

/* Have all marks below this number been taken? */
static bool is_turn(const struct session *session, struct ring_reader *reader, uint64_t number)
{
    reader->sequenced = true;
    if (number <= session->expected[HS_MARK_STRIPE])
        return true;
    reader->blocked = true;
    reader->blocked_stripe = HS_MARK_STRIPE;
    reader->blocked_number = number;
    return false;
}

static void note_beyond(struct ring_reader *reader, uint64_t marks)
{
    if (marks > reader->marks_beyond)
        reader->marks_beyond = marks;
}

/* Is it sure that what the ring has next was not done before the mark that is expected? */
static bool is_beyond(const struct session *session, const struct ring_reader *reader)
{
    uint64_t mark = session->expected[HS_MARK_STRIPE];
    return reader->marks_beyond > mark ||
           (reader->blocked && reader->blocked_stripe == HS_MARK_STRIPE && reader->blocked_number > mark);
}

/*
 * May the ring pass the message that is its next slot, and the next one of all rings? When the others have been read to
 * their barriers, or as far as they may be before.
 */
static bool may_pass(const struct session *session, const struct ring_reader *reader)
{
    if (reader->tail >= reader->cut)
        return false;
    for (uint32_t i = 0; i < session->ring_count; i++) {
        const struct ring_reader *other = session->rings[i];
        if (other->tail < other->fork_barrier && other != reader && !is_beyond(session, other))
            return false;
    }
    return true;
}

/* `must`: it passes, whatever the others do. */
static bool take_message(struct session *session, struct ring_reader *reader, struct hs_slot slot, uint64_t head,
                         bool must)
{
    bool in_order = hs_slot_sequenced(slot);
    uint64_t length = message_length(slot), slots = message_slots(slot), kind = hs_slot_address(slot);
    if (length > HS_MESSAGE_MAX || slots > head - reader->tail)
        return nonsense(session, "a message that is longer than its ring");
    if (in_order) {
        uint64_t number = number_of(reader, slot, HS_MARK_STRIPE);
        if (!is_turn(session, reader, number))
            return true;
        if (session->ring_count == 1 && !notice_rings(session))
            return false;
        /* One whose number was given up has no place any more: it and the one that is expected would wait for each
         * other. */
        bool late = number < session->expected[HS_MARK_STRIPE];
        if (session->ring_count > 1 && !must && !late && !may_pass(session, reader)) {
            reader->at_fork = true;
            return true;
        }
    }
    /*
     * The clone comes next, and the recorder would copy its own table beside it, which slows both. With other rings
     * there is no waiting: they would go on meanwhile.
     */
    if (kind == HS_MESSAGE_SNAPSHOT && session->ring_count == 1 && slots == head - reader->tail && !session->over_now)
        return true;
    reader->at_fork = false;
    if (in_order) {
        is_due(session, reader, slot, HS_MARK_STRIPE);
        note_beyond(reader, reader->last_sequence[HS_MARK_STRIPE]);
    }
    const uint8_t *ring = (const uint8_t *)reader->ring->slots;
    size_t size = (size_t)reader->slot_count * sizeof slot;
    size_t at = (size_t)((reader->tail + 1) & (reader->slot_count - 1)) * sizeof slot;
    size_t first = length < size - at ? (size_t)length : size - at;
    memcpy(session->message, ring + at, first);
    memcpy(session->message + first, ring, (size_t)length - first);
    reader->tail += slots;
    make_room(session);
    return message_take(session, reader, (unsigned)kind, session->message, (size_t)length);
}

HS_ALWAYS_INLINE bool take_event(struct session *session, struct ring_reader *reader, struct hs_slot slot,
                                 uint32_t node_count)
{
    enum hs_slot_type type = hs_slot_type(slot);
    unsigned domain = hs_slot_domain(slot);
    uint64_t address = hs_slot_address(slot), size = hs_slot_size(slot);
    uint32_t node = hs_slot_node(slot);
    if (HS_UNLIKELY(domain >= HS_DOMAINS))
        return nonsense(session, "an unknown domain");
    struct live_block block;
    uint64_t ordinal;
    if (type == HS_SLOT_OBJECT && HS_LIKELY(node == HS_OBJECT_NODE_SAME)) {
        if (block_of_object(session, address, &ordinal))
            encoder_object(&session->encoder, ordinal, (uint32_t)size, 0, true);
        return true;
    }
    if (type == HS_SLOT_FREE) {
        if (HS_UNLIKELY(address == session->last_address))
            session->last_address = 0;
        if (HS_LIKELY(domain != HS_DOMAIN_MMAP) &&
            HS_LIKELY(live_table_take(&session->live, address, domain == HS_DOMAIN_ARENA, &block))) {
            end_block(session, &block, false);
        } else if (domain == HS_DOMAIN_MMAP && take_any(session, address, domain, &block)) {
            end_block(session, &block, false);
        } else {
            encoder_free_unknown(&session->encoder, address, domain);
        }
        return true;
    }
    if (type == HS_SLOT_OBJECT_END) {
        if (block_of_object(session, address, &ordinal))
            encoder_object_end(&session->encoder, ordinal);
        return true;
    }
    size |= reader->size_high << 32;
    reader->size_high = 0;
    if (HS_UNLIKELY(node >= node_count))
        return nonsense(session, "a stack that was never described");
    if (HS_UNLIKELY(node >= session->nodes_written))
        session_write_nodes(session, node_count);
    switch (type) {
    case HS_SLOT_OBJECT:
        if (block_of_object(session, address, &ordinal))
            encoder_object(&session->encoder, ordinal, (uint32_t)size, node, false);
        return true;
    case HS_SLOT_COUNT:
        return take_count(session, address, size, node);
    case HS_SLOT_WATCH:
        return take_watch(session, address, size, node);
    case HS_SLOT_ALLOC:
        if (HS_UNLIKELY(address == 0))
            return nonsense(session, "a block at address 0");
        return begin_block(session, address, size, node, domain, false);
    case HS_SLOT_REALLOC_BEGIN:
        return begin_realloc(session, reader, address, domain);
    case HS_SLOT_REALLOC_COMMIT:
        if (address == 0)
            return nonsense(session, "a block at address 0");
        return commit_realloc(session, reader, address, size, node, domain);
    case HS_SLOT_REALLOC_ABORT:
        return undo_realloc(session, reader);
    case HS_SLOT_REALLOC_FREED:
        end_realloc(session, reader, false);
        return true;
    case HS_SLOT_UNMAP:
        if (size > HS_ADDRESS_MASK || address + size > HS_ADDRESS_MASK + 1)
            return true; /* the kernel refuses it, too */
        return unmap(session, address, address + size);
    default:
        return nonsense(session, "an event of unknown kind");
    }
}

/* The death of an object whose block is not kept for another one goes without saying. */
HS_ALWAYS_INLINE bool frees_same(struct hs_slot death, struct hs_slot next)
{
    return hs_slot_type(next) == HS_SLOT_FREE && hs_slot_address(next) == hs_slot_address(death) &&
           hs_slot_domain(next) == hs_slot_domain(death);
}

static bool is_event(enum hs_slot_type type)
{
    return (type >= HS_SLOT_ALLOC && type <= HS_SLOT_UNMAP) || type >= HS_SLOT_OBJECT;
}

/* What is no event and no message. */
static bool take_other(struct session *session, struct ring_reader *reader, struct hs_slot slot)
{
    switch (hs_slot_type(slot)) {
    case HS_SLOT_TICK: {
        uint64_t now = atomic_load_explicit(&session->shared->clock_ns, memory_order_relaxed);
        encoder_tick(&session->encoder, slot.w1 < now ? slot.w1 : now);
        return true;
    }
    case HS_SLOT_SYNC:
        if (hs_slot_address(slot) == HS_MARKS_SEEN || hs_slot_address(slot) == HS_MARKS_MAYBE) {
            note_beyond(reader, slot.w1);
            return true;
        }
        if (hs_slot_address(slot) >= HS_STRIPES)
            return nonsense(session, "a sequence that does not exist");
        reader->last_sequence[hs_slot_address(slot)] = slot.w1;
        return true;
    case HS_SLOT_SIZE_HIGH:
        reader->size_high = slot.w1 & UINT32_MAX;
        return true;
    default:
        return nonsense(session, "a slot that was never written");
    }
}

/*
 * Reads up to BATCH slots, at most up to `head`. Returns false when something is wrong. A ring that cannot go on now is
 * `blocked` or `at_fork`.
 */
static bool take_batch(struct session *session, struct ring_reader *reader, uint64_t head)
{
    struct hs_slot batch[BATCH];
    uint64_t mask = reader->slot_count - 1;
    uint64_t available = head - reader->tail;
    unsigned count = available < BATCH ? (unsigned)available : BATCH;
    unsigned start = (unsigned)(reader->tail & mask);
    unsigned first = count < reader->slot_count - start ? count : (unsigned)(reader->slot_count - start);
    memcpy(batch, &reader->ring->slots[start], first * sizeof batch[0]);
    memcpy(batch + first, &reader->ring->slots[0], (count - first) * sizeof batch[0]);
    atomic_signal_fence(memory_order_seq_cst); /* from here on the copy is what counts */

    for (unsigned i = 0; i < count; i++) {
        if (HS_UNLIKELY(hs_slot_type(batch[i]) == HS_SLOT_MESSAGE)) {
            uint64_t slots = message_slots(batch[i]); /* whose bytes may look like anything */
            if (slots > count - i) {
                count = i + 1;
                break;
            }
            i += (unsigned)slots - 1;
            continue;
        }
        live_table_prefetch(&session->live, hs_slot_address(batch[i]));
    }
    uint32_t node_count = atomic_load_explicit(&session->shared->node_count, memory_order_acquire);
    if (node_count > HS_NODE_MAX + 1)
        node_count = HS_NODE_MAX + 1;

    if (HS_UNLIKELY(reader->thread == UINT32_MAX))
        reader->thread = session_thread(
            session, reader->tid = atomic_load_explicit(&reader->ring->owner_tid, memory_order_relaxed), NULL, 0);
    encoder_thread(&session->encoder, reader->thread);
    for (unsigned i = 0; i < count; i++) {
        struct hs_slot slot = batch[i];
        enum hs_slot_type type = hs_slot_type(slot);
        if (HS_LIKELY(is_event(type))) {
            if (hs_slot_sequenced(slot)) {
                unsigned stripe = hs_stripe_of(hs_slot_address(slot), hs_slot_domain(slot));
                if (!is_due(session, reader, slot, stripe))
                    return true;
            }
            reader->tail++;
            if (type == HS_SLOT_OBJECT_END && i + 1 < count && frees_same(slot, batch[i + 1]))
                continue;
            if (HS_UNLIKELY(!take_event(session, reader, slot, node_count)))
                return false;
        } else if (type == HS_SLOT_MESSAGE) {
            uint64_t before = reader->tail;
            if (!take_message(session, reader, slot, head, false))
                return false;
            if (reader->tail == before || session->ended != SESSION_LIVES)
                return true; /* it has to wait */
            i += (unsigned)message_slots(slot) - 1;
        } else {
            if (type == HS_SLOT_SYNC && hs_slot_address(slot) == HS_MARKS_SEEN && !is_turn(session, reader, slot.w1))
                return true;
            reader->tail++;
            if (!take_other(session, reader, slot))
                return false;
        }
    }
    return true;
}

/*
 * Waking the writer for a few slots would make both of them stumble along. It never needs more than half of the ring,
 * and nothing that the recorder waits for is still to be written by a thread that waits for room.
 */
static void wake_writer(struct ring_reader *reader)
{
    if (head_of(reader) - reader->tail <= reader->slot_count / 2)
        ring_wake(reader->ring);
}

/* Without looking at its slots again. */
static bool is_still_blocked(const struct session *session, const struct ring_reader *reader)
{
    return reader->blocked && session->expected[reader->blocked_stripe] < reader->blocked_number;
}

/* Reads one ring as far as it goes, but about `budget` slots at most. */
static bool drain_ring(struct session *session, struct ring_reader *reader, uint64_t budget,
                       struct drain_result *result)
{
    uint64_t head = head_of(reader);
    uint64_t filled = head - reader->tail;
    if (filled == 0)
        return true;
    if (filled > reader->slot_count)
        return nonsense(session, "a ring with more than it can hold");
    unsigned fullness = (unsigned)(filled * 100 / reader->slot_count);
    if (fullness > result->fullness)
        result->fullness = fullness;
    if (!is_ready(session, reader) || is_still_blocked(session, reader))
        return true;
    uint64_t begin = reader->tail;
    bool good = true;
    reader->blocked = false;
    while (good && reader->tail != head && reader->tail - begin < budget) {
        uint64_t before = reader->tail;
        good = take_batch(session, reader, head);
        atomic_store(&reader->ring->tail, reader->tail);
        if (encoder_full(&session->encoder))
            session_flush(session);
        if (session->ended != SESSION_LIVES)
            good = false;
        if (reader->blocked || reader->at_fork || reader->tail == before)
            break;
        wake_writer(reader);
    }
    wake_writer(reader);
    result->slots += reader->tail - begin;
    return good;
}

/* The ring that waits at a message whose turn has come; NULL: there is none. */
static struct ring_reader *ring_at_fork(const struct session *session)
{
    for (uint32_t i = 0; i < session->ring_count; i++)
        if (session->rings[i]->at_fork)
            return session->rings[i];
    return NULL;
}

static bool must_pass(struct session *session, struct ring_reader *reader, struct drain_result *result)
{
    struct hs_slot slot = reader->ring->slots[reader->tail & (reader->slot_count - 1)];
    if (hs_slot_type(slot) != HS_SLOT_MESSAGE)
        return nonsense(session, "a message that changed");
    uint64_t before = reader->tail;
    encoder_thread(&session->encoder, reader->thread); /* another ring's was read last */
    bool good = take_message(session, reader, slot, head_of(reader), true);
    atomic_store(&reader->ring->tail, reader->tail);
    result->slots += reader->tail - before;
    return good;
}

static bool still_for_long(struct session *session)
{
    uint64_t now = session_now(session);
    if (session->still_since_ns == 0)
        session->still_since_ns = now ? now : 1;
    return now - session->still_since_ns > STILL_NS;
}

struct drain_result drain_session(struct session *session, uint64_t budget, bool over)
{
    struct drain_result result = {0};
    if (session->waiting_for_parent || session->ended != SESSION_LIVES)
        return result;
    bool good = true;
    session->over_now = over;
    while (good && result.slots < budget) {
        uint64_t before = result.slots;
        good = notice_rings(session);
        for (uint32_t i = 0; good && i < session->ring_count && result.slots < budget; i++) {
            struct ring_reader *reader = session->rings[i];
            if (!reader->at_fork || may_pass(session, reader))
                good = drain_ring(session, reader, budget - result.slots, &result);
        }
        struct ring_reader *waiting = result.slots == before && good ? ring_at_fork(session) : NULL;
        if (waiting && waiting->tail >= waiting->cut) {
            good = cut_rings(session);
            continue;
        }
        if (!good || result.slots != before)
            continue;
        bool empty = true;
        for (uint32_t i = 0; i < session->ring_count; i++)
            empty &= head_of(session->rings[i]) == session->rings[i]->tail;
        result.left = !empty;
        if (empty)
            break;
        if (!(over || still_for_long(session)))
            break;
        if (skip_gap(session, over, waiting ? HS_MARK_STRIPE : HS_STRIPES))
            continue;
        if (!waiting)
            break;
        good = must_pass(session, waiting, &result);
    }
    if (result.slots > 0)
        session->still_since_ns = 0;
    if (!good && session->ended == SESSION_LIVES) {
        if (!session->wrong[0])
            nonsense(session, "something that makes no sense");
        session_stop(session, HS_STOP_PROTOCOL);
    }
    if (result.slots >= budget)
        result.left = true;
    if (over && !result.left)
        for (uint32_t i = 0; i < session->ring_count; i++)
            undo_realloc(session, session->rings[i]);
    return result;
}
