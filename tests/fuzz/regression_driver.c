/*
 * regression_driver.c - gives files, or all files of folders, to a fuzz target, one after the other.
 *
 *     regression_driver FILE_OR_FOLDER...     prints how many inputs it has run; fails when there was none
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    /* not a byte more than the input, so that a sanitizer sees every read behind its end */
    uint8_t *data = length >= 0 ? malloc(length ? (size_t)length : 1) : NULL;
    int result = -1;
    if (data && fread(data, 1, (size_t)length, file) == (size_t)length) {
        result = LLVMFuzzerTestOneInput(data, (size_t)length);
        inputs++;
    }
    free(data);
    fclose(file);
    return result;
}

static int run_path(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return run_file(path);
    int result = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inside[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) >= (int)sizeof inside ||
            run_file(inside) != 0)
            result = -1;
    }
    closedir(folder);
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;
    for (int i = 1; i < argc; i++)
        if (run_path(argv[i]) != 0)
            result = -1;
    printf("%u inputs\n", inputs);
    return result == 0 && inputs > 0 ? 0 : 1;
}
