/* count_balance.c - see count_balance.h */
#include "model/count_balance.h"

#include <stdlib.h>
#include <string.h>

#include "model/frame_roles.h"

#define MAX_DEPTH 4096u       /* frames of a path; the outer ones of deeper stacks are left out                */
#define NEAR_CANDIDATES 1024u /* increments that one decrement may undo: the latest, and as many of the oldest  */
#define NO_SITE UINT32_MAX

/* One stack, outermost frame first, without what only counts at its inner end. */
struct balance_path {
    uint32_t *frames;    /* stacks of the tree: equal numbers are equal stacks from the outermost frame on */
    uint32_t *functions; /* of each frame, without its line */
    uint32_t depth;
    uint32_t python;    /* depth of the innermost Python frame: frames below are the Python program; 0: none */
    uint32_t extension; /* depth of the innermost frame of an extension that Python called, + 1; 0: none     */
    uint32_t site;
    uint8_t keeper; /* enum frame_keeper of the innermost frame */
    bool native_leaf;
};

/* A function, to be compared as bytes: no padding. */
struct function_key {
    const char *function, *file, *module;
    uint64_t language;
};

void balance_begin(struct count_balance *b, struct stacks *stacks)
{
    *b = (struct count_balance){.stacks = stacks};
}

void balance_free(struct count_balance *b)
{
    for (size_t i = 0; i < b->path_count; i++)
        free(b->paths[i].frames);
    free(b->paths);
    free(b->sites);
    free(b->left);
    map64_free(&b->path_of_node);
    map64_free(&b->site_of_key);
    intern_free(&b->functions);
    intern_free(&b->keys);
    *b = (struct count_balance){0};
}

static bool grow(struct count_balance *b, void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 64;
    void *grown = reallocarray(*array, larger, size);
    if (!grown) {
        b->failed = true;
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

/* ---- paths and sites ---- */

static uint32_t function_number(struct count_balance *b, const struct frame *frame)
{
    /* texts are interned: equal ones have equal addresses */
    struct function_key key = {frame->function.bytes, frame->file.bytes, frame->module.bytes, frame->language};
    uint32_t number = intern_bytes(&b->functions, &key, sizeof key);
    b->failed |= number == 0;
    return number;
}

/* The site of a path: its functions and lines from the innermost frame down to the first Python one. */
static uint32_t site_of(struct count_balance *b, const struct balance_path *path)
{
    struct {
        uint32_t function, line;
    } key[32] = {0};
    uint32_t used = 0, number = 0;
    for (uint32_t i = path->depth; i > 0 && used < HS_COUNT_OF(key); i--) {
        struct frame frame = stacks_frame(b->stacks, path->frames[i - 1]);
        key[used].function = path->functions[i - 1];
        key[used++].line = frame.line;
        if (frame.language == FRAME_PYTHON)
            break;
    }
    uint32_t text = intern_bytes(&b->keys, key, used * sizeof key[0]);
    if (text && map64_get(&b->site_of_key, text, &number))
        return number;
    if (!text || !grow(b, (void **)&b->sites, b->site_count, &b->site_capacity, sizeof *b->sites) ||
        !map64_put(&b->site_of_key, text, (uint32_t)b->site_count)) {
        b->failed = true;
        return NO_SITE;
    }
    b->sites[b->site_count] = (struct balance_site){.stack = path->depth ? path->frames[path->depth - 1] : 0,
                                                    .extension = path->extension > 0};
    return (uint32_t)b->site_count++;
}

static void describe(struct count_balance *b, struct balance_path *path)
{
    bool inner = true;
    for (uint32_t i = path->depth; i > 0; i--) {
        struct frame frame = stacks_frame(b->stacks, path->frames[i - 1]);
        path->functions[i - 1] = function_number(b, &frame);
        if (i == path->depth) {
            bool known = frame.language == FRAME_PYTHON || frame_acts_for_others(&frame);
            path->keeper = known ? (uint8_t)frame_keeper(&frame) : KEEPER_UNKNOWN;
            path->native_leaf = frame.language == FRAME_NATIVE;
        }
        if (frame.language == FRAME_PYTHON && inner) {
            path->python = i;
            inner = false;
        }
        if (inner && !path->extension && frame.language == FRAME_NATIVE && !frame_acts_for_others(&frame))
            path->extension = i;
    }
}

static uint32_t new_path(struct count_balance *b, uint32_t stack)
{
    if (!grow(b, (void **)&b->paths, b->path_count, &b->path_capacity, sizeof *b->paths))
        return 0;
    for (; stack; stack = stacks_caller(b->stacks, stack)) {
        struct frame frame = stacks_frame(b->stacks, stack);
        if (!frame_only_counts(&frame))
            break;
    }
    struct balance_path path = {0};
    for (uint32_t at = stack; at && path.depth < MAX_DEPTH; at = stacks_caller(b->stacks, at))
        path.depth++;
    path.frames = calloc(2 * (size_t)path.depth + 1, sizeof *path.frames);
    if (!path.frames) {
        b->failed = true;
        return 0;
    }
    path.functions = path.frames + path.depth;
    for (uint32_t i = path.depth; i > 0; i--, stack = stacks_caller(b->stacks, stack))
        path.frames[i - 1] = stack;
    describe(b, &path);
    path.site = site_of(b, &path);
    b->paths[b->path_count] = path;
    return (uint32_t)b->path_count++;
}

static uint32_t path_of(struct count_balance *b, uint32_t node)
{
    uint32_t number = 0;
    if (map64_get(&b->path_of_node, node, &number))
        return number;
    number = new_path(b, stacks_of_node(b->stacks, node));
    b->failed |= !map64_put(&b->path_of_node, node, number);
    return number;
}

/* ---- pairing ---- */

/* How far two paths are the same, and whether they then go on in the same function, at different lines. */
struct kinship {
    uint32_t common;
    bool same_call;
};

static struct kinship kinship_of(const struct balance_path *left, const struct balance_path *right)
{
    uint32_t low = 0, high = left->depth < right->depth ? left->depth : right->depth;
    while (low < high) { /* equal numbers are equal stacks, so their callers are equal, too */
        uint32_t middle = (low + high + 1) / 2;
        if (left->frames[middle - 1] == right->frames[middle - 1])
            low = middle;
        else
            high = middle - 1;
    }
    struct kinship kinship = {.common = low};
    kinship.same_call = low < left->depth && low < right->depth && left->functions[low] == right->functions[low];
    return kinship;
}

/* Does the path end in the call that both share? */
static bool ends_there(const struct balance_path *path, const struct kinship *kinship)
{
    return path->depth == kinship->common + (kinship->same_call ? 1 : 0);
}

/* Do both lie in one call of the interpreter, which Python code or an extension has made? */
static bool in_one_call(const struct balance_path *up, const struct balance_path *down, const struct kinship *kinship)
{
    uint32_t common = kinship->common;
    return common > up->python && common > up->extension && common > down->python && common > down->extension;
}

/* How unlikely it is that the decrement undoes the increment; less is better. The order is docs/REFCOUNTS.md's. */
static unsigned strangeness(const struct count_change *increment, const struct balance_path *up,
                            const struct balance_path *down, const struct kinship *kinship)
{
    bool up_ends = ends_there(up, kinship), down_ends = ends_there(down, kinship);
    bool extensions_own = up->extension && up->extension == up->depth;
    if (up_ends && down_ends && !increment->birth)
        return 0; /* taken and given back in one call */
    if (!increment->birth && in_one_call(up, down, kinship))
        return 1; /* ... of the interpreter */
    if (down_ends && down->extension && !(up->extension > kinship->common + 1))
        return 2; /* an extension drops what the interpreter gave it, or what it made */
    if (!increment->birth && up->keeper == down->keeper && up->keeper > KEEPER_CALL)
        return 3; /* into a container and out of it */
    if (up->extension && down->extension && up->functions[up->extension - 1] == down->functions[down->extension - 1])
        return 4;
    if (up->extension && down->extension)
        return 5;
    if (down->keeper == KEEPER_CALL && !down->native_leaf && (increment->birth || up->keeper == KEEPER_CALL) &&
        !up->extension)
        return 6; /* a frame drops what was made for it, or what it held */
    if (!increment->birth && !extensions_own)
        return 7; /* the interpreter's, given back somewhere */
    if (increment->birth)
        return up->extension ? 9 : 8;
    return 10; /* an extension's, given back by somebody else */
}

/* The increment, of those that are left, that a decrement undoes; SIZE_MAX: none. */
static size_t undone_by(const struct count_balance *b, const struct count_change *changes,
                        const struct balance_path *down)
{
    size_t best = SIZE_MAX;
    unsigned best_strangeness = 0;
    uint32_t best_common = 0;
    for (size_t i = b->left_count, looked = 0; i > 0; i--, looked++) {
        if (looked == NEAR_CANDIDATES && i > NEAR_CANDIDATES)
            i = NEAR_CANDIDATES;
        const struct count_change *increment = &changes[b->left[i - 1].change];
        uint32_t number = 0;
        map64_get(&b->path_of_node, increment->node, &number);
        const struct balance_path *up = &b->paths[number];
        struct kinship kinship = kinship_of(up, down);
        unsigned strange = strangeness(increment, up, down, &kinship);
        if (best == SIZE_MAX || strange < best_strangeness ||
            (strange == best_strangeness && kinship.common > best_common)) {
            best = i - 1;
            best_strangeness = strange;
            best_common = kinship.common;
        }
    }
    return best;
}

static void take(struct count_balance *b, uint32_t site, uint32_t change)
{
    if (!grow(b, (void **)&b->left, b->left_count, &b->left_capacity, sizeof *b->left))
        return;
    b->left[b->left_count++] = (struct balance_left){.site = site, .change = change};
    b->sites[site].increments++;
}

static void give_back(struct count_balance *b, const struct count_change *changes, const struct balance_path *down)
{
    size_t which = undone_by(b, changes, down);
    if (which == SIZE_MAX) {
        b->sites[down->site].unpaired++;
        return;
    }
    b->sites[b->left[which].site].decrements++;
    memmove(&b->left[which], &b->left[which + 1], (b->left_count - which - 1) * sizeof *b->left);
    b->left_count--;
}

/* Who gives back the reference that an object was born with is not seen by all sources. */
static void forget_births(struct count_balance *b, const struct count_change *changes)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->left_count; i++) {
        if (changes[b->left[i].change].birth)
            b->sites[b->left[i].site].increments--;
        else
            b->left[kept++] = b->left[i];
    }
    b->left_count = kept;
}

void balance_add(struct count_balance *b, const struct counts *counts, const struct counted *object)
{
    const struct count_change *changes = counts_of(counts, object);
    b->left_count = 0;
    b->objects++;
    for (size_t i = 0; i < object->kept && i < UINT32_MAX && !b->failed; i++) {
        uint32_t number = path_of(b, changes[i].node);
        if (b->failed || b->paths[number].site == NO_SITE)
            return;
        /* more than one at once: what happened between was not seen (SIGTRAP was blocked); each is one */
        for (int32_t n = changes[i].delta, steps = 0; n != 0 && steps < 1024 && !b->failed;
             n += n < 0 ? 1 : -1, steps++) {
            if (n > 0)
                take(b, b->paths[number].site, (uint32_t)i);
            else
                give_back(b, changes, &b->paths[number]);
        }
    }
    if (!object->watch)
        forget_births(b, changes);
    for (size_t i = 0; i < b->left_count; i++) {
        bool first = true;
        for (size_t j = 0; j < i && first && j < NEAR_CANDIDATES; j++)
            first = b->left[j].site != b->left[i].site;
        b->sites[b->left[i].site].objects += first;
    }
}

static int by_net(const void *left, const void *right)
{
    const struct balance_site *a = left, *b = right;
    uint64_t magnitude_a = (uint64_t)(a->net < 0 ? -a->net : a->net),
             magnitude_b = (uint64_t)(b->net < 0 ? -b->net : b->net);
    if (magnitude_a != magnitude_b)
        return magnitude_a > magnitude_b ? -1 : 1;
    if (a->extension != b->extension)
        return a->extension ? -1 : 1;
    if (a->increments != b->increments)
        return a->increments > b->increments ? -1 : 1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

bool balance_finish(struct count_balance *b)
{
    for (size_t i = 0; i < b->site_count; i++) {
        struct balance_site *site = &b->sites[i];
        site->net = (int64_t)site->increments - (int64_t)site->decrements - (int64_t)site->unpaired;
    }
    if (b->site_count > 0)
        qsort(b->sites, b->site_count, sizeof *b->sites, by_net);
    return !b->failed && !stacks_failed(b->stacks);
}
