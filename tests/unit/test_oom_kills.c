/* What is told of the kernel's out-of-memory kills, from a /proc, cgroups and a log that are made here. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/oom_kills.h"

#define MIB (UINT64_C(1) << 20)
#define FIRST_PIDS "pid:[4026531836]"

static char root[64]; /* of everything */

static void path_of(char *path, const char *name)
{
    assert_true(snprintf(path, PATH_MAX, "%s/%s", root, name) < PATH_MAX);
}

static void make_folder(const char *name)
{
    char path[PATH_MAX];
    path_of(path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* Appends to, or replaces, a file. */
static void put(const char *name, const char *mode, const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    path_of(path, name);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *name)
{
    char path[PATH_MAX];
    path_of(path, name);
    assert_int_equal(remove(path), 0);
}

/* A cgroup's files, v2. A limit of 0 is none. */
static void put_group(const char *folder, unsigned oom, unsigned kills, uint64_t limit)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/memory.events", folder);
    put(name, "w", "low 0\nhigh 7\nmax 99\noom %u\noom_kill %u\noom_group_kill 0\n", oom, kills);
    snprintf(name, sizeof name, "%s/memory.max", folder);
    if (limit)
        put(name, "w", "%llu\n", (unsigned long long)limit);
    else
        put(name, "w", "max\n");
}

/* A process in that cgroup. */
static void put_process(pid_t pid, const char *lines)
{
    char name[64];
    snprintf(name, sizeof name, "proc/%d", (int)pid);
    make_folder(name);
    snprintf(name, sizeof name, "proc/%d/cgroup", (int)pid);
    put(name, "w", "%s", lines);
}

static void put_log(unsigned priority, double seconds_ago, const char *message)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - seconds_ago;
    put("log", "a", "%u,4711,%.0f,-;%s\n SUBSYSTEM=memory\n", priority, seconds * 1e6, message);
}

static struct oom_kills *begin(void)
{
    char proc[PATH_MAX], log[PATH_MAX];
    path_of(proc, "proc");
    path_of(log, "log");
    struct oom_kills *kills = oom_kills_new(proc, log);
    assert_non_null(kills);
    return kills;
}

static bool killed(struct oom_kills *kills, struct oom_process *process, pid_t pid, uint64_t expected_limit)
{
    uint64_t limit = 12345;
    bool result = oom_process_killed(kills, process, pid, &limit);
    assert_int_equal(limit, result ? expected_limit : 0);
    return result;
}

/* v2 at a place with a space in its name: /slice with a limit, /slice/a and /slice/b in it; no log. */
static int set_up(void **state)
{
    char path[PATH_MAX];
    (void)state;
    strcpy(root, "/tmp/heapsake-oom-XXXXXX");
    assert_non_null(mkdtemp(root));
    make_folder("proc");
    make_folder("proc/self");
    make_folder("proc/self/ns");
    make_folder("cgroup v2");
    make_folder("cgroup v2/slice");
    make_folder("cgroup v2/slice/a");
    make_folder("cgroup v2/slice/b");
    put("proc/self/mountinfo", "w",
        "24 1 0:22 / /proc rw,nosuid shared:13 - proc proc rw\n"
        "31 1 0:26 / %s/cgroup\\040v2 rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n",
        root);
    put_group("cgroup v2/slice", 0, 0, 256 * MIB);
    put_group("cgroup v2/slice/a", 0, 3, 0);
    put_group("cgroup v2/slice/b", 0, 0, 64 * MIB);
    put_process(101, "0::/slice/a\n");
    put_process(102, "0::/slice/a\n");
    put_process(103, "0::/slice/b\n");
    path_of(path, "proc/self/ns/pid");
    assert_int_equal(symlink("pid:[4026532000]", path), 0);
    put("log", "w", "%s", "");
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void use_first_pids(void)
{
    char path[PATH_MAX];
    path_of(path, "proc/self/ns/pid");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(FIRST_PIDS, path), 0);
}

static void test_counter(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process a = {0}, b = {0};
    oom_process_begin(kills, &a, 101);
    oom_process_begin(kills, &b, 103);
    assert_false(killed(kills, &a, 101, 0)); /* somebody's SIGKILL: the 3 were there before */
    put_group("cgroup v2/slice/a", 0, 4, 0);
    put_group("cgroup v2/slice", 1, 4, 256 * MIB);
    assert_true(killed(kills, &a, 101, 256 * MIB)); /* the limit that was met is one above */
    assert_false(killed(kills, &b, 103, 0));
    oom_process_end(kills, &a);
    oom_process_end(kills, &b);
    oom_kills_free(kills);
}

static void test_the_machine_was_full(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process process = {0};
    oom_process_begin(kills, &process, 103);
    put_group("cgroup v2/slice/b", 0, 1, 64 * MIB); /* killed, but no limit was met */
    assert_true(killed(kills, &process, 103, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

static void test_one_kill_is_one_death(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process first = {0}, second = {0};
    oom_process_begin(kills, &first, 101);
    oom_process_begin(kills, &second, 102);
    put_group("cgroup v2/slice/a", 1, 4, 0);
    assert_true(killed(kills, &first, 101, 0));
    assert_false(killed(kills, &second, 102, 0));
    put_group("cgroup v2/slice/a", 2, 5, 0);
    assert_true(killed(kills, &second, 102, 0));
    oom_process_end(kills, &first);
    oom_process_end(kills, &second);
    oom_kills_free(kills);
}

/* A worker that dies again and again, at once: each death has its kill. */
static void test_again_and_again(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    for (unsigned i = 0; i < 100; i++) {
        struct oom_process worker = {0};
        pid_t pid = i % 2 ? 101 : 102;
        oom_process_begin(kills, &worker, pid);
        put_group("cgroup v2/slice/a", i + 1, 4 + i, 0);
        assert_true(killed(kills, &worker, pid, 0));
        oom_process_end(kills, &worker);
    }
    oom_kills_free(kills);
}

/* The kill came before the second one began, the death only afterwards. */
static void test_slow_death(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process slow = {0}, second = {0};
    oom_process_begin(kills, &slow, 101);
    put_group("cgroup v2/slice/a", 1, 4, 0);
    oom_process_begin(kills, &second, 102);
    assert_true(killed(kills, &slow, 101, 0));
    struct oom_process copy = second;
    assert_false(killed(kills, &copy, 102, 0));
    put_group("cgroup v2/slice/a", 2, 5, 0);
    assert_true(killed(kills, &second, 102, 0));
    oom_process_end(kills, &slow);
    oom_process_end(kills, &second);
    oom_kills_free(kills);
}

/* Somebody in the cgroup, not traced, was a victim long before this one is killed by a person. */
static void test_old_kill(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process process = {0};
    oom_process_begin(kills, &process, 101);
    put_group("cgroup v2/slice/a", 1, 4, 0);
    const uint64_t second = UINT64_C(1000000000), now = process.begin_ns;
    oom_process_look(kills, &process, now + 1 * second); /* too soon: nothing changes */
    oom_process_look(kills, &process, now + 20 * second);
    struct oom_process copy = process;
    assert_true(killed(kills, &copy, 101, 0)); /* it may have been it */
    oom_kills_free(kills);

    kills = begin();
    process = (struct oom_process){0};
    oom_process_begin(kills, &process, 101);
    put_group("cgroup v2/slice/a", 2, 5, 0);
    oom_process_look(kills, &process, now + 20 * second);
    oom_process_look(kills, &process, now + 40 * second);
    assert_false(killed(kills, &process, 101, 0));
    put_group("cgroup v2/slice/a", 3, 6, 0);
    assert_true(killed(kills, &process, 101, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

/* The cgroup goes with its last process: what it lay in has counted, too. */
static void test_cgroup_has_gone(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process process = {0};
    oom_process_begin(kills, &process, 103);
    put_group("cgroup v2/slice", 1, 1, 256 * MIB);
    remove_file("cgroup v2/slice/b/memory.events");
    remove_file("cgroup v2/slice/b/memory.max");
    remove_file("cgroup v2/slice/b");
    assert_true(killed(kills, &process, 103, 256 * MIB));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

/* A container's v1 mount shows its own cgroup only, and /proc names it from the outside. */
static void test_version_1(void **state)
{
    (void)state;
    make_folder("memory");
    make_folder("memory/job");
    put("proc/self/mountinfo", "a", "35 31 0:32 /docker/17 %s/memory rw,relatime - cgroup cgroup rw,memory\n", root);
    put("memory/job/memory.oom_control", "w", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
    put("memory/job/memory.limit_in_bytes", "w", "%llu\n", 100 * MIB);
    put("memory/job/memory.max_usage_in_bytes", "w", "%llu\n", 99 * MIB);
    put_process(201, "4:cpu:/docker/17/job\n3:memory:/docker/17/job\n0::/slice/a\n");
    put_process(202, "3:memory:/elsewhere\n");
    put_process(203, "3:memory:/docker/17/../x\n");
    struct oom_kills *kills = begin();
    struct oom_process process = {0}, outside = {0}, above = {0};
    oom_process_begin(kills, &process, 201);
    oom_process_begin(kills, &outside, 202);
    oom_process_begin(kills, &above, 203);
    assert_non_null(process.group);
    assert_null(outside.group);
    assert_null(above.group);
    put("memory/job/memory.oom_control", "w", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    put("memory/job/memory.max_usage_in_bytes", "w", "%llu\n", 100 * MIB);
    assert_true(killed(kills, &process, 201, 100 * MIB));
    assert_false(killed(kills, &outside, 202, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

static void test_log(void **state)
{
    (void)state;
    use_first_pids();
    put_log(3, 1, "Out of memory: Killed process 101 (old)"); /* before we began to read */
    struct oom_kills *kills = begin();
    struct oom_process first = {0}, second = {0}, unknown = {0};
    oom_process_begin(kills, &first, 101);
    oom_process_begin(kills, &second, 102);
    oom_process_begin(kills, &unknown, 999); /* of which /proc tells nothing */
    put_log(6, 0, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/slice,task=x,pid=102,uid=0");
    put_log(12, 0, "Out of memory: Killed process 101 (said by somebody who writes there)");
    put_log(6, 0, "audit: Out of memory: Killed process 101 (no)");
    assert_false(killed(kills, &first, 101, 0));
    put_log(3, 0, "Memory cgroup out of memory: Killed process 102 (Killed process 101) total-vm:1kB, UID:0");
    put_group("cgroup v2/slice/a", 1, 4, 0);
    assert_false(killed(kills, &first, 101, 0)); /* the counter has risen, but by that one */
    assert_true(killed(kills, &second, 102, 0));
    put_log(3, 0, "Out of memory (oom_kill_allocating_task): Killed process 999 (x) total-vm:1kB");
    assert_true(killed(kills, &unknown, 999, 0));
    oom_process_end(kills, &first);
    oom_process_end(kills, &second);
    oom_kills_free(kills);
}

/* A pid comes again: what the log said of the one before is not meant. */
static void test_log_of_an_old_pid(void **state)
{
    (void)state;
    use_first_pids();
    struct oom_kills *kills = begin();
    struct oom_process process = {0};
    put_log(3, 5, "Out of memory: Killed process 101 (old)");
    oom_process_begin(kills, &process, 101);
    assert_false(killed(kills, &process, 101, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

/* In another namespace the log's numbers are others'. */
static void test_log_of_other_pids(void **state)
{
    (void)state;
    struct oom_kills *kills = begin();
    struct oom_process process = {0};
    oom_process_begin(kills, &process, 101);
    put_log(3, 0, "Out of memory: Killed process 101 (x)");
    assert_false(killed(kills, &process, 101, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
}

static void test_nothing_is_known(void **state)
{
    (void)state;
    struct oom_kills *kills = oom_kills_new("/nonexistent", "/nonexistent/log");
    struct oom_process process = {0}, never_met = {0};
    oom_process_begin(kills, &process, 101);
    oom_process_look(kills, &process, process.begin_ns);
    assert_false(killed(kills, &process, 101, 0));
    assert_false(killed(kills, &never_met, 101, 0));
    oom_process_end(kills, &process);
    oom_kills_free(kills);
    oom_process_begin(NULL, &process, 101);
    assert_false(killed(NULL, &process, 101, 0));
    oom_process_end(NULL, &process);
    oom_kills_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(test_counter),
        CASE(test_the_machine_was_full),
        CASE(test_one_kill_is_one_death),
        CASE(test_again_and_again),
        CASE(test_slow_death),
        CASE(test_old_kill),
        CASE(test_cgroup_has_gone),
        CASE(test_version_1),
        CASE(test_log),
        CASE(test_log_of_an_old_pid),
        CASE(test_log_of_other_pids),
        CASE(test_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
