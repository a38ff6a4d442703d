/* out_processes.c - see out_processes.h */
#include "report/out_processes.h"

#include <inttypes.h>
#include <string.h>

#include "base/base_name.h"
#include "report/out_text.h"

#define SHOWN_PROCESSES 60u
#define SHOWN_DEPTH 10u /* further ones are indented no more */
#define COMMAND_WIDTH 34u

static bool is_exec(const struct trace_info *info)
{
    return info->ended_by && strcmp(info->ended_by, "exec") == 0;
}

const char *out_ending(char text[OUT_END_SIZE], const struct trace_info *info)
{
    char limit[OUT_NUMBER_SIZE];
    if (is_exec(info))
        snprintf(text, OUT_END_SIZE, "replaced by exec");
    else if (info->out_of_memory && info->memory_limit > 0)
        snprintf(text, OUT_END_SIZE, "killed by the kernel for lack of memory (cgroup limit %s)",
                 out_bytes(limit, info->memory_limit));
    else if (info->out_of_memory)
        snprintf(text, OUT_END_SIZE, "killed by the kernel for lack of memory");
    else if (info->exit_signal > 0)
        snprintf(text, OUT_END_SIZE, "killed by signal %d", info->exit_signal);
    else if (info->exit_status >= 0)
        snprintf(text, OUT_END_SIZE, "exit status %d", info->exit_status);
    else
        snprintf(text, OUT_END_SIZE, "%s", info->ended_by ? info->ended_by : "not known");
    return text;
}

/* In a few letters, for a column. */
static const char *short_end(char text[OUT_END_SIZE], const struct trace_info *info)
{
    if (is_exec(info))
        snprintf(text, OUT_END_SIZE, "exec");
    else if (info->out_of_memory)
        snprintf(text, OUT_END_SIZE, "out of memory");
    else if (info->exit_signal > 0)
        snprintf(text, OUT_END_SIZE, "signal %d", info->exit_signal);
    else if (info->exit_status >= 0)
        snprintf(text, OUT_END_SIZE, "exit %d", info->exit_status);
    else if (!info->has_end)
        snprintf(text, OUT_END_SIZE, "not finished");
    else
        snprintf(text, OUT_END_SIZE, "%.16s", info->ended_by ? info->ended_by : "not known");
    return text;
}

/* ---- JSON ---- */

static void put_known(struct json *json, const char *key, bool known, uint64_t value)
{
    if (known)
        put_unsigned(json, key, value);
    else
        put_null(json, key);
}

static void put_nonnegative(struct json *json, const char *key, int64_t value)
{
    put_known(json, key, value >= 0, (uint64_t)value);
}

void out_ending_json(struct json *json, const struct trace_info *info)
{
    open_object(json, "exit");
    put_nonnegative(json, "status", info->exit_status);
    put_nonnegative(json, "signal", info->exit_signal);
    put_bool(json, "out_of_memory", info->out_of_memory);
    put_known(json, "memory_limit", info->memory_limit > 0, info->memory_limit);
    close_object(json);
}

static void put_image(struct json *json, const struct process_image *image)
{
    const struct trace_info *info = &image->info;
    bool read = !image->problem, ended = read && info->has_end;
    put_string(json, "file", image->file);
    put_string(json, "problem", image->problem);
    put_texts(json, "argv", &info->arguments);
    put_string(json, "executable", info->executable);
    put_string(json, "python_version", info->python_version);
    put_bool(json, "forked", info->forked);
    out_ending_json(json, info);
    put_string(json, "ended_by", info->ended_by);
    if (read) {
        put_seconds(json, "start_time", info->start_time_ns);
        put_seconds(json, "duration", info->duration_ns);
    } else {
        put_null(json, "start_time");
        put_null(json, "duration");
    }
    put_bool(json, "complete", image->complete);
    put_known(json, "events", read, image->events);
    put_known(json, "allocations", ended, info->allocations);
    put_known(json, "frees", ended, info->frees);
    put_known(json, "lost", ended, info->lost);
    put_known(json, "allocated_bytes", ended, info->allocated_bytes);
    put_known(json, "peak_bytes", ended, info->peak_bytes);
    put_known(json, "live_bytes", ended, process_live_bytes(image));
    put_known(json, "live_blocks", ended, info->has_done ? info->done_live_blocks : info->live_blocks);
}

static void put_process(struct json *json, const struct process_tree *tree, const struct tree_process *process)
{
    const struct tree_process *parent = process->parent == PROCESS_NONE ? NULL : &tree->processes[process->parent];
    open_object(json, NULL);
    put_nonnegative(json, "pid", process->pid);
    put_nonnegative(json, "parent_pid", parent ? parent->pid : process->images[0]->info.parent_pid);
    put_string(json, "parent_file", parent ? tree_process_last(parent)->file : NULL);
    put_image(json, tree_process_last(process));
    open_array(json, "images_before");
    for (size_t i = 0; i + 1 < process->image_count; i++) {
        open_object(json, NULL);
        put_image(json, process->images[i]);
        close_object(json);
    }
    close_array(json);
    close_object(json);
}

void out_processes_json(struct json *json, const struct process_tree *tree)
{
    struct process_sums sums;
    if (tree->image_count < 2)
        return;
    process_tree_sum(tree, &sums);
    open_array(json, "processes");
    for (size_t i = 0; i < tree->count; i++)
        put_process(json, tree, &tree->processes[i]);
    close_array(json);
    open_object(json, "process_totals");
    put_unsigned(json, "processes", sums.processes);
    put_unsigned(json, "traces", sums.traces);
    put_unsigned(json, "missing", sums.missing);
    put_unsigned(json, "unfinished", sums.unfinished);
    put_unsigned(json, "events", sums.events);
    put_unsigned(json, "allocations", sums.allocations);
    put_unsigned(json, "frees", sums.frees);
    put_unsigned(json, "allocated_bytes", sums.allocated_bytes);
    put_unsigned(json, "live_bytes", sums.live_bytes);
    put_unsigned(json, "peak_bytes_at_most", sums.peak_bytes);
    close_object(json);
}

/* ---- text ---- */

/* A buffer that takes what fits. */
struct line {
    char text[COMMAND_WIDTH + 1];
    size_t length;
    bool cut;
};

static void add(struct line *line, const char *text)
{
    for (; *text; text++) {
        if (line->length == COMMAND_WIDTH) {
            line->cut = true;
            return;
        }
        unsigned char byte = (unsigned char)*text;
        line->text[line->length++] = byte < 0x20 || byte >= 0x7f ? '?' : (char)byte;
    }
}

/* What was executed, without its folder, and what it was given. Of plain ASCII, so that columns stay columns. */
static void add_command(struct line *line, const struct trace_info *info)
{
    if (info->arguments.count == 0)
        add(line, info->executable ? base_name(info->executable) : "?");
    for (size_t i = 0; i < info->arguments.count && !line->cut; i++) {
        add(line, i ? " " : "");
        add(line, i ? info->arguments.texts[i] : base_name(info->arguments.texts[i]));
    }
    if (line->cut)
        memcpy(line->text + COMMAND_WIDTH - 3, "...", 3);
    line->text[line->length] = '\0';
}

static void print_row(const struct tree_process *process, const struct process_image *image, bool before)
{
    const struct trace_info *info = &image->info;
    struct line line = {.length = 0};
    char pid[32] = "", end[OUT_END_SIZE], time[OUT_NUMBER_SIZE], peak[OUT_NUMBER_SIZE], live[OUT_NUMBER_SIZE],
         events[OUT_NUMBER_SIZE];
    for (unsigned depth = 0; depth < process->depth + before && depth < SHOWN_DEPTH; depth++)
        add(&line, "  ");
    if (before)
        add(&line, "before: ");
    else if (process->pid >= 0)
        snprintf(pid, sizeof pid, "%" PRId64, process->pid);
    if (image->problem) {
        line.text[line.length] = '\0';
        printf("  %8s %s%s", pid, line.text, out_color(OUT_WARNING));
        out_untrusted(stdout, image->file, strlen(image->file));
        printf(": %s%s\n", image->problem, out_color(OUT_PLAIN));
        return;
    }
    add_command(&line, info);
    printf("  %8s %-*s  %-16s %9s %10s %10s %12s  ", pid, (int)COMMAND_WIDTH, line.text, short_end(end, info),
           out_seconds(time, info->duration_ns), info->has_end ? out_bytes(peak, info->peak_bytes) : "?",
           info->has_end ? out_bytes(live, process_live_bytes(image)) : "?", out_count(events, image->events));
    out_untrusted(stdout, image->file, strlen(image->file));
    putchar('\n');
}

static void print_sums(const struct process_tree *tree)
{
    struct process_sums sums;
    char a[OUT_NUMBER_SIZE], b[OUT_NUMBER_SIZE];
    process_tree_sum(tree, &sums);
    printf("  all: %s in %s allocations, %s live at their ends;", out_bytes(a, sums.allocated_bytes),
           out_count(b, sums.allocations), out_bytes((char[OUT_NUMBER_SIZE]){0}, sums.live_bytes));
    printf(sums.missing + sums.unfinished > 0 ? " the peaks that are known add up to %s\n"
                                              : " at one time never more than %s, the sum of the peaks\n",
           out_bytes(a, sums.peak_bytes));
    if (sums.missing > 0)
        printf("  %s%s %s could not be read, and %s not in these sums%s\n", out_color(OUT_WARNING),
               out_count(a, sums.missing), sums.missing == 1 ? "trace" : "traces", sums.missing == 1 ? "is" : "are",
               out_color(OUT_PLAIN));
    if (sums.unfinished > 0)
        printf("  %s%s %s not finished, and %s bytes are not in these sums%s\n", out_color(OUT_WARNING),
               out_count(a, sums.unfinished), sums.unfinished == 1 ? "trace is" : "traces are",
               sums.unfinished == 1 ? "its" : "their", out_color(OUT_PLAIN));
}

void out_processes_text(const struct process_tree *tree)
{
    unsigned shown = 0;
    char left[OUT_NUMBER_SIZE];
    if (tree->image_count < 2)
        return;
    out_heading("Processes");
    printf("  %8s %-*s  %-16s %9s %10s %10s %12s  %s\n", "pid", (int)COMMAND_WIDTH, "command", "ended", "duration",
           "peak", "live", "events", "trace");
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_process *process = &tree->processes[i];
        if (shown + process->image_count > SHOWN_PROCESSES && i > 0) {
            printf("  and %s more (--json has all)\n", out_count(left, tree->count - i));
            break;
        }
        print_row(process, tree_process_last(process), false);
        for (size_t j = 0; j + 1 < process->image_count && j < SHOWN_PROCESSES; j++)
            print_row(process, process->images[j], true);
        shown += (unsigned)process->image_count;
    }
    print_sums(tree);
}
