/* preflight.c - see preflight.h and preflight_private.h: the list itself. */
#include "record/preflight.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/grow.h"
#include "record/preflight_private.h"

void preflight_add(struct preflight *list, const char *name, enum check_result result, const char *detail, ...)
{
    if (!grow((void **)&list->checks, list->count, &list->capacity, sizeof *list->checks)) {
        list->failed = true;
        return;
    }
    struct check check = {.name = name, .ok = result == CHECK_OK, .fatal = result == CHECK_FATAL};
    va_list arguments;
    va_start(arguments, detail);
    if (vasprintf(&check.detail, detail, arguments) >= 0)
        list->checks[list->count++] = check;
    else
        list->failed = true;
    va_end(arguments);
}

void preflight_fix(struct preflight *list, const char *fix, ...)
{
    if (list->failed || list->count == 0)
        return;
    struct check *last = &list->checks[list->count - 1];
    va_list arguments;
    va_start(arguments, fix);
    if (vasprintf(&last->fix, fix, arguments) < 0) {
        last->fix = NULL;
        list->failed = true;
    }
    va_end(arguments);
}

void preflight_free(struct preflight *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->checks[i].detail);
        free(list->checks[i].fix);
    }
    free(list->checks);
    *list = PREFLIGHT_INIT;
}

const struct check *preflight_obstacle(const struct preflight *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->checks[i].fatal)
            return &list->checks[i];
    return NULL;
}

int preflight_refuse(const struct check *obstacle, pid_t pid, struct error *error)
{
    return error_set(error, -ECANCELED, "process %d: %s%s%s", (int)pid, obstacle->detail, obstacle->fix ? ": " : "",
                     obstacle->fix ? obstacle->fix : "");
}
