/* profile.c - see profile.h */
#include "report/profile.h"

#include <stdlib.h>
#include <string.h>

#include "model/allocation_tally.h"
#include "report/leak_report.h"

const char *profile_title(const struct profile *profile)
{
    static const char *const titles[][2] = {
        {"live", "live at the end"}, {"peak", "live at the peak"},           {"leaked", "leaked"},
        {"allocated", "allocated"},  {"temporary", "temporary allocations"},
    };
    for (size_t i = 0; i < HS_COUNT_OF(titles); i++)
        if (strcmp(titles[i][0], profile->wishes.what) == 0)
            return titles[i][1];
    return profile->wishes.what;
}

static int out_of_memory(const struct profile *profile)
{
    message_print("%s: out of memory", profile->report.reader->path);
    return EXIT_UNUSABLE;
}

static int replay_to_end(struct profile *profile, struct sites *sites)
{
    struct report *report = &profile->report;
    int status = report_replay(report, true);
    if (status != EXIT_DONE)
        return status;
    *sites = report->end_sites;
    report->end_sites = SITES_INIT;
    profile->has_time = true;
    profile->time_ns = report->end_ns;
    return EXIT_DONE;
}

static int replay_to_peak(struct profile *profile, struct sites *sites)
{
    struct report *report = &profile->report;
    int status = report_replay_to_peak(report);
    if (status != EXIT_DONE)
        return status;
    sites_add_live(sites, report->lifetimes);
    profile->has_time = true;
    profile->time_ns = report->lifetimes->peak_time_ns;
    return EXIT_DONE;
}

static void tally_event(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    allocation_tally_event(context, lifetimes, event);
}

static int replay_tally(struct profile *profile, struct sites *sites, bool temporary)
{
    struct report *report = &profile->report;
    struct error error = {0};
    struct allocation_tally tally = ALLOCATION_TALLY_INIT;
    tally.temporary = temporary;
    struct life_replay replay = {
        .until_ns = UINT64_MAX, .until_event = UINT64_MAX, .each = tally_event, .context = &tally};
    int code = lifetimes_replay(report->lifetimes, report->reader, &replay, &error);
    allocation_tally_end(&tally, report->lifetimes);
    *sites = tally.sites;
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

static int find_sites(struct profile *profile, struct sites *sites)
{
    const char *what = profile->wishes.what;
    if (strcmp(what, "live") == 0)
        return replay_to_end(profile, sites);
    if (strcmp(what, "peak") == 0)
        return replay_to_peak(profile, sites);
    return replay_tally(profile, sites, strcmp(what, "temporary") == 0);
}

static int find_leaks(struct profile *profile)
{
    struct graph_report graph = {0};
    int status = leak_report_find(&profile->leaks, &graph, &profile->report, -1);
    if (status == EXIT_DONE) {
        profile->has_time = true;
        profile->time_ns = graph.snapshot->time_ns;
    }
    graph_report_close(&graph);
    return status;
}

/* By stack, what is left of it where only the frames of one language are wanted; NULL: all are, or memory ran out. */
static uint32_t *wanted_stacks(struct profile *profile)
{
    struct stacks *stacks = profile->report.stacks;
    if (strcmp(profile->wishes.stacks, "hybrid") == 0)
        return NULL;
    return stacks_of_language(stacks, strcmp(profile->wishes.stacks, "python") == 0 ? FRAME_PYTHON : FRAME_NATIVE);
}

static void add_sample(struct profile *profile, const struct site *site, const struct leak *leak)
{
    profile->samples[profile->count++] = (struct profile_sample){.site = *site, .leak = leak};
    profile->total_count += site->count;
    profile->total_bytes += site->bytes;
}

static int take_sites(struct profile *profile, struct sites *sites)
{
    sites_finish(sites, profile->report.stacks);
    uint32_t *wanted = wanted_stacks(profile);
    if (wanted)
        sites_move(sites, wanted);
    free(wanted);
    profile->samples = calloc(sites->count + 1, sizeof *profile->samples);
    if (!profile->samples || sites->failed || stacks_failed(profile->report.stacks))
        return out_of_memory(profile);
    for (size_t i = 0; i < sites->count; i++)
        add_sample(profile, &sites->sites[i], NULL);
    return EXIT_DONE;
}

static int take_leaks(struct profile *profile)
{
    const struct leaks *leaks = &profile->leaks;
    uint32_t *wanted = wanted_stacks(profile);
    profile->samples = calloc(leaks->count + 1, sizeof *profile->samples);
    if (!profile->samples || stacks_failed(profile->report.stacks)) {
        free(wanted);
        return out_of_memory(profile);
    }
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->list[i];
        if (leak->confidence < profile->wishes.min_confidence)
            continue;
        struct site site = {
            .stack = wanted ? wanted[leak->stack] : leak->stack, .count = leak->count, .bytes = leak->bytes};
        add_sample(profile, &site, leak);
    }
    free(wanted);
    return EXIT_DONE;
}

/* Are there stacks of the kind that was asked for? */
static int check_language(const struct profile *profile)
{
    const char *kind = profile->wishes.stacks, *path = profile->report.reader->path;
    if (strcmp(kind, "python") == 0 && !stacks_have(profile->report.stacks, FRAME_PYTHON)) {
        message_print("%s: has no Python frames: export it without --stacks=python", path);
        return EXIT_UNUSABLE;
    }
    if (strcmp(kind, "native") == 0 && !stacks_have(profile->report.stacks, FRAME_NATIVE)) {
        message_print("%s: has no native frames: record it with heapsake run --native, or export it without "
                      "--stacks=native",
                      path);
        return EXIT_UNUSABLE;
    }
    return EXIT_DONE;
}

int profile_open(struct profile *profile, const char *path, const struct profile_wishes *wishes)
{
    *profile = (struct profile){.wishes = *wishes, .leaks = LEAKS_INIT};
    struct sites sites = SITES_INIT;
    int status = report_open(&profile->report, path);
    if (status != EXIT_DONE) {
        profile->report = (struct report){0}; /* it is closed */
        return status;
    }
    if ((status = report_load_stacks(&profile->report)) != EXIT_DONE || (status = check_language(profile)) != EXIT_DONE)
        return status;
    if (strcmp(wishes->what, "leaked") == 0) {
        if ((status = find_leaks(profile)) == EXIT_DONE)
            status = take_leaks(profile);
    } else if ((status = find_sites(profile, &sites)) == EXIT_DONE) {
        report_warn(&profile->report);
        status = take_sites(profile, &sites);
    }
    sites_free(&sites);
    return status;
}

void profile_close(struct profile *profile)
{
    free(profile->samples);
    leaks_free(&profile->leaks);
    if (profile->report.reader)
        report_close(&profile->report);
    *profile = (struct profile){0};
}
