/*
 * leak_subject.h - what a leak of an earlier trace consists of, so that the same can be watched: leak:TRACE#N.
 */
#ifndef HEAPSAKE_REPORT_LEAK_SUBJECT_H
#define HEAPSAKE_REPORT_LEAK_SUBJECT_H

#include <stdint.h>

struct leak_subject {
    char *type;    /* NULL: not of one Python type */
    char *file;    /* of the innermost Python line of the stack where most of it was made; NULL: there is none */
    uint32_t line; /* 0: not known */
};

/*
 * The leak that `heapsake leaks TRACE` lists as the Nth, from 1. Returns an enum exit_code; what is wrong has been
 * printed, and the subject is empty.
 */
int leak_subject_find(struct leak_subject *subject, const char *trace, uint64_t number);
void leak_subject_free(struct leak_subject *subject);

#endif
