/* out_text.c - see out_text.h */
#include "report/out_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"

const char *out_color_choice = "auto";

const char *const out_domain_names[HSK_DOMAINS] = {
    [HSK_DOMAIN_MALLOC] = "malloc", [HSK_DOMAIN_MMAP] = "mmap",           [HSK_DOMAIN_PY_RAW] = "py_raw",
    [HSK_DOMAIN_PY_MEM] = "py_mem", [HSK_DOMAIN_PY_OBJECT] = "py_object", [HSK_DOMAIN_ARENA] = "arena",
};

static struct {
    bool colored;
    bool headed; /* the report has a heading already */
    pid_t pager;
} out;

static bool wants_color(void)
{
    if (strcmp(out_color_choice, "always") == 0)
        return true;
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return strcmp(out_color_choice, "auto") == 0 && isatty(STDOUT_FILENO) && !(no_color && no_color[0]) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

/* Standard output becomes the pager's input. Without a pager all goes straight to the terminal. */
static void start_pager(void)
{
    const char *pager = getenv("PAGER"), *terminal = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || !terminal || strcmp(terminal, "dumb") == 0)
        return;
    if (!pager)
        pager = "less";
    if (pager[0] == '\0' || strcmp(pager, "cat") == 0)
        return;
    int ends[2];
    if (pipe(ends) != 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        close(ends[1]);
        setenv("LESS", "FRX", 0);
        setenv("LV", "-c", 0);
        execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    if (pid > 0) {
        dup2(ends[1], STDOUT_FILENO);
        out.pager = pid;
    }
    close(ends[1]);
}

void out_begin(bool paged)
{
    out.colored = wants_color();
    out.headed = false;
    if (paged)
        start_pager();
}

int out_end(void)
{
    bool failed = ferror(stdout) != 0;
    int code = 0;
    if (fflush(stdout) != 0) {
        failed = true;
        code = errno;
    }
    if (out.pager > 0) {
        close(STDOUT_FILENO); /* the pager's end of input */
        int status;
        while (waitpid(out.pager, &status, 0) < 0 && errno == EINTR)
            ;
        out.pager = 0;
        return EXIT_DONE; /* a pager that was left early is no failure */
    }
    if (!failed)
        return EXIT_DONE;
    message_print("cannot write to standard output: %s", code ? strerror(code) : "the output is not complete");
    return EXIT_UNUSABLE;
}

const char *out_color(enum out_color color)
{
    static const char *const sequences[] = {
        [OUT_PLAIN] = "\033[m",   [OUT_HEADING] = "\033[1m", [OUT_NUMBER] = "\033[33m",
        [OUT_PLACE] = "\033[36m", [OUT_DIM] = "\033[2m",     [OUT_WARNING] = "\033[31m",
    };
    return out.colored ? sequences[color] : "";
}

void out_heading(const char *format, ...)
{
    if (out.headed)
        putchar('\n');
    out.headed = true;
    fputs(out_color(OUT_HEADING), stdout);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("%s\n", out_color(OUT_PLAIN));
}

const char *out_bytes(char *text, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1023.995 && unit + 1 < HS_COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, OUT_NUMBER_SIZE, "%" PRIu64 " B", bytes);
    else
        snprintf(text, OUT_NUMBER_SIZE, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
    return text;
}

const char *out_count(char *text, uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count), to = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[to++] = ',';
        text[to++] = digits[i];
    }
    text[to] = '\0';
    return text;
}

const char *out_seconds(char *text, uint64_t nanoseconds)
{
    double seconds = (double)nanoseconds / 1e9;
    if (nanoseconds == 0)
        snprintf(text, OUT_NUMBER_SIZE, "0 s");
    else if (seconds >= 0.9995)
        snprintf(text, OUT_NUMBER_SIZE, "%.*f s", seconds < 100 ? 3 : 1, seconds);
    else if (nanoseconds >= 999500)
        snprintf(text, OUT_NUMBER_SIZE, "%.3g ms", seconds * 1e3);
    else if (nanoseconds >= 1000)
        snprintf(text, OUT_NUMBER_SIZE, "%.3g us", seconds * 1e6);
    else
        snprintf(text, OUT_NUMBER_SIZE, "%" PRIu64 " ns", nanoseconds);
    return text;
}

/*
 * In a GitHub workflow every line that begins with "::" behind blanks (of any script), or has "##[" in it, is a command
 * to the runner. A name must not become one: its first colon, or that "#", is shown as \xNN.
 */
static bool is_command(const char *bytes, size_t at, size_t length)
{
    if (length - at >= 3 && memcmp(bytes + at, "##[", 3) == 0)
        return out_in_workflow();
    if (length - at < 2 || memcmp(bytes + at, "::", 2) != 0)
        return false;
    for (size_t i = 0; i < at; i++)
        if ((unsigned char)bytes[i] > 0x20 && (unsigned char)bytes[i] < 0x80)
            return false;
    return out_in_workflow();
}

bool out_in_workflow(void)
{
    const char *value = getenv("GITHUB_ACTIONS");
    return value && strcmp(value, "true") == 0;
}

void out_untrusted(FILE *to, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t step = utf8_length(bytes + at, length - at);
        if (step == 0 || utf8_is_control(bytes + at, step) || is_command(bytes, at, length)) {
            fprintf(to, "\\x%02x", (unsigned char)bytes[at++]);
            continue;
        }
        fwrite(bytes + at, 1, step, to);
        at += step;
    }
}

struct text out_base_name(struct text path)
{
    for (size_t i = path.length; i > 0; i--)
        if (path.bytes[i - 1] == '/' && i < path.length)
            return (struct text){path.bytes + i, path.length - i};
    return path;
}

void out_frame(FILE *to, const struct frame *frame)
{
    if (frame->function.bytes)
        out_untrusted(to, frame->function.bytes, frame->function.length);
    else
        fputs("unknown", to);
    if (frame->file.bytes) {
        fprintf(to, "  %s", out_color(OUT_PLACE));
        out_untrusted(to, frame->file.bytes, frame->file.length);
        if (frame->line)
            fprintf(to, ":%" PRIu32, frame->line);
        fputs(out_color(OUT_PLAIN), to);
    } else if (frame->module.bytes) {
        struct text name = out_base_name(frame->module);
        fprintf(to, "  %sin ", out_color(OUT_DIM));
        out_untrusted(to, name.bytes, name.length);
        fputs(out_color(OUT_PLAIN), to);
    }
}

void out_stack(const struct stacks *stacks, uint32_t stack, int indent, unsigned limit)
{
    if (stack == 0)
        printf("%*s%s(no stack)%s\n", indent, "", out_color(OUT_DIM), out_color(OUT_PLAIN));
    for (unsigned shown = 0; stack != 0; stack = stacks_caller(stacks, stack)) {
        if (limit && shown++ == limit) {
            unsigned more = 0;
            for (; stack != 0; stack = stacks_caller(stacks, stack))
                more++;
            printf("%*s%s... %u more%s\n", indent, "", out_color(OUT_DIM), more, out_color(OUT_PLAIN));
            return;
        }
        struct frame frame = stacks_frame(stacks, stack);
        printf("%*s", indent, "");
        out_frame(stdout, &frame);
        putchar('\n');
    }
}
