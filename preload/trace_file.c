/* trace_file.c - see trace_file.h */
#include "trace_file.h"

#include <errno.h>
#include <string.h>

#include "session.h"
#include "thread.h"

HS_EXPORT int heapsake_api_trace_file(char *path, unsigned size)
{
    int saved_errno = errno;
    struct thread *self = hook_enter();
    if (!self)
        return -ENOTCONN;
    const struct hs_session *shared = session.shared;
    uint32_t length = atomic_load_explicit(&shared->trace_file_length, memory_order_acquire);
    int code = length == 0 ? -EAGAIN : length >= size || length >= sizeof shared->trace_file ? -ENAMETOOLONG : 0;
    if (code == 0) {
        memcpy(path, shared->trace_file, length);
        path[length] = '\0';
    }
    hook_leave(self);
    errno = saved_errno;
    return code;
}
