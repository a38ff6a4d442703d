/* python_include.c - see python_include.h */
#include "python_include.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own_folder.h"

#define FOLDER "/heapsake/python"

/* It is there, with what belongs in it. */
static bool is_folder(const char *candidate, char folder[PATH_MAX])
{
    char header[PATH_MAX + 16];
    if (!realpath(candidate, folder))
        return false;
    snprintf(header, sizeof header, "%s/Python.h", folder);
    return access(header, R_OK) == 0;
}

int python_include_find(char folder[PATH_MAX], struct error *error)
{
    char own[PATH_MAX], candidate[2 * PATH_MAX];
    own_folder(own);
    /* installed, and perhaps moved since; as it is built, which no installed command is */
    snprintf(candidate, sizeof candidate, "%s../include" FOLDER, own);
    if (is_folder(candidate, folder))
        return 0;
    snprintf(candidate, sizeof candidate, "%s../preload", own);
    bool built = access(candidate, F_OK) == 0;
    if (is_folder(built ? HEAPSAKE_SOURCE_INCLUDE FOLDER : HEAPSAKE_INCLUDEDIR FOLDER, folder))
        return 0;
    return error_set(
        error, -ENOENT,
        "heapsake's Python.h is neither beside the command (%s../include) nor in " HEAPSAKE_INCLUDEDIR FOLDER, own);
}
