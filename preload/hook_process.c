/*
 * hook_process.c - fork, exec, spawn, exit, and threads.
 *
 * vfork is not hooked: its child returns through the caller's frame, so a wrapper would destroy it. What that child
 * calls next, exec or _exit, is hooked, and recognizes by its pid that it is a guest in its parent's memory: it writes
 * no event and no global state.
 */
#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "environment.h"
#include "environment_loan.h"
#include "hook_process.h"
#include "process.h"
#include "real.h"
#include "session.h"
#include "thread.h"

/* Above this an environment is put together in pages of its own instead of on the stack. */
#define STACK_ROOM ((size_t)16 << 10)

struct exec_environment {
    char **envp;
    void *mapped; /* NULL: on the caller's stack */
    size_t size;
};

static struct exec_environment make_environment(char *const envp[], struct environment_room room, void *on_stack)
{
    struct exec_environment made = {.envp = (char **)envp};
    made.size = room.pointers * sizeof(char *) + room.bytes;
    char **memory = on_stack;
    if (room.pointers && !memory)
        memory = made.mapped = arena_map(made.size);
    if (memory)
        made.envp = environment_restore(envp, memory, (char *)(memory + room.pointers));
    return made;
}

/* A macro, because the stack room must belong to the function that executes. */
#define EXEC_ENVIRONMENT(name, users_envp)                                                                             \
    struct environment_room name##_room = environment_measure(users_envp);                                             \
    size_t name##_size = name##_room.pointers * sizeof(char *) + name##_room.bytes;                                    \
    struct exec_environment name = make_environment(                                                                   \
        users_envp, name##_room, name##_size && name##_size <= STACK_ROOM ? alloca(name##_size) : NULL)

static void discard_environment(struct exec_environment *made)
{
    if (made->mapped)
        arena_unmap(made->mapped, made->size);
}

#define EXEC(call)                                                                                                     \
    EXEC_ENVIRONMENT(made, envp);                                                                                      \
    process_exec_begins();                                                                                             \
    int result = call;                                                                                                 \
    int saved_errno = errno;                                                                                           \
    process_exec_failed();                                                                                             \
    discard_environment(&made);                                                                                        \
    errno = saved_errno;                                                                                               \
    return result

HS_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    real_ensure();
    EXEC(real.execve(path, argv, made.envp));
}

HS_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    real_ensure();
    EXEC(real.execvpe(file, argv, made.envp));
}

HS_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    real_ensure();
    EXEC(real.fexecve(fd, argv, made.envp));
}

HS_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    real_ensure();
    if (!real.execveat) {
        errno = ENOSYS;
        return -1;
    }
    EXEC(real.execveat(fd, path, argv, made.envp, flags));
}

HS_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}
HS_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* The argument lists of execl and its kin become vectors on the stack, as in libc. */
#define VECTOR(first)                                                                                                  \
    va_list list;                                                                                                      \
    va_start(list, first);                                                                                             \
    char *argument_zero = (char *)first;                                                                               \
    __asm__("" : "+r"(argument_zero)); /* declared never NULL, but programs do it */                                   \
    size_t count = 1;                                                                                                  \
    if (argument_zero)                                                                                                 \
        while (va_arg(list, char *))                                                                                   \
            count++;                                                                                                   \
    va_end(list);                                                                                                      \
    char **argv = alloca((count + 1) * sizeof *argv);                                                                  \
    va_start(list, first);                                                                                             \
    argv[0] = argument_zero;                                                                                           \
    for (size_t i = 1; i <= count && argv[i - 1]; i++)                                                                 \
    argv[i] = va_arg(list, char *)

HS_EXPORT int execl(const char *path, const char *first, ...)
{
    VECTOR(first);
    va_end(list);
    return execve(path, argv, environ);
}

HS_EXPORT int execlp(const char *file, const char *first, ...)
{
    VECTOR(first);
    va_end(list);
    return execvpe(file, argv, environ);
}

HS_EXPORT int execle(const char *path, const char *first, ...)
{
    VECTOR(first);
    char *const *envp = va_arg(list, char *const *);
    va_end(list);
    return execve(path, argv, envp);
}

HS_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    real_ensure();
    EXEC_ENVIRONMENT(made, envp);
    int result = real.posix_spawn(pid, path, actions, attributes, argv, made.envp);
    discard_environment(&made);
    return result;
}

HS_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    real_ensure();
    EXEC_ENVIRONMENT(made, envp);
    int result = real.posix_spawnp(pid, file, actions, attributes, argv, made.envp);
    discard_environment(&made);
    return result;
}

static void take_back(void *unused)
{
    (void)unused;
    int saved_errno = errno;
    environment_take_back();
    errno = saved_errno;
}

/* The thread may be cancelled while it waits for the command. */
HS_EXPORT int system(const char *command)
{
    real_ensure();
    int result;
    environment_lend();
    pthread_cleanup_push(take_back, NULL);
    result = real.system(command);
    pthread_cleanup_pop(1);
    return result;
}

HS_EXPORT FILE *popen(const char *command, const char *mode)
{
    real_ensure();
    environment_lend();
    FILE *result = real.popen(command, mode);
    take_back(NULL);
    return result;
}

/* The work is done in process.c's atfork handlers; here only the result is told. */
HS_EXPORT pid_t fork(void)
{
    real_ensure();
    pid_t child = real.fork();
    if (child != 0)
        process_forked(child);
    return child;
}

HS_EXPORT void _exit(int status)
{
    process_exits(status, __builtin_frame_address(0), false);
    real_ensure();
    real._exit(status);
    __builtin_unreachable();
}

HS_EXPORT void _Exit(int status)
{
    _exit(status);
}

/* From here on a second thread may exist: events must be sequenced before it runs. */
HS_EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                             void *(*start)(void *), void *restrict argument)
{
    real_ensure();
    if (!atomic_load_explicit(&session.threaded, memory_order_relaxed) &&
        atomic_load_explicit(&session.state, memory_order_relaxed) == SESSION_ON) {
        struct thread *self = hook_enter();
        if (self || hook_inside()) {
            atomic_store(&session.threaded, 1);
            atomic_store(&session.shared->threaded, 1);
        }
        if (self)
            hook_leave(self);
    }
    return real.pthread_create(thread, attributes, start, argument);
}

static void at_exit(int status, void *unused)
{
    (void)unused;
    process_exits(status, __builtin_frame_address(0), true);
}

void hook_process_prepare(void)
{
    static bool prepared;
    if (prepared)
        return;
    prepared = true;
    process_prepare();
    on_exit(at_exit, NULL); /* registered first, so it runs after the program's own */
}
