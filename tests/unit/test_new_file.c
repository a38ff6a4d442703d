/*
 * A file appears whole or not at all, and what had the name before is safe. Compiled a second time with
 * WITHOUT_TMPFILE, for file systems where a file must have a name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef WITHOUT_TMPFILE
#undef O_TMPFILE
#define O_TMPFILE O_DIRECTORY /* a folder cannot be opened for writing */
#define IS_NAMED 1
#else
#define IS_NAMED 0
#endif
#include "base/new_file.c"

static char folder[64], path[PATH_MAX];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/heapsake-new-file-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/it", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_old(void)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0640);
    assert_int_equal(write(fd, "old", 3), 3);
    close(fd);
}

static void begin(struct new_file *file)
{
    struct error error = {0};
    assert_int_equal(new_file_begin(file, path, &error), 0);
    assert_true(file->beside || !IS_NAMED); /* not every file system knows files without a name */
    assert_int_equal(write(file->fd, "new", 3), 3);
}

/* What the folder holds: nothing, or the one file with these contents and this mode. */
static void check(const char *contents, mode_t mode)
{
    unsigned count = 0;
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    closedir(entries);
    assert_int_equal(count, contents ? 1 : 0);
    if (!contents)
        return;
    char text[16] = "";
    struct stat status;
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text - 1), strlen(contents));
    assert_int_equal(fstat(fd, &status), 0);
    close(fd);
    assert_string_equal(text, contents);
    assert_int_equal(status.st_mode & 0777, mode);
    assert_int_equal(status.st_nlink, 1);
}

static void created(void **state)
{
    (void)state;
    struct new_file file;
    struct error error = {0};
    begin(&file);
    assert_int_equal(new_file_commit(&file, false, &error), 0);
    check("new", 0600);
}

static void replaced(void **state)
{
    (void)state;
    struct new_file file;
    struct error error = {0};
    struct stat old;
    write_old();
    assert_int_equal(stat(path, &old), 0);
    begin(&file);
    new_file_resemble(&file, &old);
    assert_int_equal(new_file_commit(&file, true, &error), 0);
    check("new", old.st_mode & 0777);
}

static void taken(void **state)
{
    (void)state;
    struct new_file file;
    struct error error = {0};
    begin(&file);
    write_old();
    assert_int_equal(new_file_commit(&file, false, &error), -EEXIST);
    assert_non_null(strstr(error.text, "exists already"));
    struct stat old;
    assert_int_equal(stat(path, &old), 0);
    check("old", old.st_mode & 0777);
}

static void discarded(void **state)
{
    (void)state;
    struct new_file file;
    begin(&file);
    new_file_discard(&file);
    check(NULL, 0);
    new_file_discard(&file); /* once more is nothing */
}

static void no_folder(void **state)
{
    (void)state;
    struct new_file file;
    struct error error = {0};
    char nowhere[PATH_MAX];
    snprintf(nowhere, sizeof nowhere, "%s/no/it", folder);
    assert_int_equal(new_file_begin(&file, nowhere, &error), -ENOENT);
    assert_non_null(strstr(error.text, nowhere));
}

/* A bare name is one in the folder that one is in. */
static void bare_name(void **state)
{
    (void)state;
    struct new_file file;
    struct error error = {0};
    int before = open(".", O_PATH | O_DIRECTORY);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(new_file_begin(&file, "it", &error), 0);
    assert_int_equal(write(file.fd, "new", 3), 3);
    assert_int_equal(new_file_commit(&file, true, &error), 0);
    assert_int_equal(fchdir(before), 0);
    close(before);
    check("new", 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(created, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(replaced, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(taken, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(discarded, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(no_folder, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(bare_name, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
