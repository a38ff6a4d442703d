/* test_site_match.c - sites of two traces whose functions, files and lines have moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/site_match.h"
#include "record/trace_writer.h"
#include "temporary_file.h"

/* A Python function; `layout` tells texts of its lines apart: equal layouts are code that has not changed. */
struct code {
    const char *file, *function;
    uint32_t first_line;
    uint8_t layout;
};

/* A site: codes and how far the lines are into them, innermost first; {0, 0} ends it. */
struct step {
    uint32_t code, line; /* number of the code, from 1 */
};
struct stack_plan {
    struct step steps[5];
    uint64_t count;
};

struct made {
    struct trace_reader *reader;
    struct stacks *stacks;
    struct sites sites;
    struct site list[16];
};

/* Instruction k of a code lies k lines behind its first one. A layout is so many more instructions, which nobody stands
 * at. */
static void put_code(struct buf *raw, uint32_t number, const struct code *code)
{
    uint8_t table[128];
    size_t length = 0;
    for (int i = 0; i < 40 + code->layout; i++) {
        table[length++] = 0xe8; /* one code unit, no columns */
        table[length++] = i == 0 ? 0x00 : 0x02;
    }
    buf_append_varint(raw, number);
    buf_append_varint(raw, code->first_line);
    buf_append_varint(raw, 0);
    buf_append_varint(raw, 12);
    buf_append_varint(raw, 0);
    buf_append_string(raw, code->file, strlen(code->file));
    buf_append_string(raw, code->function, strlen(code->function));
    buf_append_string(raw, table, length);
}

static uint32_t put_stack(struct buf *nodes, uint32_t *node_count, uint32_t *last_code, const struct stack_plan *plan)
{
    int depth = 0;
    while (plan->steps[depth].code)
        depth++;
    for (int i = depth; i-- > 0;) { /* outermost first, each the child of the last one */
        buf_append_varint(nodes, HSK_NODE_PYTHON);
        buf_append_varint(nodes, i == depth - 1 ? 0 : 1);
        buf_append_signed(nodes, (int64_t)plan->steps[i].code - (int64_t)*last_code);
        buf_append_varint(nodes, 2 * plan->steps[i].line);
        *last_code = plan->steps[i].code;
        ++*node_count;
    }
    return depth ? *node_count : 0;
}

static void make(struct made *made, const struct code *codes, const struct stack_plan *plans)
{
    struct error error = {0};
    struct trace_writer *writer;
    struct buf code_raw = BUF_INIT, node_raw = BUF_INIT;
    uint32_t nodes[16], node_count = 0, last_code = 0;
    size_t count = 0;
    assert_int_equal(temporary_file_make(NULL), 0);
    assert_int_equal(trace_writer_open(&writer, temporary_file, true, &error), 0);
    for (uint32_t i = 0; codes[i].function; i++)
        put_code(&code_raw, i + 1, &codes[i]);
    buf_append_varint(&node_raw, 1);
    for (; plans[count].count; count++)
        nodes[count] = put_stack(&node_raw, &node_count, &last_code, &plans[count]);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_CODES, &code_raw, 0, 0, &error), 0);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NODES, &node_raw, 0, 0, &error), 0);
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    buf_free(&code_raw);
    buf_free(&node_raw);
    assert_int_equal(trace_reader_open(temporary_file, &made->reader, &error), 0);
    assert_int_equal(temporary_file_remove(NULL), 0);
    assert_int_equal(stacks_load(&made->stacks, made->reader, &error), 0);
    for (size_t i = 0; i < count; i++)
        made->list[i] = (struct site){
            .stack = stacks_of_node(made->stacks, nodes[i]), .count = plans[i].count, .bytes = 10 * plans[i].count};
    made->sites = (struct sites){.sites = made->list, .count = count};
}

static void drop(struct made *made)
{
    stacks_free(made->stacks);
    trace_reader_close(made->reader);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* `expected`: the pairs' counts, sorted as texts: "3>5 7>7 0>2". */
static void expect(const struct code *old_codes, const struct stack_plan *old_plans, const struct code *new_codes,
                   const struct stack_plan *new_plans, const char *expected)
{
    static struct made old_made, new_made;
    struct site_pairs pairs;
    char words[32][32], found[2000] = "";
    make(&old_made, old_codes, old_plans);
    make(&new_made, new_codes, new_plans);
    struct match_side old_side = {
        .sites = &old_made.sites, .stacks = old_made.stacks, .program = {NULL, "/old/main.py"}};
    struct match_side new_side = {
        .sites = &new_made.sites, .stacks = new_made.stacks, .program = {NULL, "/new/start.py"}};
    assert_int_equal(site_match(&pairs, &old_side, &new_side, false), 0);
    for (size_t i = 0; i < pairs.count; i++) {
        assert_int_equal(pairs.list[i].old_bytes, 10 * pairs.list[i].old_count);
        assert_int_equal(pairs.list[i].new_bytes, 10 * pairs.list[i].new_count);
        snprintf(words[i], sizeof words[i], "%d>%d", (int)pairs.list[i].old_count, (int)pairs.list[i].new_count);
    }
    qsort(words, pairs.count, sizeof words[0], by_text);
    for (size_t i = 0; i < pairs.count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? " " : "", words[i]);
    assert_string_equal(found, expected);
    free(pairs.list);
    drop(&old_made);
    drop(&new_made);
}

static const struct code app[] = {{"/app/a.py", "load", 10, 0}, {"/app/a.py", "main", 50, 0}, {0}};
static const struct code moved[] = {{"/app/a.py", "load", 17, 0}, {"/app/a.py", "main", 99, 0}, {0}};
static const struct code edited[] = {{"/app/a.py", "load", 17, 1}, {"/app/a.py", "main", 99, 1}, {0}};

#define TO_MAIN                                                                                                        \
    {                                                                                                                  \
        2, 5                                                                                                           \
    }

static void test_lines(void **state)
{
    (void)state;
    static const struct stack_plan two[] = {
        {{{1, 2}, TO_MAIN}, 1}, {{{1, 4}, TO_MAIN}, 2}, {{{0, 0}}, 9}, {.count = 0}};
    static const struct stack_plan later[] = {
        {{{1, 4}, TO_MAIN}, 5}, {{{1, 6}, TO_MAIN}, 6}, {{{0, 0}}, 8}, {.count = 0}};
    static const struct stack_plan three[] = {
        {{{1, 2}, TO_MAIN}, 1}, {{{1, 3}, TO_MAIN}, 7}, {{{1, 4}, TO_MAIN}, 2}, {.count = 0}};
    expect(app, two, app, two, "1>1 2>2 9>9");
    expect(app, two, moved, two, "1>1 2>2 9>9");
    expect(app, two, edited, two, "1>1 2>2 9>9");
    /* the second line of the one is the first line of the other: in code that has not changed it is the same */
    expect(app, two, app, later, "0>6 1>0 2>5 9>8");
    expect(app, two, moved, later, "0>6 1>0 2>5 9>8");
    expect(app, two, edited, later, "1>5 2>6 9>8");
    expect(app, two, moved, three, "0>7 1>1 2>2 9>0");
    expect(app, two, edited, three, "0>7 1>1 2>2 9>0");
    expect(app, three, edited, two, "0>9 1>1 2>2 7>0");
}

/* Lines are matched by what is called from them: another call between is nobody's. */
static void test_callees(void **state)
{
    (void)state;
    static const struct code old_codes[] = {
        {"a.py", "load", 10, 0}, {"a.py", "main", 50, 0}, {"a.py", "save", 30, 0}, {0}};
    static const struct code new_codes[] = {
        {"a.py", "load", 10, 0}, {"a.py", "main", 50, 3}, {"a.py", "save", 30, 0}, {"a.py", "more", 70, 0}, {0}};
    static const struct stack_plan old_plans[] = {
        {{{1, 1}, {2, 2}}, 1}, {{{3, 1}, {2, 3}}, 2}, {{{2, 9}}, 3}, {.count = 0}};
    static const struct stack_plan new_plans[] = {
        {{{4, 1}, {2, 2}}, 5}, {{{1, 1}, {2, 3}}, 11}, {{{3, 1}, {2, 7}}, 12}, {{{2, 20}}, 3}, {.count = 0}};
    expect(old_codes, old_plans, new_codes, new_plans, "0>5 1>11 2>12 3>3");
}

static void test_files(void **state)
{
    (void)state;
    /* two environments: the ends of the paths tell files of one name apart, as far as they must */
    static const struct code old_codes[] = {{"/old/lib/one/__init__.py", "<module>", 1, 0},
                                            {"/old/lib/two/__init__.py", "<module>", 1, 0},
                                            {"/old/main.py", "run", 1, 0},
                                            {"/old/gone.py", "run", 1, 0},
                                            {0}};
    static const struct code new_codes[] = {{"/new/else/lib/two/__init__.py", "<module>", 1, 0},
                                            {"/new/else/lib/one/__init__.py", "<module>", 1, 0},
                                            {"/new/start.py", "run", 1, 0},
                                            {"/new/come.py", "run", 1, 0},
                                            {0}};
    static const struct stack_plan old_plans[] = {
        {{{1, 1}}, 1}, {{{2, 1}}, 2}, {{{3, 1}}, 3}, {{{4, 1}}, 4}, {.count = 0}};
    static const struct stack_plan new_plans[] = {
        {{{2, 1}}, 1}, {{{1, 1}}, 2}, {{{3, 1}}, 3}, {{{4, 1}}, 4}, {.count = 0}};
    expect(old_codes, old_plans, new_codes, new_plans, "0>4 1>1 2>2 3>3 4>0");
    /* one file that could have become either of two is none of them; the same path is always the same file */
    static const struct code one[] = {{"/x/util.py", "f", 1, 0}, {0}};
    static const struct code either[] = {{"/p/util.py", "f", 1, 0}, {"/q/util.py", "f", 1, 0}, {0}};
    static const struct code with_same[] = {{"/p/util.py", "f", 1, 0}, {"/x/util.py", "f", 1, 0}, {0}};
    static const struct stack_plan single[] = {{{{1, 1}}, 1}, {.count = 0}};
    static const struct stack_plan both[] = {{{{1, 1}}, 2}, {{{2, 1}}, 3}, {.count = 0}};
    expect(one, single, either, both, "0>2 0>3 1>0");
    expect(one, single, with_same, both, "0>2 1>3");
}

/* Equal code that stands twice in a file (two lambdas), and a stack with the same function many times. */
static void test_twins_and_recursion(void **state)
{
    (void)state;
    static const struct code old_codes[] = {{"a.py", "<lambda>", 10, 0}, {"a.py", "<lambda>", 20, 0}, {0}};
    static const struct code new_codes[] = {{"a.py", "<lambda>", 20, 0}, {"a.py", "<lambda>", 30, 0}, {0}};
    static const struct stack_plan plans[] = {{{{1, 1}}, 1}, {{{2, 1}}, 2}, {.count = 0}};
    expect(old_codes, plans, new_codes, plans, "1>1 2>2");
    static const struct stack_plan recursive[] = {{{{1, 1}, {1, 3}, {1, 3}}, 1},
                                                  {{{1, 1}, {1, 3}}, 2},
                                                  {{{1, 1}, {1, 4}, {1, 3}}, 3},
                                                  {{{1, 1}}, 4},
                                                  {.count = 0}};
    expect(app, recursive, moved, recursive, "1>1 2>2 3>3 4>4");
    expect(app, recursive, edited, recursive, "1>1 2>2 3>3 4>4");
}

static void test_same_trace(void **state)
{
    (void)state;
    static const struct stack_plan plans[] = {{{{1, 1}}, 1}, {{{1, 2}}, 2}, {.count = 0}};
    static struct made made;
    make(&made, app, plans);
    struct site first = made.list[0], second = made.list[1];
    struct sites old_sites = {.sites = &first, .count = 1}, new_sites = {.sites = &second, .count = 1};
    struct match_side old_side = {.sites = &old_sites, .stacks = made.stacks};
    struct match_side new_side = {.sites = &new_sites, .stacks = made.stacks};
    struct site_pairs pairs;
    assert_int_equal(site_match(&pairs, &old_side, &new_side, true), 0);
    assert_int_equal(pairs.count, 2); /* another line is another site */
    free(pairs.list);
    new_side.sites = &old_sites;
    assert_int_equal(site_match(&pairs, &old_side, &new_side, true), 0);
    assert_int_equal(pairs.count, 1);
    free(pairs.list);
    drop(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_callees),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_twins_and_recursion),
        cmocka_unit_test(test_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
