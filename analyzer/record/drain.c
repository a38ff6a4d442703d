/* drain.c - see drain.h */
#include "record/drain.h"

#include <string.h>

#include "record/ring_messages.h"
#include "record/session_nodes.h"
#include "record/wish_answers.h"

/*
 * Slots that are copied and prefetched at once: 2 KiB of slots, and as many cache lines of the live table as are on
 * their way together. Each slot makes at most OPS_PER_SLOT ops before encoder_full() is looked at.
 */
#define BATCH 128u
#define OPS_PER_SLOT 4u
_Static_assert(BATCH *OPS_PER_SLOT <= ENCODER_SLACK, "an encoder has room for a batch");

#define STILL_NS UINT64_C(1000000000) /* a number that has not come after this time will not come */

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
    session_out_of_memory(session);
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
    session_out_of_memory(session);
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
            return session_nonsense(session, "a mapping beyond the address space");
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
    session_out_of_memory(session);
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
        return session_nonsense(session, "a count from an unknown source");
    if (live_table_find(&session->live, block, &ordinal))
        encoder_count(&session->encoder, source, ordinal, count, hs_count_down(size), node);
    else
        encoder_count_loose(&session->encoder, source, address, count, hs_count_down(size), hs_count_type(size), node);
    return true;
}

static HS_COLD bool take_watch(struct session *session, uint64_t watch, uint64_t count, uint32_t node)
{
    if (watch == 0 || watch > UINT32_MAX)
        return session_nonsense(session, "a watch that does not exist");
    encoder_watch(&session->encoder, (uint32_t)watch, count, node);
    return true;
}

/* ---- one ring ---- */

HS_ALWAYS_INLINE bool take_event(struct session *session, struct ring_reader *reader, struct hs_slot slot,
                                 uint32_t node_count)
{
    enum hs_slot_type type = hs_slot_type(slot);
    unsigned domain = hs_slot_domain(slot);
    uint64_t address = hs_slot_address(slot), size = hs_slot_size(slot);
    uint32_t node = hs_slot_node(slot);
    if (HS_UNLIKELY(domain >= HS_DOMAINS))
        return session_nonsense(session, "an unknown domain");
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
        return session_nonsense(session, "a stack that was never described");
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
            return session_nonsense(session, "a block at address 0");
        return begin_block(session, address, size, node, domain, false);
    case HS_SLOT_REALLOC_BEGIN:
        return begin_realloc(session, reader, address, domain);
    case HS_SLOT_REALLOC_COMMIT:
        if (address == 0)
            return session_nonsense(session, "a block at address 0");
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
        return session_nonsense(session, "an event of unknown kind");
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
            ring_note_marks(reader, slot.w1);
            return true;
        }
        if (hs_slot_address(slot) >= HS_STRIPES)
            return session_nonsense(session, "a sequence that does not exist");
        reader->last_sequence[hs_slot_address(slot)] = slot.w1;
        return true;
    case HS_SLOT_SIZE_HIGH:
        reader->size_high = slot.w1 & UINT32_MAX;
        return true;
    default:
        return session_nonsense(session, "a slot that was never written");
    }
}

/*
 * Reads up to BATCH slots, at most up to `head`. Returns false when something is wrong. A ring that cannot go on now is
 * `blocked` or `at_message`.
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
            uint64_t slots = ring_message_slots(batch[i]); /* whose bytes may look like anything */
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
                if (!ring_is_due(&session->rings, reader, slot, stripe))
                    return true;
            }
            reader->tail++;
            if (type == HS_SLOT_OBJECT_END && i + 1 < count && frees_same(slot, batch[i + 1]))
                continue;
            if (HS_UNLIKELY(!take_event(session, reader, slot, node_count)))
                return false;
        } else if (type == HS_SLOT_MESSAGE) {
            uint64_t before = reader->tail;
            if (!ring_message_take(session, reader, slot, head))
                return false;
            if (reader->tail == before || session->ended != SESSION_LIVES)
                return true; /* it has to wait */
            i += (unsigned)ring_message_slots(slot) - 1;
        } else {
            if (type == HS_SLOT_SYNC && hs_slot_address(slot) == HS_MARKS_SEEN &&
                !ring_marks_are_due(session, reader, slot.w1))
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
    if (ring_head(reader) - reader->tail <= reader->slot_count / 2)
        ring_wake(reader->ring);
}

/* Reads one ring as far as it goes, but about `budget` slots at most. */
static bool drain_ring(struct session *session, struct ring_reader *reader, uint64_t budget,
                       struct drain_result *result)
{
    uint64_t head = ring_head(reader);
    uint64_t filled = head - reader->tail;
    if (filled == 0)
        return true;
    if (filled > reader->slot_count)
        return session_nonsense(session, "a ring with more than it can hold");
    unsigned fullness = (unsigned)(filled * 100 / reader->slot_count);
    if (fullness > result->fullness)
        result->fullness = fullness;
    if (!ring_is_ready(&session->rings, reader) || ring_is_still_blocked(&session->rings, reader))
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
        if (reader->blocked || reader->at_message || reader->tail == before)
            break;
        wake_writer(reader);
    }
    wake_writer(reader);
    result->slots += reader->tail - begin;
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
        good = session_notice_rings(session);
        for (uint32_t i = 0; good && i < session->rings.count && result.slots < budget; i++) {
            struct ring_reader *reader = session->rings.readers[i];
            if (!reader->at_message || ring_message_may_pass(session, reader))
                good = drain_ring(session, reader, budget - result.slots, &result);
        }
        struct ring_reader *waiting = result.slots == before && good ? ring_at_message(session) : NULL;
        if (waiting && waiting->tail >= waiting->cut) {
            good = rings_cut(session);
            continue;
        }
        if (!good || result.slots != before)
            continue;
        bool empty = true;
        for (uint32_t i = 0; i < session->rings.count; i++)
            empty &= ring_head(session->rings.readers[i]) == session->rings.readers[i]->tail;
        result.left = !empty;
        if (empty)
            break;
        if (!(over || still_for_long(session)))
            break;
        if (rings_skip_gap(&session->rings, over, waiting ? HS_MARK_STRIPE : HS_STRIPES))
            continue;
        if (!waiting)
            break;
        uint64_t tail = waiting->tail;
        good = ring_message_pass(session, waiting);
        result.slots += waiting->tail - tail;
    }
    if (result.slots > 0)
        session->still_since_ns = 0;
    if (!good && session->ended == SESSION_LIVES) {
        session_nonsense(session, "something that makes no sense");
        session_stop(session, HS_STOP_PROTOCOL);
    }
    if (result.slots >= budget)
        result.left = true;
    if (over && !result.left)
        for (uint32_t i = 0; i < session->rings.count; i++)
            undo_realloc(session, session->rings.readers[i]);
    return result;
}
