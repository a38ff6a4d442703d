/* make_trace.c - see make_trace.h */
#include "make_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/encode.h"
#include "record/trace_writer.h"

#define MAX_LIVE (1u << 20)

const char *const made_type_names[MADE_TYPES + 1] = {
    "",
    "list",
    "app.Session",
    "app.Session",
    "app.Gr\xc3\xb6\xc3\x9f"
    "e.Inner",
    "collections.deque",
    "(unknown type)",
};

const char *const made_mark_names[MADE_NAMES + 1] = {
    "",
    "loaded",
    "parse",
    "Gr\xc3\xb6\xc3\x9f"
    "e \x1b[31m\xff",
    "request",
    "parse",
};

/* Which names are equal. */
static uint32_t first_name(uint32_t name)
{
    return name == 5 ? 2 : name;
}

struct play_block {
    uint64_t ordinal, size;
    unsigned domain;
    uint32_t type; /* of the object in it; 0: none */
    bool moved;    /* the object has come there by a realloc, and was not told again since */
};

/* Open at once. */
#define MAX_REGIONS 6u

struct play_region {
    uint64_t occurrence;
    uint32_t name, thread;
    bool all_threads;
};

struct play {
    const struct made_trace_plan *plan;
    struct made_trace_truth *truth;
    struct trace_writer *writer;
    struct encoder encoder;
    uint64_t random;
    struct play_block *live;
    uint32_t live_count;
    uint64_t now_bytes, now_blocks, event, since_flush;
    uint64_t *last_allocation; /* by thread: 1 + ordinal, when its last event was an allocation */
    uint32_t thread;
    uint32_t moving_type; /* of the object in the block that a realloc has ended */
    bool finalized;
    struct buf marks; /* what the next MARKS chunk says */
    uint32_t named;   /* a bit for each name that was described */
    uint64_t last_occurrence;
    struct play_region regions[MAX_REGIONS];
    uint32_t region_count;
};

/* A small generator of our own: the same numbers everywhere, for golden files. */
static uint64_t next_random(struct play *play)
{
    uint64_t z = play->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(struct play *play, uint64_t limit)
{
    return next_random(play) % limit;
}

static void count_event(struct play *play)
{
    play->event++;
    play->since_flush++;
    struct made_trace_truth *truth = play->truth;
    if (play->event <= play->plan->events / 2)
        truth->half_bytes = play->now_bytes;
    if (!play->finalized) {
        truth->live_bytes = play->now_bytes;
        truth->live_blocks = play->now_blocks;
    }
}

/* ---- objects ---- */

static void play_death(struct play *play, struct play_block *block)
{
    play->truth->died[block->type] += block->type && !play->finalized;
    block->type = 0;
    block->moved = false;
}

static void play_birth(struct play *play, struct play_block *block, bool same_stack)
{
    uint32_t type = 1 + (uint32_t)below(play, MADE_TYPES);
    uint32_t node = same_stack ? 0 : (uint32_t)below(play, play->plan->nodes + 1);
    encoder_object(&play->encoder, block->ordinal, type, node, same_stack);
    if (block->moved && strcmp(made_type_names[block->type], made_type_names[type]) == 0) {
        block->moved = false;
        play->truth->births++;
        return;
    }
    play_death(play, block);
    play->truth->created[type] += !play->finalized;
    play->truth->births++;
    block->type = type;
}

/* What objects do in blocks that live on. */
static void play_object(struct play *play)
{
    uint64_t choice = below(play, 4);
    if (choice > 1 || play->live_count == 0)
        return;
    struct play_block *block = &play->live[below(play, play->live_count)];
    if (block->domain != HSK_DOMAIN_PY_OBJECT)
        return;
    if (choice == 0) {
        play_birth(play, block, false);
    } else if (block->type) {
        encoder_object_end(&play->encoder, block->ordinal);
        play_death(play, block);
    }
}

/* An object in the block that was allocated last: a new one, or that of the block which a realloc has ended. */
static void play_first_object(struct play *play, struct play_block *block, bool is_realloc)
{
    if (!is_realloc) {
        if (block->domain == HSK_DOMAIN_PY_OBJECT)
            play_birth(play, block, below(play, 8) != 0);
        return;
    }
    block->type = play->moving_type;
    play->moving_type = 0;
    block->moved = block->type != 0;
    if (block->type && below(play, 2)) {
        block->moved = false;
        encoder_object(&play->encoder, block->ordinal, block->type, 0, true);
        play->truth->births++;
    }
}

/* ---- marks and regions ---- */

static uint32_t play_name(struct play *play)
{
    uint32_t name = 1 + (uint32_t)below(play, MADE_NAMES);
    if (!(play->named >> name & 1)) {
        play->named |= 1u << name;
        buf_append_varint(&play->marks, 0);
        buf_append_varint(&play->marks, name);
        buf_append_string(&play->marks, made_mark_names[name], strlen(made_mark_names[name]));
    }
    return name;
}

static void play_begin(struct play *play)
{
    uint32_t name = play_name(play);
    struct play_region *region = &play->regions[play->region_count++];
    *region = (struct play_region){.occurrence = ++play->last_occurrence,
                                   .name = first_name(name),
                                   .thread = play->thread,
                                   .all_threads = below(play, 3) == 0};
    buf_append_varint(&play->marks, 1);
    buf_append_varint(&play->marks, region->occurrence);
    buf_append_varint(&play->marks, name);
    buf_append_varint(&play->marks, region->all_threads ? HSK_REGION_ALL_THREADS : 0);
    encoder_mark(&play->encoder, HSK_MARK_REGION_BEGIN, region->occurrence);
    play->truth->regions[region->name].occurrences++;
    play->truth->regions[region->name].open++;
}

/* Any of them: they overlap as those of coroutines do, and some end in other threads. */
static void play_end(struct play *play)
{
    uint32_t index = (uint32_t)below(play, play->region_count);
    encoder_mark(&play->encoder, HSK_MARK_REGION_END, play->regions[index].occurrence);
    play->truth->regions[play->regions[index].name].open--;
    play->regions[index] = play->regions[--play->region_count];
}

static void play_mark(struct play *play)
{
    uint64_t choice = below(play, 40);
    if (choice == 0) {
        uint32_t name = play_name(play);
        encoder_mark(&play->encoder, HSK_MARK_NAMED, name);
        play->truth->marked[first_name(name)]++;
    } else if (choice <= 2 && play->region_count < MAX_REGIONS) {
        play_begin(play);
    } else if (choice <= 4 && play->region_count > 0) {
        play_end(play);
    }
}

static void play_born(struct play *play, uint64_t size)
{
    for (uint32_t i = 0; i < play->region_count; i++) {
        const struct play_region *region = &play->regions[i];
        if (region->all_threads || region->thread == play->thread) {
            play->truth->regions[region->name].allocations++;
            play->truth->regions[region->name].allocated_bytes += size;
        }
    }
}

static void play_alloc(struct play *play, bool is_realloc)
{
    static const uint16_t usual[] = {16, 24, 32, 48, 56, 64, 64, 80, 104, 112, 232, 520, 1000};
    struct made_trace_truth *truth = play->truth;
    unsigned domain = (unsigned)below(play, 100);
    domain = domain < 60   ? HSK_DOMAIN_PY_OBJECT
             : domain < 75 ? HSK_DOMAIN_PY_MEM
             : domain < 94 ? HSK_DOMAIN_MALLOC
             : domain < 98 ? HSK_DOMAIN_PY_RAW
             : domain < 99 ? HSK_DOMAIN_MMAP
                           : HSK_DOMAIN_ARENA;
    uint64_t size = usual[below(play, HS_COUNT_OF(usual))];
    if (domain == HSK_DOMAIN_ARENA)
        size = 262144;
    else if (domain == HSK_DOMAIN_MMAP)
        size = 4096 * (1 + below(play, 300));
    else if (below(play, 1000) == 0)
        size = below(play, 1 << 20);
    uint64_t address = UINT64_C(0x7f0000000000) + size * 4096 + below(play, 512) * ((size + 15) & ~UINT64_C(15));
    if (below(play, 5000) == 0)
        address += 8; /* a block that is not aligned as usual */
    uint32_t node = (uint32_t)(below(play, 4) ? play->thread % play->plan->nodes + below(play, 4)
                                              : below(play, play->plan->nodes + 1));
    if (node > play->plan->nodes)
        node = play->plan->nodes;
    uint64_t ordinal = encoder_alloc(&play->encoder, address, size, node, domain, is_realloc);
    if (play->live_count < MAX_LIVE)
        play->live[play->live_count++] = (struct play_block){.ordinal = ordinal, .size = size, .domain = domain};
    truth->allocations++;
    truth->domain_allocations[domain]++;
    play->last_allocation[play->thread] = ordinal + 1;
    if (domain != HSK_DOMAIN_ARENA) {
        truth->allocated_bytes += size;
        play_born(play, size);
        play->now_bytes += size;
        play->now_blocks++;
        if (play->now_bytes > truth->peak_bytes) {
            truth->peak_bytes = play->now_bytes;
            truth->peak_event = play->event + 1;
            truth->peak_time_ns = play->encoder.time_ns;
        }
    }
    count_event(play);
    if (play->plan->objects)
        play_first_object(play, &play->live[play->live_count - 1], is_realloc);
}

static void play_free(struct play *play, uint32_t index, bool is_realloc)
{
    struct made_trace_truth *truth = play->truth;
    struct play_block block = play->live[index];
    play->live[index] = play->live[--play->live_count];
    if (is_realloc)
        play->moving_type = block.type;
    else
        play_death(play, &block);
    encoder_free(&play->encoder, block.ordinal, is_realloc);
    truth->frees++;
    if (play->last_allocation[play->thread] == block.ordinal + 1)
        truth->temporary++;
    play->last_allocation[play->thread] = 0;
    truth->domain_frees[block.domain]++;
    if (block.ordinal < play->plan->inherited) {
        truth->inherited_live_blocks -= !play->finalized;
    } else {
        if (block.domain != HSK_DOMAIN_ARENA) {
            play->now_bytes -= block.size;
            play->now_blocks--;
        }
    }
    count_event(play);
}

static void play_step(struct play *play)
{
    const struct made_trace_plan *plan = play->plan;
    if (plan->threads > 1 && below(play, 50) == 0) {
        play->thread = (uint32_t)below(play, plan->threads);
        encoder_thread(&play->encoder, play->thread);
    }
    uint64_t time = play->event * plan->event_ns;
    if (time / 1000000 != play->encoder.time_ns / 1000000)
        encoder_tick(&play->encoder, time / 1000000 * 1000000);
    if (plan->objects)
        play_object(play);
    if (plan->marks)
        play_mark(play);
    uint64_t choice = below(play, 1000);
    bool full = play->live_count + 2 >= MAX_LIVE;
    if (choice == 0) {
        encoder_free_unknown(&play->encoder, UINT64_C(0x555500000000) + below(play, 4096) * 16, HSK_DOMAIN_MALLOC);
        play->truth->frees++;
        play->truth->unknown_frees++;
        play->truth->domain_frees[HSK_DOMAIN_MALLOC]++;
        play->last_allocation[play->thread] = 0;
        count_event(play);
    } else if (choice < 30 && play->live_count > 0) {
        play_free(play, (uint32_t)below(play, play->live_count), true);
        play_alloc(play, true);
    } else if ((choice < 525 || play->live_count == 0) && !full) {
        play_alloc(play, false);
    } else {
        /* mostly what came last, as programs do */
        uint32_t span = below(play, 8) ? 6 : play->live_count;
        if (span > play->live_count)
            span = play->live_count;
        play_free(play, play->live_count - 1 - (uint32_t)below(play, span), false);
    }
}

static int write_nodes(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    uint32_t last_code = 0;
    uint64_t last_frame = 0;
    buf_append_varint(&raw, 1);
    for (uint32_t number = 1; number <= play->plan->nodes; number++) {
        uint64_t up = number == 1 ? 0 : 1 + below(play, number - 1 < 6 ? number - 1 : 6);
        bool native = number % 4 == 0;
        buf_append_varint(&raw, number == play->plan->nodes ? HSK_NODE_TRUNCATED
                                : native                    ? HSK_NODE_NATIVE
                                                            : HSK_NODE_PYTHON);
        buf_append_varint(&raw, up);
        if (number == play->plan->nodes)
            continue;
        if (native) {
            uint64_t frame = UINT64_C(1) << 48 | (UINT64_C(0x7f1234560000) + number * 16);
            buf_append_signed(&raw, (int64_t)(frame - last_frame));
            last_frame = frame;
        } else {
            uint32_t code = 1 + number % 7;
            buf_append_signed(&raw, (int64_t)code - (int64_t)last_code);
            buf_append_varint(&raw, 2 * (number % 5));
            last_code = code;
        }
    }
    int code = trace_writer_buf(play->writer, HSK_CHUNK_NODES, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_codes(struct play *play, struct error *error)
{
    /* Entries of a location table of 3.11 and later: one code unit each, "no column", one line further. */
    static const uint8_t table[] = {0xe8, 0x02, 0xe8, 0x02, 0xe8, 0x02, 0xe8, 0x02, 0xe8, 0x02};
    struct buf raw = BUF_INIT;
    for (uint32_t number = 1; number <= 7; number++) {
        char name[32];
        buf_append_varint(&raw, number);
        buf_append_varint(&raw, 10 * number);
        buf_append_varint(&raw, 0);
        buf_append_varint(&raw, 12);
        buf_append_varint(&raw, 0);
        snprintf(name, sizeof name, "/app/part%u.py", number % 3);
        buf_append_string(&raw, name, strlen(name));
        snprintf(name, sizeof name,
                 number == 3 ? "Gr\xc3\xb6\xc3\x9f"
                               "e.step%u"
                             : "Worker.step%u",
                 number);
        buf_append_string(&raw, name, strlen(name));
        buf_append_string(&raw, table, sizeof table);
    }
    int code = trace_writer_buf(play->writer, HSK_CHUNK_CODES, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_types(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    for (uint32_t type = 1; play->plan->objects && type < MADE_TYPES; type++) {
        const char *name = made_type_names[type], *dot = strchr(name, '.');
        buf_append_varint(&raw, type);
        buf_append_varint(&raw, type == 1 ? HSK_TYPE_GC | HSK_TYPE_RECYCLES : HSK_TYPE_GC | HSK_TYPE_HEAP);
        buf_append_string(&raw, name, dot ? (size_t)(dot - name) : 0);
        name = dot ? dot + 1 : name;
        buf_append_string(&raw, name, strlen(name));
    }
    int code = trace_writer_buf(play->writer, HSK_CHUNK_TYPES, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_modules(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, UINT64_C(0x7f1234500000));
    buf_append_varint(&raw, UINT64_C(0x7f1234600000));
    buf_append_signed(&raw, INT64_C(0x7f1234500000));
    buf_append_varint(&raw, 1);
    buf_append_varint(&raw, HSK_MODULE_OPENED | HSK_MODULE_MATCHES);
    buf_append_string(&raw, "\xde\xad\xbe\xef", 4);
    buf_append_string(&raw, "/usr/lib/libexample.so.1", 24);
    int code = trace_writer_buf(play->writer, HSK_CHUNK_MODULES, &raw, 0, 0, error);
    buf_clear(&raw);

    /* Every other native frame has a name, one of two functions inlined into each other. */
    static const char *const strings[] = {"example_push", "example_grow", "/src/example.c"};
    buf_append_varint(&raw, HS_COUNT_OF(strings));
    for (size_t i = 0; i < HS_COUNT_OF(strings); i++)
        buf_append_string(&raw, strings[i], strlen(strings[i]));
    for (uint32_t number = 4; number < play->plan->nodes; number += 8) {
        buf_append_varint(&raw, UINT64_C(1) << 48 | (UINT64_C(0x7f1234560000) + number * 16));
        buf_append_varint(&raw, 1);
        buf_append_varint(&raw, 0x60000 + number * 16);
        buf_append_varint(&raw, 2);
        buf_append_varint(&raw, 2);
        buf_append_varint(&raw, 3);
        buf_append_varint(&raw, 100 + number);
        buf_append_varint(&raw, 1);
        buf_append_varint(&raw, 3);
        buf_append_varint(&raw, 40);
    }
    if (code == 0)
        code = trace_writer_buf(play->writer, HSK_CHUNK_SYMBOLS, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_process(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    trace_field_string(&raw, HSK_FIELD_RECORDER_VERSION, "0.1.0");
    trace_field_number(&raw, HSK_FIELD_PID, 4321);
    trace_field_number(&raw, HSK_FIELD_PARENT_PID, 4320);
    trace_field_string(&raw, HSK_FIELD_ARGUMENT, "python3");
    trace_field_string(&raw, HSK_FIELD_ARGUMENT, "app \x1b[31m.py");
    trace_field_string(&raw, HSK_FIELD_EXECUTABLE, "/usr/bin/python3.12");
    trace_field_number(&raw, HSK_FIELD_START_TIME, UINT64_C(1700000000000000000));
    if (play->plan->inherited)
        trace_field_string(&raw, HSK_FIELD_FORKED, "1");
    int code = trace_writer_buf(play->writer, HSK_CHUNK_PROCESS, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_inherited(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    if (play->plan->inherited == 0)
        return 0;
    buf_append_varint(&raw, play->plan->inherited);
    for (uint32_t i = 0; i < play->plan->inherited; i++) {
        buf_append_varint(&raw, HSK_DOMAIN_MALLOC);
        buf_append_signed(&raw, 32);
        buf_append_varint(&raw, 32);
        buf_append_signed(&raw, i == 0);
        if (play->live_count < MAX_LIVE / 2)
            play->live[play->live_count++] = (struct play_block){.ordinal = i, .size = 32, .domain = HSK_DOMAIN_MALLOC};
    }
    int code = trace_writer_buf(play->writer, HSK_CHUNK_INHERITED, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

static int write_end(struct play *play, struct error *error)
{
    struct buf raw = BUF_INIT;
    const struct made_trace_truth *truth = play->truth;
    uint64_t end_ns = play->encoder.time_ns;
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 8 << 20);
    buf_append_varint(&raw, 1000000);
    buf_append_varint(&raw, 9 << 20);
    int code = trace_writer_buf(play->writer, HSK_CHUNK_SAMPLES, &raw, 0, end_ns, error);
    buf_clear(&raw);
    trace_field_string(&raw, HSK_FIELD_PYTHON_VERSION, play->plan->objects ? "3.14.2" : "3.12.1");
    trace_field_number(&raw, HSK_FIELD_DURATION, end_ns);
    trace_field_number(&raw, HSK_FIELD_EXIT_STATUS, 0);
    trace_field_string(&raw, HSK_FIELD_ENDED_BY, "exit");
    trace_field_number(&raw, HSK_FIELD_ALLOCATIONS, truth->allocations);
    trace_field_number(&raw, HSK_FIELD_FREES, truth->frees);
    trace_field_number(&raw, HSK_FIELD_LOST, 0);
    trace_field_number(&raw, HSK_FIELD_PEAK_BYTES, truth->peak_bytes);
    trace_field_number(&raw, HSK_FIELD_PEAK_TIME, truth->peak_time_ns);
    trace_field_number(&raw, HSK_FIELD_PEAK_EVENT, truth->peak_event);
    if (play->plan->objects)
        trace_field_number(&raw, HSK_FIELD_OBJECTS, play->encoder.objects);
    if (code == 0)
        code = trace_writer_buf(play->writer, HSK_CHUNK_END, &raw, end_ns, end_ns, error);
    buf_free(&raw);
    return code;
}

static int flush(struct play *play, struct error *error)
{
    play->truth->event_chunks += !encoder_empty(&play->encoder);
    play->since_flush = 0;
    int code = play->marks.length == 0 ? 0
                                       : trace_writer_buf(play->writer, HSK_CHUNK_MARKS, &play->marks,
                                                          play->encoder.first_time_ns, play->encoder.time_ns, error);
    buf_clear(&play->marks);
    if (code != 0)
        return code;
    return encoder_flush(&play->encoder, play->writer, error);
}

static int play_all(struct play *play, struct error *error)
{
    const struct made_trace_plan *plan = play->plan;
    int code = write_process(play, error);
    if (code == 0)
        code = write_codes(play, error);
    if (code == 0)
        code = write_types(play, error);
    if (code == 0)
        code = write_nodes(play, error);
    if (code == 0)
        code = write_inherited(play, error);
    play->truth->inherited_live_blocks = plan->inherited;
    while (code == 0 && play->event < plan->events) {
        if (plan->finalize && !play->finalized && play->event >= plan->events / 10 * 9) {
            play->finalized = true;
            encoder_mark(&play->encoder, HSK_MARK_FINALIZE, 0);
        }
        uint64_t before = play->event;
        play_step(play);
        if (before <= plan->events / 2)
            play->truth->half_ns = play->encoder.time_ns;
        if (encoder_full(&play->encoder) || (plan->flush_ops && play->since_flush >= plan->flush_ops))
            code = flush(play, error);
    }
    if (code == 0)
        code = flush(play, error);
    if (code == 0)
        code = write_modules(play, error);
    if (code == 0 && !plan->no_end)
        code = write_end(play, error);
    return code;
}

int made_trace_synthetic(const char *path, const struct made_trace_plan *plan, struct made_trace_truth *truth)
{
    struct error error = {0};
    struct play play = {.plan = plan, .truth = truth, .random = plan->seed};
    *truth = (struct made_trace_truth){0};
    play.live = calloc(MAX_LIVE, sizeof *play.live);
    play.last_allocation = calloc(plan->threads, sizeof *play.last_allocation);
    int code = play.live && play.last_allocation ? encoder_init(&play.encoder, plan->inherited, 0) : -ENOMEM;
    if (code == 0)
        code = trace_writer_open(&play.writer, path, true, &error);
    if (code == 0)
        code = play_all(&play, &error);
    if (code == 0 && !plan->no_end)
        code = trace_writer_finish(play.writer, &error);
    else
        trace_writer_abandon(play.writer);
    encoder_destroy(&play.encoder);
    buf_free(&play.marks);
    free(play.live);
    free(play.last_allocation);
    if (code != 0)
        error_print(&error);
    size_t length = 0;
    free(made_trace_slurp(path, &length));
    truth->bytes = length;
    return code;
}

uint8_t *made_trace_slurp(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*length + 1);
    if (bytes && fread(bytes, 1, *length, file) != *length) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}
