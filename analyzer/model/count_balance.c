/* count_balance.c - see count_balance.h */
#include "model/count_balance.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "model/frame_roles.h"

#define MAX_DEPTH 4096u               /* frames of a path; the outer ones of deeper stacks are left out */
#define MANY_FRAMES ((size_t)1 << 25) /* of all paths; when there are more, */
#define SMALL_DEPTH 64u               /* no further one has more than these */
#define MAX_GROUPS 256u               /* that one decrement is compared with: half of each end of their list */
#define MORE_STEPS 65536u             /* of an object's changes that are of more than one at once, in all */
#define FEW_GROUPS 16u                /* are judged anew each time */
#define JUDGEMENTS ((size_t)1 << 20)
#define NO_SITE UINT32_MAX
#define NONE UINT32_MAX

/* One stack, outermost frame first, without what only counts at its inner end. */
struct balance_path {
    uint32_t *frames;    /* stacks of the tree: equal numbers are equal stacks from the outermost frame on */
    uint32_t *functions; /* of each frame, without its line */
    uint32_t depth;
    uint32_t python;    /* depth of the innermost Python frame: frames below are the Python program; 0: none */
    uint32_t extension; /* depth of the innermost frame of an extension, within `python`; 0: none            */
    uint32_t site;
    uint32_t group;  /* of the increments that were made on it and are left; holds while the group says the same */
    uint32_t choice; /* path of the group that a decrement on it undid last, among very many */
    uint64_t choice_group;  /* that group's number; 0: none                                          */
    uint64_t choice_number; /* the last group's number then                                          */
    uint8_t keeper;         /* enum frame_keeper of the innermost frame */
    bool native_leaf;
};

/* What is left of the increments of one stack. A decrement cannot tell them apart, so it undoes the latest. */
struct balance_group {
    uint64_t number; /* from 1 on, over all objects */
    uint32_t path;
    uint32_t latest; /* index into `left` */
    bool birth;      /* a group of its own */
};

/* How well a decrement goes with increments of a path: remembered where there are many. */
struct balance_judgement {
    uint32_t up, down; /* paths, from 1 on */
    uint32_t strangeness;
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
    free(b->groups);
    free(b->judgements);
    map64_free(&b->path_of_node);
    map64_free(&b->site_of_key);
    intern_free(&b->functions);
    intern_free(&b->keys);
    *b = (struct count_balance){0};
}

static bool have_room(struct count_balance *b, void **array, size_t count, size_t *capacity, size_t size)
{
    b->failed |= !grow(array, count, capacity, size);
    return !b->failed;
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

/*
 * The site of a path: its functions and lines from the innermost frame down to the first Python one. How the
 * interpreter got from there to an extension does not matter: it is another way once it has specialized the call.
 */
static uint32_t site_of(struct count_balance *b, const struct balance_path *path)
{
    struct {
        uint32_t function, line;
    } key[32] = {0};
    uint32_t used = 0, number = 0;
    for (uint32_t i = path->depth; i > 0 && used < HS_COUNT_OF(key); i--) {
        struct frame frame = stacks_frame(b->stacks, path->frames[i - 1]);
        if (i < path->extension && frame_acts_for_others(&frame))
            continue;
        key[used].function = path->functions[i - 1];
        key[used++].line = frame.line;
        if (frame.language == FRAME_PYTHON)
            break;
    }
    uint32_t text = intern_bytes(&b->keys, key, used * sizeof key[0]);
    if (text && map64_get(&b->site_of_key, text, &number))
        return number;
    if (!text || !have_room(b, (void **)&b->sites, b->site_count, &b->site_capacity, sizeof *b->sites) ||
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
    if (!have_room(b, (void **)&b->paths, b->path_count, &b->path_capacity, sizeof *b->paths))
        return 0;
    for (; stack; stack = stacks_caller(b->stacks, stack)) {
        struct frame frame = stacks_frame(b->stacks, stack);
        if (!frame_only_counts(&frame))
            break;
    }
    struct balance_path path = {0};
    uint32_t most = b->frame_count < MANY_FRAMES ? MAX_DEPTH : SMALL_DEPTH;
    for (uint32_t at = stack; at && path.depth < most; at = stacks_caller(b->stacks, at))
        path.depth++;
    path.frames = calloc(2 * (size_t)path.depth + 1, sizeof *path.frames);
    if (!path.frames) {
        b->failed = true;
        return 0;
    }
    b->frame_count += path.depth;
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
static unsigned strangeness(bool birth, const struct balance_path *up, const struct balance_path *down,
                            const struct kinship *kinship)
{
    bool up_ends = ends_there(up, kinship), down_ends = ends_there(down, kinship);
    bool extensions_own = up->extension && up->extension == up->depth;
    if (up_ends && down_ends && !birth)
        return 0; /* taken and given back in one call */
    if (!birth && in_one_call(up, down, kinship))
        return 1; /* ... of the interpreter */
    if (down_ends && down->extension && !(up->extension > kinship->common + 1))
        return 2; /* an extension drops what the interpreter gave it, or what it made */
    if (!birth && up->keeper == down->keeper && up->keeper > KEEPER_CALL)
        return 3; /* into a container and out of it */
    if (up->extension && down->extension && up->functions[up->extension - 1] == down->functions[down->extension - 1])
        return 4;
    if (up->extension && down->extension)
        return 5;
    if (down->keeper == KEEPER_CALL && !down->native_leaf && (birth || up->keeper == KEEPER_CALL) && !up->extension)
        return 6; /* a frame drops what was made for it, or what it held */
    if (!birth && !extensions_own)
        return 7; /* the interpreter's, given back somewhere */
    if (birth)
        return up->extension ? 9 : 8;
    return 10; /* an extension's, given back by somebody else */
}

/* The less, the better. Of equally strange ones that is better whose stack is the same for longer. */
static uint32_t judge(const struct count_balance *b, const struct balance_group *group, uint32_t down)
{
    const struct balance_path *up = &b->paths[group->path];
    struct kinship kinship = kinship_of(up, &b->paths[down]);
    return strangeness(group->birth, up, &b->paths[down], &kinship) * (MAX_DEPTH + 1) + MAX_DEPTH - kinship.common;
}

static uint32_t remembered(const struct count_balance *b, const struct balance_group *group, uint32_t down)
{
    if (b->group_count <= FEW_GROUPS || group->birth)
        return judge(b, group, down);
    struct balance_judgement *known = &b->judgements[(group->path * 0x9e3779b1u ^ down * 0x85ebca6bu) % JUDGEMENTS];
    if (known->up != group->path + 1 || known->down != down + 1)
        *known = (struct balance_judgement){group->path + 1, down + 1, judge(b, group, down)};
    return known->strangeness;
}

static struct balance_group *best_group(const struct count_balance *b, uint32_t down)
{
    struct balance_group *best = NULL;
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < b->group_count; i++) {
        if (i == MAX_GROUPS / 2 && b->group_count > MAX_GROUPS)
            i = b->group_count - MAX_GROUPS / 2;
        struct balance_group *group = &b->groups[i];
        uint32_t strange = remembered(b, group, down);
        if (strange < least || (strange == least && group->latest > best->latest)) {
            best = group;
            least = strange;
        }
    }
    return best;
}

/* Was the choice made among all that there are? Those that have gone since were not better. */
static struct balance_group *chosen_before(const struct count_balance *b, const struct balance_path *path)
{
    if (path->choice_group == 0 || path->choice_number != b->group_number)
        return NULL;
    uint32_t index = b->paths[path->choice].group;
    return index < b->group_count && b->groups[index].number == path->choice_group ? &b->groups[index] : NULL;
}

/*
 * The group whose latest increment a decrement undoes; NULL: there is none. Among very many it is not chosen anew while
 * no other ones come.
 */
static struct balance_group *undone_by(struct count_balance *b, uint32_t down)
{
    struct balance_path *path = &b->paths[down];
    bool many = b->group_count > MAX_GROUPS;
    struct balance_group *best = many ? chosen_before(b, path) : NULL;
    if (best)
        return best;
    if (b->group_count > FEW_GROUPS && !b->judgements && !(b->judgements = calloc(JUDGEMENTS, sizeof *b->judgements))) {
        b->failed = true;
        return NULL;
    }
    best = best_group(b, down);
    if (many && !best->birth) {
        path->choice = best->path;
        path->choice_group = best->number;
        path->choice_number = b->group_number;
    }
    return best;
}

static struct balance_group *group_of(struct count_balance *b, uint32_t path, bool birth)
{
    uint32_t number = b->paths[path].group;
    if (!birth && number < b->group_count && b->groups[number].path == path && !b->groups[number].birth)
        return &b->groups[number];
    if (!have_room(b, (void **)&b->groups, b->group_count, &b->group_capacity, sizeof *b->groups))
        return NULL;
    if (!birth)
        b->paths[path].group = (uint32_t)b->group_count;
    b->groups[b->group_count] =
        (struct balance_group){.number = ++b->group_number, .path = path, .latest = NONE, .birth = birth};
    return &b->groups[b->group_count++];
}

static void take(struct count_balance *b, uint32_t path, uint32_t change, bool birth)
{
    struct balance_group *group = group_of(b, path, birth);
    if (!group || b->left_count >= NONE ||
        !have_room(b, (void **)&b->left, b->left_count, &b->left_capacity, sizeof *b->left)) {
        b->failed = true;
        return;
    }
    uint32_t site = b->paths[path].site;
    b->left[b->left_count] = (struct balance_left){.site = site, .change = change, .before = group->latest};
    group->latest = (uint32_t)b->left_count++;
    b->sites[site].increments++;
}

static void remove_group(struct count_balance *b, struct balance_group *group)
{
    struct balance_group *last = &b->groups[--b->group_count];
    if (group == last)
        return;
    *group = *last;
    if (!group->birth)
        b->paths[group->path].group = (uint32_t)(group - b->groups);
}

static void give_back(struct count_balance *b, uint32_t down)
{
    struct balance_group *group = undone_by(b, down);
    if (!group) {
        b->sites[b->paths[down].site].unpaired++;
        return;
    }
    struct balance_left *undone = &b->left[group->latest];
    b->sites[undone->site].decrements++;
    undone->change = NONE;
    group->latest = undone->before;
    if (group->latest == NONE)
        remove_group(b, group);
}

/* `left` without what was undone, and without births where nobody sees who gives back the reference that they made. */
static void keep_left(struct count_balance *b, const struct count_change *changes, bool births)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->left_count; i++) {
        struct balance_left *left = &b->left[i];
        if (left->change == NONE)
            continue;
        if (!births && changes[left->change].birth)
            b->sites[left->site].increments--;
        else
            b->left[kept++] = *left;
    }
    b->left_count = kept;
}

void balance_add(struct count_balance *b, const struct counts *counts, const struct counted *object)
{
    const struct count_change *changes = counts_of(counts, object);
    uint32_t more = MORE_STEPS;
    b->left_count = b->group_count = 0;
    b->objects++;
    for (size_t i = 0; i < object->kept && i < NONE && !b->failed; i++) {
        uint32_t path = path_of(b, changes[i].node);
        if (b->failed || b->paths[path].site == NO_SITE)
            return;
        /* more than one at once: what happened between was not seen (SIGTRAP was blocked); each is one */
        for (int32_t n = changes[i].delta; n != 0 && !b->failed; n += n < 0 ? 1 : -1) {
            if (n != changes[i].delta && more-- == 0) {
                more = 0;
                break;
            }
            if (n > 0)
                take(b, path, (uint32_t)i, changes[i].birth);
            else
                give_back(b, path);
        }
    }
    keep_left(b, changes, object->watch != 0);
    for (size_t i = 0; i < b->left_count; i++) {
        struct balance_site *site = &b->sites[b->left[i].site];
        site->objects += site->last != b->objects;
        site->last = b->objects;
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
