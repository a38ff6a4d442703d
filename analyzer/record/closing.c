/* closing.c - see closing.h */
#include "record/closing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/session_nodes.h"
#include "record/session_snapshots.h"
#include "report/out_text.h"
#include "symbols/python_lines.h"

#define SHOWN_SITES 5u
#define MAX_CALLERS 200u /* looked through for somebody who is not an allocator himself */
#define MAX_NAME 60u     /* bytes of a function's name that are shown */

/* ---- what lives ---- */

static void add_to_picture(struct live_picture *picture, uint32_t node, uint64_t bytes)
{
    if (node >= picture->node_count)
        node = 0;
    picture->nodes[node].bytes += bytes;
    picture->nodes[node].count++;
    picture->bytes += bytes;
    picture->blocks++;
}

struct picture_maker {
    struct live_picture *picture;
    uint64_t inherited;
};

static void take_block(void *context, const struct live_block *block)
{
    struct picture_maker *maker = context;
    if (block->domain != HS_DOMAIN_ARENA && block->ordinal >= maker->inherited)
        add_to_picture(maker->picture, block->node, block->size);
}

void live_picture_take(struct live_picture *picture, const struct session *session)
{
    free(picture->nodes);
    *picture = (struct live_picture){.node_count = session->nodes_written ? session->nodes_written : 1};
    picture->nodes = calloc(picture->node_count, sizeof *picture->nodes);
    if (!picture->nodes)
        return;
    struct picture_maker maker = {picture, session->inherited};
    live_table_visit(&session->live, take_block, &maker);
    for (size_t i = 0; i < session->mapped.count; i++) {
        const struct mapped_range *range = &session->mapped.ranges[i];
        if (range->ordinal >= session->inherited)
            add_to_picture(picture, range->node, range->end - range->start);
    }
}

/* ---- names of native frames, from the payload of SYMBOLS ---- */

struct string {
    const char *bytes;
    size_t length;
};

struct native_name {
    uint64_t frame;
    struct string function, file;
    uint32_t line;
    bool plumbing; /* an allocator, or library code that hands memory on: not what people look for */
};

struct native_names {
    struct native_name *names; /* sorted by frame, as in the chunk */
    size_t count;
    struct string *strings;
    size_t string_count;
};

static bool begins_with(struct string text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.bytes, prefix, length) == 0;
}

static bool is_plumbing(struct string function)
{
    static const char *const prefixes[] = {
        "operator new", "std::",    "__gnu_cxx::", "void* std::", "void std::", "alloc::", "core::",  "hashbrown::",
        "<alloc::",     "<core::",  "__rust_",     "__rdl_",      "__libc_",    "xmalloc", "xcalloc", "xrealloc",
        "xstrdup",      "g_malloc", "g_realloc",   "g_slice_",    "g_strdup",   "_Znw",    "_Zna",
    };
    static const char *const names[] = {"malloc",        "calloc",   "realloc", "reallocarray",
                                        "strdup",        "__strdup", "strndup", "posix_memalign",
                                        "aligned_alloc", "mmap",     "mmap64",  "mremap"};
    for (size_t i = 0; i < HS_COUNT_OF(prefixes); i++)
        if (begins_with(function, prefixes[i]))
            return true;
    for (size_t i = 0; i < HS_COUNT_OF(names); i++)
        if (strlen(names[i]) == function.length && begins_with(function, names[i]))
            return true;
    return false;
}

static struct string string_of(const struct native_names *names, uint64_t number)
{
    return number > 0 && number <= names->string_count ? names->strings[number - 1] : (struct string){NULL, 0};
}

static int compare_names(const void *left, const void *right)
{
    const struct native_name *a = left, *b = right;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

/* The payload was made by this process a moment ago; it is read like any other all the same. */
static void read_names(struct native_names *names, const struct buf *symbols)
{
    *names = (struct native_names){0};
    struct cursor cursor = {.at = symbols->data, .end = symbols->data + symbols->length};
    uint64_t count = symbols->length ? cursor_varint(&cursor) : 0;
    if (count == 0 || count > symbols->length)
        return;
    names->strings = calloc(count, sizeof *names->strings);
    names->string_count = names->strings ? count : 0;
    for (uint64_t i = 0; i < names->string_count; i++)
        names->strings[i].bytes = cursor_string(&cursor, &names->strings[i].length);
    size_t capacity = 0;
    while (names->strings && cursor.at < cursor.end) {
        struct native_name name = {.frame = cursor_varint(&cursor), .plumbing = true};
        cursor_varint(&cursor); /* module */
        cursor_varint(&cursor); /* offset */
        uint64_t functions = cursor_varint(&cursor);
        for (uint64_t i = 0; i < functions && !cursor.failed; i++) {
            struct string function = string_of(names, cursor_varint(&cursor));
            struct string file = string_of(names, cursor_varint(&cursor));
            uint32_t line = (uint32_t)cursor_varint(&cursor);
            if (!name.plumbing || !function.bytes)
                continue;
            name.plumbing = is_plumbing(function);
            name.function = function;
            name.file = file;
            name.line = line;
        }
        if (cursor.failed)
            break;
        if (names->count == capacity) {
            size_t larger = capacity ? capacity * 2 : 1024;
            struct native_name *grown = reallocarray(names->names, larger, sizeof *grown);
            if (!grown)
                break;
            names->names = grown;
            capacity = larger;
        }
        names->names[names->count++] = name;
    }
    if (names->count > 0)
        qsort(names->names, names->count, sizeof *names->names, compare_names);
}

static void free_names(struct native_names *names)
{
    free(names->names);
    free(names->strings);
}

static const struct native_name *find_name(const struct native_names *names, uint64_t frame)
{
    struct native_name key = {.frame = frame};
    return names->count ? bsearch(&key, names->names, names->count, sizeof key, compare_names) : NULL;
}

/* ---- sites: the innermost frame that says something ---- */

struct site {
    uint64_t frame;
    uint32_t kind;
    uint32_t line; /* Python: of the frame, once it is known */
    uint64_t bytes, count;
};

static struct site site_of(struct session *session, const struct native_names *names, uint32_t number)
{
    struct site site = {0};
    for (unsigned depth = 0; number != 0 && depth < MAX_CALLERS; depth++) {
        const struct hs_node *node = session_node(session, number);
        if (!node)
            break;
        uint32_t kind = atomic_load_explicit(&node->kind, memory_order_relaxed);
        uint64_t frame = *(const volatile uint64_t *)&node->frame;
        uint32_t parent = *(const volatile uint32_t *)&node->parent;
        if (kind == HS_NODE_PYTHON)
            return (struct site){.frame = frame, .kind = kind};
        if (kind == HS_NODE_NATIVE) {
            const struct native_name *name = find_name(names, frame);
            if (site.kind == 0)
                site = (struct site){.frame = frame, .kind = kind};
            if (name && !name->plumbing)
                return (struct site){.frame = frame, .kind = kind};
        }
        if (parent >= number)
            break;
        number = parent;
    }
    return site;
}

static int by_place(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    return 0;
}

static int by_size(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return (a->count < b->count) - (a->count > b->count);
}

static const struct code_entry *code_of(const struct session *session, const struct site *site)
{
    return code_list_find(&session->codes, (uint32_t)(site->frame >> 32));
}

static uint32_t line_of(const struct code_entry *entry, const struct site *site)
{
    const struct hs_message_code *code = &entry->code;
    return python_line(entry->bytes + code->file_length + code->function_length, code->line_table_length,
                       code->first_line, code->python_minor, (uint32_t)site->frame);
}

/* Are they the same line? Frames of one line differ by instruction, and native ones by call. */
static bool is_same_place(const struct session *session, const struct native_names *names, const struct site *a,
                          const struct site *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == HS_NODE_PYTHON)
        return a->frame >> 32 == b->frame >> 32 && a->line != 0 && a->line == b->line;
    const struct native_name *left = find_name(names, a->frame), *right = find_name(names, b->frame);
    (void)session;
    return left && right && left->function.bytes && left->function.bytes == right->function.bytes &&
           left->line == right->line;
}

/* Adds up nodes by place, largest first. The caller frees the sites. */
static struct site *collect_sites(struct session *session, const struct live_picture *picture,
                                  const struct native_names *names, size_t *count)
{
    size_t used = 0;
    *count = 0;
    for (uint32_t node = 0; node < picture->node_count; node++)
        used += picture->nodes[node].count > 0;
    struct site *sites = used ? calloc(used, sizeof *sites) : NULL;
    if (!sites)
        return NULL;
    used = 0;
    for (uint32_t node = 0; node < picture->node_count; node++) {
        if (picture->nodes[node].count == 0)
            continue;
        struct site site = site_of(session, names, node);
        site.bytes = picture->nodes[node].bytes;
        site.count = picture->nodes[node].count;
        sites[used++] = site;
    }
    qsort(sites, used, sizeof *sites, by_place);
    size_t places = 0;
    for (size_t i = 0; i < used; i++) {
        if (places > 0 && by_place(&sites[places - 1], &sites[i]) == 0) {
            sites[places - 1].bytes += sites[i].bytes;
            sites[places - 1].count += sites[i].count;
        } else {
            sites[places++] = sites[i];
        }
    }
    qsort(sites, places, sizeof *sites, by_size);
    /* Lines only where they may matter: each costs a walk through its code's table. */
    if (places > 16 * SHOWN_SITES)
        places = 16 * SHOWN_SITES;
    size_t kept = 0;
    for (size_t i = 0; i < places; i++) {
        const struct code_entry *code = sites[i].kind == HS_NODE_PYTHON ? code_of(session, &sites[i]) : NULL;
        sites[i].line = code ? line_of(code, &sites[i]) : 0;
        size_t same = 0;
        while (same < kept && !is_same_place(session, names, &sites[same], &sites[i]))
            same++;
        if (same < kept) {
            sites[same].bytes += sites[i].bytes;
            sites[same].count += sites[i].count;
        } else {
            sites[kept++] = sites[i];
        }
    }
    qsort(sites, kept, sizeof *sites, by_size);
    *count = kept;
    return sites;
}

/* ---- the screen ---- */

/* Names come from the program: control characters would reach the terminal. */
static void append_name(struct buf *screen, struct string text, size_t max)
{
    bool cut = text.length > max;
    for (size_t i = 0; i < text.length && i < max; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];
        if (byte < 0x20 || byte == 0x7f)
            buf_printf(screen, "\\x%02x", byte);
        else
            buf_append_byte(screen, byte);
    }
    if (cut)
        buf_append(screen, "...", 3);
}

/* The last two parts of a path: json/decoder.py. */
static struct string short_path(struct string path)
{
    unsigned slashes = 0;
    for (size_t i = path.length; i-- > 0;)
        if (path.bytes[i] == '/' && ++slashes == 2)
            return (struct string){path.bytes + i + 1, path.length - i - 1};
    return path;
}

static void append_place(struct buf *screen, const struct session *session, const struct native_names *names,
                         const struct site *site)
{
    struct string function = {NULL, 0}, file = {NULL, 0};
    uint32_t line = site->line;
    if (site->kind == HS_NODE_PYTHON) {
        const struct code_entry *entry = code_of(session, site);
        if (entry) {
            file = (struct string){(const char *)entry->bytes, entry->code.file_length};
            function = (struct string){file.bytes + file.length, entry->code.function_length};
        }
    } else if (site->kind == HS_NODE_NATIVE) {
        const struct native_name *name = find_name(names, site->frame);
        if (name) {
            function = name->function;
            file = name->file;
            line = name->line;
        }
        if (!function.bytes) {
            size_t module =
                module_set_find(session->modules, (uint32_t)(site->frame >> 48), site->frame & HS_ADDRESS_MASK);
            const struct module *in = module == SIZE_MAX ? NULL : module_set_get(session->modules, module);
            if (in) {
                file = (struct string){in->path, strlen(in->path)};
                buf_printf(screen, "0x%llx  ", (unsigned long long)((site->frame & HS_ADDRESS_MASK) - in->bias));
                append_name(screen, short_path(file), MAX_NAME);
                return;
            }
        }
    }
    if (!function.bytes) {
        buf_printf(screen, site->kind ? "a function without a name" : "no stack was recorded");
        return;
    }
    append_name(screen, function, MAX_NAME);
    if (file.bytes) {
        buf_append(screen, "  ", 2);
        append_name(screen, short_path(file), MAX_NAME);
        if (line)
            buf_printf(screen, ":%u", line);
    }
}

static void append_sites(struct buf *screen, struct session *session, const struct live_picture *picture,
                         const struct buf *symbols)
{
    struct native_names names;
    char bytes[OUT_NUMBER_SIZE], blocks[OUT_NUMBER_SIZE];
    size_t count;
    read_names(&names, symbols);
    struct site *sites = collect_sites(session, picture, &names, &count);
    for (size_t i = 0; i < count && i < SHOWN_SITES; i++) {
        buf_printf(screen, "  %12s %11s  ", out_bytes(bytes, sites[i].bytes), out_count(blocks, sites[i].count));
        append_place(screen, session, &names, &sites[i]);
        buf_append_byte(screen, '\n');
    }
    free(sites);
    free_names(&names);
}

static void append_losses(struct buf *screen, const struct closing_numbers *numbers, const struct session *session)
{
    char number[OUT_NUMBER_SIZE];
    if (numbers->incomplete)
        buf_printf(screen, "  The trace ends before the program did.\n");
    if (numbers->lost > 0)
        buf_printf(screen, "  %s events were lost.\n", out_count(number, numbers->lost));
    if (numbers->lost_stacks > 0)
        buf_printf(screen, "  %s stacks were not recorded: there was no room.\n",
                   out_count(number, numbers->lost_stacks));
    struct cursor cursor = {.at = session->note_fields.data,
                            .end = session->note_fields.data + session->note_fields.length};
    while (session->note_fields.length > 0 && cursor.at < cursor.end) {
        uint64_t tag = cursor_varint(&cursor);
        struct string text;
        text.bytes = cursor_string(&cursor, &text.length);
        if (cursor.failed)
            break;
        if (tag == HSK_FIELD_BLIND_SPOT) {
            buf_append(screen, "  ", 2);
            append_name(screen, text, 400);
            buf_append_byte(screen, '\n');
        }
    }
}

static void append_end(struct buf *screen, const struct session *session)
{
    char limit[OUT_NUMBER_SIZE];
    const struct process *process = session->process;
    if (session->ended != SESSION_PROCESS_ENDED || !process->out_of_memory)
        return;
    buf_printf(screen, "  killed by the kernel for lack of memory");
    if (process->memory_limit > 0)
        buf_printf(screen, " (cgroup limit %s)", out_bytes(limit, process->memory_limit));
    buf_append_byte(screen, '\n');
}

static void append_snapshot(struct buf *screen, const struct session *session)
{
    struct snapshot_numbers last;
    char nodes[OUT_NUMBER_SIZE], pause[OUT_NUMBER_SIZE];
    if (!snapshots_last(session, &last))
        return;
    buf_printf(screen, "  snapshot");
    if (last.number > 1)
        buf_printf(screen, "s: %u, the last one with", last.number);
    else
        buf_append_byte(screen, ':');
    buf_printf(screen, " %s objects, pause %s%s\n", out_count(nodes, last.nodes), out_seconds(pause, last.pause_ns),
               last.whole ? "" : ", not whole");
}

/* For a shell, when it needs quotes at all. */
static void append_quoted(struct buf *screen, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=";
    bool bare = path[strspn(path, plain)] == '\0';
    if (!bare)
        buf_append_byte(screen, '\'');
    for (;;) {
        size_t length = strcspn(path, "'");
        append_name(screen, (struct string){path, length}, SIZE_MAX);
        if (path[length] == '\0')
            break;
        buf_append(screen, "'\\''", 4);
        path += length + 1;
    }
    if (!bare)
        buf_append_byte(screen, '\'');
}

void closing_write(struct buf *screen, struct session *session, const struct closing_numbers *numbers,
                   const struct buf *symbols)
{
    char a[OUT_NUMBER_SIZE], b[OUT_NUMBER_SIZE], c[OUT_NUMBER_SIZE];
    const struct session_totals *totals = &session->totals;
    uint64_t events = session->encoder.allocations + session->encoder.frees;
    char *path = output_path(session->output);

    buf_printf(screen, "heapsake: %s events in %s, %s of trace", out_count(a, events), out_seconds(b, session->end_ns),
               out_bytes(c, numbers->trace_bytes));
    if (events >= 10000)
        buf_printf(screen, " (%.2f bytes each)", (double)numbers->trace_bytes / (double)events);
    buf_append_byte(screen, '\n');
    buf_printf(screen, "  peak %s at %s", out_bytes(a, totals->peak_bytes), out_seconds(b, totals->peak_time_ns));

    struct live_picture now = {0};
    const struct live_picture *picture = &session->kept;
    if (!picture->nodes) {
        live_picture_take(&now, session);
        picture = &now;
    }
    buf_printf(screen, ", alive at the end %s in %s blocks", out_bytes(a, picture->bytes),
               out_count(b, picture->blocks));
    buf_printf(screen, picture->blocks ? ":\n" : "\n");
    if (picture->nodes && picture->blocks)
        append_sites(screen, session, picture, symbols);
    append_end(screen, session);
    append_snapshot(screen, session);
    append_losses(screen, numbers, session);
    if (numbers->children > 0)
        buf_printf(screen, "  %s other %s of this run: traces beside it.\n", out_count(a, numbers->children),
                   numbers->children == 1 ? "process or image" : "processes or images");
    if (path) {
        buf_printf(screen, "  heapsake leaks ");
        append_quoted(screen, path);
        buf_append_byte(screen, '\n');
    }
    free(path);
    free(now.nodes);
}
