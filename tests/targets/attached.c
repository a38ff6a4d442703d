/*
 * attached.c - runs until it is told to end, and allocates all the time; for programs that are attached to.
 *
 * usage: attached [THREADS]. Each line on standard input is a question, answered by one JSON line:
 *
 *   where      {"malloc": PATH, "free": PATH}: whose functions its calls lead to now
 *   counts     {"kept": N}: blocks of KEPT_BYTES that were allocated and kept so far
 *   keep N     allocates N more, and answers as counts does
 *   fork       {"status": N}: a child allocates, frees and ends
 *   seal       {"error": N}: its own slots cannot be made writable any more; N: the kernel's objection
 *   end        {"kept": N}, and it ends with status 0
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "truth.h"

#define KEPT_BYTES 7001
#define WORK_BYTES 333
#define MOST 100000

static void *kept[MOST];
static long kept_count;
static _Atomic int ending;

static void *work(void *unused)
{
    while (!ending) {
        void *volatile blocks[10];
        for (int i = 0; i < 10; i++)
            blocks[i] = malloc(WORK_BYTES);
        for (int i = 0; i < 10; i++)
            free(blocks[i]);
        if (unused)
            usleep(100);
    }
    return NULL;
}

static const char *library_of(void *function)
{
    Dl_info info;
    return dladdr(function, &info) ? info.dli_fname : "?";
}

/* What the slot of a function leads to now, whatever the compiler knows of its name. */
#define SLOT(name)                                                                                                     \
    ({                                                                                                                 \
        void *led_to;                                                                                                  \
        __asm__ volatile("movq " #name "@GOTPCREL(%%rip), %0" : "=r"(led_to));                                          \
        led_to;                                                                                                        \
    })

static void keep(long count)
{
    for (long i = 0; i < count; i++) {
        CHECK(kept_count < MOST);
        kept[kept_count] = malloc(KEPT_BYTES);
        CHECK(kept[kept_count++] != NULL);
    }
    print_line("{\"kept\": %ld}", kept_count);
}

static void fork_one(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 1000; i++)
            free(malloc(WORK_BYTES));
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child);
    print_line("{\"status\": %d}", WEXITSTATUS(status));
}

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

/* Of the executable, which comes first: what the loader protects after relocating. */
static int seal_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~4095ul,
                  end = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~4095ul;
        if (segment->p_type == PT_GNU_RELRO)
            return syscall(SYS_mseal, start, end - start, 0) == 0 ? -1 : errno;
    }
    return ENOENT;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int count = argc > 1 ? atoi(argv[1]) : 1;
    CHECK(count <= 64);
    alarm(300); /* whatever becomes of its test */
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)1L) == 0);
    print_line("%d", (int)getpid());
    char line[100];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "where\n") == 0)
            print_line("{\"malloc\": \"%s\", \"free\": \"%s\"}", library_of(SLOT(malloc)),
                       library_of(SLOT(free)));
        else if (strncmp(line, "keep ", 5) == 0)
            keep(atol(line + 5));
        else if (strcmp(line, "fork\n") == 0)
            fork_one();
        else if (strcmp(line, "seal\n") == 0) {
            int error = dl_iterate_phdr(seal_module, NULL);
            print_line("{\"error\": %d}", error < 0 ? 0 : error);
        } else if (strcmp(line, "counts\n") == 0)
            keep(0);
        else
            break;
    }
    ending = 1;
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    print_line("{\"kept\": %ld}", kept_count);
    return 0;
}
