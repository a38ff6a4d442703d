/*
 * injected.c - a library that is loaded into running programs. injected("FILE") appends a line to FILE: the process,
 * its thread, the mask of signals that are blocked in it, and the bytes of its stack.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "truth.h"

void injected(const char *argument);

void injected(const char *argument)
{
    uint64_t blocked = 0;
    size_t stack = 0;
    pthread_attr_t attributes;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, sizeof blocked);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &stack);
        pthread_attr_destroy(&attributes);
    }
    char line[256];
    int length = snprintf(line, sizeof line, "{\"pid\": %d, \"tid\": %ld, \"blocked\": %llu, \"stack\": %zu}\n",
                          (int)getpid(), syscall(SYS_gettid), (unsigned long long)blocked, stack);
    int fd = open(argument, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, line, (size_t)length) == length);
    close(fd);
}
