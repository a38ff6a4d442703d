/* preflight_threads.c - what is told of each thread: its tracer, its filters, its shadow stack; and whether it runs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/cgroup.h"
#include "record/entering.h"
#include "record/preflight_private.h"
#include "record/proc_folder.h"
#include "record/remote_exec.h"

/* The kernel's modes of seccomp, as "Seccomp:" has them. */
#define SECCOMP_STRICT 1
#define SECCOMP_FILTER 2

/* The worst of what any thread says. */
struct threads {
    pid_t tracer;
    bool strict;      /* a thread may only read, write and end             */
    bool filtered;    /* a thread has a filter of system calls             */
    uint64_t filters; /* how many it has: the most of any, 0: not told     */
    bool shadow_stack;
};

static void read_thread(struct threads *threads, const char *status)
{
    uint64_t mode = proc_field_number(status, "Seccomp", 10, 0);
    uint64_t filters = proc_field_number(status, "Seccomp_filters", 10, 0);
    uint64_t tracer = proc_field_number(status, "TracerPid", 10, 0);
    const char *features = proc_field(status, "x86_Thread_features");
    if (tracer)
        threads->tracer = (pid_t)tracer;
    threads->strict |= mode == SECCOMP_STRICT;
    threads->filtered |= mode == SECCOMP_FILTER;
    if (filters > threads->filters)
        threads->filters = filters;
    if (features) {
        const char *end = strchrnul(features, '\n'), *found = strstr(features, "shstk");
        threads->shadow_stack |= found && found < end;
    }
}

static struct threads read_threads(const struct subject *subject)
{
    struct threads threads = {.tracer = 0};
    struct buf text = BUF_INIT;
    read_thread(&threads, subject->status);
    int fd = openat(subject->folder, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !folder)
        close(fd);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char name[300];
        snprintf(name, sizeof name, "%s/status", entry->d_name);
        if (entry->d_name[0] != '.' && proc_folder_text(&text, dirfd(folder), name))
            read_thread(&threads, (const char *)text.data);
    }
    if (folder)
        closedir(folder);
    buf_free(&text);
    return threads;
}

/* No thread can be stopped, for this reason: what about its Python? */
static void check_script(struct preflight *list, const char *name, const struct subject *subject, const char *why)
{
    struct error error = {0};
    int code = remote_exec_possible(subject->folder, &error);
    if (code == 0)
        preflight_add(list, name, CHECK_LACKS,
                      "%s: no thread of it would be stopped, its Python would run a script when its main thread next "
                      "runs Python code",
                      why);
    else if (code == -ENOENT || code == -ESRCH)
        preflight_add(list, name, CHECK_FATAL, "%s", why);
    else
        preflight_add(list, name, CHECK_FATAL, "%s; %s", why, error.text);
}

/* Which way in is open (entering.h). */
static void check_tracer(struct preflight *list, const struct subject *subject, const struct threads *threads)
{
    static const char name[] = "tracer";
    struct buf text = BUF_INIT;
    char path[64], why[200];
    int forbidden = threads->tracer ? 0 : entering_ptrace_forbidden(subject->pid);
    if (threads->tracer) {
        snprintf(path, sizeof path, "/proc/%d/comm", (int)threads->tracer);
        int length = proc_folder_text(&text, AT_FDCWD, path) ? (int)strcspn((char *)text.data, "\n") : 0;
        snprintf(why, sizeof why, "is traced by %.*s%sprocess %d already, and there is room for one tracer", length,
                 length ? (char *)text.data : "", length ? ", " : "", (int)threads->tracer);
        check_script(list, name, subject, why);
        preflight_fix(list, "detach or end process %d first", (int)threads->tracer);
        buf_free(&text);
    } else if (forbidden != 0) {
        snprintf(why, sizeof why, "must not be traced from here, where ptrace is forbidden (%s)", strerror(-forbidden));
        check_script(list, name, subject, why);
        preflight_fix(list,
                      "run heapsake elsewhere, or allow it ptrace: a container needs a seccomp profile that does");
    } else
        preflight_add(list, name, CHECK_OK, "is traced by nobody: one thread of it would be stopped for a moment");
}

static void check_state(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "state";
    const char *state = proc_field(subject->status, "State");
    if (state && *state == 'T') {
        preflight_add(list, name, CHECK_FATAL, "is stopped");
        preflight_fix(list, "kill -CONT %d", (int)subject->pid);
    } else if (cgroup_frozen(subject->folder)) {
        preflight_add(list, name, CHECK_FATAL, "is frozen with its cgroup");
        preflight_fix(list, "thaw the group, as docker unpause and systemctl thaw do");
    } else
        preflight_add(list, name, CHECK_OK, "is neither stopped nor frozen");
}

/* A process in the same container as we are has the filters that we have: with those this works. */
static bool has_own_filters(const struct threads *threads)
{
    struct buf own = BUF_INIT;
    bool same = threads->filters > 0 && proc_folder_text(&own, AT_FDCWD, "/proc/self/status") &&
                proc_field_number((const char *)own.data, "Seccomp", 10, 0) == SECCOMP_FILTER &&
                proc_field_number((const char *)own.data, "Seccomp_filters", 10, 0) == threads->filters;
    buf_free(&own);
    return same;
}

static void check_seccomp(struct preflight *list, const struct threads *threads, pid_t pid)
{
    static const char name[] = "seccomp";
    if (threads->strict)
        preflight_add(list, name, CHECK_FATAL,
                      "may make no system calls but read and write (seccomp, strict): to be looked into would end it");
    else if (!threads->filtered)
        preflight_add(list, name, CHECK_OK, "has no filter of system calls");
    else if (has_own_filters(threads))
        preflight_add(list, name, CHECK_OK, "has as many filters of system calls as heapsake itself");
    else {
        preflight_add(list, name, list->allow_seccomp ? CHECK_LACKS : CHECK_FATAL,
                      "filters its system calls (seccomp): one that is not expected may end it");
        preflight_fix(list, "heapsake attach --allow-seccomp %d tries it all the same", (int)pid);
    }
}

void preflight_threads(struct preflight *list, const struct subject *subject)
{
    struct threads threads = read_threads(subject);
    check_tracer(list, subject, &threads);
    check_state(list, subject);
    check_seccomp(list, &threads, subject->pid);
    if (threads.shadow_stack) {
        preflight_add(list, "shadow stack", CHECK_FATAL,
                      "keeps a shadow stack (CET): a call that is put into it from outside would end it");
        preflight_fix(list, "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
    } else
        preflight_add(list, "shadow stack", CHECK_OK, "has none");
}
