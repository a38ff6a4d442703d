/*
 * out_csv.c - profiles as a table (RFC 4180, but lines end as Unix has them): a row a site, for spreadsheets, pandas,
 * SQL.
 *
 * Every text is quoted. A text that a spreadsheet would take for a formula (= + - @) gets an apostrophe in front.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/frame_texts.h"
#include "report/out_text.h"
#include "report/profile_format.h"

struct csv {
    FILE *to;
    struct frame_texts texts;
    FILE *cell; /* into `bytes` */
    char *bytes;
    size_t length;
};

/* What has been written to `cell` becomes one of the row; `cell` is empty again. */
static void put_cell(struct csv *csv)
{
    fflush(csv->cell);
    const char *at = csv->bytes, *end = at + csv->length;
    putc_unlocked('"', csv->to);
    if (at < end && memchr("=+-@", *at, 4))
        putc_unlocked('\'', csv->to);
    while (at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        const char *stop = quote ? quote + 1 : end;
        fwrite_unlocked(at, 1, (size_t)(stop - at), csv->to);
        if (quote)
            putc_unlocked('"', csv->to);
        at = stop;
    }
    putc_unlocked('"', csv->to);
    rewind(csv->cell);
}

static void put_text(struct csv *csv, struct text text)
{
    putc_unlocked(',', csv->to);
    if (!text.length)
        return;
    out_untrusted(csv->cell, text.bytes, text.length);
    put_cell(csv);
}

static void put_seconds_of(struct csv *csv, uint64_t ns)
{
    fprintf(csv->to, ",%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

static void put_domains(struct csv *csv, uint32_t domains)
{
    const char *separator = ",";
    for (int domain = 0; domain < HSK_DOMAINS; domain++)
        if (domains & 1u << domain) {
            fprintf(csv->to, "%s%s", separator, out_domain_names[domain]);
            separator = " ";
        }
    if (domains == 0)
        putc_unlocked(',', csv->to);
}

static void put_frame_cells(struct csv *csv, const struct stacks *stacks, uint32_t stack)
{
    struct frame frame = {0};
    if (stack)
        frame = stacks_frame(stacks, stack);
    put_text(csv, frame.function);
    put_text(csv, frame.file);
    if (frame.line)
        fprintf(csv->to, ",%" PRIu32, frame.line);
    else
        putc_unlocked(',', csv->to);
    put_text(csv, frame.module);
}

static struct text text_or_nothing(const char *text)
{
    return (struct text){.bytes = text, .length = text ? strlen(text) : 0};
}

static void put_row(struct csv *csv, const struct profile *profile, const struct profile_sample *sample)
{
    const struct leak *leak = sample->leak;
    fprintf(csv->to, "%" PRIu64 ",%" PRIu64, sample->site.bytes, sample->site.count);
    put_text(csv, text_or_nothing(leak ? leak_cause_names[leak->cause] : NULL));
    put_text(csv, text_or_nothing(leak ? leak->type : NULL));
    if (leak) {
        fprintf(csv->to, ",%.9g,,,", leak->confidence);
    } else {
        putc_unlocked(',', csv->to);
        put_domains(csv, sample->site.domains);
        put_seconds_of(csv, sample->site.first_ns);
        put_seconds_of(csv, sample->site.last_ns);
    }
    put_frame_cells(csv, profile->report.stacks, sample->site.stack);
    putc_unlocked(',', csv->to);
    frame_texts_put_folded(csv->cell, &csv->texts, sample->site.stack);
    put_cell(csv);
    putc_unlocked('\n', csv->to);
}

static bool write_csv(FILE *to, const struct profile *profile)
{
    struct csv csv = {.to = to};
    csv.cell = open_memstream(&csv.bytes, &csv.length);
    if (!csv.cell)
        return false;
    frame_texts_init(&csv.texts, profile->report.stacks, frame_text_folded);
    fputs("bytes,count,cause,type,confidence,domains,first_time,last_time,function,file,line,module,stack\n", to);
    for (size_t i = 0; i < profile->count && !ferror(csv.cell); i++)
        put_row(&csv, profile, &profile->samples[i]);
    bool whole = !csv.texts.failed && !ferror(csv.cell);
    whole &= fclose(csv.cell) == 0;
    free(csv.bytes);
    frame_texts_free(&csv.texts);
    return whole;
}

const struct profile_format format_csv = {
    .name = "csv",
    .opened_by = "a spreadsheet, or python3 -c 'import pandas; print(pandas.read_csv(\"FILE\"))'",
    .write = write_csv,
};
