/* module_file.c - see module_file.h */
#include "symbols/module_file.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/open_below.h"
#include "internal/compiler.h"
#include "symbols/elf_identity.h"
#include "symbols/known_names.h"

#define VDSO_MAX_BYTES (256u << 10)
#define DEBUG_FOLDER "/usr/lib/debug"

struct module_file {
    struct module_file *next;
    unsigned references;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    int fd;
    int debug_fd;
    struct known_names *known;
    struct elf_identity identity;
};

struct module_root {
    struct module_root *next;
    unsigned references;
    dev_t device;
    ino_t inode;
    ino_t mount_namespace;
    int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct module_file *files;
static struct module_root *roots;
static struct module_file *vdso;
static unsigned open_count;
static unsigned open_limit;

/* Descriptors are for symbols only as far as the recorder's own business leaves them. Called with the lock held. */
static bool may_open_more(void)
{
    if (!open_limit) {
        elf_version(EV_CURRENT);
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit = (struct rlimit){.rlim_cur = 1024, .rlim_max = 1024};
        rlim_t wanted = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        if (limit.rlim_cur < wanted) {
            struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
            if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
                limit = raised;
        }
        open_limit = (unsigned)(limit.rlim_cur < 65536 ? limit.rlim_cur : 65536) / 2;
    }
    return open_count < open_limit;
}

static void close_quietly(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
}

/* ---- roots ---- */

static bool stat_of(pid_t pid, const char *name, struct stat *status)
{
    char path[64];
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    else
        snprintf(path, sizeof path, "/proc/self/%s", name);
    return stat(path, status) == 0;
}

bool module_root_of(pid_t pid, struct module_root **result)
{
    struct stat root, space, own_root, own_space;
    if (!stat_of(pid, "root", &root))
        return false;
    if (!stat_of(pid, "ns/mnt", &space))
        space.st_ino = 0;
    if (!stat_of(0, "root", &own_root) || !stat_of(0, "ns/mnt", &own_space))
        own_space.st_ino = 0;
    if (root.st_dev == own_root.st_dev && root.st_ino == own_root.st_ino &&
        (space.st_ino == own_space.st_ino || !space.st_ino || !own_space.st_ino)) {
        *result = NULL;
        return true;
    }
    pthread_mutex_lock(&lock);
    struct module_root *known = roots;
    while (known &&
           (known->device != root.st_dev || known->inode != root.st_ino || known->mount_namespace != space.st_ino))
        known = known->next;
    if (known)
        known->references++;
    else if (may_open_more() && (known = malloc(sizeof *known))) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
        *known = (struct module_root){
            .next = roots,
            .references = 1,
            .device = root.st_dev,
            .inode = root.st_ino,
            .mount_namespace = space.st_ino,
            .fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        };
        if (known->fd < 0) {
            free(known);
            known = NULL;
        } else {
            roots = known;
            open_count++;
        }
    }
    pthread_mutex_unlock(&lock);
    if (known)
        *result = known;
    return known;
}

struct module_root *module_root_ref(struct module_root *root)
{
    if (root) {
        pthread_mutex_lock(&lock);
        root->references++;
        pthread_mutex_unlock(&lock);
    }
    return root;
}

void module_root_unref(struct module_root *root)
{
    if (!root)
        return;
    pthread_mutex_lock(&lock);
    bool last = --root->references == 0;
    if (last) {
        struct module_root **link = &roots;
        while (*link != root)
            link = &(*link)->next;
        *link = root->next;
        open_count--;
    }
    pthread_mutex_unlock(&lock);
    if (last) {
        close_quietly(root->fd);
        free(root);
    }
}

int module_root_open(const struct module_root *root, const char *path)
{
    /* Not blocking, no terminal: the traced program chose the path, and it may be anything. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = root ? open_below(root->fd, path, flags) : open(path, flags);
    if (fd < 0)
        return root ? fd : -errno;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close_quietly(fd);
        return -ENXIO;
    }
    return fd;
}

/* ---- separate debug information ---- */

/* A debug file counts only with the same build-id: a name alone proves nothing. */
static int open_debug_candidate(const struct module_root *root, const char *path, const struct module_file *file)
{
    int fd = module_root_open(root, path);
    if (fd < 0)
        return -1;
    struct elf_identity identity;
    bool same = elf_identify(fd, &identity) && identity.names == ELF_DEBUG_INFORMATION &&
                elf_is_build(&identity, file->identity.build_id, file->identity.build_id_length);
    if (!same) {
        close_quietly(fd);
        fd = -1;
    }
    return fd;
}

static int open_debug_file(Elf *elf, const struct module_root *root, const char *path, const struct module_file *file)
{
    if (file->identity.build_id_length < 2)
        return -1;
    char candidate[PATH_MAX], text[BUILD_ID_TEXT_SIZE];
    snprintf(candidate, sizeof candidate, DEBUG_FOLDER "/.build-id/%02x/%s.debug", file->identity.build_id[0],
             build_id_text(text, file->identity.build_id + 1, file->identity.build_id_length - 1));
    int fd = open_debug_candidate(root, candidate, file);
    GElf_Word checksum;
    const char *link = fd < 0 ? dwelf_elf_gnu_debuglink(elf, &checksum) : NULL;
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!link || !*link || strchr(link, '/') || !slash)
        return fd;
    static const struct {
        const char *above, *below;
    } folders[] = {{"", "/.debug"}, {"", ""}, {DEBUG_FOLDER, ""}};
    for (size_t i = 0; fd < 0 && i < HS_COUNT_OF(folders); i++) {
        int wanted = snprintf(candidate, sizeof candidate, "%s%.*s%s/%s", folders[i].above, (int)(slash - path), path,
                              folders[i].below, link);
        if (wanted > 0 && (size_t)wanted < sizeof candidate)
            fd = open_debug_candidate(root, candidate, file);
    }
    return fd;
}

/* ---- the registry ---- */

static struct module_file *find_file(dev_t device, ino_t inode)
{
    for (struct module_file *file = files; file; file = file->next)
        if (file->device == device && file->inode == inode)
            return file;
    return NULL;
}

/* Fills in what it says; takes fd over. NULL when it is not ELF. */
static struct module_file *describe_file(int fd, const struct stat *status, const struct module_root *root,
                                         const char *path)
{
    struct module_file *file = calloc(1, sizeof *file);
    Elf *elf = file ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
    if (!elf || elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        free(file);
        close_quietly(fd);
        return NULL;
    }
    *file = (struct module_file){
        .references = 1,
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .modified = status->st_mtim,
        .fd = fd,
        .debug_fd = -1,
        .known = known_names_new(),
    };
    elf_describe(elf, &file->identity);
    if (path && file->identity.names != ELF_DEBUG_INFORMATION)
        file->debug_fd = open_debug_file(elf, root, path, file);
    elf_end(elf);
    return file;
}

struct module_file *module_file_adopt(int fd, const struct module_root *root, const char *path)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        close_quietly(fd);
        return NULL;
    }
    /* The lock is held while the file is read: hundreds of processes start with the same ones, and one reading is
     * enough. */
    pthread_mutex_lock(&lock);
    struct module_file *file = find_file(status.st_dev, status.st_ino);
    if (file) {
        file->references++;
        close_quietly(fd);
    } else if (!may_open_more())
        close_quietly(fd);
    else if ((file = describe_file(fd, &status, root, path))) {
        file->next = files;
        files = file;
        open_count += 1 + (file->debug_fd >= 0);
    }
    pthread_mutex_unlock(&lock);
    return file;
}

/* The headers say how long it is; write() and not a copy, so that a page that is not there is an error. */
static struct module_file *copy_vdso(void)
{
    const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    if (!image)
        return NULL;
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof header);
    uint64_t length = header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || length > VDSO_MAX_BYTES || length < sizeof header)
        return NULL;
    int fd = memfd_create("heapsake-vdso", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat status;
    if (write(fd, image, length) != (ssize_t)length || fstat(fd, &status) != 0) {
        close_quietly(fd);
        return NULL;
    }
    return describe_file(fd, &status, NULL, NULL);
}

struct module_file *module_file_vdso(void)
{
    pthread_mutex_lock(&lock);
    if (!vdso && may_open_more() && (vdso = copy_vdso())) {
        vdso->next = files;
        files = vdso;
        open_count++;
    } else if (vdso)
        vdso->references++;
    struct module_file *file = vdso;
    pthread_mutex_unlock(&lock);
    return file;
}

struct module_file *module_file_ref(struct module_file *file)
{
    if (file) {
        pthread_mutex_lock(&lock);
        file->references++;
        pthread_mutex_unlock(&lock);
    }
    return file;
}

void module_file_unref(struct module_file *file)
{
    if (!file)
        return;
    pthread_mutex_lock(&lock);
    bool last = --file->references == 0;
    if (last) {
        struct module_file **link = &files;
        while (*link != file)
            link = &(*link)->next;
        *link = file->next;
        open_count -= 1 + (file->debug_fd >= 0);
        if (vdso == file)
            vdso = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (last) {
        close_quietly(file->fd);
        close_quietly(file->debug_fd);
        known_names_free(file->known);
        free(file);
    }
}

const uint8_t *module_file_build_id(const struct module_file *file, size_t *length)
{
    *length = file->identity.build_id_length;
    return file->identity.build_id;
}

bool module_file_unchanged(const struct module_file *file)
{
    struct stat status;
    return fstat(file->fd, &status) == 0 && status.st_size == file->size &&
           status.st_mtim.tv_sec == file->modified.tv_sec && status.st_mtim.tv_nsec == file->modified.tv_nsec;
}

int module_file_descriptor(const struct module_file *file)
{
    return file->fd;
}
enum elf_names module_file_names(const struct module_file *file)
{
    return file->debug_fd >= 0 ? ELF_DEBUG_INFORMATION : file->identity.names;
}
int module_file_debug_descriptor(const struct module_file *file)
{
    return file->debug_fd;
}
struct known_names *module_file_known_names(const struct module_file *file)
{
    return file->known;
}
