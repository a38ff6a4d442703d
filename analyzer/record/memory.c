/* memory.c - see memory.h */
#include "record/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK_TO_WORD ((long)(HS_PAGE_SIZE + offsetof(struct hs_session, recorder_alive)))

static struct robust_list_head held;

static void hold(struct session_memory *memory)
{
    if (!held.list.next) {
        held.list.next = &held.list;
        held.futex_offset = LINK_TO_WORD;
        syscall(SYS_set_robust_list, &held, sizeof held);
    }
    struct robust_list *link = memory->reserved;
    link->next = held.list.next;
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)&memory->shared->recorder_alive;
    atomic_store(word, (uint32_t)syscall(SYS_gettid));
    held.list.next = link;
}

static void let_go(struct session_memory *memory)
{
    struct robust_list *link = memory->reserved;
    for (struct robust_list *at = &held.list; at->next && at->next != &held.list; at = at->next)
        if (at->next == link) {
            at->next = link->next;
            return;
        }
}

/* The limit on files' sizes is meant for files; where we may, it is lifted for this one. */
static int set_size(int fd, uint64_t bytes)
{
    if (ftruncate(fd, (off_t)bytes) == 0)
        return 0;
    if (errno != EFBIG)
        return -errno;
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
        return -EFBIG;
    struct rlimit lifted = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (limit.rlim_max < bytes)
        lifted = (struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &lifted) != 0)
        return -EFBIG;
    int code = ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
    setrlimit(RLIMIT_FSIZE, &limit);
    return code;
}

int memory_file_new(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int code = set_size(fd, bytes);
    if (code == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        code = -errno;
    if (code == 0)
        return fd;
    close(fd);
    return code;
}

int memory_new(struct session_memory *memory, uint64_t id, uint32_t options, uint64_t origin_ns, struct error *error)
{
    *memory = (struct session_memory){.fd = -1};
    int code = memory->fd = memory_file_new("heapsake", HS_SESSION_BYTES);
    if (code == -EFBIG)
        error_set(error, code,
                  "the limit on file sizes (ulimit -f) is below the %llu MiB of shared memory that are needed",
                  (unsigned long long)(HS_SESSION_BYTES >> 20));
    if (code < 0)
        goto failed;
    void *reserved =
        mmap(NULL, HS_PAGE_SIZE + HS_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (reserved == MAP_FAILED) {
        code = -errno;
        goto failed;
    }
    memory->reserved = reserved;
    void *shared = mmap((char *)reserved + HS_PAGE_SIZE, HS_HEADER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, memory->fd, 0);
    if (shared == MAP_FAILED) {
        code = -errno;
        goto failed;
    }
    memory->shared = shared;
    struct hs_session *header = shared;
    header->magic = HS_SESSION_MAGIC;
    header->version = HS_SESSION_VERSION;
    header->options = options;
    header->id = id;
    header->bytes = HS_SESSION_BYTES;
    header->clock_origin_ns = origin_ns;
    hold(memory);
    return 0;

failed:
    error_set(error, code, "cannot make shared memory: %s", strerror(-code));
    memory_free(memory);
    return code;
}

void memory_free(struct session_memory *memory)
{
    if (memory->shared)
        let_go(memory);
    if (memory->reserved)
        munmap(memory->reserved, HS_PAGE_SIZE + HS_HEADER_BYTES);
    if (memory->fd >= 0)
        close(memory->fd);
    *memory = (struct session_memory){.fd = -1};
}
