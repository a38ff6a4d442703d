/* cmd_check.c - `heapsake check`: does a run keep within its limits? */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/new_file.h"
#include "base/write_all.h"
#include "command.h"
#include "model/suppressions.h"
#include "report/measured.h"
#include "report/out_check.h"
#include "report/out_text.h"
#include "report/report.h"
#include "report/report_options.h"
#include "report/trace_baseline.h"
#include "report/verdict.h"

static bool as_json, no_new_leaks;
static const char *baseline_path, *write_baseline_path, *junit_path, *sarif_path;
static struct option_strings suppression_files, limit_files;
/* By rule; what they mean is limits.c's to tell. */
static struct option_strings limit_values[LIMIT_RULES];

#define LIMIT_OPTION(rule, words, value_words, says)                                                                   \
    {                                                                                                                  \
        .name = words, .kind = OPTION_STRINGS, .value_name = value_words, .value = &limit_values[rule], .help = says   \
    }

static const struct option options[] = {
    LIMIT_OPTION(LIMIT_MAX_PEAK, "max-peak", "SIZE", "at most SIZE was alive at any moment"),
    LIMIT_OPTION(LIMIT_MAX_LIVE, "max-live", "SIZE", "at most SIZE was alive when the program was done"),
    LIMIT_OPTION(LIMIT_MAX_LEAKED, "max-leaked", "SIZE", "all leaks together have at most SIZE"),
    LIMIT_OPTION(LIMIT_MAX_ALLOCATIONS, "max-allocations", "N", "at most N allocations were made"),
    LIMIT_OPTION(LIMIT_MAX_GROWTH_PER, "max-growth-per", "MARK:SIZE",
                 "from one occurrence of a mark to the next at most SIZE, or N objects or N blocks, more stays"),
    {.name = "no-leaks",
     .kind = OPTION_OPTIONAL,
     .value_name = "CAUSE,...",
     .value = &limit_values[LIMIT_NO_LEAKS],
     .help = "no leak, or none of these causes: lost, over-referenced, cycle, growing, held, fragmentation"},
    {.name = "no-new-leaks",
     .kind = OPTION_FLAG,
     .value = &no_new_leaks,
     .help = "no leak that the baseline does not have (default with --baseline)"},
    LIMIT_OPTION(LIMIT_TOLERANCE, "tolerance", "PERCENT",
                 "peak, live bytes, allocations and each leak are at most so much more than in the baseline"),
    {.name = "baseline",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &baseline_path,
     .help = "compare with FILE, which --write-baseline has made, or with another trace"},
    {.name = "write-baseline",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &write_baseline_path,
     .help = "write the leaks and totals of this trace to FILE, which is to be committed"},
    {.name = "limits",
     .kind = OPTION_STRINGS,
     .value_name = "FILE",
     .value = &limit_files,
     .help = "limits from FILE, one a line as here but without dashes; # begins a comment"},
    {.name = "suppressions",
     .kind = OPTION_STRINGS,
     .value_name = "FILE",
     .value = &suppression_files,
     .help = "leave out the leaks that FILE describes, as heapsake leaks does; may be given several times"},
    {.name = "junit",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &junit_path,
     .help = "write the result to FILE as JUnit's XML, too (-: print it instead)"},
    {.name = "sarif",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &sarif_path,
     .help = "write the result to FILE as SARIF 2.1.0, too (-: print it instead)"},
    REPORT_OPTION_JSON(as_json),
    {0},
};

struct check {
    const char *path;
    struct limits limits;
    struct suppressions suppressions;
    struct baseline baseline;    /* what is compared with */
    struct trace_baseline other; /* where that is a trace */
    struct measured measured;
    struct verdict verdict;
};

/* --- what is asked --- */

static int read_limits(struct limits *limits, struct error *error)
{
    int code = 0;
    for (int rule = 0; rule < LIMIT_RULES; rule++)
        for (int i = 0; i < limit_values[rule].count && code == 0; i++) {
            char origin[64];
            snprintf(origin, sizeof origin, "--%s", limit_rule_names[rule]);
            code = limits_add(limits, (enum limit_rule)rule, limit_values[rule].values[i], origin, error);
        }
    if (code == 0 && no_new_leaks)
        code = limits_add(limits, LIMIT_NO_NEW_LEAKS, NULL, "--no-new-leaks", error);
    for (int i = 0; i < limit_files.count && code == 0; i++)
        code = limits_load(limits, limit_files.values[i], error);
    return code == 0 ? limits_settle(limits, baseline_path != NULL, error) : code;
}

static bool is_output(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static int read_wishes(struct check *check)
{
    struct error error = {0};
    int code = read_limits(&check->limits, &error);
    for (int i = 0; i < suppression_files.count && code == 0; i++)
        code = suppressions_load(&check->suppressions, suppression_files.values[i], &error);
    if (code == 0 && check->limits.count == 0 && !write_baseline_path)
        code = error_set(&error, -EINVAL,
                         "check: no limit given: --no-leaks, --max-peak SIZE ... (see heapsake check --help)");
    if (code == 0 && as_json + is_output(junit_path) + is_output(sarif_path) + is_output(write_baseline_path) > 1)
        code = error_set(&error, -EINVAL, "check: only one document can be on standard output: give another a file");
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_USAGE;
}

/* --- what it is compared with --- */

static bool is_trace(const char *path)
{
    char magic[sizeof HSK_FILE_MAGIC - 1];
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    /* from a pipe nothing must be taken */
    bool is = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
              read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
              memcmp(magic, HSK_FILE_MAGIC, sizeof magic) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

static int begin_baseline(struct check *check)
{
    struct error error = {0};
    if (!baseline_path)
        return EXIT_DONE;
    if (is_trace(baseline_path))
        return trace_baseline_begin(&check->other, baseline_path, limits_ask_for_leaks(&check->limits),
                                    &check->suppressions);
    if (baseline_load(&check->baseline, baseline_path, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

static int end_baseline(struct check *check)
{
    return check->other.child ? trace_baseline_end(&check->other, baseline_path, &check->baseline) : EXIT_DONE;
}

static int compare_programs(const struct check *check)
{
    const char *program = check->measured.state.program;
    if (!baseline_path || strcmp(check->baseline.program, program) == 0)
        return EXIT_DONE;
    message_print("%s: is of the program %s, and %s is of %s: they cannot be compared", baseline_path,
                  check->baseline.program, check->path, program);
    return EXIT_UNUSABLE;
}

/* --- files --- */

/* A text that others are to read: rights as for any new file, or as the file had that it replaces. */
static void set_rights(struct new_file *file, const char *path)
{
    struct stat status;
    if (lstat(path, &status) == 0) {
        new_file_resemble(file, &status);
        return;
    }
    mode_t mask = umask(0);
    umask(mask);
    int ignored = fchmod(file->fd, 0666 & ~mask);
    (void)ignored;
}

/* Whole or not at all, in the place of what was there; but only of a file. */
static int write_file(const char *path, const char *bytes, size_t length, struct error *error)
{
    struct new_file file;
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return error_set(error, -EEXIST, "%s: is not a regular file, and is left as it is", path);
    if (is_trace(path))
        return error_set(error, -EEXIST, "%s: is a trace, and is left as it is", path);
    int code = new_file_begin(&file, path, error);
    if (code != 0)
        return code;
    set_rights(&file, path);
    code = write_all(file.fd, bytes, length);
    if (code == 0)
        return new_file_commit(&file, true, error);
    error_set(error, code, "%s: cannot be written: %s", path, strerror(-code));
    new_file_discard(&file);
    return code;
}

static int put_document(const char *path, const char *bytes, size_t length)
{
    struct error error = {0};
    if (is_output(path)) {
        fwrite(bytes, 1, length, stdout);
        return EXIT_DONE; /* out_end() looks */
    }
    if (write_file(path, bytes, length, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

static int out_of_memory(void)
{
    message_print("check: out of memory");
    return EXIT_UNUSABLE;
}

static int put_report(const char *path, const struct verdict *verdict, const char *trace,
                      void (*print)(const struct verdict *verdict, const char *trace, FILE *to))
{
    char *text = NULL;
    size_t length = 0;
    if (!path)
        return EXIT_DONE;
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return out_of_memory();
    print(verdict, trace, memory);
    bool failed = ferror(memory) != 0;
    failed |= fclose(memory) != 0;
    int status = failed ? out_of_memory() : put_document(path, text, length);
    free(text);
    return status;
}

static int put_baseline(const struct baseline *baseline)
{
    struct buf text = BUF_INIT;
    if (!write_baseline_path)
        return EXIT_DONE;
    baseline_write(baseline, &text);
    int status = text.failed ? out_of_memory() : put_document(write_baseline_path, (char *)text.data, text.length);
    buf_free(&text);
    return status;
}

/* --- the way of a check --- */

static int judge(struct check *check)
{
    bool leaks = limits_ask_for_leaks(&check->limits) || write_baseline_path;
    int status = begin_baseline(check);
    if (status == EXIT_DONE)
        status = measured_open(&check->measured, check->path, leaks, &check->limits, &check->suppressions);
    if (status == EXIT_DONE)
        status = end_baseline(check);
    if (status == EXIT_DONE)
        status = compare_programs(check);
    if (status == EXIT_DONE)
        status =
            verdict_reach(&check->verdict, &check->limits, &check->measured, baseline_path ? &check->baseline : NULL);
    return status;
}

static void print(const struct check *check)
{
    if (as_json) {
        out_check_json(&check->verdict, stdout);
        return;
    }
    if (is_output(junit_path) || is_output(sarif_path) || is_output(write_baseline_path))
        return;
    if (check->limits.count > 0)
        out_check_text(&check->verdict);
    if (write_baseline_path) {
        const struct baseline *state = &check->measured.state;
        printf("%s%zu leak%s written to %s\n", check->limits.count > 0 ? "\n" : "", state->count,
               state->count == 1 ? "" : "s", write_baseline_path);
    }
    if (out_in_workflow())
        out_check_annotations(&check->verdict, stdout);
}

/* Files first: what is printed of them is so then. */
static int tell(const struct check *check)
{
    const struct verdict *verdict = &check->verdict;
    out_begin(!as_json && !is_output(junit_path) && !is_output(sarif_path) && !is_output(write_baseline_path));
    int status = put_baseline(&check->measured.state);
    int junit = put_report(junit_path, verdict, check->path, out_check_junit);
    int sarif = put_report(sarif_path, verdict, check->path, out_check_sarif);
    if (status == EXIT_DONE)
        status = junit != EXIT_DONE ? junit : sarif;
    if (status == EXIT_DONE)
        print(check);
    int ended = out_end();
    status = status == EXIT_DONE ? ended : status;
    return status != EXIT_DONE ? status : verdict->count > 0 ? EXIT_VIOLATION : EXIT_DONE;
}

/* So that no report of an earlier run is taken for one of this. */
static void tell_unusable(const struct check *check)
{
    out_begin(false);
    put_report(junit_path, NULL, check->path, out_check_junit);
    put_report(sarif_path, NULL, check->path, out_check_sarif);
    out_end();
}

static int run(int argc, char **argv)
{
    struct check check = {.limits = LIMITS_INIT,
                          .suppressions = SUPPRESSIONS_INIT,
                          .baseline = BASELINE_INIT,
                          .other = TRACE_BASELINE_INIT};
    int status = report_operand(&command_check, argc, argv, &check.path);
    if (status == EXIT_DONE)
        status = read_wishes(&check);
    if (status == EXIT_DONE) {
        signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write() */
        status = judge(&check);
        if (status == EXIT_DONE)
            status = tell(&check);
        else
            tell_unusable(&check);
    }
    verdict_free(&check.verdict);
    measured_close(&check.measured);
    trace_baseline_drop(&check.other);
    baseline_free(&check.baseline);
    suppressions_free(&check.suppressions);
    limits_free(&check.limits);
    return status;
}

const struct command command_check = {
    .name = "check",
    .synopsis = "[OPTION...] TRACE",
    .summary = "whether a run keeps within its limits: for continuous integration",
    .description =
        "Checks a trace against limits. The exit status is 0 when it keeps all of them, 1 when it violates one, 2 when "
        "the limits are wrong or contradict each other, and 3 when the trace cannot be relied on: damaged, of a run "
        "that was killed, with lost events, or without a snapshot of the end where leaks are asked about. What was "
        "not seen never passes.\n"
        "\n"
        "Leaks are those of heapsake leaks that have a confidence of 0.5 or more. Sizes: 20 MB are 20,000,000 bytes, "
        "20 MiB are 20,971,520, and so are 20M.\n"
        "\n"
        "A baseline is a small text file with the leaks and totals of an accepted run, made to be committed. A leak is "
        "known by its cause, its type, and functions and files of its stack; lines only tell several of one function "
        "apart, by their order, so that code may move. A baseline of another program is refused.\n"
        "\n"
        "A file of limits has one a line: max-peak 20 MB, no-leaks lost, no-new-leaks, tolerance 5. In a GitHub "
        "workflow "
        "violations are annotated at their lines.\n"
        "\n"
        "A limit of a region (heapsake.h, import heapsake) has its name in front: parse:max-peak 20 MB in a file, "
        "--max-peak 'parse:20 MB' or --no-leaks=parse:lost here; the last colon divides. It holds for what was born in "
        "each occurrence of the region: max-peak, max-live (what outlived it), max-allocations, max-leaked, no-leaks. "
        "Leaks of a region are judged at the first whole snapshot after its last occurrence. --max-growth-per "
        "request:1kB is of a mark, or of the ends of a region: after warm-up, the first quarter, at least three are "
        "needed. A region or mark that is not in the trace is an error. Regions that have ended can be checked while "
        "the "
        "trace is still being written.",
    .examples = "$ heapsake check --no-leaks --max-peak '20 MB' app.hsk\n"
                "no leak at all, and a bound for the peak\n"
                "$ heapsake check --limits heapsake.limits --junit memory.xml app.hsk\n"
                "the limits of a repository, and a result that a CI system shows\n"
                "$ heapsake check --write-baseline heapsake.baseline app.hsk\n"
                "accepts the leaks that there are\n"
                "$ heapsake check --baseline heapsake.baseline --tolerance 5 app.hsk\n"
                "nothing is more than a twentieth larger, and no leak is new\n"
                "$ heapsake check --max-peak 'parse:20 MB' --no-leaks=parse: app.hsk\n"
                "the same of a region alone\n"
                "$ heapsake check --max-growth-per 'request:1 kB' app.hsk\n"
                "a server's memory stays where it is, but for 1 kB per request",
    .options = options,
    .run = run,
};
