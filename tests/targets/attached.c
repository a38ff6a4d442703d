/*
 * attached.c - runs until it is told to end, and allocates all the time; for programs that are attached to.
 *
 * usage: attached [THREADS]. Each line on standard input is a question, answered by one JSON line:
 *
 *   where      {"malloc": PATH, "free": PATH}: whose functions its calls lead to now
 *   counts     {"kept": N}: blocks of KEPT_BYTES that were allocated and kept so far
 *   keep N     allocates N more, and answers as counts does
 *   fork       {"status": N}: a child allocates, frees and ends
 *   seal       {"error": N}: its own GOT cannot be made writable any more; N: the kernel's objection
 *   come N     {"kept": N}: from now on N threads each begin and end further ones, that allocate
 *   modules P  {"kept": N}: from now on a thread opens and closes the module P (plugged.c)
 *   hold P     {"kept": N}: a thread opens the module P, whose constructor may take its time (held.c)
 *   plug P     {"malloc": PATH}: opens it for good, and allocates one block of PLUGGED_BYTES in it; whose function its
 *              GOT entry leads to
 *   plugged    {"malloc": PATH}: where that entry leads now
 *   orphan     {"pid": PID}: a child that answers questions itself, in place of this process, and works until it ends
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
#define PLUGGED_BYTES 5003

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

/* What the GOT entry of a function leads to now, whatever the compiler knows of its name. */
#define GOT_ENTRY(name)                                                                                                \
    ({                                                                                                                 \
        void *led_to;                                                                                                  \
        __asm__ volatile("movq " #name "@GOTPCREL(%%rip), %0" : "=r"(led_to));                                         \
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

static void *come(void *unused)
{
    while (!ending) {
        void *volatile block = malloc(WORK_BYTES);
        free(block);
        if (!unused)
            return NULL;
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            CHECK(pthread_create(&threads[i], NULL, come, NULL) == 0);
        for (int i = 0; i < 8; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    return NULL;
}

static void *open_and_close(void *path)
{
    while (!ending) {
        void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        void *(*keep)(size_t) = (void *(*)(size_t))dlsym(module, "plugged_keep");
        CHECK(module && keep);
        free(keep(WORK_BYTES));
        CHECK(dlclose(module) == 0);
    }
    return NULL;
}

static void *open_module(void *path)
{
    CHECK(dlopen(path, RTLD_NOW | RTLD_LOCAL));
    return NULL;
}

static void begin_thread(void *(*start)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, start, argument) == 0);
    CHECK(pthread_detach(thread) == 0);
}

static void *(*plugged_malloc)(void);

static void plug(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(module);
    plugged_malloc = (void *(*)(void))dlsym(module, "plugged_malloc");
    void *(*keep)(size_t) = (void *(*)(size_t))dlsym(module, "plugged_keep");
    CHECK(plugged_malloc && keep && keep(PLUGGED_BYTES));
    print_line("{\"malloc\": \"%s\"}", library_of(plugged_malloc()));
}

/* The child goes on with the questions; this one waits for it, and ends as it does. */
static void orphan(void)
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        print_line("{\"pid\": %d}", (int)getpid());
        begin_thread(work, (void *)1L);
        return;
    }
    CHECK(waitpid(child, &status, 0) == child);
    _exit(WEXITSTATUS(status));
}

/* With -fno-pic and -no-pie these are addresses of the executable's own PLT, for every module. */
static void take_addresses(void)
{
    void *(*volatile allocate)(size_t) = malloc;
    void (*volatile give_back)(void *) = free;
    pid_t (*volatile copy)(void) = fork;
    CHECK(allocate && give_back && copy);
}

int main(int argc, char **argv)
{
    take_addresses();
    pthread_t threads[64];
    int count = argc > 1 ? atoi(argv[1]) : 1;
    CHECK(count <= 64);
    alarm(300); /* whatever becomes of its test */
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)1L) == 0);
    print_line("%d", (int)getpid());
    char line[5000];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "where") == 0)
            print_line("{\"malloc\": \"%s\", \"free\": \"%s\"}", library_of(GOT_ENTRY(malloc)),
                       library_of(GOT_ENTRY(free)));
        else if (strncmp(line, "keep ", 5) == 0)
            keep(atol(line + 5));
        else if (strcmp(line, "fork") == 0)
            fork_one();
        else if (strcmp(line, "seal") == 0) {
            int error = dl_iterate_phdr(seal_module, NULL);
            print_line("{\"error\": %d}", error < 0 ? 0 : error);
        } else if (strcmp(line, "counts") == 0)
            keep(0);
        else if (strncmp(line, "come ", 5) == 0) {
            for (long i = atol(line + 5); i > 0; i--)
                begin_thread(come, (void *)1L);
            keep(0);
        } else if (strncmp(line, "modules ", 8) == 0) {
            begin_thread(open_and_close, strdup(line + 8));
            keep(0);
        } else if (strncmp(line, "hold ", 5) == 0) {
            begin_thread(open_module, strdup(line + 5));
            keep(0);
        } else if (strncmp(line, "plug ", 5) == 0)
            plug(line + 5);
        else if (strcmp(line, "plugged") == 0)
            print_line("{\"malloc\": \"%s\"}", library_of(plugged_malloc()));
        else if (strcmp(line, "orphan") == 0) {
            orphan();
            count = 0; /* of the child's threads none can be waited for */
        } else
            break;
    }
    ending = 1;
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    print_line("{\"kept\": %ld}", kept_count);
    return 0;
}
