/* preflight_process.c - is there such a process, and in which order is it looked at? See preflight.h. */
#include "record/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/preflight_private.h"
#include "record/proc_folder.h"

#define KERNEL_THREAD 0x00200000u /* the kernel's PF_KTHREAD, in the ninth field of stat */

static bool fail(struct preflight *list, const char *detail)
{
    preflight_add(list, PREFLIGHT_PROCESS, CHECK_FATAL, "%s", detail);
    return false;
}

static bool is_kernel_thread(const struct subject *subject)
{
    struct buf text = BUF_INIT;
    const char *flags = proc_folder_text(&text, subject->folder, "stat") ? proc_stat_field((char *)text.data, 9) : NULL;
    bool is_one = flags && strtoul(flags, NULL, 10) & KERNEL_THREAD;
    buf_free(&text);
    return is_one;
}

/* False: there is none, or none that anything more could be said of. */
static bool check_process(struct preflight *list, const struct subject *subject)
{
    const char *state = proc_field(subject->status, "State");
    uint64_t threads = proc_field_number(subject->status, "Threads", 10, 0);
    pid_t whose = (pid_t)proc_field_number(subject->status, "Tgid", 10, 0);
    if (!state || whose == 0)
        return fail(list, "has ended");
    if (whose != subject->pid) {
        preflight_add(list, PREFLIGHT_PROCESS, CHECK_FATAL, "is a thread of process %d", (int)whose);
        preflight_fix(list, "ask for process %d", (int)whose);
        return false;
    }
    if (*state == 'X' || (*state == 'Z' && threads <= 1))
        return fail(list, "is a zombie: it has ended, and its parent has not asked for its status yet");
    if (*state == 'Z')
        return fail(list, "has lost its first thread, and the kernel shows its memory no more");
    if (subject->pid == getpid())
        return fail(list, "is heapsake itself");
    if (is_kernel_thread(subject))
        return fail(list, "is a thread of the kernel, which has no memory of its own");
    const char *name = proc_field(subject->status, "Name");
    preflight_add(list, PREFLIGHT_PROCESS, CHECK_OK, "runs %.*s in %llu thread%s", name ? (int)strcspn(name, "\n") : 0,
                  name ? name : "", (unsigned long long)threads, threads == 1 ? "" : "s");
    return true;
}

static void check_missing(struct preflight *list, pid_t pid)
{
    if (access("/proc/self/status", R_OK) != 0)
        fail(list, "cannot be looked at: /proc is not mounted here");
    else if (kill(pid, 0) == 0 || errno == EPERM) {
        preflight_add(list, PREFLIGHT_PROCESS, CHECK_FATAL, "is another user's, and /proc hides it from this one");
        preflight_fix(list, "run heapsake as that user, or as root");
    } else
        fail(list, "there is no such process");
}

static void check_all(struct preflight *list, struct subject *subject)
{
    if (!check_process(list, subject))
        return;
    bool may = preflight_permission(list, subject);
    preflight_threads(list, subject);
    int code = may ? mapped_files_read(&subject->files, subject->folder) : 0;
    if (code != 0)
        preflight_add(list, "program", CHECK_FATAL, "does not show what it has mapped: %s", strerror(-code));
    else if (may) {
        preflight_code(list, subject);
        preflight_namespaces(list, subject);
    }
    preflight_limits(list, subject);
    mapped_files_free(&subject->files);
}

int preflight_process(struct preflight *list, pid_t pid, const char *library)
{
    struct buf status = BUF_INIT;
    struct subject subject = {.pid = pid, .library = library, .files = MAPPED_FILES_INIT};
    size_t first = list->count;
    subject.folder = proc_folder_open(pid);
    if (subject.folder >= 0 && proc_folder_text(&status, subject.folder, "status")) {
        subject.status = (const char *)status.data;
        check_all(list, &subject);
        /* What was read while it was ending says nothing. */
        if (faccessat(subject.folder, "status", R_OK, 0) != 0) {
            struct preflight before = {.checks = list->checks + first, .count = list->count - first};
            for (size_t i = 0; i < before.count; i++) {
                free(before.checks[i].detail);
                free(before.checks[i].fix);
            }
            list->count = first;
            fail(list, "has ended meanwhile");
        }
    } else
        check_missing(list, pid);
    buf_free(&status);
    if (subject.folder >= 0)
        close(subject.folder);
    return list->failed ? -ENOMEM : 0;
}
