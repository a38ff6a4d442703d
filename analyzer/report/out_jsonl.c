/* out_jsonl.c - profiles as lines of JSON, an object each, for jq and for scripts. */
#include "report/frame_texts.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/profile_format.h"

static void make_frame(FILE *to, const struct frame *frame)
{
    struct json json = {.out = to, .compact = true};
    put_frame(&json, NULL, frame);
}

static void put_site(struct json *json, const struct site *site)
{
    put_seconds(json, "first_time", site->first_ns);
    put_seconds(json, "last_time", site->last_ns);
    put_domains(json, "domains", site->domains);
}

static void put_leak_of(struct json *json, const struct leak *leak)
{
    put_string(json, "cause", leak_cause_names[leak->cause]);
    put_string(json, "type", leak->type);
    put_number(json, "confidence", leak->confidence);
}

static bool write_jsonl(FILE *to, const struct profile *profile)
{
    struct frame_texts texts;
    const struct stacks *stacks = profile->report.stacks;
    frame_texts_init(&texts, stacks, make_frame);
    for (size_t i = 0; i < profile->count; i++) {
        const struct profile_sample *sample = &profile->samples[i];
        struct json json = {.out = to, .compact = true};
        open_object(&json, NULL);
        put_unsigned(&json, "bytes", sample->site.bytes);
        put_unsigned(&json, "count", sample->site.count);
        if (sample->leak)
            put_leak_of(&json, sample->leak);
        else
            put_site(&json, &sample->site);
        open_array(&json, "stack");
        for (uint32_t at = sample->site.stack; at != 0; at = stacks_caller(stacks, at)) {
            struct text text = frame_text_of(&texts, at);
            put_raw(&json, NULL, text.bytes, text.length);
        }
        close_array(&json);
        close_object(&json);
        put_end(&json);
    }
    bool whole = !texts.failed;
    frame_texts_free(&texts);
    return whole;
}

const struct profile_format format_jsonl = {
    .name = "jsonl",
    .opened_by = "jq -s 'map(.bytes) | add' FILE",
    .write = write_jsonl,
};
