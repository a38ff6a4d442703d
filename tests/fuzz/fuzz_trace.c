/*
 * fuzz_trace.c - any bytes as a trace file: everything that the commands do with one, without the printing.
 *
 * Input that begins with the file magic is a file. Other input is the contents of
 * chunks, for which the target makes the headers, checksums and compression that
 * chance would never find:
 *
 *   u8 type, u16 length, bytes          for each chunk; for EVENTS the bytes are, for each column,
 *                                       u16 length, bytes
 *
 * An entry for libFuzzer (clang -fsanitize=fuzzer,address); regression_driver.c replays the corpus with it in
 * the normal tests.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "amend/native_names.h"
#include "model/cycles.h"
#include "model/lifetimes.h"
#include "model/mark_growth.h"
#include "model/mark_moment.h"
#include "model/mark_table.h"
#include "model/object_lives.h"
#include "model/regions.h"
#include "model/site_match.h"
#include "model/sites.h"
#include "model/sites_wanted.h"
#include "model/stacks.h"
#include "model/type_names.h"
#include "trace/trace_info.h"
#include "trace/trace_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An assertion that holds in every build. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

/* Everything that is computed of a graph, with what must hold of any. */
static void use_graph(const struct ref_graph *graph)
{
    struct reach reach = {0};
    struct components components = {0};
    struct dominators dominators = {0};
    struct cycles cycles = {0};
    struct error error = {0};
    char text[64];
    uint64_t *own = calloc((size_t)graph->node_count + 1, sizeof *own);
    for (uint64_t e = 0; e < graph->edge_count; e++) {
        must(graph->edges[e].target < graph->node_count && graph->sources[e] < graph->node_count);
        ref_edge_text(graph, graph->edges[e], text, sizeof text);
    }
    for (uint32_t n = 0; n < graph->node_count; n++) {
        must(graph->first[n] <= graph->first[n + 1] && graph->source_first[n] <= graph->source_first[n + 1]);
        if (own)
            own[n] = 1;
    }
    must(graph->node_count == 0 || (graph->first[graph->node_count] == graph->edge_count &&
                                    graph->source_first[graph->node_count] == graph->edge_count));
    if (own && reach_compute(&reach, graph, &error) == 0 &&
        components_compute(&components, graph, &reach, &error) == 0 &&
        dominators_compute(&dominators, graph, &reach, own, &error) == 0) {
        const struct cycles_sources sources = {
            .graph = graph, .reach = &reach, .components = &components, .dominators = &dominators, .own = own};
        must(cycles_find(&cycles, &sources, &error) == 0);
        for (uint32_t n = 0; n < graph->node_count && n < 1000; n++) {
            struct reach_path path;
            struct path_text words = {0};
            must(dominators.retained[n] >= 1 && dominators.retained[n] <= graph->node_count);
            must(reach_path(&reach, graph, n, &path) == 0);
            must(path_text_make(&words, graph, &path) == 0);
            must((words.piece_count > 0) == reach_alive(&reach, n));
            path_text_free(&words);
            reach_path_free(&path);
        }
    }
    cycles_free(&cycles);
    dominators_free(&dominators);
    components_free(&components);
    reach_free(&reach);
    free(own);
}

static void use_snapshots(struct trace_reader *reader)
{
    struct graph_snapshots snapshots;
    struct error error = {0};
    if (graph_snapshots_list(&snapshots, reader, &error) != 0)
        return;
    for (size_t i = 0; i < snapshots.count && i < 4; i++) {
        struct ref_graph graph;
        if (ref_graph_load(&graph, reader, &snapshots.list[i], &error) == 0) {
            use_graph(&graph);
            ref_graph_free(&graph);
        }
    }
    graph_snapshots_free(&snapshots);
}

static void follow(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    object_lives_event(context, lifetimes, event);
}

static void check_objects(const struct object_lives *lives)
{
    uint64_t live = 0;
    for (size_t i = 0; i < lives->type_count; i++) {
        const struct object_type *type = &lives->types[i];
        must(type->created - type->died == type->live);
        must(type->live > 0 || type->live_bytes == 0);
        live += type->live;
        if (type->died)
            object_type_median(type);
    }
    must(lives->failed || live == lives->used + (lives->moving.ordinal != OBJECT_LIFE_FREE));
}

/* Names as they are, written once more: that loses no frame. */
static void use_native_names(struct trace_reader *reader)
{
    struct native_names names;
    struct buf *payloads;
    size_t count;
    if (native_names_load(&names, reader, NULL) == 0 && native_names_write(&names, &payloads, &count) == 0) {
        must((names.frame_count > 0) == (count > 0));
        for (size_t i = 0; i < names.frame_count; i++) {
            must(i == 0 || names.frames[i - 1].frame < names.frames[i].frame);
            must(names.frames[i].module == NO_MODULE || names.frames[i].module < names.module_count);
            must(!native_frame_improve(&names, &names.frames[i], names.frames[i].first, names.frames[i].count));
        }
        for (size_t i = 0; i < count; i++)
            buf_free(&payloads[i]);
        free(payloads);
    }
    native_names_free(&names);
}

/* Compared with themselves, sites are what they were, as those of two traces and as those of one. */
static void use_site_match(const struct sites *sites, struct stacks *stacks)
{
    struct match_side side = {.sites = sites, .stacks = stacks};
    for (int same_trace = 0; same_trace < 2; same_trace++) {
        struct site_pairs pairs;
        if (site_match(&pairs, &side, &side, same_trace) != 0)
            continue;
        must(pairs.count == sites->count);
        for (size_t i = 0; i < pairs.count; i++) {
            const struct site_pair *pair = &pairs.list[i];
            must(pair->old_stack == pair->new_stack && pair->new_stack == sites->sites[i].stack);
            must(pair->old_bytes == pair->new_bytes && pair->old_count == pair->new_count);
        }
        free(pairs.list);
    }
}

/* Where frames lie, and what is left of sites with the frames of one language. */
static void use_places(struct stacks *stacks, struct sites *sites, uint64_t bytes)
{
    struct stack_place place;
    for (uint32_t stack = 1; stack <= stacks_count(stacks); stack++)
        if (stacks_place(stacks, stack, &place))
            must(place.frames > 0 && place.module <= stacks_module_count(stacks));
    uint32_t before = stacks_count(stacks), *left = stacks_of_language(stacks, FRAME_NATIVE);
    for (uint32_t stack = 1; left && stack <= before; stack++) {
        must(left[stack] <= stacks_count(stacks));
        for (uint32_t at = left[stack]; at; at = stacks_caller(stacks, at))
            must(stacks_caller(stacks, at) < at && stacks_frame(stacks, at).language != FRAME_PYTHON);
    }
    if (left)
        sites_move(sites, left);
    for (size_t i = 0; i < sites->count; i++)
        bytes -= sites->sites[i].bytes;
    must(sites->failed || bytes == 0);
    free(left);
}

static void follow_regions(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    regions_event(context, lifetimes, event);
}

static void finalize_regions(void *context, const struct lifetimes *lifetimes)
{
    regions_done(context, lifetimes);
}

static void use_growth(const struct named_region *named)
{
    double slope;
    if (named->moment_count >= mark_growth_warm_up(named->moment_count) + MARK_GROWTH_LEAST)
        must(mark_growth_slope(&slope, named->moments, named->moment_count, MARK_BYTES) == 0 && slope >= 0);
}

/* What holds of any region, and its sites, at most as many bytes as were born in it. */
static void use_regions(struct trace_reader *reader, struct stacks *stacks, const struct mark_table *marks)
{
    struct regions regions;
    struct lifetimes *lifetimes = lifetimes_new();
    struct error error = {0};
    struct life_replay replay = {.until_ns = UINT64_MAX,
                                 .until_event = UINT64_MAX,
                                 .each = follow_regions,
                                 .finalize = finalize_regions,
                                 .context = &regions};
    if (!lifetimes || regions_init(&regions, marks) != 0) {
        lifetimes_free(lifetimes);
        return;
    }
    for (uint32_t name = 0; name < regions.name_count; name++)
        regions.names[name].sampled = true;
    if (lifetimes_replay(lifetimes, reader, &replay, &error) == 0 && !regions.failed) {
        regions_finish(&regions, lifetimes);
        for (size_t i = 0; i < regions.count; i++) {
            const struct region *region = &regions.list[i];
            must(region->live_bytes <= region->peak_bytes && region->peak_bytes <= region->allocated_bytes);
            must(region->live_blocks <= region->allocations && region->name < regions.name_count);
        }
        for (uint32_t name = 0; name < regions.name_count; name++) {
            const struct named_region *named = &regions.names[name];
            must((named->occurrences > 0) == (named->last < regions.count));
            use_growth(named);
        }
        for (size_t i = 0; i < regions.count && i < 4; i++) {
            struct sites_wanted wanted[2] = {{.event = regions.list[i].peak_event, .region = &regions.list[i]},
                                             {.allocated = true, .event = UINT64_MAX, .region = &regions.list[i]}};
            if (sites_wanted_find(wanted, 2, reader, stacks, &error) == 0)
                must(wanted[0].sites.count <= wanted[1].sites.count);
            sites_free(&wanted[0].sites);
            sites_free(&wanted[1].sites);
        }
    }
    regions_free(&regions);
    lifetimes_free(lifetimes);
}

static void use_marks(struct trace_reader *reader, struct stacks *stacks)
{
    struct mark_table marks;
    struct mark_place place;
    struct error error = {0};
    if (mark_table_load(&marks, reader, &error) != 0)
        return;
    use_regions(reader, stacks, &marks);
    for (uint32_t name = 1; name <= marks.names.count && name < 5; name++)
        mark_place_find(&place, reader, mark_table_text(&marks, name, NULL), &error);
    for (uint64_t number = 0; number < 300; number++) {
        const struct mark_occurrence *occurrence = mark_table_occurrence(&marks, number);
        must(mark_table_name(&marks, number) <= marks.names.count);
        must(!occurrence || occurrence->name <= marks.names.count);
    }
    mark_table_free(&marks);
}

static void use(struct trace_reader *reader)
{
    struct trace_info info;
    struct stacks *stacks = NULL;
    struct sites sites = SITES_INIT;
    struct error error = {0};
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX, .addresses = true};
    struct lifetimes *lifetimes = lifetimes_new();
    struct type_names names;
    struct object_lives lives = {0};
    if (type_names_load(&names, reader, &error) == 0 && object_lives_init(&lives, &names) == 0) {
        replay.each = follow;
        replay.context = &lives;
    }
    if (trace_info_read(&info, reader, &error) == 0)
        trace_info_free(&info);
    if (lifetimes && stacks_load(&stacks, reader, &error) == 0 &&
        lifetimes_replay(lifetimes, reader, &replay, &error) == 0) {
        uint64_t bytes = 0;
        sites_add_live(&sites, lifetimes);
        sites_finish(&sites, stacks);
        for (size_t i = 0; i < sites.count; i++) {
            bytes += sites.sites[i].bytes;
            for (uint32_t stack = sites.sites[i].stack; stack; stack = stacks_caller(stacks, stack)) {
                must(stacks_caller(stacks, stack) < stack);
                stacks_frame(stacks, stack);
            }
        }
        must(sites.failed || bytes == lifetimes->now.live_bytes);
        if (!sites.failed)
            use_site_match(&sites, stacks);
        must(lifetimes->peak_bytes >= lifetimes->now.live_bytes);
        use_places(stacks, &sites, bytes);
        if (replay.each)
            check_objects(&lives);
    }
    use_native_names(reader);
    use_snapshots(reader);
    if (stacks)
        use_marks(reader, stacks);
    struct error damage = {0};
    must(trace_reader_describe_damage(reader, &damage) != trace_reader_complete(reader));
    must(trace_reader_lost_chunks(reader) <= reader->known_chunks);
    sites_free(&sites);
    stacks_free(stacks);
    lifetimes_free(lifetimes);
    object_lives_free(&lives);
    type_names_free(&names);
}

/* Up to `length` bytes announced by a u16. */
static size_t take_part(const uint8_t **data, const uint8_t *end, const uint8_t **part)
{
    if (end - *data < 2)
        *data = end;
    if (*data == end)
        return 0;
    size_t length = (size_t)((*data)[0] | (*data)[1] << 8), left = (size_t)(end - *data) - 2;
    *part = *data + 2;
    if (length > left)
        length = left;
    *data = *part + length;
    return length;
}

/* The raw bytes of an EVENTS chunk with these columns, and the counts for its header. */
static void make_events(struct buf *raw, struct hsk_chunk_header *header, const uint8_t *data, const uint8_t *end)
{
    struct hsk_events events = {0};
    buf_append(raw, &events, sizeof events);
    for (int column = 0; column < HSK_COLUMNS; column++) {
        const uint8_t *part = NULL;
        size_t length = take_part(&data, end, &part);
        events.column_bytes[column] = (uint32_t)length;
        buf_append(raw, part, length);
        for (size_t i = 0; column == HSK_COLUMN_OPS && i < length; i++) {
            header->ordinal_count += HSK_OP_KIND(part[i]) == HSK_OP_ALLOC;
            header->event_count += HSK_OP_KIND(part[i]) <= HSK_OP_FREE_UNKNOWN;
        }
    }
    events.op_count = events.column_bytes[HSK_COLUMN_OPS];
    memcpy(raw->data, &events, sizeof events);
}

static void make_file(struct buf *file, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    struct hsk_file_header head = {.version = HSK_FORMAT_VERSION, .header_bytes = sizeof head};
    memcpy(head.magic, HSK_FILE_MAGIC, sizeof head.magic);
    buf_append(file, &head, sizeof head);
    uint64_t ordinal = 0;
    for (uint64_t number = 0; end - data >= 3; number++) {
        struct hsk_chunk_header header = {
            .magic = HSK_CHUNK_MAGIC, .type = *data++, .number = number, .ordinal_first = ordinal};
        struct buf raw = BUF_INIT;
        const uint8_t *part = NULL;
        size_t length = take_part(&data, end, &part);
        if (header.type == HSK_CHUNK_EVENTS)
            make_events(&raw, &header, part, part + length);
        else
            buf_append(&raw, part, length);
        ordinal += header.ordinal_count;
        uint8_t frame[ZSTD_COMPRESSBOUND(70000)];
        must(raw.length <= 70000);
        header.stored_bytes = (uint32_t)ZSTD_compress(frame, sizeof frame, raw.data, raw.length, 1);
        header.raw_bytes = (uint32_t)raw.length;
        header.header_crc = (uint32_t)crc32(0, (const Bytef *)&header, offsetof(struct hsk_chunk_header, header_crc));
        buf_append(file, &header, sizeof header);
        buf_append(file, frame, header.stored_bytes);
        buf_free(&raw);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace_reader *reader;
    struct buf file = BUF_INIT;
    if (size < 8 || memcmp(data, HSK_FILE_MAGIC, 8) != 0) {
        make_file(&file, data, size);
        must(!file.failed);
        data = file.data;
        size = file.length;
    }
    struct error error = {0};
    int code = trace_reader_open_memory(data, size, "fuzz.hsk", &reader, &error);
    must((code == 0) == (error.text[0] == '\0'));
    if (code == 0) {
        use(reader);
        trace_reader_close(reader);
    }
    buf_free(&file);
    return 0;
}
