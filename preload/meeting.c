/* meeting.c - see meeting.h */
#include "meeting.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "environment.h"
#include "python/python.h"
#include "session.h"
#include "sys.h"

static long retry(long number, long a, long b, long c, long d)
{
    long result;
    do
        result = sys_call6(number, a, b, c, d, 0, 0);
    while (result == -EINTR);
    return result;
}

static int connect_to_recorder(const char *name, unsigned seconds)
{
    size_t length = strlen(name);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (length == 0 || length > sizeof address.sun_path - 1)
        return -1;
    memcpy(address.sun_path + 1, name, length); /* abstract: the first byte is 0 */
    long fd = sys_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct timeval deadline = {.tv_sec = seconds};
    sys_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&deadline, sizeof deadline, 0);
    sys_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&deadline, sizeof deadline, 0);
    long size = (long)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (retry(SYS_connect, fd, (long)&address, size, 0) < 0) {
        sys_close((int)fd);
        return -1;
    }
    return (int)fd;
}

/* The verdict, and the memory file's descriptor (or -1) in *memory_fd. */
static uint32_t receive_welcome(int fd, int *memory_fd)
{
    struct hs_welcome welcome = {0};
    struct iovec data = {.iov_base = &welcome, .iov_len = sizeof welcome};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *memory_fd = -1;
    long got = retry(SYS_recvmsg, fd, (long)&message, MSG_CMSG_CLOEXEC, 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got >= 0 && header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(memory_fd, CMSG_DATA(header), sizeof *memory_fd);
    if (got != sizeof welcome || welcome.magic != HS_HELLO_MAGIC || welcome.version != HS_SESSION_VERSION)
        return HS_VERDICT_REFUSE;
    if (welcome.ptracer_pid > 0)
        sys_call(SYS_prctl, PR_SET_PTRACER, welcome.ptracer_pid, 0);
    return welcome.verdict;
}

/* Says hello, and waits for the welcome: the memory file's descriptor, or -1. */
static int meet(const char *name, const struct hs_hello *hello, unsigned seconds)
{
    int fd = connect_to_recorder(name, seconds);
    if (fd < 0)
        return -1;
    int memory_fd = -1;
    long sent;
    do
        sent = sys_call6(SYS_sendto, fd, (long)hello, sizeof *hello, MSG_NOSIGNAL, 0, 0);
    while (sent == -EINTR);
    if (sent == sizeof *hello && receive_welcome(fd, &memory_fd) != HS_VERDICT_TRACE && memory_fd >= 0) {
        sys_close(memory_fd);
        memory_fd = -1;
    }
    sys_close(fd);
    return memory_fd;
}

bool meeting_hello(enum hs_hello_kind kind, uint64_t parent_session, uint64_t fork_id)
{
    struct hs_hello hello = {
        .magic = HS_HELLO_MAGIC,
        .version = HS_SESSION_VERSION,
        .kind = kind,
        .python = kind == HS_HELLO_START ? python_present() : python_state != PYTHON_NONE,
        .parent_session = parent_session,
        .fork_id = fork_id,
        .pid = sys_getpid(),
    };
    int memory_fd = meet(environment_session(), &hello, HS_HELLO_SECONDS);
    if (memory_fd < 0)
        return false;
    bool on = session_map(memory_fd);
    sys_close(memory_fd);
    return on;
}

void meeting_decline(const char *session_name)
{
    const struct hs_hello hello = {
        .magic = HS_HELLO_MAGIC,
        .version = HS_SESSION_VERSION,
        .kind = HS_HELLO_TAKEN,
        .pid = sys_getpid(),
    };
    int memory_fd = meet(session_name, &hello, HS_HELLO_SECONDS);
    if (memory_fd >= 0)
        sys_close(memory_fd);
}

int meeting_snapshot(uint64_t session_id, uint32_t number)
{
    struct hs_hello hello = {
        .magic = HS_HELLO_MAGIC,
        .version = HS_SESSION_VERSION,
        .kind = HS_HELLO_SNAPSHOT,
        .python = python_state != PYTHON_NONE,
        .parent_session = session_id,
        .fork_id = number,
        .pid = sys_getpid(),
    };
    return meet(environment_session(), &hello, HS_HELLO_SNAPSHOT_SECONDS);
}
