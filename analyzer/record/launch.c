/* launch.c - see launch.h */
#include "record/launch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/own_folder.h"
#include "internal/session.h"

#define LIBRARY "libheapsake.so"
#define BEGIN_TRACED 'T'
#define BEGIN_UNTRACED 'U'
#define MAX_INTERPRETERS 4 /* of interpreters: the kernel's own limit */

/* ---- what is this program? ---- */

static bool is_runnable(const char *path, int *why)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            *why = errno;
        return false;
    }
    if (!S_ISREG(status.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0) {
        *why = S_ISDIR(status.st_mode) ? EISDIR : EACCES;
        return false;
    }
    return true;
}

/* As execvp() looks; 0 or a negative errno. */
static int find_program(const char *program, char path[PATH_MAX])
{
    int why = ENOENT;
    if (strchr(program, '/')) {
        if (strlen(program) >= PATH_MAX)
            return -ENAMETOOLONG;
        strcpy(path, program);
        return is_runnable(path, &why) ? 0 : -why;
    }
    const char *folders = getenv("PATH");
    if (!folders)
        folders = "/bin:/usr/bin";
    for (const char *at = folders; *program; at++) {
        size_t length = strcspn(at, ":");
        int used = snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, at, length ? "/" : "", program);
        if (used > 0 && used < PATH_MAX && is_runnable(path, &why))
            return 0;
        at += length;
        if (!*at)
            break;
    }
    return why == EISDIR ? -ENOENT : -why;
}

/* The interpreter of a "#!" line; false when there is none. */
static bool read_interpreter(const char *head, char path[PATH_MAX])
{
    if (head[0] != '#' || head[1] != '!')
        return false;
    const char *begin = head + 2 + strspn(head + 2, " \t");
    size_t length = strcspn(begin, " \t\n");
    if (length == 0 || length >= PATH_MAX)
        return false;
    memcpy(path, begin, length);
    path[length] = '\0';
    return true;
}

/* Has it a program interpreter, the dynamic loader, which honours LD_PRELOAD? -1: it is no such ELF file. */
static int has_loader(int fd, const Elf64_Ehdr *header)
{
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return -1;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (pread(fd, &segment, sizeof segment, (off_t)(header->e_phoff + i * sizeof segment)) != sizeof segment)
            return -1;
        if (segment.p_type == PT_INTERP)
            return 1;
    }
    return 0;
}

static bool gains_privileges(const char *path, const struct stat *status)
{
    if ((status->st_mode & S_ISUID && status->st_uid != getuid()) ||
        ((status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status->st_gid != getgid()))
        return true;
    return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

static bool is_the_loader(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, "ld-linux", 8) == 0;
}

static enum launch_verdict check_file(const char *path, struct error *error)
{
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s", path);
    for (int depth = 0; depth <= MAX_INTERPRETERS; depth++) {
        union {
            char text[512];
            Elf64_Ehdr elf;
        } head = {0};
        struct stat status;
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && depth > 0 && errno == ENOENT) {
            error_set(error, -ENOENT, "%s: its interpreter is not found: %s", path, file);
            return LAUNCH_IMPOSSIBLE;
        }
        if (fd < 0)
            return LAUNCH_TRACEABLE; /* not readable for us, but perhaps executable: time will tell */
        ssize_t got = pread(fd, &head, sizeof head - 1, 0);
        char interpreter[PATH_MAX];
        bool script = got > 2 && read_interpreter(head.text, interpreter);
        bool elf = got >= (ssize_t)sizeof head.elf && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0;
        bool foreign = elf && (head.elf.e_ident[EI_CLASS] != ELFCLASS64 || head.elf.e_machine != EM_X86_64);
        int loader = elf && !foreign ? has_loader(fd, &head.elf) : -1;
        bool privileged = fstat(fd, &status) == 0 && elf && gains_privileges(file, &status);
        close(fd);
        if (foreign) {
            error_set(error, 0, "%s is no x86-64 program", file);
            return LAUNCH_UNTRACEABLE;
        }
        if (loader == 0 && !is_the_loader(file)) {
            error_set(error, 0, "%s is a static executable, nothing can be preloaded into it", file);
            return LAUNCH_UNTRACEABLE;
        }
        if (privileged) {
            error_set(error, 0,
                      "%s is a set-user-ID, set-group-ID or privileged program, the loader preloads nothing into it",
                      file);
            return LAUNCH_UNTRACEABLE;
        }
        if (!script)
            return LAUNCH_TRACEABLE;
        strcpy(file, interpreter);
    }
    return LAUNCH_TRACEABLE;
}

enum launch_verdict launch_check(const char *program, struct error *error)
{
    char path[PATH_MAX];
    int code = find_program(program, path);
    if (code == -ENOENT || code == -ENOTDIR) {
        error_set(error, code, "%s: not found%s", program, strchr(program, '/') ? "" : " in PATH");
        return LAUNCH_IMPOSSIBLE;
    }
    if (code != 0) {
        error_set(error, code, "%s: cannot be executed: %s", program, strerror(-code));
        return LAUNCH_IMPOSSIBLE;
    }
    return check_file(path, error);
}

/* ---- the library ---- */

int launch_find_library(char path[PATH_MAX], struct error *error)
{
    static const char *const places[] = {
        "../preload/" LIBRARY, /* as it is built */
        "../lib/heapsake/" LIBRARY,
        "../lib64/heapsake/" LIBRARY,
        "../lib/x86_64-linux-gnu/heapsake/" LIBRARY,
    };
    const char *chosen = getenv("HEAPSAKE_LIBRARY");
    char folder[PATH_MAX], candidate[2 * PATH_MAX];
    own_folder(folder);
    bool found = chosen && realpath(chosen, path);
    for (size_t i = 0; !chosen && !found && i < HS_COUNT_OF(places); i++) {
        snprintf(candidate, sizeof candidate, "%s%s", folder, places[i]);
        found = realpath(candidate, path) != NULL;
    }
    if (!chosen && !found)
        found = realpath(HEAPSAKE_LIBDIR "/" LIBRARY, path) != NULL;
    if (!found && chosen)
        return error_set(error, -ENOENT, "%s: not found (HEAPSAKE_LIBRARY names it)", chosen);
    if (!found)
        return error_set(error, -ENOENT,
                         LIBRARY " is neither beside the command (%s../preload) nor in " HEAPSAKE_LIBDIR
                                 ": name it in HEAPSAKE_LIBRARY, or install heapsake",
                         folder);
    if (strpbrk(path, ": "))
        return error_set(error, -ENOENT, "%s: the loader cannot preload a path with a colon or a space", path);
    return 0;
}

int launch_set_environment(const char *library, const char *session)
{
    const char *users = getenv(HS_ENV_PRELOAD);
    char *preload;
    if (asprintf(&preload, "%s%s%s", library, users && *users ? ":" : "", users ? users : "") < 0)
        return -ENOMEM;
    int code = setenv(HS_ENV_PRELOAD, preload, 1) == 0 && setenv(HS_ENV_SESSION, session, 1) == 0 ? 0 : -ENOMEM;
    free(preload);
    return code;
}

int launch_exec(char *const argv[])
{
    execvp(argv[0], argv);
    return -errno;
}

/* ---- the process ---- */

int launch_high_descriptor(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return high;
}

void launch_fill_standard_streams(bool all)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (all || fcntl(fd, F_GETFD) < 0) {
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (null >= 0 && null != fd) {
                dup2(null, fd);
                close(null);
            }
        }
}

static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    ends[0] = launch_high_descriptor(ends[0]);
    ends[1] = launch_high_descriptor(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    close(ends[0]);
    close(ends[1]);
    return -EMFILE;
}

/* In the child. */
static _Noreturn void wait_and_exec(int gate_fd, int error_fd, char *const argv[], const char *library,
                                    const char *session, const sigset_t *mask, bool child_ignored)
{
    char word;
    ssize_t got;
    do
        got = read(gate_fd, &word, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1)
        _exit(EXIT_UNUSABLE);
    if (child_ignored)
        signal(SIGCHLD, SIG_IGN);
    int code = word == BEGIN_TRACED ? launch_set_environment(library, session) : 0;
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (code == 0)
        code = launch_exec(argv);
    int number = -code;
    ssize_t written = write(error_fd, &number, sizeof number);
    (void)written;
    _exit(EXIT_USAGE);
}

int launch_fork(struct launch *launch, char *const argv[], const char *library, const char *session,
                const sigset_t *mask, bool child_ignored)
{
    int gate[2], failure[2];
    int code = make_pipe(gate);
    if (code != 0)
        return code;
    code = make_pipe(failure);
    if (code == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            close(gate[1]);
            wait_and_exec(gate[0], failure[1], argv, library, session, mask, child_ignored);
        }
        *launch = (struct launch){.pid = pid, .gate_fd = gate[1], .error_fd = failure[0]};
        if (pid < 0) {
            code = -errno;
            close(failure[0]);
        }
        close(failure[1]);
    }
    close(gate[0]);
    if (code != 0)
        close(gate[1]);
    return code;
}

int launch_begin(struct launch *launch, bool traced)
{
    char word = traced ? BEGIN_TRACED : BEGIN_UNTRACED;
    ssize_t written = write(launch->gate_fd, &word, 1);
    (void)written; /* when it has been killed its status tells */
    close(launch->gate_fd);
    int number = 0;
    ssize_t got;
    do
        got = read(launch->error_fd, &number, sizeof number);
    while (got < 0 && errno == EINTR);
    close(launch->error_fd);
    return got == sizeof number ? -number : 0;
}

void launch_cancel(struct launch *launch)
{
    close(launch->gate_fd);
    close(launch->error_fd);
    while (waitpid(launch->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
