/* out_regions.c - see out_regions.h */
#include "report/out_regions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "report/out_text.h"

#define TEXT_NAMES 10u

/* --- JSON --- */

static void put_name(struct json *json, const struct regions *regions, uint32_t name)
{
    size_t length;
    const char *text = mark_table_text(regions->marks, name, &length);
    if (name)
        put_bytes(json, "name", text, length);
    else
        put_null(json, "name");
}

static void put_region(struct json *json, const struct regions *regions, uint32_t name)
{
    const struct named_region *named = &regions->names[name];
    open_object(json, NULL);
    put_name(json, regions, name);
    put_unsigned(json, "occurrences", named->occurrences);
    put_unsigned(json, "open", named->open);
    put_unsigned(json, "allocations", named->allocations);
    put_unsigned(json, "allocated_bytes", named->allocated_bytes);
    put_unsigned(json, "peak_bytes", regions->list[named->most_peak].peak_bytes);
    put_unsigned(json, "most_allocations", regions->list[named->most_allocations].allocations);
    put_unsigned(json, "most_outlived_bytes", regions->list[named->most_live].live_bytes);
    put_unsigned(json, "outlived_bytes", named->outlived_bytes);
    put_unsigned(json, "outlived_blocks", named->outlived_blocks);
    close_object(json);
}

void out_regions_json(struct json *json, const struct regions *regions)
{
    open_array(json, "regions");
    for (uint32_t name = 0; name < regions->name_count; name++)
        if (regions->names[name].occurrences > 0)
            put_region(json, regions, name);
    close_array(json);
    open_array(json, "marks");
    for (uint32_t name = 0; name < regions->name_count; name++) {
        if (regions->names[name].marks == 0)
            continue;
        open_object(json, NULL);
        put_name(json, regions, name);
        put_unsigned(json, "occurrences", regions->names[name].marks);
        close_object(json);
    }
    close_array(json);
}

/* --- text --- */

struct row {
    uint32_t name;
    uint64_t weight;
};

static int heaviest_first(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    if (a->weight != b->weight)
        return a->weight < b->weight ? 1 : -1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* At most this much of a name, so that one cannot push the others away. */
#define NAME_BYTES 120u

static void print_name(const struct regions *regions, uint32_t name)
{
    size_t length;
    const char *text = mark_table_text(regions->marks, name, &length);
    out_untrusted(stdout, text, length < NAME_BYTES ? length : NAME_BYTES);
    if (length >= NAME_BYTES)
        printf("...");
}

static void print_region(const struct regions *regions, uint32_t name)
{
    const struct named_region *named = &regions->names[name];
    char text[4][OUT_NUMBER_SIZE];
    printf("  %10s %10s %12s %14s %14s  ", out_count(text[0], named->occurrences),
           out_bytes(text[1], regions->list[named->most_peak].peak_bytes), out_bytes(text[2], named->outlived_bytes),
           out_count(text[3], named->outlived_blocks), out_count((char[OUT_NUMBER_SIZE]){0}, named->allocations));
    print_name(regions, name);
    if (named->open > 0)
        printf(" (%s%" PRIu32 " never ended%s)", out_color(OUT_WARNING), named->open, out_color(OUT_PLAIN));
    putchar('\n');
}

static size_t choose(const struct regions *regions, struct row *rows, bool marks)
{
    size_t count = 0;
    for (uint32_t name = 0; name < regions->name_count; name++) {
        const struct named_region *named = &regions->names[name];
        if (marks ? named->marks > 0 : named->occurrences > 0)
            rows[count++] =
                (struct row){.name = name, .weight = marks ? named->marks : regions->list[named->most_peak].peak_bytes};
    }
    if (count > 1)
        qsort(rows, count, sizeof *rows, heaviest_first);
    return count;
}

static void print_more(size_t count, const char *what)
{
    if (count > TEXT_NAMES)
        printf("  and %zu more %s: --json lists all\n", count - TEXT_NAMES, what);
}

void out_regions_text(const struct regions *regions)
{
    struct row *rows = calloc(regions->name_count, sizeof *rows);
    if (!rows)
        return;
    size_t count = choose(regions, rows, false);
    if (count > 0) {
        out_heading("Regions");
        printf("  %10s %10s %12s %14s %14s\n", "times", "own peak", "outlived it", "in blocks", "allocations");
    }
    for (size_t i = 0; i < count && i < TEXT_NAMES; i++)
        print_region(regions, rows[i].name);
    print_more(count, "regions");
    count = choose(regions, rows, true);
    if (count > 0)
        out_heading("Marks");
    for (size_t i = 0; i < count && i < TEXT_NAMES; i++) {
        char times[OUT_NUMBER_SIZE];
        printf("  %10s  ", out_count(times, rows[i].weight));
        print_name(regions, rows[i].name);
        putchar('\n');
    }
    print_more(count, "names");
    free(rows);
}
