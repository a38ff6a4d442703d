/* own_memory.h - a workload says on standard error how much memory it took, in lines "VmHWM: 1234 kB". */
#ifndef HEAPSAKE_BENCH_OWN_MEMORY_H
#define HEAPSAKE_BENCH_OWN_MEMORY_H

#include <fcntl.h>
#include <unistd.h>

/* Allocates nothing, so that it does not change what it tells. */
static inline void print_own_memory(void)
{
    static char status[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    long length = fd < 0 ? -1 : (long)read(fd, status, sizeof status);
    if (length > 0)
        (void)!write(STDERR_FILENO, status, (unsigned long)length);
    if (fd >= 0)
        close(fd);
}

#endif
