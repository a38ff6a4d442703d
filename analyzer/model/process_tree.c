/* process_tree.c - see process_tree.h */
#include "model/process_tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/intern.h"
#include "trace/trace_reader.h"

#define ENDING ".hsk"

struct finder {
    struct process_tree *tree;
    size_t capacity;
    struct intern names; /* number - 1 is the image's index */
    char *folder;        /* with its slash, or ""           */
    size_t folder_length;
    bool failed; /* memory ran out */
};

/* ---- finding ---- */

static size_t image_of(struct finder *finder, const char *name)
{
    uint32_t known = finder->names.count, number = intern_string(&finder->names, name);
    struct process_tree *tree = finder->tree;
    if (number == 0) {
        finder->failed = true;
        return PROCESS_NONE;
    }
    if (number <= known)
        return number - 1;
    if (!grow((void **)&tree->images, tree->image_count, &finder->capacity, sizeof *tree->images)) {
        finder->failed = true;
        return PROCESS_NONE;
    }
    char *file = strdup(name);
    finder->failed |= !file;
    tree->images[tree->image_count] = (struct process_image){.file = file,
                                                             .problem = "not read",
                                                             .before = PROCESS_NONE,
                                                             .after = PROCESS_NONE,
                                                             .parent = PROCESS_NONE,
                                                             .info = {.pid = -1, .parent_pid = -1}};
    return tree->image_count++;
}

/* Is it the name of a file in the folder itself? */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static char *path_of(const struct finder *finder, const char *name)
{
    size_t length = strlen(name);
    char *path = malloc(finder->folder_length + length + 1);
    if (!path)
        return NULL;
    memcpy(path, finder->folder, finder->folder_length);
    memcpy(path + finder->folder_length, name, length + 1);
    return path;
}

/* Allocations and frees that chunks' headers count. */
static uint64_t events_in(const struct trace_reader *reader)
{
    uint64_t events = 0;
    for (size_t i = 0; i < reader->chunk_count; i++)
        if (reader->chunks[i].header.type == HSK_CHUNK_EVENTS && reader->chunks[i].state != TRACE_CHUNK_DAMAGED)
            events += reader->chunks[i].header.event_count;
    return events;
}

/* The fields of one trace; false: it could not be read, and `image` says why. */
static bool read_image(struct finder *finder, struct process_image *image)
{
    struct error ignored = {0};
    struct trace_reader *reader = NULL;
    char *path = is_plain_name(image->file) ? path_of(finder, image->file) : NULL;
    image->problem = "its name is no file's beside this one";
    int code = path ? trace_reader_open(path, &reader, &ignored) : -EINVAL;
    if (path && code != 0)
        image->problem = code == -ENOENT   ? "missing"
                         : code == -EACCES ? "may not be read"
                         : code == -ENOMEM ? "no memory left to read it"
                                           : "unreadable";
    free(path);
    if (code == 0 && trace_info_read_fields(&image->info, reader, &ignored) == 0) {
        image->problem = NULL;
        image->events = image->info.has_end ? image->info.allocations + image->info.frees : events_in(reader);
        image->complete = trace_reader_complete(reader);
    } else if (code == 0) {
        finder->failed = true;
    }
    trace_reader_close(reader);
    return !image->problem;
}

static bool is_same_recording(const struct trace_info *a, const struct trace_info *b)
{
    return a->recording && b->recording && strcmp(a->recording, b->recording) == 0;
}

static void forget(struct process_image *image, const char *problem)
{
    trace_info_free(&image->info);
    image->info.pid = image->info.parent_pid = -1;
    image->events = 0;
    image->complete = false;
    image->problem = problem;
}

/* A trace that another one names. One that has none, or another recording's, has come in the place of the one meant. */
static void read_named(struct finder *finder, size_t i)
{
    struct process_image *image = &finder->tree->images[i];
    const struct trace_info *asked = &finder->tree->images[0].info;
    if (read_image(finder, image) && !is_same_recording(&image->info, asked) &&
        (image->info.recording || asked->recording))
        forget(image, image->info.pid < 0 ? "damaged" : "of another recording");
}

/* What the trace `from` names: its earlier images, and its children. */
static void follow_names(struct finder *finder, size_t from)
{
    const struct trace_info info = finder->tree->images[from].info; /* images may move */
    if (finder->tree->images[from].problem)
        return;
    if (info.image_before) {
        size_t before = image_of(finder, info.image_before);
        struct process_image *images = finder->tree->images;
        if (before != PROCESS_NONE && before != from && images[before].after == PROCESS_NONE) {
            images[before].after = from;
            images[from].before = before;
        }
    }
    for (size_t i = 0; i < info.children.count; i++) {
        char *end;
        long long pid = strtoll(info.children.texts[i], &end, 10);
        size_t child = *end == ' ' ? image_of(finder, end + 1) : PROCESS_NONE;
        struct process_image *images = finder->tree->images;
        if (child == PROCESS_NONE || child == from || images[child].parent != PROCESS_NONE)
            continue;
        images[child].parent = from;
        if (images[child].info.pid < 0)
            images[child].info.pid = pid;
    }
}

/* Files whose names begin as `own` does, up to its ending. */
static void look_around(struct finder *finder, const char *own)
{
    size_t stem = strlen(own), ending = sizeof ENDING - 1;
    if (stem > ending && strcmp(own + stem - ending, ENDING) == 0)
        stem -= ending;
    DIR *folder = opendir(finder->folder_length ? finder->folder : ".");
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) && !finder->failed;) {
        size_t length = strlen(entry->d_name);
        if (length <= stem + ending || memcmp(entry->d_name, own, stem) != 0 || entry->d_name[stem] != '.' ||
            strcmp(entry->d_name + length - ending, ENDING) != 0)
            continue;
        struct process_image found = {.file = entry->d_name};
        if (!read_image(finder, &found) || !is_same_recording(&found.info, &finder->tree->images[0].info)) {
            trace_info_free(&found.info);
            continue; /* of somebody else, or damaged: when it is one of ours, another will name it */
        }
        size_t i = image_of(finder, found.file);
        if (i == PROCESS_NONE) {
            trace_info_free(&found.info);
            break;
        }
        found.file = finder->tree->images[i].file;
        found.before = found.after = found.parent = PROCESS_NONE;
        finder->tree->images[i] = found;
    }
    closedir(folder);
}

static void find_images(struct finder *finder, const char *own)
{
    size_t first = image_of(finder, own);
    if (first == PROCESS_NONE || !read_image(finder, &finder->tree->images[first]))
        return;
    if (finder->tree->images[first].info.recording)
        look_around(finder, own);
    for (size_t i = 0; i < finder->tree->image_count && !finder->failed; i++) {
        struct process_image *image = &finder->tree->images[i];
        int64_t told = image->info.pid;
        if (image->problem && i != first)
            read_named(finder, i);
        image = &finder->tree->images[i];
        if (image->problem && told >= 0)
            image->info.pid = told; /* as its parent said */
        follow_names(finder, i);
    }
    /* Where no trace names it as its child, it names its parent. */
    for (size_t i = 0; i < finder->tree->image_count && !finder->failed; i++) {
        const char *name = finder->tree->images[i].info.parent_trace;
        if (finder->tree->images[i].parent != PROCESS_NONE || !name || i == first)
            continue;
        uint32_t number = intern_string(&finder->names, name); /* larger ones are no image's */
        if (number > 0 && number <= finder->tree->image_count && number - 1 != i)
            finder->tree->images[i].parent = number - 1;
    }
}

/* ---- the tree ---- */

struct relatives {
    size_t child;   /* the first one that may not have been placed yet, PROCESS_NONE: none */
    size_t sibling; /* the next child of the same parent                                   */
    bool placed;
};

/* The processes as they were found; all arrays but process_of are by process. */
struct draft {
    struct tree_process *processes;
    struct relatives *relatives;
    size_t *process_of; /* image to process           */
    size_t *by_start;   /* processes in that order     */
    size_t *order;      /* ... and as they are to stand */
    size_t count, placed;
};

/* The chains of images, each from its last one back. */
static void make_processes(struct process_tree *tree, struct draft *draft)
{
    const struct process_image **at = tree->chains;
    for (size_t i = 0; i < tree->image_count; i++)
        draft->process_of[i] = PROCESS_NONE;
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < tree->image_count; i++) {
            /* in the second pass a circle of names is left, which is cut anywhere */
            if (draft->process_of[i] != PROCESS_NONE || (pass == 0 && i > 0 && tree->images[i].after != PROCESS_NONE))
                continue;
            struct tree_process *process = &draft->processes[draft->count];
            size_t count = 0;
            for (size_t image = i; image != PROCESS_NONE && draft->process_of[image] == PROCESS_NONE;
                 image = tree->images[image].before) {
                draft->process_of[image] = draft->count;
                at[count++] = &tree->images[image];
            }
            for (size_t low = 0, high = count - 1; low < high; low++, high--) {
                const struct process_image *swap = at[low];
                at[low] = at[high];
                at[high] = swap;
            }
            *process = (struct tree_process){.images = at, .image_count = count, .parent = PROCESS_NONE, .pid = -1};
            at += count;
            draft->count++;
        }
}

static void find_parents(struct draft *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        struct tree_process *process = &draft->processes[i];
        for (size_t image = 0; image < process->image_count; image++) {
            const struct process_image *one = process->images[image];
            if (process->pid < 0)
                process->pid = one->info.pid;
            /* the first image knows: later ones may have been adopted */
            if (i != 0 && process->parent == PROCESS_NONE && one->parent != PROCESS_NONE &&
                draft->process_of[one->parent] != i)
                process->parent = draft->process_of[one->parent];
        }
    }
}

static uint64_t start_of(const struct tree_process *process)
{
    for (size_t i = 0; i < process->image_count; i++)
        if (process->images[i]->info.start_time_ns)
            return process->images[i]->info.start_time_ns;
    return UINT64_MAX; /* unread ones last */
}

static int compare_starts(const void *left, const void *right, void *context)
{
    const struct tree_process *processes = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    uint64_t first = start_of(&processes[a]), second = start_of(&processes[b]);
    if (first != second)
        return first < second ? -1 : 1;
    return (a > b) - (a < b);
}

/* Puts a process and all below it into the order. */
static void place(struct draft *draft, size_t root)
{
    unsigned depth = 0;
    for (size_t at = root;;) {
        struct relatives *relatives = &draft->relatives[at];
        if (!relatives->placed) {
            relatives->placed = true;
            draft->processes[at].depth = depth;
            draft->order[draft->placed++] = at;
        }
        while (relatives->child != PROCESS_NONE && draft->relatives[relatives->child].placed)
            relatives->child = draft->relatives[relatives->child].sibling;
        if (relatives->child != PROCESS_NONE) {
            at = relatives->child;
            depth++;
        } else if (at == root) {
            break;
        } else {
            at = draft->processes[at].parent;
            depth--;
        }
    }
}

static void order_processes(struct draft *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        draft->by_start[i] = i;
        draft->relatives[i] = (struct relatives){PROCESS_NONE, PROCESS_NONE, false};
    }
    qsort_r(draft->by_start, draft->count, sizeof *draft->by_start, compare_starts, draft->processes);
    /* from the last on, so that each list begins with its first */
    for (size_t i = draft->count; i-- > 0;) {
        size_t child = draft->by_start[i], parent = draft->processes[child].parent;
        if (parent == PROCESS_NONE)
            continue;
        draft->relatives[child].sibling = draft->relatives[parent].child;
        draft->relatives[parent].child = child;
    }
    place(draft, 0);
    for (size_t i = 0; i < draft->count; i++)
        if (draft->processes[draft->by_start[i]].parent == PROCESS_NONE)
            place(draft, draft->by_start[i]);
    for (size_t i = 0; i < draft->count; i++) {
        size_t left = draft->by_start[i];
        if (!draft->relatives[left].placed) { /* they are each other's parents */
            draft->processes[left].parent = PROCESS_NONE;
            place(draft, left);
        }
    }
}

static void take_order(struct process_tree *tree, const struct draft *draft)
{
    size_t *position = draft->by_start; /* which has done its work */
    for (size_t i = 0; i < draft->count; i++)
        position[draft->order[i]] = i;
    for (size_t i = 0; i < draft->count; i++) {
        struct tree_process *process = &tree->processes[i];
        *process = draft->processes[draft->order[i]];
        if (process->parent != PROCESS_NONE)
            process->parent = position[process->parent];
    }
    tree->count = draft->count;
}

static bool build_tree(struct process_tree *tree)
{
    size_t count = tree->image_count;
    struct draft draft = {
        .processes = calloc(count, sizeof *draft.processes),
        .relatives = calloc(count, sizeof *draft.relatives),
        .process_of = calloc(count, sizeof *draft.process_of),
        .by_start = calloc(count, sizeof *draft.by_start),
        .order = calloc(count, sizeof *draft.order),
    };
    tree->processes = calloc(count, sizeof *tree->processes);
    tree->chains = calloc(count, sizeof *tree->chains);
    bool made = draft.processes && draft.relatives && draft.process_of && draft.by_start && draft.order &&
                tree->processes && tree->chains;
    if (made) {
        make_processes(tree, &draft);
        find_parents(&draft);
        order_processes(&draft);
        take_order(tree, &draft);
    }
    free(draft.processes);
    free(draft.relatives);
    free(draft.process_of);
    free(draft.by_start);
    free(draft.order);
    return made;
}

int process_tree_load(struct process_tree *tree, const char *path, struct error *error)
{
    const char *slash = strrchr(path, '/');
    *tree = (struct process_tree){0};
    struct finder finder = {
        .tree = tree, .names = INTERN_INIT, .folder_length = slash ? (size_t)(slash - path) + 1 : 0};
    finder.folder = strndup(path, finder.folder_length);
    if (finder.folder)
        find_images(&finder, slash ? slash + 1 : path);
    bool made = finder.folder && !finder.failed && build_tree(tree);
    free(finder.folder);
    intern_free(&finder.names);
    if (made)
        return 0;
    process_tree_free(tree);
    return error_set(error, -ENOMEM, "%s: out of memory", path);
}

void process_tree_free(struct process_tree *tree)
{
    for (size_t i = 0; i < tree->image_count; i++) {
        trace_info_free(&tree->images[i].info);
        free(tree->images[i].file);
    }
    free(tree->images);
    free(tree->chains);
    free(tree->processes);
    *tree = (struct process_tree){0};
}

void process_tree_sum(const struct process_tree *tree, struct process_sums *sums)
{
    *sums = (struct process_sums){.processes = tree->count};
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_process *process = &tree->processes[i];
        uint64_t peak = 0;
        for (size_t j = 0; j < process->image_count; j++) {
            const struct process_image *image = process->images[j];
            if (image->problem) {
                sums->missing++;
                continue;
            }
            sums->traces++;
            sums->unfinished += !image->info.has_end;
            sums->events += image->events;
            sums->allocations += image->info.allocations;
            sums->frees += image->info.frees;
            sums->allocated_bytes += image->info.allocated_bytes;
            peak = image->info.peak_bytes > peak ? image->info.peak_bytes : peak;
        }
        sums->peak_bytes += peak;
        sums->live_bytes += process_live_bytes(tree_process_last(process));
    }
}
