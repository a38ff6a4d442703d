/* cmd_symbolize.c - `heapsake symbolize`: names for native frames, added to a trace later. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "amend/naming.h"
#include "amend/trace_rewrite.h"
#include "base/error.h"
#include "command.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"

static struct option_strings debug_folders;
static bool debuginfod, force, as_json;
static const char *output;

static const struct option options[] = {
    {.name = "debug-dir",
     .kind = OPTION_STRINGS,
     .value_name = "DIR",
     .value = &debug_folders,
     .help = "search DIR and its subfolders, too; may be given several times"},
    {.name = "debuginfod",
     .kind = OPTION_FLAG,
     .value = &debuginfod,
     .help = "ask the servers in DEBUGINFOD_URLS for what is not found here"},
    {.letter = 'o',
     .name = "output",
     .kind = OPTION_STRING,
     .value_name = "FILE",
     .value = &output,
     .help = "write to FILE and leave TRACE as it is"},
    {.name = "force", .kind = OPTION_FLAG, .value = &force, .help = "replace FILE if it exists"},
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {0},
};

struct symbolizing {
    struct trace_reader *reader;
    struct native_names names;
    struct module_search *search;
    struct naming naming;
    struct error error;
};

/* ---- the file ---- */

/* Said before any work is done. */
static int check_output(struct error *error)
{
    struct stat status;
    if (!output || lstat(output, &status) != 0)
        return 0;
    if (!force)
        return error_set(error, -EEXIST, "%s: exists already: choose another name with -o, or replace it with --force",
                         output);
    if (!S_ISREG(status.st_mode))
        return error_set(error, -EEXIST, "%s: is not a regular file, which --force does not replace", output);
    return 0;
}

/* Is the file of that name still the one that was read? Another process may have named its frames meanwhile. */
static int check_unchanged(const struct symbolizing *work, const char *path, const struct stat *read,
                           struct error *error)
{
    struct stat now;
    if (stat(path, &now) == 0 && now.st_dev == read->st_dev && now.st_ino == read->st_ino &&
        now.st_size == read->st_size && now.st_mtim.tv_sec == read->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == read->st_mtim.tv_nsec)
        return 0;
    return error_set(error, -EBUSY, "%s: was changed meanwhile, and is left as it is now: try again",
                     work->reader->path);
}

static int write_contents(struct symbolizing *work, const struct new_file *file)
{
    struct buf *payloads;
    size_t count;
    if (work->naming.improved == 0)
        return trace_copy(work->reader, file, &work->error);
    if (native_names_write(&work->names, &payloads, &count) != 0)
        return error_set(&work->error, -ENOMEM, "out of memory");
    int code = trace_rewrite(work->reader, payloads, count, file, &work->error);
    for (size_t i = 0; i < count; i++)
        buf_free(&payloads[i]);
    free(payloads);
    return code;
}

static int write_file(struct symbolizing *work, const char *path)
{
    struct new_file file;
    struct stat status;
    int code = trace_reader_status(work->reader, &status);
    if (code != 0)
        return error_set(&work->error, code, "%s: cannot read: %s", work->reader->path, strerror(-code));
    code = new_file_begin(&file, path, &work->error);
    if (code != 0)
        return code;
    code = write_contents(work, &file);
    if (code == 0 && !output) {
        new_file_resemble(&file, &status);
        code = check_unchanged(work, path, &status, &work->error);
    }
    if (code == 0)
        return new_file_commit(&file, !output || force, &work->error);
    new_file_discard(&file);
    return code;
}

/* With -o there is a file in every case; else the trace is replaced when there is something to add. */
static int write_output(struct symbolizing *work)
{
    if (output)
        return write_file(work, output);
    if (work->naming.improved == 0)
        return 0;
    /* Where a link leads: it stays one. */
    char *path = realpath(work->reader->path, NULL);
    if (!path)
        return error_set(&work->error, -errno, "%s: cannot find its folder: %s", work->reader->path, strerror(errno));
    int code = write_file(work, path);
    free(path);
    return code;
}

/* ---- what is said ---- */

/* Why frames of the module are not fully named; NULL: all are. `text` has room for it. */
static const char *missing(const struct named_module *module, char *text, size_t size)
{
    char id[BUILD_ID_TEXT_SIZE];
    const char *what = NULL;
    if (module->after.functions == module->frames && module->after.lines == module->frames)
        return NULL;
    if (module->build_id_length == 0 || module->build_id_length > BUILD_ID_MAX_BYTES)
        return "it has no build-id, so that no file can be told to be its own";
    if (!module->found.file)
        what = "no file";
    else if (module->found.names != ELF_DEBUG_INFORMATION)
        what = "no debug information";
    if (!what)
        return "its debug information does not know them";
    int answer = module->found.servers;
    snprintf(text, size, "%s of build-id %s was found%s%s", what,
             build_id_text(id, module->build_id, module->build_id_length),
             answer == -ENOENT ? ", nor has a server it"
             : answer < 0      ? ", and no server could be asked: "
                               : "",
             answer < 0 && answer != -ENOENT ? strerror(-answer) : "");
    return text;
}

static bool is_obtainable(const struct named_module *module)
{
    return module->build_id_length > 0 && module->found.names != ELF_DEBUG_INFORMATION &&
           (module->after.functions < module->frames || module->after.lines < module->frames);
}

typedef void take_text(void *context, const char *text);

static void each_refused(const struct named_module *module, take_text *take, void *context)
{
    const char *at = (const char *)module->found.refused.data, *end = at + module->found.refused.length;
    for (; at && at < end; at += strlen(at) + 1)
        take(context, at);
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_gain(size_t improved, const struct frame_counts *before, const struct frame_counts *after)
{
    size_t functions = after->functions - before->functions, lines = after->lines - before->lines;
    if (functions + lines > 0)
        printf("%zu function%s and %zu line%s added", functions, plural(functions), lines, plural(lines));
    else if (improved > 0)
        printf("inlined calls of %zu added", improved);
    else
        printf("nothing added");
}

static void print_lack(size_t frames, const struct frame_counts *after)
{
    if (after->functions < frames)
        printf("; %zu without function", frames - after->functions);
    if (after->lines < frames)
        printf("%s %zu without line", after->functions < frames ? "," : ";", frames - after->lines);
}

static void print_refused(void *context, const char *text)
{
    (void)context;
    printf("  %s", out_color(OUT_WARNING));
    out_untrusted(stdout, text, strlen(text));
    printf("%s\n", out_color(OUT_PLAIN));
}

static void print_module(const struct named_module *module)
{
    char text[512];
    const char *why = missing(module, text, sizeof text);
    out_untrusted(stdout, *module->path ? module->path : "(unknown module)",
                  strlen(*module->path ? module->path : "(unknown module)"));
    printf(": %zu frame%s: ", module->frames, plural(module->frames));
    print_gain(module->improved, &module->before, &module->after);
    if (module->improved > 0) {
        printf(" from %s", module->found.fetched ? "debuginfod, " : "");
        out_untrusted(stdout, module->found.path, strlen(module->found.path));
    }
    print_lack(module->frames, &module->after);
    if (why)
        printf(": %s", why);
    printf("\n");
    each_refused(module, print_refused, NULL);
}

static void print_text(const struct symbolizing *work)
{
    const struct naming *naming = &work->naming;
    bool obtainable = false;
    for (size_t i = 0; i < naming->count; i++) {
        print_module(&naming->modules[i]);
        obtainable |= is_obtainable(&naming->modules[i]);
    }
    printf("%zu native frame%s: ", naming->frames, plural(naming->frames));
    print_gain(naming->improved, &naming->before, &naming->after);
    print_lack(naming->frames, &naming->after);
    if (naming->without_module > 0)
        printf(", %zu in no known module", naming->without_module);
    printf("\n");
    if (output || naming->improved > 0)
        printf("Written to %s\n", output ? output : work->reader->path);
    else
        printf("%s is unchanged\n", work->reader->path);
    if (obtainable)
        printf("What is missing may be in a package of debug symbols (NAME-dbgsym, NAME-debuginfo), in a folder of "
               "debug files (--debug-dir DIR) or on a server (--debuginfod)\n");
}

static void json_refused(void *context, const char *text)
{
    put_string(context, NULL, text);
}

static void json_counts(struct json *json, size_t frames, size_t improved, const struct frame_counts *before,
                        const struct frame_counts *after)
{
    put_unsigned(json, "frames", frames);
    put_unsigned(json, "improved", improved);
    put_unsigned(json, "functions_before", before->functions);
    put_unsigned(json, "functions", after->functions);
    put_unsigned(json, "lines_before", before->lines);
    put_unsigned(json, "lines", after->lines);
}

static void json_module(struct json *json, const struct named_module *module)
{
    static const char *const tells[] = {"exported functions", "all functions", "debug information"};
    char id[BUILD_ID_TEXT_SIZE], text[512];
    open_object(json, NULL);
    put_string(json, "module", module->path);
    put_string(json, "build_id",
               module->build_id_length ? build_id_text(id, module->build_id, module->build_id_length) : NULL);
    json_counts(json, module->frames, module->improved, &module->before, &module->after);
    put_string(json, "source", module->found.path);
    put_string(json, "source_tells", module->found.file ? tells[module->found.names] : NULL);
    put_bool(json, "fetched", module->found.fetched);
    put_string(json, "missing", missing(module, text, sizeof text));
    open_array(json, "refused");
    each_refused(module, json_refused, json);
    close_array(json);
    close_object(json);
}

static void print_json(const struct symbolizing *work)
{
    const struct naming *naming = &work->naming;
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_string(&json, "trace", work->reader->path);
    put_string(&json, "written", output ? output : naming->improved > 0 ? work->reader->path : NULL);
    open_array(&json, "modules");
    for (size_t i = 0; i < naming->count; i++)
        json_module(&json, &naming->modules[i]);
    close_array(&json);
    open_object(&json, "totals");
    json_counts(&json, naming->frames, naming->improved, &naming->before, &naming->after);
    put_unsigned(&json, "without_module", naming->without_module);
    close_object(&json);
    close_object(&json);
    put_end(&json);
}

/* ---- the command ---- */

static int symbolize(struct symbolizing *work, const char *path)
{
    int code = check_output(&work->error);
    if (code == 0)
        code = trace_reader_open(path, &work->reader, &work->error);
    if (code == 0 && (code = trace_reader_lock(work->reader)) != 0)
        error_set(&work->error, code, "%s: is still being written: wait until its recording has ended", path);
    if (code == 0)
        code = module_search_open(&work->search, debug_folders.values, (size_t)debug_folders.count, debuginfod,
                                  &work->error);
    if (code == 0)
        code = native_names_load(&work->names, work->reader, &work->error);
    if (code == 0 && (code = naming_run(&work->naming, &work->names, work->search)) != 0)
        error_set(&work->error, code, "%s: out of memory", path);
    return code == 0 ? write_output(work) : code;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct error damage = {0};
    struct symbolizing work = {0};
    int status = report_operand(&command_symbolize, argc, argv, &path);
    if (status != EXIT_DONE)
        return status;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write() */
    if (symbolize(&work, path) == 0) {
        if (trace_reader_describe_damage(work.reader, &damage))
            error_print(&damage);
        out_begin(!as_json);
        if (as_json)
            print_json(&work);
        else
            print_text(&work);
        status = out_end();
    } else {
        error_print(&work.error);
        status = EXIT_UNUSABLE;
    }
    naming_free(&work.naming);
    native_names_free(&work.names);
    module_search_close(work.search);
    trace_reader_close(work.reader);
    return status;
}

const struct command command_symbolize = {
    .name = "symbolize",
    .synopsis = "[OPTION...] TRACE",
    .summary = "add names of native functions to a trace later",
    .description =
        "A trace names its native frames when its recording ends, from the files that are there. This adds what was "
        "missing then: functions, files, lines and inlined calls, from debug information that lies here now. Neither "
        "the "
        "program nor the machine where it ran is needed.\n"
        "\n"
        "A module's file is known by its build-id, and a file of another build is never used. It is looked for at "
        "its recorded path, in each DIR (as DIR/.build-id/xx/yyyy.debug, as DIR/path/of/the/module, with or without "
        ".debug, and anywhere else in it), in /usr/lib/debug, and with --debuginfod on the servers that "
        "DEBUGINFOD_URLS names. No server is asked without that option.\n"
        "\n"
        "TRACE is replaced by the new trace at once and only when that is whole; it stays as it is when anything "
        "fails, or when there is nothing to add. Names that it had are kept. The rest of the trace is not changed: a "
        "damaged one is as damaged as before.",
    .examples = "$ heapsake symbolize app.hsk\n"
                "after the packages with debug symbols were installed\n"
                "$ heapsake symbolize --debug-dir build/ -o named.hsk app.hsk\n"
                "from the unstripped files of a build\n"
                "$ heapsake symbolize --debuginfod app.hsk\n"
                "from the distribution's server, which DEBUGINFOD_URLS names",
    .options = options,
    .run = run,
};
