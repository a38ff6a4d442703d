/* write_all.h - a whole text to a descriptor. */
#ifndef HEAPSAKE_BASE_WRITE_ALL_H
#define HEAPSAKE_BASE_WRITE_ALL_H

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* 0, or a negative errno; then a part of it may be there. Blocks as long as write() does. Thread-safe. */
static inline int write_all(int fd, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t written = write(fd, (const char *)bytes + done, length - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        done += (size_t)written;
    }
    return 0;
}

#endif
