/* cmd_diff.c - `heapsake diff`: what is different between two runs, or two moments of one, by site and by type. */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "report/out_diff.h"
#include "report/out_text.h"
#include "report/report_options.h"
#include "report/trace_diff.h"

#define TEXT_CHANGES 10

static bool as_json, all;
static int64_t limit = -1;
static const char *by = "live";

static const struct option options[] = {
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the N largest changes only, of sites and of types (default: 10 as text, all as "
                               "JSON; 0: all)"),
    {.name = "all", .kind = OPTION_FLAG, .value = &all, .help = "show all changes"},
    {.name = "by",
     .kind = OPTION_CHOICE,
     .value_name = "live|allocated|peak",
     .value = &by,
     .help = "compare sites by what lives at the moment (default), by all that they allocated until then, or by "
             "what lived at the peak: the same as TRACE@peak of both"},
    {0},
};

static int usage(const char *what)
{
    message_print("diff: %s (see heapsake diff --help)", what);
    return EXIT_USAGE;
}

static int take_sides(struct trace_diff *diff, int argc, char **argv)
{
    struct error error = {0};
    bool peak = strcmp(by, "peak") == 0;
    if (argc != 2)
        return usage(argc == 0   ? "no traces given: OLD and NEW"
                     : argc == 1 ? "one trace given: what is it to be compared with? OLD and NEW"
                                 : "two traces at a time: OLD and NEW");
    for (int i = 0; i < 2; i++) {
        struct diff_side *side = &diff->sides[i];
        int code = trace_moment_parse(argv[i], &side->path, &side->moment, &error);
        if (code != 0) {
            side->path = NULL;
            error_print(&error);
            return code == -ENOMEM ? EXIT_UNUSABLE : EXIT_USAGE;
        }
        if (peak && side->moment.kind != MOMENT_END && side->moment.kind != MOMENT_PEAK)
            return usage("--by peak is a moment of its own: name no other one");
        if (peak)
            side->moment.kind = MOMENT_PEAK;
    }
    diff->allocated = strcmp(by, "allocated") == 0;
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct trace_diff diff = TRACE_DIFF_INIT;
    int status = take_sides(&diff, argc, argv);
    if (status == EXIT_DONE)
        status = trace_diff_make(&diff);
    if (status == EXIT_DONE) {
        size_t shown = all || limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_CHANGES;
        out_begin(!as_json);
        if (as_json)
            out_diff_json(&diff, shown);
        else
            out_diff_text(&diff, shown);
        status = out_end();
    }
    trace_diff_free(&diff);
    return status;
}

const struct command command_diff = {
    .name = "diff",
    .synopsis = "[OPTION...] OLD[@MOMENT] NEW[@MOMENT]",
    .summary = "what has changed between two traces, or two moments of one, by site and by type",
    .description =
        "Compares what was alive in two traces: in total, by site (the whole stack of the allocation), and by type of "
        "Python objects. The largest changes come first, whether more or less.\n"
        "\n"
        "Without a MOMENT what was alive at the end is compared: when the program was done, before the interpreter's "
        "teardown. A MOMENT is a time after the start (@12.5s, @250ms), @peak, @snapshot:N, @mark:NAME (the last "
        "mark of that name) or @mark:NAME#N, so that two moments of one trace can be compared, too. If there is a file "
        "of the whole name, with the @, that file is meant.\n"
        "\n"
        "Sites of two traces are the same when they have the same functions in the same files. Lines that have moved "
        "are no change: where a function was edited, the lines from which it allocates, or calls another one, are "
        "matched in their order. Files and modules may lie in another folder, as long as the end of their path is the "
        "same.\n"
        "\n"
        "Types come from births and deaths of objects where both traces tell of them (CPython 3.13 and later), else "
        "from the snapshot of the moment; at the end it is the last whole one.",
    .examples = "$ heapsake diff before.hsk after.hsk\n"
                "the ten largest changes from one run to the other\n"
                "$ heapsake diff app.hsk@10s app.hsk@60s\n"
                "what the program has come to hold in fifty seconds\n"
                "$ heapsake diff app.hsk@mark:request#1 app.hsk@mark:request\n"
                "... between the first and the last mark of that name\n"
                "$ heapsake diff --by allocated --all before.hsk after.hsk\n"
                "every site that allocates more, or less, than it did",
    .options = options,
    .run = run,
};
