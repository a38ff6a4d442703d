/* unwind_referee.c - see unwind_referee.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_referee.h"

const struct shapes *const all_shapes[4] = {&shapes_O2, &shapes_O0, &shapes_Os, &shapes_fp};

_Atomic uint64_t compared;
static __thread unsigned wrong; /* comparisons that failed in this thread */
static __thread char first_wrong[4096];
__thread bool expect_truncated;

void note_wrong(const char *what, const uint64_t *ours, size_t count, void *const *theirs, size_t their_count)
{
    if (wrong++)
        return;
    int at = snprintf(first_wrong, sizeof first_wrong, "%s:", what);
    for (size_t i = 0; (i < count || i < their_count) && at < (int)sizeof first_wrong - 120; i++) {
        Dl_info info = {0};
        dladdr(i < their_count ? theirs[i] : (void *)(uintptr_t)ours[i], &info);
        at += snprintf(first_wrong + at, sizeof first_wrong - (size_t)at, "\n  %12lx %12lx %s", i < count ? ours[i] : 0,
                       i < their_count ? (uint64_t)(uintptr_t)theirs[i] : 0, info.dli_sname ? info.dli_sname : "?");
    }
}

/* Ours and theirs are the same; ours may be one more where a signal interrupted a function. */
static bool same(const uint64_t *ours, void *const *theirs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ours[i] != (uint64_t)(uintptr_t)theirs[i] && (i == 0 || ours[i] != (uint64_t)(uintptr_t)theirs[i] + 1))
            return false;
    return true;
}

static void compare_with(struct thread *self, const void *frame_address, void *const *theirs, size_t their_count,
                         const char *what)
{
    static __thread uint64_t ours[UNWIND_MAX_FRAMES];
    bool truncated;
    size_t count = unwind_pcs(self, frame_address, ours, UNWIND_MAX_FRAMES, &truncated);
    bool deep = their_count > UNWIND_MAX_FRAMES;
    bool right = deep ? truncated && count >= UNWIND_MAX_FRAMES / 2 && count <= UNWIND_MAX_FRAMES
                      : count == their_count && truncated == expect_truncated;
    if (!right || !same(ours, theirs, count))
        note_wrong(what, ours, count, theirs, their_count);

    uint32_t node = unwind_node(self, frame_address);
    for (size_t i = 0; i < count; i++) {
        struct hs_node is = fake_node(node);
        if (!node || is.kind != HS_NODE_NATIVE || (is.frame & HS_ADDRESS_MASK) != ours[i]) {
            note_wrong("node", ours, count, theirs, their_count);
            return;
        }
        node = is.parent;
    }
    if (truncated ? fake_node(node).kind != HS_NODE_TRUNCATED || fake_node(node).parent : node)
        note_wrong("root node", ours, count, theirs, their_count);
}

/* With the thread's cache, and now and then with none. */
NOINLINE void compare(void)
{
    static __thread void *theirs[MANY];
    static __thread struct thread cold;
    int error = errno;
    int count = unw_backtrace(theirs, MANY);
    if (count < 2) {
        wrong++;
        return;
    }
    const void *frame = __builtin_frame_address(0);
    compare_with(thread_self, frame, theirs + 1, (size_t)count - 1, "remembered");
    cold.tid = thread_self->tid;
    if (cold.native.stack && compared % 2)
        memset(cold.native.stack, 0,
               64); /* forgets how deep it was: the memory is the unwinder's, the test knows its head */
    compare_with(&cold, frame, theirs + 1, (size_t)count - 1, "cold");
    compared++;
    errno = error;
}

void report(void)
{
    if (wrong)
        fprintf(stderr, "%u comparisons failed; the first: %s\n", wrong, first_wrong);
    unsigned count = wrong;
    wrong = 0;
    assert_int_equal(count, 0);
}

int referee_setup(void **state)
{
    (void)state;
    fake_self();
    void *warm[8];
    assert_true(unw_backtrace(warm, 8) > 0);
    return 0;
}

NOINLINE void run_mixed(unsigned from, unsigned count)
{
    for (unsigned seed = from; seed < from + count; seed++) {
        all_shapes[seed % HS_COUNT_OF(all_shapes)]->mixed(seed / 3, seed % 23, compare);
        all_shapes[seed % 3]->mixed(seed / 2, seed % 5, compare);
    }
}

struct job {
    unsigned seed, rounds;
    bool bounds;
    unsigned wrong;
};

static void *run_job(void *argument)
{
    struct job *job = argument;
    struct thread *self = fake_self();
    if (job->bounds) {
        pthread_attr_t attributes;
        void *low;
        size_t size;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &low, &size);
        pthread_attr_destroy(&attributes);
        self->stack_low = (uintptr_t)low;
        self->stack_high = (uintptr_t)low + size;
    }
    run_mixed(job->seed, job->rounds);
    job->wrong = wrong;
    if (wrong)
        fprintf(stderr, "in a thread: %s\n", first_wrong);
    return NULL;
}

void compare_in_threads(unsigned rounds)
{
    struct job jobs[8];
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
        jobs[i] = (struct job){.seed = i * 1000, .rounds = rounds, .bounds = i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(jobs[i].wrong, 0);
}

void *open_cpp_shapes(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "libunwind_shapes_cpp.so");
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}
