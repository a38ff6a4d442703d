/* trace_baseline.c - see trace_baseline.h */
#include "report/trace_baseline.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/write_all.h"
#include "command.h"
#include "report/measured.h"

static void close_files(struct trace_baseline *other)
{
    if (other->text >= 0)
        close(other->text);
    if (other->messages >= 0)
        close(other->messages);
    *other = TRACE_BASELINE_INIT;
}

static int cannot(struct trace_baseline *other, const char *path)
{
    message_print("%s: cannot be measured: %s", path, strerror(errno));
    close_files(other);
    return EXIT_UNUSABLE;
}

static _Noreturn void measure(const struct trace_baseline *other, const char *path, bool leaks,
                              struct suppressions *suppressions)
{
    struct measured measured = {0};
    struct buf text = BUF_INIT;
    dup2(other->messages, STDERR_FILENO);
    int status = measured_open(&measured, path, leaks, NULL, suppressions);
    if (status == EXIT_DONE) {
        baseline_write(&measured.state, &text);
        if (text.failed || write_all(other->text, text.data, text.length) != 0) {
            message_print("%s: out of memory", path);
            status = EXIT_UNUSABLE;
        }
    }
    fflush(stderr);
    _exit(status);
}

int trace_baseline_begin(struct trace_baseline *other, const char *path, bool leaks, struct suppressions *suppressions)
{
    *other = TRACE_BASELINE_INIT;
    other->text = memfd_create("baseline", MFD_CLOEXEC);
    other->messages = memfd_create("messages", MFD_CLOEXEC);
    if (other->text < 0 || other->messages < 0)
        return cannot(other, path);
    fflush(NULL); /* else the child would have what is in the buffers, too */
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return cannot(other, path);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EXIT_UNUSABLE);
        measure(other, path, leaks, suppressions);
    }
    other->child = child;
    return EXIT_DONE;
}

/* A file of memory, from its start. False: out of memory. */
static bool read_all(int fd, struct buf *text)
{
    uint8_t part[8192];
    ssize_t got;
    for (off_t at = 0; (got = pread(fd, part, sizeof part, at)) > 0; at += got)
        buf_append(text, part, (size_t)got);
    return got == 0 && !text->failed;
}

static int wait_for(pid_t child)
{
    int state = 0;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR)
            return EXIT_UNUSABLE;
    return WIFEXITED(state) ? WEXITSTATUS(state) : EXIT_UNUSABLE;
}

int trace_baseline_end(struct trace_baseline *other, const char *path, struct baseline *baseline)
{
    struct buf messages = BUF_INIT, text = BUF_INIT;
    struct error error = {0};
    int status = wait_for(other->child);
    if (read_all(other->messages, &messages) && messages.length > 0)
        fwrite(messages.data, 1, messages.length, stderr);
    else if (status != EXIT_DONE)
        message_print("%s: cannot be measured: the process that did so was ended", path);
    if (status == EXIT_DONE && !read_all(other->text, &text)) {
        message_print("%s: out of memory", path);
        status = EXIT_UNUSABLE;
    }
    if (status == EXIT_DONE && baseline_parse(baseline, (char *)text.data, text.length, path, &error) != 0) {
        error_print(&error);
        status = EXIT_UNUSABLE;
    }
    buf_free(&messages);
    buf_free(&text);
    close_files(other);
    return status;
}

void trace_baseline_drop(struct trace_baseline *other)
{
    if (other->child == 0)
        return;
    kill(other->child, SIGKILL); /* our child, which nobody has waited for */
    wait_for(other->child);
    close_files(other);
}
