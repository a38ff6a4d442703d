/* out_leaks.c - see out_leaks.h */
#include "report/out_leaks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/out_text.h"

#define WIDTH 100

static void put_facts(struct json *json, const struct leak *leak)
{
    open_object(json, "evidence");
    for (unsigned i = 0; i < leak->fact_count; i++) {
        const struct leak_fact *fact = &leak->facts[i];
        switch (fact->kind) {
        case FACT_COUNT:
            put_unsigned(json, fact->key, fact->count);
            break;
        case FACT_NUMBER:
            put_number(json, fact->key, fact->number);
            break;
        case FACT_SECONDS:
            put_seconds(json, fact->key, fact->count);
            break;
        case FACT_TEXT:
            put_string(json, fact->key, fact->text);
            break;
        }
    }
    close_object(json);
}

static void put_explanation(struct json *json, const struct leak *leak)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "%s%s%s", leak->explanation ? leak->explanation : "", leak->advice ? ". " : "",
               leak->advice ? leak->advice : "");
    if (text.failed)
        put_string(json, "explanation", leak->explanation);
    else
        put_bytes(json, "explanation", (const char *)text.data, text.length);
    buf_free(&text);
}

void put_leak(struct json *json, const struct leak *leak, const struct stacks *stacks)
{
    open_object(json, NULL);
    put_unsigned(json, "number", leak->number);
    put_string(json, "cause", leak_cause_names[leak->cause]);
    put_string(json, "type", leak->type);
    put_unsigned(json, "count", leak->count);
    put_unsigned(json, "bytes", leak->bytes);
    if (leak->has_retained)
        put_unsigned(json, "retained_bytes", leak->retained_bytes);
    else
        put_null(json, "retained_bytes");
    put_number(json, "confidence", leak->confidence);
    put_stack(json, "stack", stacks, leak->stack);
    if (leak->culprit) {
        struct frame frame = stacks_frame(stacks, leak->culprit);
        put_frame(json, "culprit", &frame);
    } else {
        put_null(json, "culprit");
    }
    open_array(json, "why");
    for (size_t i = 0; i < leak->why_count; i++)
        put_string(json, NULL, leak->why[i]);
    close_array(json);
    put_facts(json, leak);
    put_explanation(json, leak);
    close_object(json);
}

/* Words on lines of WIDTH, indented. */
static void wrap(const char *text, int indent)
{
    int column = 0;
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column > 0 && column + 1 + (int)length > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column += column ? 1 : indent;
        if (column > indent)
            putchar(' ');
        else
            printf("%*s", indent, "");
        out_untrusted(stdout, text, length);
        column += (int)length;
        text += length;
        text += strspn(text, " ");
    }
    if (column > 0)
        putchar('\n');
}

static void out_why(const struct leak *leak)
{
    if (leak->why_count == 0)
        return;
    printf("    %skept by%s ", out_color(OUT_DIM), out_color(OUT_PLAIN));
    for (size_t i = 0; i < leak->why_count; i++) {
        if (i > 0)
            fputs(" → ", stdout);
        out_untrusted(stdout, leak->why[i], strlen(leak->why[i]));
    }
    putchar('\n');
}

static const char *text_fact(const struct leak *leak, const char *key)
{
    for (unsigned i = 0; i < leak->fact_count; i++)
        if (strcmp(leak->facts[i].key, key) == 0 && leak->facts[i].kind == FACT_TEXT)
            return leak->facts[i].text;
    return NULL;
}

/* "#1 growing  54.7 KiB in 1,000 app.Page, retaining 469 KiB" */
static void out_amount(const struct leak *leak)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], retained[OUT_NUMBER_SIZE];
    printf("#%u %s%s%s  %s%s%s in %s %s", leak->number, out_color(OUT_WARNING), leak_cause_names[leak->cause],
           out_color(OUT_PLAIN), out_color(OUT_NUMBER), out_bytes(bytes, leak->bytes), out_color(OUT_PLAIN),
           out_count(count, leak->count),
           leak->cause == LEAK_CYCLE ? (leak->count == 1 ? "cycle" : "cycles")
           : leak->type              ? ""
           : leak->count == 1        ? "block"
                                     : "blocks");
    if (leak->type) {
        fputs(leak->cause == LEAK_CYCLE ? " of " : "", stdout);
        out_untrusted(stdout, leak->type, strlen(leak->type));
    }
    if (leak->has_retained && leak->retained_bytes > leak->bytes)
        printf(", %s %s", leak->cause == LEAK_FRAGMENTATION ? "keeping free" : "retaining",
               out_bytes(retained, leak->retained_bytes));
}

void out_leak_line(const struct leak *leak, const struct stacks *stacks)
{
    uint32_t place = leak->culprit ? leak->culprit : leak->stack;
    fputs("  ", stdout);
    out_amount(leak);
    if (place != 0) {
        struct frame frame = stacks_frame(stacks, place);
        fputs("  ", stdout);
        out_frame(stdout, &frame);
    }
    putchar('\n');
}

void out_leak(const struct leak *leak, const struct stacks *stacks, unsigned frames)
{
    putchar('\n');
    out_amount(leak);
    printf(", confidence %.2f\n", leak->confidence);
    wrap(leak->explanation ? leak->explanation : "", 4);
    if (leak->advice)
        wrap(leak->advice, 4);
    const char *pattern = text_fact(leak, "pattern");
    if (pattern) {
        printf("    %scycle%s ", out_color(OUT_DIM), out_color(OUT_PLAIN));
        out_untrusted(stdout, pattern, strlen(pattern));
        putchar('\n');
    }
    out_why(leak);
    if (leak->culprit && leak->culprit != leak->stack) {
        struct frame frame = stacks_frame(stacks, leak->culprit);
        printf("    %s%s%s ", out_color(OUT_DIM), leak->watched ? "culprit" : "suspect", out_color(OUT_PLAIN));
        out_frame(stdout, &frame);
        putchar('\n');
    }
    printf("    %sallocated at%s%s\n", out_color(OUT_DIM),
           leak->stack_of_block ? " (or an earlier object in the same block)" : "", out_color(OUT_PLAIN));
    out_stack(stacks, leak->stack, 8, frames);
}
