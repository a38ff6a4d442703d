/* fork_snapshot.c - see fork_snapshot.h */
#include "record/fork_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void fork_snapshot_free(struct fork_snapshot *snapshot)
{
    if (!snapshot)
        return;
    live_table_destroy(&snapshot->live);
    mapped_ranges_free(&snapshot->mapped);
    code_list_free(&snapshot->codes);
    module_set_free(snapshot->modules);
    buf_free(&snapshot->types.bytes);
    buf_free(&snapshot->places.bytes);
    free(snapshot->python_version);
    free(snapshot->parent_file);
    free(snapshot);
}

struct fork_snapshot *fork_snapshot_new(const struct session *parent, uint64_t fork_id)
{
    struct fork_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return NULL;
    snapshot->parent_session = parent->id;
    snapshot->fork_id = fork_id;
    snapshot->made_ns = monotonic_ns();
    snapshot->python_version = parent->python_version ? strdup(parent->python_version) : NULL;
    snapshot->parent_file = parent->output ? output_name(parent->output) : NULL;
    /* The child is born in the parent's root and image; what becomes of the parent does not matter then. */
    snapshot->modules = module_set_clone(parent->modules, parent->process->pid);
    buf_append(&snapshot->types.bytes, parent->types.bytes.data, parent->types.bytes.length);
    buf_append(&snapshot->places.bytes, parent->places.bytes.data, parent->places.bytes.length);
    if (!snapshot->modules || live_table_copy(&snapshot->live, &parent->live) != 0 ||
        !mapped_ranges_copy(&snapshot->mapped, &parent->mapped) ||
        code_list_copy(&snapshot->codes, &parent->codes) != 0) {
        fork_snapshot_free(snapshot);
        return NULL;
    }
    return snapshot;
}

struct inheritance {
    struct session *session;
    struct buf payload;
    uint64_t address, ordinal;
    uint32_t node;
};

static void inherit_block(void *context, const struct live_block *block)
{
    struct inheritance *all = context;
    buf_append_varint(&all->payload, block->domain);
    buf_append_signed(&all->payload, (int64_t)(block->address - all->address));
    buf_append_varint(&all->payload, block->size);
    buf_append_signed(&all->payload, (int64_t)block->node - (int64_t)all->node);
    all->address = block->address;
    all->node = block->node;
    all->ordinal++;
    all->session->totals.inherited_bytes += block->size;
    all->session->totals.inherited_blocks++;
}

static void count_block(void *context, const struct live_block *block)
{
    (void)block;
    ++*(uint64_t *)context;
}

static void write_inherited(struct session *session)
{
    uint64_t blocks = 0;
    live_table_visit(&session->live, count_block, &blocks);
    live_table_renumber(&session->live, 0);
    struct inheritance all = {.session = session};
    buf_append_varint(&all.payload, blocks + session->mapped.count);
    live_table_visit(&session->live, inherit_block, &all);
    for (size_t i = 0; i < session->mapped.count; i++) {
        struct mapped_range *range = &session->mapped.ranges[i];
        range->ordinal = all.ordinal;
        inherit_block(&all, &(struct live_block){.address = range->start,
                                                 .size = range->end - range->start,
                                                 .node = range->node,
                                                 .domain = HS_DOMAIN_MMAP});
    }
    session->inherited = all.ordinal;
    if (all.payload.length > HSK_MAX_CHUNK_RAW)
        session_note(session, HSK_FIELD_BLIND_SPOT, "The %llu blocks that it inherited are too many to be listed.",
                     (unsigned long long)all.ordinal);
    else if (all.ordinal > 0)
        session_write(session, HSK_CHUNK_INHERITED, &all.payload, 0, 0);
    buf_free(&all.payload);
}

void session_inherit(struct session *session, struct fork_snapshot *snapshot)
{
    session->waiting_for_parent = false;
    if (!snapshot) {
        session_note(session, HSK_FIELD_BLIND_SPOT, "What it inherited from its parent is not known.");
        return;
    }
    live_table_destroy(&session->live);
    mapped_ranges_free(&session->mapped);
    code_list_free(&session->codes);
    module_set_free(session->modules);
    session->live = snapshot->live;
    session->mapped = snapshot->mapped;
    session->codes = snapshot->codes;
    session->modules = snapshot->modules;
    buf_free(&session->types.bytes);
    buf_free(&session->places.bytes);
    session->types = snapshot->types;
    session->places = snapshot->places;
    session->python_version = snapshot->python_version;
    free(snapshot->parent_file);
    free(snapshot);
    write_inherited(session);
    encoder_destroy(&session->encoder);
    if (encoder_init(&session->encoder, session->inherited, 0) != 0)
        session_stop(session, HS_STOP_ASKED);
}
