/* test_line_match.c - lines that moved, came and went; and for small texts, every other choice of partners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "model/line_match.h"

#define MAX 16

/* "12 30" or "12=3 30=50": lines with what was seen there; all alike when nothing is said. */
static uint32_t lines_of(const char *text, struct seen_line lines[MAX])
{
    uint32_t count = 0;
    for (char *end; *text; text = end + strspn(end, " ")) {
        lines[count] = (struct seen_line){.line = (uint32_t)strtoul(text, &end, 10), .count = count};
        if (*end == '=')
            lines[count].count = strtoul(end + 1, &end, 10);
        count++;
    }
    return count;
}

/* `expected`: the partners' lines, "-" where there is none. */
static void expect(const char *old_text, const char *new_text, const char *expected)
{
    struct seen_line old_lines[MAX], new_lines[MAX];
    uint32_t partner[MAX], old_count = lines_of(old_text, old_lines), new_count = lines_of(new_text, new_lines);
    char found[200] = "";
    assert_true(lines_match(old_lines, old_count, new_lines, new_count, partner));
    for (uint32_t i = 0; i < old_count; i++) {
        char word[16] = "-";
        if (partner[i] != LINE_MATCH_NONE)
            snprintf(word, sizeof word, "%u", new_lines[partner[i]].line);
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? " " : "", word);
    }
    assert_string_equal(found, expected);
}

static void test_cases(void **state)
{
    (void)state;
    expect("", "", "");
    expect("1 2", "", "- -");
    expect("", "1 2", "");
    expect("10 12", "12 14", "12 14"); /* as many: in order, although 12 is there still */
    expect("10 14", "12 19", "12 19"); /* ... and not alike far                          */
    expect("10=1 12=2", "10=1 11=9 12=2", "10 12");
    expect("10=1 11=2", "10=1 11=9 12=2", "10 12"); /* inserted where the other one was           */
    expect("12=5 30=6", "15=7 24=8 33=9", "15 33"); /* other amounts: alike far                   */
    expect("15=7 24=8 33=9", "12=5 30=6", "12 - 30");
    expect("10=1", "7=5 12=6 90=1", "90");
    expect("10=1 20=2 30=3", "10=1 30=3", "10 - 30");
    expect("10=1 20=1 30=1", "11=1 31=1", "11 - 31");
    expect("0", "4294967295 4294967295", "4294967295");
}

/* The least cost of all ways, as line_match.h describes it: unequal amounts first, then distances from the usual one.
 */
static double least(const struct seen_line *few, uint32_t few_count, const struct seen_line *many, uint32_t many_count,
                    int usual)
{
    if (few_count == 0)
        return 0;
    double best = 1e18;
    for (uint32_t j = 0; j + few_count <= many_count; j++) {
        double here = (few[0].count != many[j].count) * 1e6 + abs((int)many[j].line - (int)few[0].line - usual);
        double rest = least(few + 1, few_count - 1, many + j + 1, many_count - j - 1, usual);
        best = here + rest < best ? here + rest : best;
    }
    return best;
}

static int usual_of(const struct seen_line *few, uint32_t few_count, const struct seen_line *many, uint32_t many_count)
{
    int best = 0, most = 0;
    for (int distance = -80; distance <= 80; distance++) {
        int pairs = 0;
        for (uint32_t i = 0; i < few_count; i++)
            for (uint32_t j = 0; j < many_count; j++)
                pairs += (int)many[j].line - (int)few[i].line == distance;
        if (pairs > most || (pairs == most && abs(distance) < abs(best))) {
            most = pairs;
            best = distance;
        }
    }
    return best;
}

static void test_against_all_choices(void **state)
{
    (void)state;
    srand(5);
    for (int round = 0; round < 3000; round++) {
        struct seen_line sides[2][6];
        uint32_t counts[2], partner[6], pairs = 0, last = 0;
        for (int side = 0; side < 2; side++) {
            uint32_t line = 0;
            counts[side] = (uint32_t)rand() % 6;
            for (uint32_t i = 0; i < counts[side]; i++)
                sides[side][i] =
                    (struct seen_line){.line = line += 1 + (uint32_t)rand() % 6, .count = (uint64_t)rand() % 3};
        }
        if (counts[0] == counts[1])
            continue;
        int few = counts[0] < counts[1] ? 0 : 1, many = !few;
        int usual = usual_of(sides[few], counts[few], sides[many], counts[many]);
        double cost = 0;
        assert_true(lines_match(sides[0], counts[0], sides[1], counts[1], partner));
        for (uint32_t i = 0; i < counts[0]; i++) {
            if (partner[i] == LINE_MATCH_NONE)
                continue;
            const struct seen_line *a = &sides[0][i], *b = &sides[1][partner[i]];
            int distance = few == 0 ? (int)b->line - (int)a->line : (int)a->line - (int)b->line;
            assert_true(partner[i] < counts[1] && (pairs == 0 || partner[i] > last));
            last = partner[i];
            cost += (a->count != b->count) * 1e6 + abs(distance - usual);
            pairs++;
        }
        assert_int_equal(pairs, counts[few]);
        double best = least(sides[few], counts[few], sides[many], counts[many], usual);
        /* of two usual distances that are as far, either may be taken */
        double other = least(sides[few], counts[few], sides[many], counts[many], -usual);
        assert_true(cost == best || (usual != 0 && cost <= best + 1e6 && (long)(cost / 1e6) == (long)(other / 1e6)));
    }
}

/* More pairs than are tried out: from both ends, and quickly. */
static void test_many(void **state)
{
    (void)state;
    enum { OLD_COUNT = 40000, NEW_COUNT = 40003 };
    struct seen_line *old_lines = calloc(OLD_COUNT, sizeof *old_lines),
                     *new_lines = calloc(NEW_COUNT, sizeof *new_lines);
    uint32_t *partner = calloc(OLD_COUNT, sizeof *partner);
    for (uint32_t i = 0; i < OLD_COUNT; i++)
        old_lines[i] = (struct seen_line){.line = 2 * i, .count = i};
    for (uint32_t i = 0; i < NEW_COUNT; i++)
        new_lines[i] = (struct seen_line){.line = 3 * i, .count = i < 10000 ? i : i < 10003 ? 77777 : i - 3};
    assert_true(lines_match(old_lines, OLD_COUNT, new_lines, NEW_COUNT, partner));
    for (uint32_t i = 0; i < OLD_COUNT; i++)
        assert_int_equal(partner[i], i < 10000 ? i : i + 3);
    assert_true(
        lines_match(new_lines, NEW_COUNT, old_lines, OLD_COUNT, (partner = reallocarray(partner, NEW_COUNT, 4))));
    for (uint32_t i = 0; i < NEW_COUNT; i++)
        assert_int_equal(partner[i], i < 10000 ? i : i < 10003 ? LINE_MATCH_NONE : i - 3);
    free(old_lines);
    free(new_lines);
    free(partner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_against_all_choices),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
