/*
 * make_golden.c - writes the golden traces of the current format into a folder.
 *
 *   ninja -C build tests/make_golden && build/tests/make_golden tests/golden
 *
 * Only as long as the format is not released; then they are never replaced.
 */
#include <stdio.h>
#include <stdlib.h>

#include "make_trace.h"

static void write_file(const char *path, const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    char path[4096];
    struct made_trace_truth truth;
    struct made_trace_plan plan = {.events = 400,
                                   .seed = 3,
                                   .threads = 3,
                                   .nodes = 24,
                                   .inherited = 6,
                                   .flush_ops = 100,
                                   .event_ns = 1500000,
                                   .finalize = true};
    if (argc != 2) {
        fprintf(stderr, "usage: make_golden FOLDER\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/format-1-objects.hsk", argv[1]);
    plan.objects = true;
    if (made_trace_synthetic(path, &plan, &truth) != 0)
        return 1;
    snprintf(path, sizeof path, "%s/format-1-marks.hsk", argv[1]);
    plan.objects = false;
    plan.marks = true;
    if (made_trace_synthetic(path, &plan, &truth) != 0)
        return 1;
    snprintf(path, sizeof path, "%s/format-1.hsk", argv[1]);
    plan.marks = false;
    if (made_trace_synthetic(path, &plan, &truth) != 0)
        return 1;
    size_t length;
    uint8_t *bytes = made_trace_slurp(path, &length);
    snprintf(path, sizeof path, "%s/format-1-cut.hsk", argv[1]);
    write_file(path, bytes, length * 6 / 10);
    bytes[length / 2] ^= 1;
    snprintf(path, sizeof path, "%s/format-1-damaged.hsk", argv[1]);
    write_file(path, bytes, length);
    free(bytes);
    return 0;
}
