/* gone_leaks.c - see gone_leaks.h */
#include "report/gone_leaks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/sites_wanted.h"

/* Where leaks without a match were allocated. */
struct place {
    const char *text;   /* of a leak_site */
    uint64_t live;      /* bytes there, when the program is done */
    uint64_t explained; /* of these, those of leaks that are told */
};

struct places {
    struct place *list; /* by text, no two alike */
    size_t count;
};

static int by_text(const void *left, const void *right)
{
    return strcmp(((const struct place *)left)->text, ((const struct place *)right)->text);
}

static struct place *find(const struct places *places, const char *text)
{
    struct place wanted = {.text = text};
    return places->count > 0 ? bsearch(&wanted, places->list, places->count, sizeof wanted, by_text) : NULL;
}

static int collect(struct places *places, const struct baseline *before)
{
    size_t kept = 0;
    places->list = calloc(before->count + 1, sizeof *places->list);
    if (!places->list)
        return -ENOMEM;
    for (size_t i = 0; i < before->count; i++) {
        if (!before->leaks[i].match)
            places->list[places->count++].text = before->leaks[i].site.text;
    }
    if (places->count > 1)
        qsort(places->list, places->count, sizeof *places->list, by_text);
    for (size_t i = 0; i < places->count; i++) {
        if (kept == 0 || by_text(&places->list[kept - 1], &places->list[i]) != 0)
            places->list[kept++] = places->list[i];
    }
    places->count = kept;
    return 0;
}

static int add_live(struct places *places, struct measured *measured, struct error *error)
{
    const struct report *report = &measured->report;
    struct sites_wanted wanted = {.event = report->end.allocations + report->end.frees};
    int code = sites_wanted_find(&wanted, 1, report->reader, report->stacks, error);
    for (size_t i = 0; i < wanted.sites.count && code == 0; i++) {
        struct leak_site site;
        code = leak_site_of(&site, report->stacks, wanted.sites.sites[i].stack);
        struct place *place = code == 0 ? find(places, site.text) : NULL;
        if (place)
            place->live += wanted.sites.sites[i].bytes;
        if (code == 0)
            free(site.text);
        else
            error_set(error, code, "%s: out of memory", report->reader->path);
    }
    sites_free(&wanted.sites);
    return code;
}

int gone_leaks_count(const struct baseline *before, struct measured *measured, size_t *gone, size_t *still_there,
                     struct error *error)
{
    struct places places = {0};
    const struct baseline *now = &measured->state;
    *gone = *still_there = 0;
    int code = collect(&places, before);
    if (code != 0)
        return error_set(error, code, "%s: out of memory", measured->report.reader->path);
    if (places.count > 0)
        code = add_live(&places, measured, error);
    for (size_t i = 0; i < now->count && code == 0; i++) {
        struct place *place = now->leaks[i].match ? find(&places, now->leaks[i].site.text) : NULL;
        if (place)
            place->explained += now->leaks[i].bytes;
    }
    for (size_t i = 0; i < before->count && code == 0; i++) {
        if (before->leaks[i].match)
            continue;
        const struct place *place = find(&places, before->leaks[i].site.text);
        uint64_t live = place->live > place->explained ? place->live - place->explained : 0;
        if (live > 0 && live >= before->leaks[i].bytes / 2)
            (*still_there)++;
        else
            (*gone)++;
    }
    free(places.list);
    return code;
}
