/* Who is stopped, and why somebody is not, with real threads of a child and a real tracer beside us. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/thread_stop.h"

/* A process that says one number and then waits until it is ended. */
struct speaker {
    pid_t pid;
    int said;
};

static int say_to;

static void say(int number)
{
    if (write(say_to, &number, sizeof number) != sizeof number)
        _exit(1);
}

static void *second_thread(void *unused)
{
    say((int)syscall(SYS_gettid));
    pause();
    return unused;
}

static void be_threaded(int unused)
{
    pthread_t thread;
    (void)unused;
    if (pthread_create(&thread, NULL, second_thread, NULL) != 0)
        _exit(1);
}

static void be_tracer(int tid)
{
    say(ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0 ? 0 : errno);
}

static struct speaker speak(void (*act)(int argument), int argument)
{
    int ends[2];
    struct speaker speaker = {.said = -1};
    assert_int_equal(pipe(ends), 0);
    speaker.pid = fork();
    assert_true(speaker.pid >= 0);
    if (speaker.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        say_to = ends[1];
        act(argument);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &speaker.said, sizeof speaker.said), sizeof speaker.said);
    close(ends[0]);
    return speaker;
}

static void end(struct speaker speaker)
{
    kill(speaker.pid, SIGKILL);
    assert_int_equal(waitpid(speaker.pid, NULL, 0), speaker.pid);
}

/* Each thread has a tracer of its own: that of the second one is told, and the first one is stopped in spite of it. */
static void test_traced_by_another(void **state)
{
    (void)state;
    struct speaker program = speak(be_threaded, 0), tracer = speak(be_tracer, program.said);
    struct user_regs_struct registers;
    struct stop_denial denial, none;
    uint64_t since_ns;
    char why[200], wanted[200];
    assert_int_equal(tracer.said, 0);
    assert_int_equal(thread_stop(program.pid, program.said, NULL, &registers, &since_ns, &denial), STOP_DENIED);
    assert_int_equal(denial.code, EPERM);
    snprintf(wanted, sizeof wanted, "another program traces it (process %d)", (int)tracer.pid);

    assert_int_equal(thread_stop(program.pid, program.pid, NULL, &registers, &since_ns, &none), STOP_DONE);
    thread_stop_end(program.pid);
    end(tracer);
    stop_denial_tell(&denial, why, sizeof why); /* of what was, not of what is */
    assert_string_equal(why, wanted);
    assert_int_equal(thread_stop(program.pid, program.said, NULL, &registers, &since_ns, &none), STOP_DONE);
    thread_stop_end(program.said);
    end(program);
}

static void test_gone(void **state)
{
    (void)state;
    struct speaker program = speak(be_threaded, 0);
    struct user_regs_struct registers;
    struct stop_denial none;
    uint64_t since_ns;
    end(program);
    assert_int_equal(thread_stop(program.pid, program.said, NULL, &registers, &since_ns, &none), STOP_NOT_NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traced_by_another),
        cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
