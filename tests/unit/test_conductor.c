/*
 * test_conductor.c - processes say hello and end while the drain thread is in the midst of a pass: what the main thread
 * has seen in one order is in the traces in that order.
 *
 * Drain and finisher are the test's own, and do not read or write anything. A bystander's session is always the first
 * one of a pass: while it is drained, the main thread's part is played.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/drain.h"
#include "record/recorder_private.h"

#define SESSIONS_MOST 64
#define PASSES_MOST 1000u

/* A session, and what had become of it when it was finished. */
struct outcome {
    struct session *session;
    enum session_end_reason ended; /* SESSION_LIVES: it was not finished */
    uint32_t image;
    char *file;        /* of its trace, without folder             */
    size_t note_bytes; /* children are named there         */
};

struct scene {
    struct recorder recorder;
    struct process program, child, bystander;
    struct outcome outcomes[SESSIONS_MOST];
    size_t count;
    size_t unfinished; /* sessions */
    unsigned passes;
    void (*first)(void); /* in the first of them, and then */
    void (*each)(void);  /* in each; NULL: nothing          */
    char folder[32];
};

static struct scene scene; /* of the test that runs */

/* ---- the conductor's surroundings ---- */

struct drain_result drain_session(struct session *session, uint64_t budget, bool over)
{
    (void)budget;
    (void)over;
    if (session->process == &scene.bystander) {
        if (scene.passes == 0)
            scene.first();
        if (scene.each)
            scene.each();
        if (++scene.passes == PASSES_MOST)
            atomic_store(&scene.recorder.quit, 1);
    }
    return (struct drain_result){0};
}

void finish_session(struct recorder *recorder, struct session *session)
{
    for (size_t i = 0; i < scene.count; i++) {
        struct outcome *outcome = &scene.outcomes[i];
        if (outcome->session != session)
            continue;
        outcome->ended = session->ended;
        outcome->image = session->image;
        outcome->file = output_name(session->output);
        outcome->note_bytes = session->note_fields.length;
    }
    if (--scene.unfinished == 0) {
        atomic_store(&recorder->quit, 1);
        recorder_wake_drain(recorder);
    }
}

/* ---- the main thread's part ---- */

static struct session *hello(struct process *process)
{
    struct error error = {0};
    struct session *session;
    assert_true(scene.count < SESSIONS_MOST);
    assert_int_equal(session_new(&session, &scene.recorder, process, &error), 0);
    scene.outcomes[scene.count++].session = session;
    scene.unfinished++;
    recorder_pass_on(&scene.recorder, session);
    return session;
}

static void end(struct process *process)
{
    recorder_process_ended(&scene.recorder, process);
}

static int begin(void **state)
{
    (void)state;
    scene = (struct scene){.recorder = {.control_fd = -1, .epoll_fd = -1, .wake_fd = -1}};
    pthread_mutex_init(&scene.recorder.lock, NULL);
    scene.program = scene.child = scene.bystander = (struct process){.pid = getpid(), .pidfd = -1, .references = 1};
    strcpy(scene.folder, "/tmp/heapsake-conductor-XXXXXX");
    if (!mkdtemp(scene.folder))
        return -1;
    return asprintf(&scene.recorder.file, "%s/t.hsk", scene.folder) < 0 ? -1 : 0;
}

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < scene.count; i++) {
        struct outcome *outcome = &scene.outcomes[i];
        if (outcome->session->output)
            output_delete(outcome->session->output);
        session_free(outcome->session);
        free(outcome->file);
    }
    struct process *processes[] = {&scene.program, &scene.child, &scene.bystander};
    for (size_t i = 0; i < HS_COUNT_OF(processes); i++) {
        output_unref(processes[i]->last);
        free(processes[i]->parent_file);
    }
    free(scene.recorder.file);
    return rmdir(scene.folder);
}

/*
 * The program's first image and the bystander have said hello. Until all others are finished; meanwhile the main thread
 * does `first` in the first pass, and `each` in every one.
 */
static void conduct(void (*first)(void), void (*each)(void))
{
    hello(&scene.program);
    hello(&scene.bystander);
    scene.unfinished--;
    scene.first = first;
    scene.each = each;
    conductor_main(&scene.recorder);
    assert_true(scene.passes < PASSES_MOST);
}

enum { PROGRAM, BYSTANDER, FIRST_MET }; /* numbers of outcomes */

static void expect_ended(size_t number, enum session_end_reason reason, uint32_t image)
{
    assert_int_equal(scene.outcomes[number].ended, reason);
    assert_int_equal(scene.outcomes[number].image, image);
}

/* ---- exec ---- */

static void execute_and_end(void)
{
    hello(&scene.program);
    end(&scene.program);
}

/* The image before is looked at next, and its process is dead. */
static void an_image_that_executed_another_did_not_end_with_it(void **state)
{
    (void)state;
    conduct(execute_and_end, NULL);
    expect_ended(PROGRAM, SESSION_EXEC, 0);
    expect_ended(FIRST_MET, SESSION_PROCESS_ENDED, 1);
}

static void execute_twice_and_end(void)
{
    hello(&scene.program);
    execute_and_end();
}

static void nor_did_two_of_them(void **state)
{
    (void)state;
    conduct(execute_twice_and_end, NULL);
    expect_ended(PROGRAM, SESSION_EXEC, 0);
    expect_ended(FIRST_MET, SESSION_EXEC, 1);
    expect_ended(FIRST_MET + 1, SESSION_PROCESS_ENDED, 2);
}

static void execute_and_be_stopped(void)
{
    hello(&scene.program);
    scene.unfinished++; /* the bystander, too */
    atomic_store(&scene.recorder.stopping, 1);
}

static void nor_with_the_recorder(void **state)
{
    (void)state;
    conduct(execute_and_be_stopped, NULL);
    expect_ended(PROGRAM, SESSION_EXEC, 0);
    expect_ended(FIRST_MET, SESSION_STOPPED, 1);
    expect_ended(BYSTANDER, SESSION_STOPPED, 0);
}

/* ---- children ---- */

static void spawn_and_end(void)
{
    hello(&scene.child)->parent_id = scene.outcomes[PROGRAM].session->id;
    end(&scene.program);
    end(&scene.child);
}

static void a_child_has_its_parent_who_has_just_ended(void **state)
{
    (void)state;
    conduct(spawn_and_end, NULL);
    expect_ended(PROGRAM, SESSION_PROCESS_ENDED, 0);
    expect_ended(FIRST_MET, SESSION_PROCESS_ENDED, 0);
    assert_non_null(scene.child.parent_file);
    assert_string_equal(scene.child.parent_file, scene.outcomes[PROGRAM].file);
    assert_true(scene.outcomes[PROGRAM].note_bytes > scene.outcomes[FIRST_MET].note_bytes);
}

/* ---- others ---- */

static void end_program(void)
{
    end(&scene.program);
}

/* Somebody says hello in each pass. */
static void let_others_come(void)
{
    if (scene.outcomes[PROGRAM].ended == SESSION_LIVES)
        hello(&scene.child);
    else
        end(&scene.child);
}

static void hellos_after_an_end_do_not_put_it_off(void **state)
{
    (void)state;
    conduct(end_program, let_others_come);
    expect_ended(PROGRAM, SESSION_PROCESS_ENDED, 0);
    assert_int_equal(scene.count, FIRST_MET + 1); /* it ended in that very pass */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_image_that_executed_another_did_not_end_with_it, begin, clear),
        cmocka_unit_test_setup_teardown(nor_did_two_of_them, begin, clear),
        cmocka_unit_test_setup_teardown(nor_with_the_recorder, begin, clear),
        cmocka_unit_test_setup_teardown(a_child_has_its_parent_who_has_just_ended, begin, clear),
        cmocka_unit_test_setup_teardown(hellos_after_an_end_do_not_put_it_off, begin, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
