/* cmd_export.c - `heapsake export`: a trace's sites in the formats of other tools. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/new_file.h"
#include "command.h"
#include "model/leak_limits.h"
#include "report/out_text.h"
#include "report/profile.h"
#include "report/profile_format.h"
#include "report/report.h"

#define STREAM_BUFFER (1 << 18)

static const char *format_name, *output;
static bool force;
static struct profile_wishes wishes = {
    .what = "live", .stacks = "hybrid", .weight = "bytes", .min_confidence = LEAK_TEXT_CONFIDENCE};

static const struct profile_format *const formats[] = {&format_pprof, &format_folded, &format_speedscope, &format_csv,
                                                       &format_jsonl};

static const struct option options[] = {
    {.letter = 'f',
     .name = "format",
     .kind = OPTION_CHOICE,
     .value_name = "pprof|folded|speedscope|csv|jsonl",
     .value = &format_name,
     .help = "what to write"},
    {.letter = 'o',
     .name = "output",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &output,
     .help = "where to; - is standard output"},
    {.name = "force", .kind = OPTION_FLAG, .value = &force, .help = "replace FILE if it exists"},
    {.name = "what",
     .kind = OPTION_CHOICE,
     .value_name = "peak|live|leaked|allocated|temporary",
     .value = &wishes.what,
     .help = "live at the peak, live at the end (default), leaks that have a cause, everything that was allocated, or "
             "temporary allocations"},
    {.name = "stacks",
     .kind = OPTION_CHOICE,
     .value_name = "python|native|hybrid",
     .value = &wishes.stacks,
     .help = "the frames of one language alone (default: hybrid, as they were recorded)"},
    {.name = "weight",
     .kind = OPTION_CHOICE,
     .value_name = "bytes|blocks",
     .value = &wishes.weight,
     .help = "the number of a line of folded (default: bytes); the other formats have both"},
    {.name = "min-confidence",
     .kind = OPTION_FRACTION,
     .value_name = "X",
     .value = &wishes.min_confidence,
     .help = "of --what=leaked: leaks that are at least so sure, from 0 to 1 (default: 0.5)"},
    {0},
};

static const struct profile_format *find_format(const char *name)
{
    for (size_t i = 0; i < HS_COUNT_OF(formats); i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

/* ---- where to ---- */

static bool to_standard_output(void)
{
    return strcmp(output, "-") == 0;
}

/* What is missing from the command line. */
static int check_usage(const struct profile_format **format)
{
    if (!format_name) {
        message_print("export: which format? --format=pprof, folded, speedscope, csv or jsonl (see heapsake export "
                      "--help)");
        return EXIT_USAGE;
    }
    *format = find_format(format_name);
    if (!output) {
        message_print("export: where to? -o FILE, or -o - for standard output (see heapsake export --help)");
        return EXIT_USAGE;
    }
    if (to_standard_output() && (*format)->binary && isatty(STDOUT_FILENO)) {
        message_print("export: %s is not for a terminal: give a file with -o", (*format)->name);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

/* Said before any work is done. */
static int check_output(const char *trace, struct error *error)
{
    struct stat status, own;
    if (to_standard_output() || lstat(output, &status) != 0)
        return 0;
    if (!S_ISREG(status.st_mode))
        return error_set(error, -EEXIST, "%s: is not a regular file: choose another name, or -o - for standard output",
                         output);
    if (!force)
        return error_set(error, -EEXIST, "%s: exists already: choose another name with -o, or replace it with --force",
                         output);
    if (stat(trace, &own) == 0 && own.st_dev == status.st_dev && own.st_ino == status.st_ino)
        return error_set(error, -EEXIST, "%s: is the trace itself: choose another name with -o", output);
    return 0;
}

/* ---- writing ---- */

static int write_stream(FILE *to, const struct profile_format *format, const struct profile *profile,
                        struct error *error)
{
    errno = 0;
    bool complete = format->write(to, profile);
    if (fflush(to) != 0 || ferror(to))
        return error_set(error, -EIO, "%s: cannot write: %s", to_standard_output() ? "standard output" : output,
                         errno ? strerror(errno) : "the output is not complete");
    if (!complete)
        return error_set(error, -ENOMEM, "%s: out of memory", profile->report.reader->path);
    return 0;
}

static int write_file(struct new_file *file, const struct profile_format *format, const struct profile *profile,
                      struct error *error)
{
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 3);
    FILE *to = fd >= 0 ? fdopen(fd, "wb") : NULL;
    int code;
    if (!to) {
        code = error_set(error, -errno, "%s: cannot write: %s", output, strerror(errno));
        if (fd >= 0)
            close(fd);
    } else {
        setvbuf(to, NULL, _IOFBF, STREAM_BUFFER);
        code = write_stream(to, format, profile, error);
        if (fclose(to) != 0 && code == 0)
            code = error_set(error, -errno, "%s: cannot write: %s", output, strerror(errno));
    }
    if (code == 0)
        return new_file_commit(file, force, error);
    new_file_discard(file);
    return code;
}

/* The words of `opened_by` with the file's name. */
static void print_opener(const char *opened_by)
{
    const char *file = strstr(opened_by, "FILE");
    printf("Open it with: %.*s", (int)(file ? file - opened_by : (long)strlen(opened_by)), opened_by);
    if (file) {
        out_untrusted(stdout, output, strlen(output));
        fputs(file + 4, stdout);
    }
    putchar('\n');
}

static void print_done(const struct profile_format *format, const struct profile *profile)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    bool leaks = strcmp(profile->wishes.what, "leaked") == 0;
    fputs("Written to ", stdout);
    out_untrusted(stdout, output, strlen(output));
    printf(": %s", profile_title(profile));
    if (profile->has_time)
        printf(" (%s)", out_seconds(when, profile->time_ns));
    printf(", %s in %s block%s of %zu %s%s\n", out_bytes(bytes, profile->total_bytes),
           out_count(count, profile->total_count), profile->total_count == 1 ? "" : "s", profile->count,
           leaks ? "leak" : "site", profile->count == 1 ? "" : "s");
    if (format->opened_by)
        print_opener(format->opened_by);
}

/* ---- the command ---- */

static int export(const char *trace, const struct profile_format *format, struct new_file *file)
{
    struct error error = {0};
    struct profile profile;
    int status = profile_open(&profile, trace, &wishes);
    if (status != EXIT_DONE) {
        new_file_discard(file);
    } else {
        int code = to_standard_output() ? write_stream(stdout, format, &profile, &error)
                                        : write_file(file, format, &profile, &error);
        if (code != 0) {
            error_print(&error);
            status = EXIT_UNUSABLE;
        } else if (!to_standard_output()) {
            out_begin(false);
            print_done(format, &profile);
            status = out_end();
        }
    }
    profile_close(&profile);
    return status;
}

static int run(int argc, char **argv)
{
    const char *trace;
    const struct profile_format *format = NULL;
    struct error error = {0};
    struct new_file file = {.fd = -1};
    int status = report_operand(&command_export, argc, argv, &trace);
    if (status != EXIT_DONE || (status = check_usage(&format)) != EXIT_DONE)
        return status;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write() */
    if (check_output(trace, &error) != 0 || (!to_standard_output() && new_file_begin(&file, output, &error) != 0)) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    return export(trace, format, &file);
}

const struct command command_export = {
    .name = "export",
    .synopsis = "[OPTION...] --format=FORMAT -o FILE TRACE",
    .summary = "write sites for other tools: pprof, flame graphs, tables",
    .description =
        "Writes bytes and blocks by site, with their stacks, in a format of other tools: pprof (gzip'ed "
        "profile.proto), "
        "folded (flamegraph.pl, inferno), speedscope (speedscope.app), csv (spreadsheets, pandas) or jsonl (a line "
        "of JSON for each site).\n"
        "\n"
        "Live at the end is what peak and leaks --all show: what was alive when the program was done, without arenas "
        "and without what a forked child inherited. Leaks are those that heapsake leaks tells, each at the site of "
        "most of its blocks, with their causes. What was allocated, and the temporary allocations (freed before their "
        "thread did anything else with memory), are those of the whole recording.\n"
        "\n"
        "FILE is written whole or not at all, readable by its owner alone, and never over another file without "
        "--force. With -o - nothing else is printed on standard output. Whatever a program calls its functions, the "
        "output is valid: control characters and bytes that are no UTF-8 are written as \\xNN, in JSON as JSON has "
        "them.",
    .examples = "$ heapsake export --format=pprof -o app.pb.gz app.hsk\n"
                "then: go tool pprof -http=: app.pb.gz\n"
                "$ heapsake export --what=peak -f folded -o - app.hsk | flamegraph.pl > p.svg\n"
                "a flame graph of the high-water mark\n"
                "$ heapsake export --what=leaked -f csv -o leaks.csv app.hsk\n"
                "a table of the leaks with their causes\n"
                "$ heapsake export --what=allocated -f speedscope -o app.json app.hsk\n"
                "who allocates most, for speedscope.app",
    .options = options,
    .run = run,
};
