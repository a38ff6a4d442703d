/* entering.c - see entering.h */
#include "record/entering.h"

#include <errno.h>
#include <sys/ptrace.h>

#include "record/remote_exec.h"

int entering_call(pid_t pid, const struct injection_order *order, struct entering_report *report, struct error *error)
{
    struct entering_report done = {.by_script = false};
    struct error denied = {0}, refused = {0};
    int code = injection_call(pid, order, &done.injection, &denied);
    if (code == -EPERM) {
        int second = remote_exec_call(pid, order, &refused);
        done.by_script = second == 0;
        if (second == 0)
            code = 0;
        else if (second == -ESRCH)
            code = error_set(error, second, "process %d: %s", (int)pid, refused.text);
        /* what has no Python that could be asked is spoken of as if there were one way only */
        else if (second != -ENOENT)
            code = error_set(error, second, "%s; %s", denied.text, refused.text);
    }
    if (code != 0)
        error_set(error, code, "%s", denied.text);
    if (report)
        *report = done;
    return code;
}

int entering_ptrace_forbidden(pid_t pid)
{
    /* of a process that is not ours to continue: -ESRCH, where the call comes to that */
    long result = ptrace(PTRACE_CONT, pid, NULL, NULL);
    return result != 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS) ? -errno : 0;
}
