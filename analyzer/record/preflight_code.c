/*
 * preflight_code.c - the program, its C library, whether it can load ours, and the interpreter that it runs.
 *
 * Files are read, the mapped ones themselves where the kernel gives them out (map_files, for root), else what is at
 * their paths below the process' own root.
 */
#include <errno.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "internal/session.h"
#include "record/preflight_private.h"
#include "record/proc_folder.h"
#include "symbols/elf_file.h"
#include "symbols/elf_identity.h"
#include "symbols/python_version.h"

#define LIBRARY "libheapsake.so"
#define SESSION "/memfd:heapsake" /* what memory.c calls it */

static struct elf_file *open_mapped(const struct subject *subject, const struct mapping *file)
{
    int fd = mapping_open(file, subject->folder);
    return fd < 0 ? NULL : elf_file_open(fd);
}

/* ---- the program ---- */

static struct elf_file *open_program(const struct subject *subject)
{
    int fd = openat(subject->folder, "exe", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? NULL : elf_file_open(fd);
}

static const struct mapping *find_loader(const struct subject *subject)
{
    const struct mapping *loader = mapped_files_find(&subject->files, "ld-linux", true);
    return loader ? loader : mapped_files_find(&subject->files, "ld-2.", true);
}

static const struct mapping *find_libc(const struct subject *subject)
{
    const struct mapping *libc = mapped_files_find(&subject->files, "libc.so.6", false);
    return libc ? libc : mapped_files_find(&subject->files, "libc-2.", true); /* before glibc 2.33 */
}

static bool check_program(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "program";
    struct elf_file *program = open_program(subject);
    bool dynamic = true;
    if (program && (elf_file_bits(program) != 64 || elf_file_machine(program) != EM_X86_64)) {
        preflight_add(
            list, name, CHECK_FATAL, "is a %u-bit program%s: heapsake knows those of x86-64 alone",
            elf_file_bits(program),
            elf_file_machine(program) == EM_X86_64 || elf_file_machine(program) == EM_386 ? "" : " of another machine");
        elf_file_close(program);
        return false;
    }
    if (program)
        dynamic = elf_file_has_loader(program);
    if (!dynamic && !find_loader(subject) && !find_libc(subject)) {
        preflight_add(list, name, CHECK_FATAL, "is a static executable: it has no loader that could load anything");
        preflight_fix(list, "link it dynamically");
        dynamic = false;
    } else {
        preflight_add(list, name, program ? CHECK_OK : CHECK_LACKS,
                      program ? "is a dynamic x86-64 program" : "cannot be read: what it is, is not known");
        dynamic = true;
    }
    elf_file_close(program);
    return dynamic;
}

/* ---- the C library ---- */

/* Other C libraries, by the names of their loaders. */
static const char *foreign_libc(const struct subject *subject)
{
    if (mapped_files_find(&subject->files, "ld-musl", true) || mapped_files_find(&subject->files, "libc.musl", true))
        return "musl";
    if (mapped_files_find(&subject->files, "linker64", false))
        return "bionic";
    if (mapped_files_find(&subject->files, "ld64-uClibc", true) ||
        mapped_files_find(&subject->files, "libuClibc", true))
        return "uClibc";
    return NULL;
}

/* The newest version that our library needs and that the process' libraries do not define; NULL: they have all. */
static const char *missing_version(const struct subject *subject, const struct elf_file *own,
                                   const struct elf_file *libc)
{
    const char *soname, *version, *missing = NULL;
    const struct mapping *loader = find_loader(subject);
    struct elf_file *loader_file = loader ? open_mapped(subject, loader) : NULL;
    for (size_t i = 0; elf_file_version_needed(own, i, &soname, &version); i++) {
        const struct elf_file *provider = strncmp(soname, "libc.so", 7) == 0 ? libc
                                          : strncmp(soname, "ld-", 3) == 0   ? loader_file
                                                                             : NULL;
        if (provider && !elf_file_defines_version(provider, version) &&
            (!missing || elf_glibc_number(version) > elf_glibc_number(missing)))
            missing = version;
    }
    elf_file_close(loader_file);
    return missing;
}

static void compare_glibc(struct preflight *list, const struct subject *subject, const char *name,
                          const struct elf_file *libc)
{
    int fd = subject->library ? open(subject->library, O_RDONLY | O_CLOEXEC) : -1;
    struct elf_file *own = fd < 0 ? NULL : elf_file_open(fd);
    const char *missing = own ? missing_version(subject, own, libc) : NULL;
    unsigned has = elf_file_glibc_defined(libc);
    if (missing) {
        preflight_add(list, name, CHECK_FATAL, "has glibc 2.%u, and " LIBRARY " needs %s", has, missing);
        preflight_fix(list, "build heapsake on a system whose glibc is no newer than 2.%u", has);
    } else
        preflight_add(list, name, CHECK_OK, "has glibc 2.%u", has);
    elf_file_close(own);
}

static void check_libc(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "libc";
    const struct mapping *file = find_libc(subject);
    const char *foreign = file ? NULL : foreign_libc(subject);
    struct elf_file *libc = file ? open_mapped(subject, file) : NULL;
    if (foreign)
        preflight_add(list, name, CHECK_FATAL, "has %s as its C library: heapsake knows glibc alone", foreign);
    else if (!file)
        preflight_add(list, name, CHECK_FATAL, "has no glibc mapped (it may be starting)");
    else if (libc && elf_file_glibc_defined(libc))
        compare_glibc(list, subject, name, libc);
    else
        preflight_add(list, name, CHECK_LACKS,
                      "has a glibc that cannot be read%s: whether it is new enough is not known",
                      file->deleted ? ", since it was replaced" : "");
    elf_file_close(libc);
}

/* ---- our library, as the process finds it ---- */

/* Takes `fd` over. */
static bool identify(int fd, struct elf_identity *identity)
{
    bool known = fd >= 0 && elf_identify(fd, identity);
    if (fd >= 0)
        close(fd);
    return known;
}

static bool is_same_library(const struct subject *subject, const struct stat *theirs)
{
    struct elf_identity own_identity, their_identity;
    struct stat own;
    if (stat(subject->library, &own) != 0)
        return false;
    if (own.st_dev == theirs->st_dev && own.st_ino == theirs->st_ino)
        return true;
    if (own.st_size != theirs->st_size)
        return false;
    return identify(open(subject->library, O_RDONLY | O_CLOEXEC), &own_identity) &&
           identify(proc_open_path(subject->folder, subject->library, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                    &their_identity) &&
           elf_is_build(&their_identity, own_identity.build_id, own_identity.build_id_length);
}

static void fix_by_copy(struct preflight *list, const struct subject *subject)
{
    preflight_fix(list, "put it there, by a mount of its folder or with install -D %s /proc/%d/root%s",
                  subject->library, (int)subject->pid, subject->library);
}

static void check_library(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "library";
    char what[PATH_MAX + 64];
    struct stat status;
    struct statvfs system;
    if (!subject->library) {
        preflight_add(list, name, CHECK_FATAL, "cannot be given " LIBRARY ", which is not found");
        preflight_fix(list, "install heapsake, or name the library in HEAPSAKE_LIBRARY");
        return;
    }
    bool own_root = proc_same(subject->folder, "root") == 1 && proc_same(subject->folder, "ns/mnt") == 1;
    int fd = proc_open_path(subject->folder, subject->library, O_PATH | O_CLOEXEC);
    if (!preflight_may_read(subject, subject->library, what, sizeof what)) {
        preflight_add(list, name, CHECK_FATAL, "cannot load %s: %s", subject->library, what);
        preflight_fix(list, "install heapsake where every user may read it");
    } else if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        preflight_add(list, name, CHECK_FATAL, "finds no %s%s", subject->library,
                      own_root ? "" : ": it has files of its own, as in a container");
        fix_by_copy(list, subject);
    } else if (!is_same_library(subject, &status)) {
        preflight_add(list, name, CHECK_FATAL, "finds another %s than heapsake does%s", subject->library,
                      own_root ? "" : ": it has files of its own, as in a container");
        fix_by_copy(list, subject);
    } else if (fstatvfs(fd, &system) == 0 && system.f_flag & ST_NOEXEC) {
        preflight_add(list, name, CHECK_FATAL, "cannot load %s: its file system is mounted noexec", subject->library);
        preflight_fix(list, "install heapsake on another file system");
    } else
        preflight_add(list, name, CHECK_OK, "can read %s", subject->library);
    if (fd >= 0)
        close(fd);
}

/* ---- is it traced already? ---- */

/*
 * The fields of the session's header that tell whether somebody still reads it. What cannot be read has been unmapped
 * since the mappings were looked at: a detach tells its end first, and unmaps the session a moment later.
 */
static bool is_live_session(const struct subject *subject, const struct mapping *file)
{
    uint64_t magic = 0;
    uint32_t detached = 0, alive = 0;
    int fd = openat(subject->folder, "mem", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool read =
        pread(fd, &magic, sizeof magic, (off_t)(file->start + offsetof(struct hs_session, magic))) == sizeof magic &&
        pread(fd, &detached, sizeof detached, (off_t)(file->start + offsetof(struct hs_session, detached))) ==
            sizeof detached &&
        pread(fd, &alive, sizeof alive, (off_t)(file->start + offsetof(struct hs_session, recorder_alive))) ==
            sizeof alive;
    close(fd);
    return read && magic == HS_SESSION_MAGIC && detached == HS_ATTACHED && alive != 0 && !(alive & FUTEX_OWNER_DIED);
}

static void check_traced(struct preflight *list, const struct subject *subject)
{
    bool loaded = mapped_files_find(&subject->files, LIBRARY, false), live = false;
    for (size_t i = 0; loaded && !live && i < subject->files.count; i++) {
        const struct mapping *file = subject->files.files[i].first;
        live = file->offset == 0 && strcmp(file->name, SESSION) == 0 && is_live_session(subject, file);
    }
    if (live) {
        preflight_add(list, PREFLIGHT_TRACING, CHECK_FATAL, "is traced by heapsake already");
        preflight_fix(list, "heapsake snapshot %d looks into it now, heapsake detach %d ends the tracing",
                      (int)subject->pid, (int)subject->pid);
    } else
        preflight_add(list, PREFLIGHT_TRACING, CHECK_OK,
                      loaded ? "was traced before, and is no more" : "is not traced yet");
}

/* ---- the interpreter ---- */

static bool find_interpreter(const struct subject *subject, struct python_version *version, const char **path)
{
    struct elf_file *file;
    for (size_t i = 0; i < subject->files.count; i++) {
        const struct mapping *first = subject->files.files[i].first;
        if (subject->files.files[i].code && strncmp(mapping_file(first), "libpython", 9) == 0 &&
            (file = open_mapped(subject, first))) {
            int code = python_version_read(version, file, mapping_file(first));
            elf_file_close(file);
            if (code == 0) {
                *path = first->name;
                return true;
            }
        }
    }
    char target[PATH_MAX];
    ssize_t length = readlinkat(subject->folder, "exe", target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(target, '/');
    *path = "its executable";
    file = open_program(subject);
    int code = file ? python_version_read(version, file, slash ? slash + 1 : target) : -ENOENT;
    elf_file_close(file);
    return code == 0;
}

static void check_interpreter(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "interpreter";
    struct python_version version;
    char text[PYTHON_VERSION_TEXT];
    const char *path;
    if (!find_interpreter(subject, &version, &path))
        preflight_add(list, name, CHECK_OK, "runs no CPython: its native memory is recorded");
    else if (python_version_support(&version) == PYTHON_SUPPORT_FULL)
        preflight_add(list, name, CHECK_OK, "runs %s (%s)", python_version_text(&version, text), path);
    else
        preflight_add(list, name, CHECK_LACKS, "runs %s (%s): %s", python_version_text(&version, text), path,
                      python_version_lack(&version));
}

void preflight_code(struct preflight *list, const struct subject *subject)
{
    if (!check_program(list, subject))
        return;
    check_libc(list, subject);
    check_library(list, subject);
    check_traced(list, subject);
    check_interpreter(list, subject);
}
