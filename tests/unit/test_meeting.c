/* test_meeting.c - connections to the recorder: whose descriptors somebody else holds, too, or whose callers are gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/recorder_private.h"

struct scene {
    struct recorder recorder;
    int caller;
    int copy; /* of the accepted descriptor: what a clone would hold */
};

static void *connection_of(const struct epoll_event *event)
{
    assert_int_equal(event->data.u64 & ((1u << SOURCE_BITS) - 1), SOURCE_CONNECTION);
    return (void *)(uintptr_t)(event->data.u64 >> SOURCE_BITS << SOURCE_BITS);
}

static void call(struct scene *scene)
{
    char name[SESSION_NAME_BYTES];
    *scene = (struct scene){.recorder = {.control_fd = -1}};
    scene->recorder.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    scene->recorder.listen_fd = recorder_listen(name);
    assert_true(scene->recorder.epoll_fd >= 0 && scene->recorder.listen_fd >= 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, strlen(name));
    scene->caller = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    assert_int_equal(connect(scene->caller, (struct sockaddr *)&address, length), 0);
    /* What is accepted gets the lowest number that is free. */
    int accepted = fcntl(scene->caller, F_DUPFD_CLOEXEC, 0);
    close(accepted);
    meeting_accept(&scene->recorder);
    scene->copy = fcntl(accepted, F_DUPFD_CLOEXEC, 0);
    assert_true(scene->copy >= 0);
}

static void leave(struct scene *scene)
{
    close(scene->copy);
    close(scene->recorder.listen_fd);
    close(scene->recorder.epoll_fd);
}

/* A connection that was hung up is never heard of again, even while a clone of the recorder has its descriptor. */
static void nothing_comes_from_the_dead(void **state)
{
    (void)state;
    struct scene scene;
    struct epoll_event event;
    call(&scene);
    assert_int_equal(send(scene.caller, "nonsense", 8, 0), 8);
    assert_int_equal(epoll_wait(scene.recorder.epoll_fd, &event, 1, 1000), 1);
    meeting_read(&scene.recorder, connection_of(&event));
    assert_null(scene.recorder.connections);
    close(scene.caller);
    assert_int_equal(epoll_wait(scene.recorder.epoll_fd, &event, 1, 0), 0);
    leave(&scene);
}

/* Nor is one that was silent for too long. */
static void nothing_comes_from_the_expired(void **state)
{
    (void)state;
    struct scene scene;
    struct epoll_event event;
    call(&scene);
    assert_non_null(scene.recorder.connections);
    meeting_expire(&scene.recorder, true);
    assert_null(scene.recorder.connections);
    close(scene.caller);
    assert_int_equal(epoll_wait(scene.recorder.epoll_fd, &event, 1, 0), 0);
    leave(&scene);
}

static void say_hello(struct scene *scene)
{
    struct hs_hello hello = {
        .magic = HS_HELLO_MAGIC, .version = HS_SESSION_VERSION, .kind = HS_HELLO_START, .pid = getpid()};
    pthread_mutex_init(&scene->recorder.lock, NULL);
    scene->recorder.wake_fd = -1;
    /* By --children a heapsake is not wanted, but this one is the program itself. */
    struct process *process = recorder_process(&scene->recorder, getpid());
    assert_non_null(process);
    process->root = true;
    assert_int_equal(send(scene->caller, &hello, sizeof hello, 0), sizeof hello);
}

static void let_it_in(struct scene *scene, unsigned sessions)
{
    struct connection *connection = scene->recorder.connections;
    meeting_read(&scene->recorder, connection);
    assert_null(scene->recorder.connections);
    assert_int_equal(scene->recorder.sessions, sessions);
}

static void forget(struct scene *scene)
{
    if (scene->recorder.all)
        session_free(scene->recorder.all);
    close(scene->recorder.processes->pidfd);
    free(scene->recorder.processes);
    leave(scene);
}

static void who_says_hello_gets_a_session(void **state)
{
    (void)state;
    struct scene scene;
    struct hs_welcome welcome;
    call(&scene);
    say_hello(&scene);
    let_it_in(&scene, 1);
    assert_int_equal(recv(scene.caller, &welcome, sizeof welcome, 0), sizeof welcome);
    assert_int_equal(welcome.verdict, HS_VERDICT_TRACE);
    close(scene.caller);
    forget(&scene);
}

/* A trace of it would say that it did nothing. */
static void who_does_not_wait_for_the_welcome_gets_none(void **state)
{
    (void)state;
    struct scene scene;
    call(&scene);
    say_hello(&scene);
    close(scene.caller);
    let_it_in(&scene, 0);
    forget(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_from_the_dead),
        cmocka_unit_test(nothing_comes_from_the_expired),
        cmocka_unit_test(who_says_hello_gets_a_session),
        cmocka_unit_test(who_does_not_wait_for_the_welcome_gets_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
