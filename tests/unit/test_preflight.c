/*
 * test_preflight.c - processes that this machine may not have: a folder with a few files stands for the one in /proc.
 * Beside the test lie libheapsake.so, and a library with the versions of an old glibc.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own_folder.h"
#include "record/cgroup.h"
#include "record/preflight_private.h"
#include "record/proc_folder.h"

static char old_libc[PATH_MAX], library[PATH_MAX];

struct fixture {
    char path[64];
    struct subject subject;
    struct preflight list;
};

static void put(const struct fixture *fixture, const char *name, const char *text)
{
    int fd = openat(fixture->subject.folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->path, "/tmp/heapsake-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->subject = (struct subject){
        .pid = 12345,
        .folder = open(fixture->path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .status = "Name:\tapp\nState:\tS (sleeping)\n",
        .library = library,
    };
    assert_int_equal(mkdirat(fixture->subject.folder, "task", 0700), 0);
    assert_int_equal(mkdirat(fixture->subject.folder, "task/12345", 0700), 0);
    assert_int_equal(mkdirat(fixture->subject.folder, "task/12346", 0700), 0);
    assert_int_equal(symlinkat("/proc/self/exe", fixture->subject.folder, "exe"), 0);
    assert_int_equal(symlinkat("/", fixture->subject.folder, "root"), 0);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    mapped_files_free(&fixture->subject.files);
    preflight_free(&fixture->list);
    close(fixture->subject.folder);
    nftw(fixture->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

static const struct check *find(const struct fixture *fixture, const char *name)
{
    for (size_t i = 0; i < fixture->list.count; i++)
        if (strcmp(fixture->list.checks[i].name, name) == 0)
            return &fixture->list.checks[i];
    fail_msg("there is no check %s", name);
    return NULL;
}

static void assert_fatal(const struct fixture *fixture, const char *name, const char *word)
{
    const struct check *check = find(fixture, name);
    assert_false(check->ok);
    if (!check->fatal || !strstr(check->detail, word))
        fail_msg("%s: %s does not speak of %s", name, check->detail, word);
}

/* ---- threads ---- */

static void shadow_stack(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "task/12345/status", "Name:\tapp\nx86_Thread_features:\t\nx86_Thread_features_locked:\tshstk wrss\n");
    preflight_threads(&fixture->list, &fixture->subject);
    assert_true(find(fixture, "shadow stack")->ok); /* locked is not on */
    preflight_free(&fixture->list);

    put(fixture, "task/12346/status", "Name:\tapp\nx86_Thread_features:\twrss shstk \nx86_Thread_features_locked:\t\n");
    preflight_threads(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "shadow stack", "shadow stack");
    assert_non_null(find(fixture, "shadow stack")->fix);
}

static void filters_that_are_not_counted(void **state)
{
    struct fixture *fixture = *state;
    fixture->subject.status = "Name:\tapp\nState:\tS (sleeping)\nSeccomp:\t2\n"; /* before Linux 5.9 */
    preflight_threads(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "seccomp", "filters its system calls");
    preflight_free(&fixture->list);

    fixture->list.allow_seccomp = true;
    preflight_threads(&fixture->list, &fixture->subject);
    assert_false(find(fixture, "seccomp")->ok);
    assert_null(preflight_obstacle(&fixture->list));
}

static void strict_is_never_allowed(void **state)
{
    struct fixture *fixture = *state;
    fixture->list.allow_seccomp = true;
    put(fixture, "task/12346/status", "Name:\tapp\nSeccomp:\t1\n");
    preflight_threads(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "seccomp", "strict");
}

static void tracer_of_one_thread(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "task/12345/status", "Name:\tapp\nTracerPid:\t0\n");
    put(fixture, "task/12346/status", "Name:\tapp\nTracerPid:\t2147483647\n"); /* whose name cannot be read */
    preflight_threads(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "tracer", "by process 2147483647 already");
}

/* ---- C libraries ---- */

static void read_code(struct fixture *fixture, const char *maps)
{
    put(fixture, "maps", maps);
    assert_int_equal(mapped_files_read(&fixture->subject.files, fixture->subject.folder), 0);
    preflight_code(&fixture->list, &fixture->subject);
}

static void old_glibc(void **state)
{
    struct fixture *fixture = *state;
    char maps[2 * PATH_MAX + 200];
    snprintf(maps, sizeof maps,
             "7f0000000000-7f0000001000 r--p 00000000 08:01 4711                       %s\n"
             "7f0000001000-7f0000002000 r-xp 00001000 08:01 4711                       %s\n",
             old_libc, old_libc);
    read_code(fixture, maps);
    assert_true(find(fixture, "program")->ok);
    assert_fatal(fixture, "libc", "has glibc 2.31, and libheapsake.so needs GLIBC_2.3");
    assert_non_null(strstr(find(fixture, "libc")->fix, "no newer than 2.31"));
}

static void replaced_glibc(void **state)
{
    struct fixture *fixture = *state;
    read_code(fixture, "7f0000001000-7f0000002000 r-xp 00001000 08:01 4711       /lib/libc.so.6 (deleted)\n");
    const struct check *check = find(fixture, "libc");
    assert_true(!check->ok && !check->fatal);
    assert_non_null(strstr(check->detail, "replaced"));
}

static void musl(void **state)
{
    read_code(*state, "7f0000000000-7f0000001000 r-xp 00000000 08:01 4711       /lib/ld-musl-x86_64.so.1\n");
    assert_fatal(*state, "libc", "musl");
}

static void no_libc_yet(void **state)
{
    read_code(*state, "7f0000000000-7f0000001000 r-xp 00000000 08:01 4711       /lib/ld-linux-x86-64.so.2\n");
    assert_fatal(*state, "libc", "no glibc");
}

static void other_machine(void **state)
{
    struct fixture *fixture = *state;
    char header[64] = "\177ELF\2\1\1"; /* 64-bit, little-endian */
    header[16] = 2;                    /* ET_EXEC */
    header[18] = (char)183;            /* EM_AARCH64 */
    header[20] = 1;
    header[52] = 64;
    unlinkat(fixture->subject.folder, "exe", 0);
    int fd = openat(fixture->subject.folder, "exe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, header, sizeof header), sizeof header);
    close(fd);
    read_code(fixture, "");
    assert_fatal(fixture, "program", "64-bit program of another machine");
    assert_int_equal(fixture->list.count, 1);
}

/* ---- files that are mapped ---- */

static void runs(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "maps",
        "400000-401000 r--p 00000000 fe:00 10                 /opt/a b/app (deleted)\n"
        "401000-402000 r-xp 00001000 fe:00 10                 /opt/a b/app (deleted)\n"
        "402000-403000 rw-p 00000000 00:00 0 \n"
        "403000-404000 rw-p 00002000 fe:00 10                 /opt/a b/app (deleted)\n"
        "500000-600000 rw-p 00000000 00:00 0                  [heap]\n"
        "7f0000000000-7f0000001000 rw-s 00003000 00:01 77     /memfd:x (deleted)\n"
        "7f0000001000-7f0000002000 rw-s 00000000 00:01 77     /memfd:x (deleted)\n"
        "7f0000002000-7f0000003000 r--p 00000000 fe:01 10     /lib/new\\012line.so\n");
    assert_int_equal(mapped_files_read(&fixture->subject.files, fixture->subject.folder), 0);
    const struct mapped_files *files = &fixture->subject.files;
    assert_int_equal(files->maps.count, 8);
    assert_int_equal(files->count, 4);
    const struct mapping *app = files->files[0].first, *line = files->files[3].first;
    assert_string_equal(app->name, "/opt/a b/app");
    assert_true(app->deleted && files->files[0].code);
    assert_int_equal(app->start, 0x400000);
    assert_int_equal(app->end, 0x401000);
    assert_string_equal(files->files[1].first->name, "/memfd:x");
    assert_int_equal(files->files[1].first->offset, 0x3000);
    assert_int_equal(files->files[2].first->offset, 0);
    assert_string_equal(line->name, "/lib/new\nline.so");
    assert_false(line->deleted || files->files[3].code);
    assert_ptr_equal(mapped_files_find(files, "app", false), app);
    assert_null(mapped_files_find(files, "ap", false));
    assert_ptr_equal(mapped_files_find(files, "ap", true), app);
    assert_null(mapped_files_find(files, "new", true)); /* no code */
}

static void roles(void **state)
{
    static const struct {
        const char *name;
        enum module_role role;
    } expected[] = {
        {"/lib/x86_64-linux-gnu/libc.so.6", MODULE_LIBC},
        {"/lib/libc-2.31.so", MODULE_LIBC},
        {"/lib/libcrypto.so.3", MODULE_OTHER},
        {"/lib/ld-linux-x86-64.so.2", MODULE_LOADER},
        {"/lib/ld-musl-x86_64.so.1", MODULE_LOADER},
        {"/opt/libheapsake.so", MODULE_HEAPSAKE},
        {"/opt/libheapsake.so/libother.so", MODULE_OTHER},
        {"[heap]", MODULE_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < HS_COUNT_OF(expected); i++)
        assert_int_equal(mapping_role(&(struct mapping){.name = expected[i].name}), expected[i].role);
}

/* A path that the process chose: what is there now may be anything. */
static void what_is_opened(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_MAX], byte;
    snprintf(path, sizeof path, "%s/file", fixture->path);
    struct mapping mapping = {.start = 4096, .end = 8192, .name = path};
    assert_int_equal(mapping_open(&mapping, fixture->subject.folder), -ENOENT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mapping_open(&mapping, fixture->subject.folder), -ENXIO);
    assert_int_equal(unlink(path), 0);
    put(fixture, "file", "x");
    int fd = mapping_open(&mapping, fixture->subject.folder);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(fd);
    mapping.deleted = true; /* then the file there is another one */
    assert_int_equal(mapping_open(&mapping, fixture->subject.folder), -ENOENT);
    assert_int_equal(mapping_open(&(struct mapping){.name = "[heap]"}, fixture->subject.folder), -ENOENT);
}

static void stat_fields(void **state)
{
    static const char stat[] = "12 (a) R 9) (b)) S 34 -5 0\n";
    (void)state;
    assert_int_equal(*proc_stat_field(stat, 3), 'S');
    assert_int_equal(strtol(proc_stat_field(stat, 4), NULL, 10), 34);
    assert_int_equal(strtol(proc_stat_field(stat, 5), NULL, 10), -5);
    assert_int_equal(*proc_stat_field(stat, 6), '0');
    assert_null(proc_stat_field(stat, 7));
    assert_null(proc_stat_field("", 3));
}

/* ---- limits ---- */

static void limits(void **state)
{
    struct fixture *fixture = *state;
    fixture->subject.status = "Name:\tapp\nVmSize:\t  204800 kB\n";
    put(fixture, "limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max address space         524288000            600000000            bytes     \n");
    preflight_limits(&fixture->list, &fixture->subject);
    assert_true(find(fixture, "address space")->ok); /* 300 MiB of 500 */
    preflight_free(&fixture->list);

    fixture->subject.status = "Name:\tapp\nVmSize:\t  204801 kB\n";
    preflight_limits(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "address space", "of the 500 MiB that it may map");
    assert_string_equal(find(fixture, "address space")->fix, "prlimit --pid 12345 --as=524289024:");
    preflight_free(&fixture->list);

    fixture->subject.status = "Name:\tapp\nVmSize:\t  900000 kB\n"; /* the limit was lowered afterwards */
    preflight_limits(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "address space", "has 0 B left");
    assert_non_null(strstr(find(fixture, "address space")->fix, "as root"));
}

static void nearly_all_mappings(void **state)
{
    struct fixture *fixture = *state;
    int64_t most = proc_number("/proc/sys/vm/max_map_count", 0);
    fixture->subject.files.maps.count = (uint64_t)most - 1001;
    preflight_limits(&fixture->list, &fixture->subject);
    assert_true(find(fixture, "mappings")->ok);
    preflight_free(&fixture->list);
    fixture->subject.files.maps.count = (uint64_t)most - 10;
    preflight_limits(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "mappings", "mappings that a process may have");
    fixture->subject.files.maps.count = 0;
}

/* ---- cgroups ---- */

/* Folders and files below the fixture's, as a file system of cgroups has them. */
static void put_group(const struct fixture *fixture, const char *folder, const char *const files[][2])
{
    char path[PATH_MAX];
    assert_int_equal(mkdirat(fixture->subject.folder, folder, 0700), 0);
    for (size_t i = 0; files[i][0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i][0]);
        put(fixture, path, files[i][1]);
    }
}

/* A list of mounts with one of `type` whose folder `root` is at the fixture's folder `point`. */
static void put_mount(const struct fixture *fixture, const char *root, const char *point, const char *type)
{
    static char mounts[128];
    char text[512];
    snprintf(text, sizeof text,
             "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
             "31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755\n"
             "41 31 0:38 %s %s/%s rw,relatime shared:3 master:4 - %s\n",
             root, fixture->path, point, type);
    put(fixture, "mounts", text);
    snprintf(mounts, sizeof mounts, "%s/mounts", fixture->path);
    cgroup_mounts = mounts;
}

#define MIB (UINT64_C(1) << 20)

static void memory_of_version_2(void **state)
{
    struct fixture *fixture = *state;
    uint64_t limit = 0;
    put_mount(fixture, "/", "two\\040words", "cgroup2 cgroup2 rw,nsdelegate");
    put(fixture, "cgroup", "0::/app.slice/app.service\n");
    static const char *const none[][2] = {{NULL}};
    static const char *const slice[][2] = {{"memory.max", "104857600\n"},
                                           {"memory.current", "94371840\n"},
                                           {"memory.stat", "anon 5\nfile 50\nactive_inactive_file 1\n"
                                                           "inactive_file 20971520\nslab 1\n"},
                                           {NULL}};
    static const char *const service[][2] = {{"memory.max", "max\n"}, {"memory.current", "1048576\n"}, {NULL}};
    put_group(fixture, "two words", none);
    put_group(fixture, "two words/app.slice", slice);
    put_group(fixture, "two words/app.slice/app.service", service);
    /* the narrowest is above it: 100 - 90 and 20 of cache */
    assert_int_equal(cgroup_memory_left(fixture->subject.folder, &limit), 30 * MIB);
    assert_int_equal(limit, 100 * MIB);
    preflight_limits(&fixture->list, &fixture->subject);
    assert_fatal(fixture, "memory", "has 30.0 MiB left of the 100 MiB");

    put(fixture, "two words/app.slice/app.service/memory.max", "2097152\n");
    assert_int_equal(cgroup_memory_left(fixture->subject.folder, &limit), 1 * MIB);
    assert_int_equal(limit, 2 * MIB);

    put(fixture, "cgroup",
        "0::/../elsewhere\n"); /* another namespace's, of which the mount point alone is to be seen */
    assert_true(cgroup_memory_left(fixture->subject.folder, &limit) == UINT64_MAX);
    put(fixture, "cgroup", "");
    assert_true(cgroup_memory_left(fixture->subject.folder, &limit) == UINT64_MAX);
}

static void memory_of_version_1(void **state)
{
    struct fixture *fixture = *state;
    uint64_t limit = 0;
    put_mount(fixture, "/docker/4711", "memory", "cgroup cgroup rw,memory");
    put(fixture, "cgroup", "5:cpu,cpuacct:/other\n4:hugetlb,memory:/docker/4711/inner\n1:name=systemd:/\n0::/\n");
    static const char *const outer[][2] = {
        {"memory.limit_in_bytes", "9223372036854771712\n"}, {"memory.usage_in_bytes", "1048576\n"}, {NULL}};
    static const char *const inner[][2] = {{"memory.limit_in_bytes", "52428800\n"},
                                           {"memory.usage_in_bytes", "53477376\n"},
                                           {"memory.stat", "inactive_file 7\ntotal_inactive_file 1048576\n"},
                                           {NULL}};
    put_group(fixture, "memory", outer);
    assert_true(cgroup_memory_left(fixture->subject.folder, &limit) == UINT64_MAX);
    put_group(fixture, "memory/inner", inner);
    assert_int_equal(cgroup_memory_left(fixture->subject.folder, &limit), 1 * MIB);
    assert_int_equal(limit, 50 * MIB);

    put(fixture, "cgroup", "4:memory:/docker/47110/inner\n"); /* not below what is mounted */
    assert_true(cgroup_memory_left(fixture->subject.folder, &limit) == UINT64_MAX);
}

static void freezing(void **state)
{
    struct fixture *fixture = *state;
    put_mount(fixture, "/", "groups", "cgroup2 cgroup2 rw");
    put(fixture, "cgroup", "0::/app\n");
    static const char *const none[][2] = {{NULL}};
    static const char *const app[][2] = {{"cgroup.events", "populated 1\nfrozen 0\n"}, {NULL}};
    put_group(fixture, "groups", none);
    put_group(fixture, "groups/app", app);
    assert_false(cgroup_frozen(fixture->subject.folder));
    put(fixture, "groups/app/cgroup.events", "populated 1\nfrozen 1\n");
    assert_true(cgroup_frozen(fixture->subject.folder));

    put_mount(fixture, "/", "groups", "cgroup cgroup rw,freezer");
    put(fixture, "cgroup", "6:freezer:/app\n");
    static const char *const states[] = {"THAWED\n", "FREEZING\n", "FROZEN\n"};
    for (size_t i = 0; i < HS_COUNT_OF(states); i++) {
        put(fixture, "groups/app/freezer.state", states[i]);
        assert_int_equal(cgroup_frozen(fixture->subject.folder), i > 0);
    }
}

/* ---- the list ---- */

static void refusal(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    preflight_add(&fixture->list, "one", CHECK_OK, "is well");
    preflight_add(&fixture->list, "two", CHECK_LACKS, "could be better");
    assert_null(preflight_obstacle(&fixture->list));
    preflight_add(&fixture->list, "three", CHECK_FATAL, "is %s", "stopped");
    preflight_fix(&fixture->list, "kill -CONT %d", 7);
    preflight_add(&fixture->list, "four", CHECK_FATAL, "is worse");
    assert_string_equal(preflight_obstacle(&fixture->list)->name, "three");
    assert_true(preflight_refuse(preflight_obstacle(&fixture->list), 7, &error) < 0);
    assert_string_equal(error.text, "process 7: is stopped: kill -CONT 7");
}

/* `name`, from this executable's folder on. */
static bool find_beside(char path[PATH_MAX], const char *name)
{
    char folder[PATH_MAX], beside[2 * PATH_MAX];
    own_folder(folder);
    snprintf(beside, sizeof beside, "%s%s", folder, name);
    return realpath(beside, path);
}

int main(void)
{
    if (!find_beside(old_libc, "libc-2.31.so") || !find_beside(library, "../preload/libheapsake.so"))
        return 2;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(shadow_stack),
        TEST(filters_that_are_not_counted),
        TEST(strict_is_never_allowed),
        TEST(tracer_of_one_thread),
        TEST(old_glibc),
        TEST(replaced_glibc),
        TEST(musl),
        TEST(no_libc_yet),
        TEST(other_machine),
        TEST(runs),
        TEST(roles),
        TEST(what_is_opened),
        TEST(stat_fields),
        TEST(limits),
        TEST(nearly_all_mappings),
        TEST(refusal),
        TEST(memory_of_version_2),
        TEST(memory_of_version_1),
        TEST(freezing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
