/*
 * sys.h - system calls, straight to the kernel.
 *
 * The library must not go through libc's wrappers: the program may have
 * replaced them, they set errno, and some are hooks of ours. Each returns the
 * kernel's answer: a result, or a negative errno value. Async-signal-safe.
 */
#ifndef HEAPSAKE_PRELOAD_SYS_H
#define HEAPSAKE_PRELOAD_SYS_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "internal/compiler.h"

HS_ALWAYS_INLINE long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define sys_call(number, a, b, c) sys_call6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static inline void *sys_mmap(void *address, size_t size, int protection, int flags, int fd, uint64_t offset)
{
    return (void *)sys_call6(SYS_mmap, (long)address, (long)size, protection, flags, fd, (long)offset);
}

/* Addresses and -errno share the result of mmap and mremap. */
static inline int sys_failed(const void *address)
{
    return (uintptr_t)address > (uintptr_t)-4096;
}

static inline void *sys_mremap(void *address, size_t old_size, size_t new_size, int flags)
{
    return (void *)sys_call6(SYS_mremap, (long)address, (long)old_size, (long)new_size, flags, 0, 0);
}

static inline long sys_munmap(void *address, size_t size)
{
    return sys_call(SYS_munmap, address, size, 0);
}
static inline long sys_madvise(void *address, size_t size, int advice)
{
    return sys_call(SYS_madvise, address, size, advice);
}
static inline int sys_getpid(void)
{
    return (int)sys_call(SYS_getpid, 0, 0, 0);
}
static inline int sys_gettid(void)
{
    return (int)sys_call(SYS_gettid, 0, 0, 0);
}
static inline long sys_close(int fd)
{
    return sys_call(SYS_close, fd, 0, 0);
}
static inline long sys_tgkill(int pid, int tid, int signal)
{
    return sys_call(SYS_tgkill, pid, tid, signal);
}
static inline void sys_yield(void)
{
    sys_call(SYS_sched_yield, 0, 0, 0);
}

static inline uint64_t sys_monotonic_ns(void)
{
    struct timespec now = {0};
    sys_call(SYS_clock_gettime, CLOCK_MONOTONIC, &now, 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Sleeps while *word == expected, at most timeout_ns; the word may be shared between processes. */
static inline long sys_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000), .tv_nsec = (long)(timeout_ns % 1000000000)};
    return sys_call6(SYS_futex, (long)word, FUTEX_WAIT, expected, (long)&timeout, 0, 0);
}

static inline long sys_futex_wake_all(_Atomic uint32_t *word)
{
    return sys_call6(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

#endif
