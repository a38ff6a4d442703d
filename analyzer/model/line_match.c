/* line_match.c - see line_match.h */
#include "model/line_match.h"

#include <stdlib.h>

/* Of more pairs (generated code) no cheapest ones are looked for: the sides are followed from both ends. */
#define MAX_PAIRS (1u << 20)

/* The cost of two partners: far more than all their distances if another amount was seen, else the distance. */
#define ANOTHER_AMOUNT (UINT64_C(1) << 41)
#define MAX_DISTANCE (1u << 20)

/* The side with fewer lines, all of which find a partner, and the other. */
struct sides {
    const struct seen_line *few, *many;
    uint32_t few_count, many_count;
};

static int64_t distance(const struct sides *sides, uint32_t i, uint32_t j)
{
    return (int64_t)sides->many[j].line - sides->few[i].line;
}

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

/* The distance of the most pairs; of several the smallest. `scratch` has room for all pairs. */
static int64_t usual_distance(const struct sides *sides, int64_t *scratch)
{
    size_t count = 0, most = 0;
    int64_t usual = 0;
    for (uint32_t i = 0; i < sides->few_count; i++)
        for (uint32_t j = 0; j < sides->many_count; j++)
            scratch[count++] = distance(sides, i, j);
    qsort(scratch, count, sizeof *scratch, ascending);
    for (size_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && scratch[i + run] == scratch[i]; run++)
            ;
        if (run > most || (run == most && llabs(scratch[i]) < llabs(usual))) {
            most = run;
            usual = scratch[i];
        }
    }
    return usual;
}

static bool is_same_amount(const struct seen_line *a, const struct seen_line *b)
{
    return a->count == b->count && a->bytes == b->bytes;
}

static uint64_t cost_of(const struct sides *sides, uint32_t i, uint32_t j, int64_t usual)
{
    uint64_t far = (uint64_t)llabs(distance(sides, i, j) - usual);
    return (is_same_amount(&sides->few[i], &sides->many[j]) ? 0 : ANOTHER_AMOUNT) +
           (far < MAX_DISTANCE ? far : MAX_DISTANCE);
}

/*
 * For the first i lines of few and the first j of many, the least cost of partners for all of few; taken[i][j]: in
 * that, few[i] and many[j] are partners.
 */
static bool match_cheapest(const struct sides *sides, uint32_t *of_few)
{
    size_t few = sides->few_count, many = sides->many_count;
    int64_t *scratch = calloc(few * many, sizeof *scratch);
    uint64_t *above = calloc(many + 1, sizeof *above), *row = calloc(many + 1, sizeof *row);
    bool *taken = calloc(few * many, sizeof *taken);
    bool done = scratch && above && row && taken;
    int64_t usual = done ? usual_distance(sides, scratch) : 0;
    for (uint32_t i = 0; done && i < few; i++) {
        row[i] = UINT64_MAX; /* too few to the left */
        for (uint32_t j = i; j < many - (few - 1 - i); j++) {
            uint64_t with = above[j] + cost_of(sides, i, j, usual);
            taken[i * many + j] = with < row[j];
            row[j + 1] = with < row[j] ? with : row[j];
        }
        uint64_t *swap = above;
        above = row;
        row = swap;
    }
    for (size_t i = few, j = many; done && i > 0; j--)
        if (taken[(i - 1) * many + j - 1])
            of_few[--i] = (uint32_t)j - 1;
    free(scratch);
    free(above);
    free(row);
    free(taken);
    return done;
}

/* From the end as long as the same was seen; the others from the beginning. */
static void match_ends(const struct sides *sides, uint32_t *of_few)
{
    uint32_t few = sides->few_count, many = sides->many_count;
    for (; few > 0 && is_same_amount(&sides->few[few - 1], &sides->many[many - 1]); few--, many--)
        of_few[few - 1] = many - 1;
    for (uint32_t i = 0; i < few; i++)
        of_few[i] = i;
}

bool lines_match(const struct seen_line *old_lines, uint32_t old_count, const struct seen_line *new_lines,
                 uint32_t new_count, uint32_t *partner)
{
    bool fewer_old = old_count <= new_count;
    struct sides sides = {.few = fewer_old ? old_lines : new_lines,
                          .many = fewer_old ? new_lines : old_lines,
                          .few_count = fewer_old ? old_count : new_count,
                          .many_count = fewer_old ? new_count : old_count};
    for (uint32_t i = 0; i < old_count; i++)
        partner[i] = i < new_count ? i : LINE_MATCH_NONE;
    if (sides.few_count == 0 || old_count == new_count)
        return true;
    uint32_t *of_few = calloc(sides.few_count, sizeof *of_few);
    bool many_pairs = (uint64_t)old_count * new_count > MAX_PAIRS;
    if (of_few && many_pairs)
        match_ends(&sides, of_few);
    bool done = of_few && (many_pairs || match_cheapest(&sides, of_few));
    for (uint32_t i = 0; done && i < old_count; i++)
        partner[i] = fewer_old ? of_few[i] : LINE_MATCH_NONE;
    for (uint32_t i = 0; done && !fewer_old && i < new_count; i++)
        partner[of_few[i]] = i;
    free(of_few);
    return done;
}
