/*
 * site_match.c - see site_match.h
 *
 * A frame becomes a *place*: its function (a number that both traces share), the function that it calls (its callee; 0:
 * it allocates), and its line. Places of one function and callee are matched by line, and a stack then becomes a number
 * that is made of its caller's number and its place: equal numbers, one site.
 */
#include "model/site_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "base/map64.h"
#include "model/line_match.h"

enum { OLD = 0, NEW = 1 };
#define PATH_PARTS 8 /* components of a path that are compared when the whole path is another one */
#define NONE UINT32_MAX

/* Compared as bytes, so no padding. Texts are numbers of `texts`; 0: not known. */
struct function_key {
    uint32_t name, file, module, language;
};

struct function {
    bool in[2];
    uint32_t same; /* number of the function of the new trace that it is; its own where there is none */
};

struct place_key {
    uint32_t function, callee, line, offset, side, zero;
    uint64_t code;
};

struct place {
    struct place_key key;
    uint64_t count, bytes; /* of all sites whose stacks go through it */
    uint32_t same;         /* number of the place of the new trace that it is; its own where there is none */
    bool unchanged;        /* its code is in both traces: another line is another place */
};

/* A stack as the caller of a certain function. */
struct visit {
    uint32_t place;
    uint32_t caller; /* index of the caller's visit; NONE: it has none */
    uint32_t joint;  /* number that both traces share; 0: not known yet */
};

struct side {
    const struct match_side *from;
    uint32_t *functions;   /* by number of the frame */
    struct map64 visit_of; /* stack << 32 | callee: index into visits */
    struct visit *visits;
    uint32_t visit_count, visit_capacity;
};

struct matcher {
    struct side sides[2];
    bool same_trace;
    struct intern texts, function_keys, place_keys, joints;
    struct function *functions; /* by number, from 1 */
    struct place *places;       /* by number, from 1 */
    uint32_t function_capacity, place_capacity;
    bool failed; /* out of memory */
};

/* Room for element `index` of an array; false (and failed) when memory runs out. */
static bool reach(struct matcher *m, void **array, uint32_t index, uint32_t *capacity, size_t size)
{
    if (index < *capacity)
        return true;
    uint32_t larger = *capacity ? 2 * *capacity : 256;
    void *grown = larger > index ? reallocarray(*array, larger, size) : NULL;
    m->failed |= !grown;
    if (!grown)
        return false;
    *array = grown;
    *capacity = larger;
    return true;
}

/* ---- functions ---- */

static uint32_t text_number(struct matcher *m, struct text text)
{
    uint32_t number = text.bytes ? intern_bytes(&m->texts, text.bytes, text.length) : 0;
    m->failed |= text.bytes && number == 0;
    return number;
}

/* A path, or "" for the program's own file, whatever it is called. */
static struct text path_of(const struct side *side, struct text path)
{
    for (int i = 0; i < MATCH_PROGRAM_FILES; i++)
        if (side->from->program[i] && text_is(path, side->from->program[i]))
            return (struct text){"", 0};
    return path;
}

static void add_function(struct matcher *m, int which, uint32_t frame_number)
{
    struct side *side = &m->sides[which];
    struct frame frame = stacks_numbered_frame(side->from->stacks, frame_number);
    struct function_key key = {.name = text_number(m, frame.function),
                               .file = text_number(m, path_of(side, frame.file)),
                               .module = text_number(m, path_of(side, frame.module)),
                               .language = frame.language};
    uint32_t known = m->function_keys.count, number = intern_bytes(&m->function_keys, &key, sizeof key);
    m->failed |= number == 0;
    if (m->failed || !reach(m, (void **)&m->functions, number, &m->function_capacity, sizeof *m->functions))
        return;
    if (number > known)
        m->functions[number] = (struct function){.same = number};
    m->functions[number].in[which] = true;
    side->functions[frame_number] = number;
}

static struct function_key function_key(const struct matcher *m, uint32_t number)
{
    struct function_key key = {0};
    intern_copy(&m->function_keys, number, &key, sizeof key);
    return key;
}

/* The last `parts` components of a path, or all of it. */
static struct text path_end(struct text path, unsigned parts)
{
    for (size_t i = path.length; i > 0; i--)
        if (path.bytes[i - 1] == '/' && --parts == 0)
            return (struct text){path.bytes + i, path.length - i};
    return path;
}

static struct text known_text(const struct matcher *m, uint32_t number)
{
    struct text text = {0};
    if (number)
        text.bytes = intern_get(&m->texts, number, &text.length);
    return text;
}

/* The functions that share a name and the end of a path. */
struct namesakes {
    uint32_t number[2], count[2];
};

/* Joins functions that are alone, each in its trace, with their name and the last `parts` of the path of their file. */
static void join_moved(struct matcher *m, bool by_module, unsigned parts)
{
    uint32_t count = m->function_keys.count;
    struct intern keys = INTERN_INIT;
    struct namesakes *sakes = calloc((size_t)count + 1, sizeof *sakes);
    uint32_t *key_of = calloc((size_t)count + 1, sizeof *key_of);
    m->failed |= !sakes || !key_of;
    for (uint32_t f = 1; f <= count && !m->failed; f++) {
        const struct function *function = &m->functions[f];
        struct function_key key = function_key(m, f);
        struct text path = known_text(m, by_module ? key.module : key.file);
        if ((function->in[OLD] && function->in[NEW]) || function->same != f || !path.bytes)
            continue;
        *(by_module ? &key.module : &key.file) = text_number(m, path_end(path, parts));
        *(by_module ? &key.file : &key.module) = 0;
        key_of[f] = intern_bytes(&keys, &key, sizeof key);
        m->failed |= key_of[f] == 0;
        struct namesakes *sake = &sakes[key_of[f]];
        int which = function->in[NEW] ? NEW : OLD;
        sake->number[which] = f;
        sake->count[which]++;
    }
    for (uint32_t f = 1; f <= count && !m->failed; f++) {
        const struct namesakes *sake = &sakes[key_of[f]];
        if (key_of[f] == 0 || sake->count[OLD] != 1 || sake->count[NEW] != 1)
            continue;
        m->functions[sake->number[OLD]].same = sake->number[NEW];
        m->functions[sake->number[NEW]].in[OLD] = true; /* it is taken */
    }
    intern_free(&keys);
    free(sakes);
    free(key_of);
}

static void match_functions(struct matcher *m)
{
    for (int which = OLD; which <= NEW && !m->failed; which++) {
        uint32_t frames = stacks_frame_count(m->sides[which].from->stacks);
        m->sides[which].functions = calloc((size_t)frames + 1, sizeof(uint32_t));
        m->failed |= !m->sides[which].functions;
        for (uint32_t frame = 1; frame <= frames && !m->failed; frame++)
            add_function(m, which, frame);
    }
    for (unsigned parts = PATH_PARTS; parts > 0 && !m->same_trace; parts--)
        join_moved(m, false, parts);
    for (unsigned parts = PATH_PARTS; parts > 0 && !m->same_trace; parts--)
        join_moved(m, true, parts);
}

/* ---- places ---- */

static uint32_t add_place(struct matcher *m, const struct place_key *key)
{
    uint32_t known = m->place_keys.count, number = intern_bytes(&m->place_keys, key, sizeof *key);
    m->failed |= number == 0;
    if (number > known && reach(m, (void **)&m->places, number, &m->place_capacity, sizeof *m->places))
        m->places[number] = (struct place){.key = *key, .same = number};
    return number;
}

/* Makes visits of a stack and its callers, up to the first one that is there already. */
static void visit_stack(struct matcher *m, int which, uint32_t stack)
{
    struct side *side = &m->sides[which];
    const struct stacks *stacks = side->from->stacks;
    uint32_t callee = 0, before = NONE, index;
    for (; stack != 0 && !m->failed; stack = stacks_caller(stacks, stack)) {
        uint64_t key = (uint64_t)stack << 32 | callee;
        bool known = map64_get(&side->visit_of, key, &index);
        if (!known) {
            uint32_t number = stacks_frame_number(stacks, stack);
            struct frame frame = stacks_numbered_frame(stacks, number);
            uint32_t function = m->functions[side->functions[number]].same;
            struct place_key place = {.function = function,
                                      .callee = callee,
                                      .line = frame.line,
                                      .offset = frame.line - (frame.first_line <= frame.line ? frame.first_line : 0),
                                      .side = m->same_trace ? 0 : (uint32_t)which,
                                      .code = frame.code};
            index = side->visit_count;
            if (!reach(m, (void **)&side->visits, index, &side->visit_capacity, sizeof *side->visits))
                return;
            side->visits[side->visit_count++] = (struct visit){.place = add_place(m, &place), .caller = NONE};
            m->failed |= !map64_put(&side->visit_of, key, index);
            callee = function;
        }
        if (before != NONE)
            side->visits[before].caller = index;
        if (known)
            return;
        before = index;
    }
}

/* Adds what lives at a site to all places on its way. */
static void count_site(struct matcher *m, int which, const struct site *site)
{
    struct side *side = &m->sides[which];
    uint32_t visit;
    if (!map64_get(&side->visit_of, (uint64_t)site->stack << 32, &visit))
        return;
    for (; visit != NONE; visit = side->visits[visit].caller) {
        struct place *place = &m->places[side->visits[visit].place];
        place->count += site->count;
        place->bytes += site->bytes;
    }
}

static int by_group_and_code(const void *left, const void *right)
{
    const struct place_key *a = &(*(struct place *const *)left)->key, *b = &(*(struct place *const *)right)->key;
    if (a->function != b->function)
        return a->function < b->function ? -1 : 1;
    if (a->callee != b->callee)
        return a->callee < b->callee ? -1 : 1;
    if (a->code != b->code)
        return a->code < b->code ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->side < b->side ? -1 : a->side > b->side;
}

static int by_line(const void *left, const void *right)
{
    const struct place_key *a = &(*(struct place *const *)left)->key, *b = &(*(struct place *const *)right)->key;
    return a->line != b->line ? (a->line < b->line ? -1 : 1) : by_group_and_code(left, right);
}

/* Matches the places of a list by their lines, as far as they are of the same code or of none that both traces have. */
static void match_lines(struct matcher *m, struct place **list, size_t count, bool unchanged)
{
    struct seen_line *lines[2] = {calloc(count, sizeof *lines[0]), calloc(count, sizeof *lines[1])};
    struct place **places[2] = {calloc(count, sizeof *places[0]), calloc(count, sizeof *places[1])};
    uint32_t counts[2] = {0, 0}, *partner = calloc(count, sizeof *partner);
    m->failed |= !lines[OLD] || !lines[NEW] || !places[OLD] || !places[NEW] || !partner;
    for (size_t i = 0; i < count && !m->failed; i++) {
        uint32_t side = list[i]->key.side;
        if (list[i]->unchanged && !unchanged)
            continue;
        lines[side][counts[side]] = (struct seen_line){.line = unchanged ? list[i]->key.line : list[i]->key.offset,
                                                       .count = list[i]->count,
                                                       .bytes = list[i]->bytes};
        places[side][counts[side]++] = list[i];
    }
    if (!m->failed)
        m->failed |= !lines_match(lines[OLD], counts[OLD], lines[NEW], counts[NEW], partner);
    for (uint32_t i = 0; i < counts[OLD] && !m->failed; i++)
        if (partner[i] != LINE_MATCH_NONE)
            places[OLD][i]->same = places[NEW][partner[i]]->same;
    for (int side = OLD; side <= NEW; side++) {
        free(lines[side]);
        free(places[side]);
    }
    free(partner);
}

static size_t run_of_code(struct place **list, size_t count, bool same_offset)
{
    size_t run = 1;
    while (run < count && list[run]->key.code == list[0]->key.code &&
           (!same_offset || list[run]->key.offset == list[0]->key.offset))
        run++;
    return run;
}

/* Sorted by side within equal lines only: looks at all of them. */
static bool in_both(struct place **list, size_t count)
{
    bool in[2] = {false, false};
    for (size_t i = 0; i < count; i++)
        in[list[i]->key.side] = true;
    return in[OLD] && in[NEW];
}

/* All places of one function and callee, sorted by code, offset and line. */
static void match_group(struct matcher *m, struct place **list, size_t count)
{
    if (!in_both(list, count))
        return;
    for (size_t at = 0, run; at < count; at += run) {
        run = run_of_code(list + at, count - at, false);
        if (list[at]->key.code == 0 || !in_both(list + at, run))
            continue;
        for (size_t i = at; i < at + run; i++)
            list[i]->unchanged = true;
        for (size_t i = at, lines; i < at + run; i += lines) {
            lines = run_of_code(list + i, at + run - i, true);
            match_lines(m, list + i, lines, true);
        }
    }
    qsort(list, count, sizeof *list, by_line);
    match_lines(m, list, count, false);
}

static void match_places(struct matcher *m)
{
    size_t count = m->place_keys.count;
    struct place **list = calloc(count + 1, sizeof *list);
    m->failed |= !list;
    for (size_t i = 0; i < count && !m->failed; i++)
        list[i] = &m->places[i + 1];
    if (!m->failed && count > 1)
        qsort(list, count, sizeof *list, by_group_and_code);
    for (size_t at = 0, run; at < count && !m->failed; at += run) {
        const struct place_key *first = &list[at]->key;
        for (run = 1; at + run < count; run++)
            if (list[at + run]->key.function != first->function || list[at + run]->key.callee != first->callee)
                break;
        match_group(m, list + at, run);
    }
    free(list);
}

/* ---- stacks ---- */

/* The number that the stack of a visit has in both traces; 0 when memory runs out. Stacks may be very deep. */
static uint32_t joint_of(struct matcher *m, struct side *side, uint32_t visit)
{
    /* up to the first that has a number, turning the links round; then back down */
    uint32_t below = NONE, at = visit;
    while (at != NONE && side->visits[at].joint == 0) {
        uint32_t caller = side->visits[at].caller;
        side->visits[at].caller = below;
        below = at;
        at = caller;
    }
    uint32_t joint = at == NONE ? 0 : side->visits[at].joint;
    while (below != NONE) {
        struct visit *here = &side->visits[below];
        uint32_t next = here->caller, key[2] = {joint, m->places[here->place].same};
        here->caller = at;
        here->joint = joint = intern_bytes(&m->joints, key, sizeof key);
        m->failed |= joint == 0;
        at = below;
        below = next;
    }
    return joint;
}

static uint32_t joint_of_site(struct matcher *m, int which, uint32_t stack)
{
    uint32_t visit;
    struct side *side = &m->sides[which];
    if (stack == 0 || !map64_get(&side->visit_of, (uint64_t)stack << 32, &visit))
        return 0;
    return joint_of(m, side, visit);
}

static void add_pair(struct matcher *m, struct site_pairs *pairs, struct map64 *pair_of, int which,
                     const struct site *site)
{
    uint32_t joint = joint_of_site(m, which, site->stack), index;
    if (!map64_get(pair_of, joint, &index)) {
        index = (uint32_t)pairs->count;
        m->failed |= !map64_put(pair_of, joint, index);
        if (m->failed)
            return;
        pairs->list[pairs->count++] = (struct site_pair){0};
    }
    struct site_pair *pair = &pairs->list[index];
    if (which == NEW) {
        pair->new_stack = site->stack;
        pair->new_count += site->count;
        pair->new_bytes += site->bytes;
    } else {
        pair->old_stack = site->stack;
        pair->old_count += site->count;
        pair->old_bytes += site->bytes;
    }
}

static void add_pairs(struct matcher *m, struct site_pairs *pairs)
{
    struct map64 pair_of = MAP64_INIT;
    size_t sites = m->sides[OLD].from->sites->count + m->sides[NEW].from->sites->count;
    pairs->list = calloc(sites + 1, sizeof *pairs->list);
    m->failed |= !pairs->list;
    for (int which = NEW; which >= OLD; which--) {
        const struct sites *from = m->sides[which].from->sites;
        for (size_t i = 0; i < from->count && !m->failed; i++)
            add_pair(m, pairs, &pair_of, which, &from->sites[i]);
    }
    map64_free(&pair_of);
}

static void free_matcher(struct matcher *m)
{
    for (int which = OLD; which <= NEW; which++) {
        free(m->sides[which].functions);
        free(m->sides[which].visits);
        map64_free(&m->sides[which].visit_of);
    }
    intern_free(&m->texts);
    intern_free(&m->function_keys);
    intern_free(&m->place_keys);
    intern_free(&m->joints);
    free(m->functions);
    free(m->places);
}

int site_match(struct site_pairs *pairs, const struct match_side *old_side, const struct match_side *new_side,
               bool same_trace)
{
    struct matcher m = {.same_trace = same_trace};
    struct site_pairs found = {0};
    m.sides[OLD].from = old_side;
    m.sides[NEW].from = new_side;
    match_functions(&m);
    for (int which = OLD; which <= NEW; which++)
        for (size_t i = 0; i < m.sides[which].from->sites->count && !m.failed; i++)
            visit_stack(&m, which, m.sides[which].from->sites->sites[i].stack);
    for (int which = OLD; which <= NEW && !same_trace; which++)
        for (size_t i = 0; i < m.sides[which].from->sites->count && !m.failed; i++)
            count_site(&m, which, &m.sides[which].from->sites->sites[i]);
    if (!m.failed && !same_trace)
        match_places(&m);
    if (!m.failed)
        add_pairs(&m, &found);
    free_matcher(&m);
    if (m.failed) {
        free(found.list);
        return -ENOMEM;
    }
    *pairs = found;
    return 0;
}
