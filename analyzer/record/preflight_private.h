/* preflight_private.h - what the files of preflight share: adding checks, and the process that is looked at. */
#ifndef HEAPSAKE_RECORD_PREFLIGHT_PRIVATE_H
#define HEAPSAKE_RECORD_PREFLIGHT_PRIVATE_H

#include <stdint.h>

#include "internal/compiler.h"
#include "record/mapped_files.h"
#include "record/preflight.h"

enum check_result {
    CHECK_OK,    /* works                                         */
    CHECK_LACKS, /* does not, and can be done without             */
    CHECK_FATAL, /* does not, and nothing works without           */
};

/* Appends one. */
void preflight_add(struct preflight *list, const char *name, enum check_result result, const char *detail, ...)
    HS_PRINTF(4, 5);
/* What to do about the last one. */
void preflight_fix(struct preflight *list, const char *fix, ...) HS_PRINTF(2, 3);

/* The process that is looked at, as far as it has been read. */
struct subject {
    pid_t pid;
    int folder;                /* proc_folder.h                                           */
    const char *status;        /* the text of its status                                  */
    const char *library;       /* NULL: there is none                                    */
    struct mapped_files files; /* empty unless it may be looked into               */
};

/* ---- preflight_permission.c ---- */

/* May this user trace it? */
bool preflight_permission(struct preflight *list, const struct subject *subject);
/* May `subject` itself read what `path` leads to in its own root? Fills `what` with who may not do what when not. */
bool preflight_may_read(const struct subject *subject, const char *path, char *what, size_t size);

/* Is it in the list of capabilities that `name` ("CapEff") says in the text of a status?
 * `number`: CAP_SYS_PTRACE ... */
bool preflight_capable(const char *status, const char *name, unsigned number);

/* ---- preflight_threads.c: tracers, filters of system calls, shadow stacks, and whether it runs at all ---- */

void preflight_threads(struct preflight *list, const struct subject *subject);

/* ---- preflight_code.c: the program, its C library, ours, and an interpreter ---- */

void preflight_code(struct preflight *list, const struct subject *subject);

/* ---- preflight_limits.c: namespaces and memory ---- */

void preflight_namespaces(struct preflight *list, const struct subject *subject);
void preflight_limits(struct preflight *list, const struct subject *subject);

#endif
