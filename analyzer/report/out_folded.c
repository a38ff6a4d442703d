/*
 * out_folded.c - profiles as folded stacks: a line a site, "outermost;...;innermost WEIGHT", as flamegraph.pl, inferno
 * and speedscope read them.
 */
#include <inttypes.h>
#include <string.h>

#include "report/frame_texts.h"
#include "report/profile_format.h"

static bool write_folded(FILE *to, const struct profile *profile)
{
    struct frame_texts texts;
    bool blocks = strcmp(profile->wishes.weight, "blocks") == 0;
    frame_texts_init(&texts, profile->report.stacks, frame_text_folded);
    for (size_t i = 0; i < profile->count; i++) {
        const struct site *site = &profile->samples[i].site;
        frame_texts_put_folded(to, &texts, site->stack);
        fprintf(to, " %" PRIu64 "\n", blocks ? site->count : site->bytes);
    }
    bool whole = !texts.failed;
    frame_texts_free(&texts);
    return whole;
}

const struct profile_format format_folded = {
    .name = "folded",
    .opened_by = "flamegraph.pl --countname=bytes FILE > flames.svg",
    .write = write_folded,
};
