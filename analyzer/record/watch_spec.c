/* watch_spec.c - see watch_spec.h */
#include "record/watch_spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "internal/session.h"
#include "internal/watch_spec.h"
#include "internal/watchpoint.h"
#include "record/proc_folder.h"
#include "report/leak_subject.h"

/* ---- leak:TRACE#N ---- */

/* What would be read as the end of the term, or of the line, cannot be in it. */
static bool can_be_said(const char *text)
{
    return text && !strpbrk(text, ",\n");
}

/* The SPEC of a leak's objects, NULL when there is none or memory runs out; to be freed by nobody: it stays. */
static const char *spec_of_leak(const struct hs_watch_spec *spec, const char *command)
{
    struct leak_subject subject;
    struct buf text = BUF_INIT;
    char *trace = strndup(spec->trace.bytes, spec->trace.length);
    if (!trace || leak_subject_find(&subject, trace, spec->leak) != 0) {
        free(trace);
        return NULL;
    }
    char number[32];
    if (can_be_said(subject.type)) {
        buf_append(&text, "type:", 5);
        buf_append(&text, subject.type, strlen(subject.type));
    }
    if (can_be_said(subject.file) && subject.line) {
        buf_append(&text, text.length ? ",site:" : "site:", text.length ? 6 : 5);
        buf_append(&text, subject.file, strlen(subject.file));
        buf_append(&text, number, (size_t)snprintf(number, sizeof number, ":%u", subject.line));
    }
    if (!text.length)
        message_print("%s: --watch: leak %llu of %s is not of Python objects: what it consists of has no count",
                      command, (unsigned long long)spec->leak, trace);
    else if (spec->every)
        buf_append(&text, number,
                   (size_t)snprintf(number, sizeof number, ",every:%llu", (unsigned long long)spec->every));
    bool some = text.length > 0;
    buf_append(&text, "", 1);
    leak_subject_free(&subject);
    free(trace);
    if (some && !text.failed)
        return (const char *)text.data;
    buf_free(&text);
    return NULL;
}

/* ---- checking ---- */

int watch_spec_check(struct option_strings *specs, const char *command, bool running)
{
    size_t bytes = 1;
    if (specs->count > (int)HS_WATCH_REQUESTS) {
        message_print("%s: --watch: at most %u of them", command, HS_WATCH_REQUESTS);
        return EXIT_USAGE;
    }
    for (int i = 0; i < specs->count; i++) {
        struct hs_watch_spec spec;
        const char *text = specs->values[i];
        const char *wrong = strchr(text, '\n') ? "it is more than one line" : hs_watch_parse(&spec, text, strlen(text));
        if (!wrong && spec.address && !running)
            wrong = "addr: is for a process that runs already: heapsake attach";
        if (wrong) {
            message_print("%s: --watch %s: %s", command, text, wrong);
            return EXIT_USAGE;
        }
        if (spec.trace.bytes && !(specs->values[i] = spec_of_leak(&spec, command)))
            return EXIT_USAGE;
        bytes += strlen(specs->values[i]) + 1;
    }
    if (bytes <= HS_WATCH_BYTES)
        return EXIT_DONE;
    message_print("%s: --watch: together they are too long", command);
    return EXIT_USAGE;
}

/* ---- is it possible? ---- */

static bool kernel_is_new(void)
{
    struct utsname name;
    return uname(&name) == 0 && hs_watchpoint_kernel_is_new(name.release);
}

/* On a counter that nobody writes to. A descriptor, or -1 and errno. */
static int open_watchpoint(bool armed)
{
    static uint64_t counter;
    struct perf_event_attr attributes = hs_watchpoint_attributes(&counter, sizeof counter, 0);
    attributes.disabled = !armed;
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

bool watch_slows_copies(void)
{
    uint64_t without = hs_copy_ticks();
    int fd = kernel_is_new() ? open_watchpoint(true) : -1;
    if (fd < 0)
        return false;
    uint64_t with = hs_copy_ticks();
    close(fd);
    return with / HS_SLOW_COPY > without;
}

const char *watch_obstacle(void)
{
    if (!kernel_is_new())
        return "it needs Linux 5.18";
    int fd = open_watchpoint(false);
    if (fd >= 0) {
        close(fd);
        return NULL;
    }
    if (errno != EACCES && errno != EPERM)
        return errno == ENOSPC ? "the processor's watchpoints are in use by somebody else"
                               : "this machine has no hardware watchpoints (virtual machines may lack them)";
    return proc_number("/proc/sys/kernel/perf_event_paranoid", -1) > 2
               ? "kernel.perf_event_paranoid is above 2: `sysctl kernel.perf_event_paranoid=2` or CAP_PERFMON allows it"
               : "perf_event_open is forbidden here: a container needs a seccomp profile that allows it, or "
                 "CAP_PERFMON";
}
