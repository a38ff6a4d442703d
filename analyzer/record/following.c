/* following.c - see following.h */
#include "record/following.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/grow.h"
#include "command.h"
#include "record/descendants.h"
#include "record/entering.h"
#include "record/preflight.h"
#include "record/proc_folder.h"
#include "record/process_info.h"

struct below {
    pid_t pid;
    bool called; /* it is on its way, or was */
};

static bool is_known(const struct following *following, pid_t pid)
{
    for (size_t i = 0; i < following->count; i++)
        if (following->below[i].pid == pid)
            return true;
    return false;
}

/* Adds who is new. */
static void look(struct following *following)
{
    pid_t *pids;
    ssize_t count = descendants_of(following->root, &pids);
    for (ssize_t i = 0; i < count; i++)
        if (!is_known(following, pids[i]) &&
            grow((void **)&following->below, following->count, &following->capacity, sizeof *following->below))
            following->below[following->count++] = (struct below){.pid = pids[i]};
    free(pids);
}

/* It meets the recorder where that listens: in our network namespace, and in the root's. One that has ended: nowhere
 * else. */
static bool can_meet(const struct following *following, pid_t pid)
{
    struct stat its, roots;
    int folder = proc_folder_open(pid);
    bool can = folder < 0 || proc_same(folder, "ns/net") != 0;
    if (!can && following->network > 0)
        can = fstatat(folder, "ns/net", &its, 0) == 0 && fstat(following->network, &roots) == 0 &&
              its.st_ino == roots.st_ino;
    if (folder >= 0)
        close(folder);
    return can;
}

/* Much of what is found in one that is about to end is not so of any other. */
static bool has_ended(pid_t pid)
{
    char state = process_info_state(pid);
    return !state || state == 'Z' || state == 'X';
}

/* True: it is on its way. */
static bool call(const struct following *following, pid_t pid)
{
    struct preflight list = PREFLIGHT_INIT;
    struct error error = {0};
    list.allow_seccomp = following->allow_seccomp;
    int code = preflight_process(&list, pid, following->library);
    const struct check *obstacle = preflight_obstacle(&list);
    bool passed_over = obstacle && (strcmp(obstacle->name, PREFLIGHT_TRACING) == 0 || has_ended(pid));
    if (code != 0)
        error_set(&error, code, "out of memory");
    else if (obstacle && !passed_over)
        code = preflight_refuse(obstacle, pid, &error);
    else if (!obstacle && !can_meet(following, pid))
        code = error_set(&error, -ENETUNREACH, "process %d: is in a network namespace of its own", (int)pid);
    preflight_free(&list);
    if (passed_over)
        return false;
    const struct injection_order order = {
        following->library, "heapsake_attach", following->session, following->call_ms, false, following->begun_ms};
    if (code == 0)
        code = entering_call(pid, &order, NULL, &error);
    if (code != 0 && code != -ESRCH)
        message_print("%s; it is not traced", error.text);
    return code == 0;
}

bool following_call_next(struct following *following)
{
    if (following->tried == following->count)
        look(following);
    if (following->tried == following->count)
        return false;
    struct below *below = &following->below[following->tried++];
    below->called = call(following, below->pid);
    return true;
}

static bool is_traced(const struct buf *traced, pid_t pid)
{
    for (size_t at = 0; at + sizeof pid <= traced->length; at += sizeof pid)
        if (memcmp(traced->data + at, &pid, sizeof pid) == 0)
            return true;
    return false;
}

static bool is_awaited(const struct below *below, const struct buf *traced)
{
    return below->called && !is_traced(traced, below->pid) && !has_ended(below->pid);
}

bool following_awaits(const struct following *following, const struct buf *traced)
{
    for (size_t i = 0; i < following->count; i++)
        if (is_awaited(&following->below[i], traced))
            return true;
    return false;
}

size_t following_tell(const struct following *following, const struct buf *traced)
{
    size_t count = 0;
    for (size_t i = 0; i < following->count; i++) {
        const struct below *below = &following->below[i];
        count += below->called && is_traced(traced, below->pid);
        if (is_awaited(below, traced))
            message_print(
                "process %d: is not traced yet: its Python is busy in C code, or its loader in another thread",
                (int)below->pid);
    }
    if (count)
        message_print("attached to %zu %s below it, too: traces beside it", count,
                      count == 1 ? "process" : "processes");
    return count;
}

void following_free(struct following *following)
{
    free(following->below);
    following->below = NULL;
    following->count = following->capacity = following->tried = 0;
}
