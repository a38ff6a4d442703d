/*
 * out_speedscope.c - profiles for speedscope.app: one file with two profiles, of bytes and of blocks.
 *
 * The format is that of src/lib/file-format-spec.ts in github.com/jlfwong/speedscope: frames are described once, a
 * sample is a list of their indexes, the outermost first, and has a weight.
 */
#include <stdlib.h>
#include <string.h>

#include "report/out_json.h"
#include "report/profile_format.h"

struct speedscope {
    struct json json;
    const struct profile *profile;
    const struct stacks *stacks;
    uint32_t *indexes;   /* by number of the frame: its index; UINT32_MAX: not used */
    uint32_t *innermost; /* by index: a stack whose innermost frame it is           */
    uint32_t count;      /* of indexes; the next one is "(no stack)"                */
    uint32_t *frames;    /* of one sample                                            */
    size_t frame_capacity;
    bool failed;
};

static void find_frames(struct speedscope *s)
{
    for (size_t i = 0; i < s->profile->count; i++)
        for (uint32_t at = s->profile->samples[i].site.stack; at != 0; at = stacks_caller(s->stacks, at)) {
            uint32_t number = stacks_frame_number(s->stacks, at);
            if (s->indexes[number] != UINT32_MAX)
                continue;
            s->innermost[s->count] = at;
            s->indexes[number] = s->count++;
        }
}

static void put_frames(struct speedscope *s)
{
    struct json *json = &s->json;
    open_array(json, "frames");
    for (uint32_t i = 0; i <= s->count; i++) {
        struct frame frame = {0};
        if (i < s->count)
            frame = stacks_frame(s->stacks, s->innermost[i]);
        const struct text *file = frame.file.length > 0 ? &frame.file : &frame.module;
        json->compact = false;
        open_object(json, NULL);
        json->compact = true;
        if (i == s->count)
            put_string(json, "name", "(no stack)");
        else if (frame.function.length > 0)
            put_bytes(json, "name", frame.function.bytes, frame.function.length);
        else
            put_string(json, "name", "unknown");
        if (file->length > 0)
            put_bytes(json, "file", file->bytes, file->length);
        if (frame.line)
            put_unsigned(json, "line", frame.line);
        close_object(json);
        json->compact = false;
    }
    close_array(json);
}

static void put_sample(struct speedscope *s, uint32_t stack)
{
    size_t depth = 0;
    for (uint32_t at = stack; at != 0; at = stacks_caller(s->stacks, at)) {
        if (depth == s->frame_capacity) {
            size_t capacity = depth ? 2 * depth : 256;
            uint32_t *grown = reallocarray(s->frames, capacity, sizeof *grown);
            if (!grown) {
                s->failed = true;
                return;
            }
            s->frames = grown;
            s->frame_capacity = capacity;
        }
        s->frames[depth++] = s->indexes[stacks_frame_number(s->stacks, at)];
    }
    open_array(&s->json, NULL);
    s->json.compact = true;
    if (depth == 0)
        put_unsigned(&s->json, NULL, s->count);
    while (depth > 0)
        put_unsigned(&s->json, NULL, s->frames[--depth]);
    close_array(&s->json);
    s->json.compact = false;
}

static void put_profile(struct speedscope *s, const char *unit, bool blocks)
{
    struct json *json = &s->json;
    const struct profile *profile = s->profile;
    char name[80];
    snprintf(name, sizeof name, "%s, %s", profile_title(profile), blocks ? "blocks" : "bytes");
    open_object(json, NULL);
    put_string(json, "type", "sampled");
    put_string(json, "name", name);
    put_string(json, "unit", unit);
    put_unsigned(json, "startValue", 0);
    put_unsigned(json, "endValue", blocks ? profile->total_count : profile->total_bytes);
    open_array(json, "samples");
    for (size_t i = 0; i < profile->count && !s->failed; i++)
        put_sample(s, profile->samples[i].site.stack);
    close_array(json);
    open_array(json, "weights");
    json->compact = true;
    for (size_t i = 0; i < profile->count; i++)
        put_unsigned(json, NULL, blocks ? profile->samples[i].site.count : profile->samples[i].site.bytes);
    close_array(json);
    json->compact = false;
    close_object(json);
}

static void put_file(struct speedscope *s)
{
    struct json *json = &s->json;
    open_object(json, NULL);
    put_string(json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    put_string(json, "exporter", "heapsake@" HEAPSAKE_VERSION);
    put_string(json, "name", s->profile->report.reader->path);
    put_unsigned(json, "activeProfileIndex", 0);
    open_object(json, "shared");
    put_frames(s);
    close_object(json);
    open_array(json, "profiles");
    put_profile(s, "bytes", false);
    put_profile(s, "none", true);
    close_array(json);
    close_object(json);
    put_end(json);
}

static bool write_speedscope(FILE *to, const struct profile *profile)
{
    struct speedscope s = {.json = JSON_INIT(to), .profile = profile, .stacks = profile->report.stacks};
    size_t frames = stacks_frame_count(s.stacks);
    s.indexes = reallocarray(NULL, frames + 1, sizeof *s.indexes);
    s.innermost = reallocarray(NULL, frames + 1, sizeof *s.innermost);
    s.failed = !s.indexes || !s.innermost;
    if (!s.failed) {
        memset(s.indexes, 0xff, (frames + 1) * sizeof *s.indexes);
        find_frames(&s);
        put_file(&s);
    }
    free(s.indexes);
    free(s.innermost);
    free(s.frames);
    return !s.failed;
}

const struct profile_format format_speedscope = {
    .name = "speedscope",
    .opened_by = "https://www.speedscope.app (or: npx speedscope FILE)",
    .write = write_speedscope,
};
