/*
 * naming.h - gives the native frames of a trace the names that can be found now.
 */
#ifndef HEAPSAKE_AMEND_NAMING_H
#define HEAPSAKE_AMEND_NAMING_H

#include <stddef.h>

#include "amend/module_search.h"
#include "amend/native_names.h"

struct frame_counts {
    size_t functions; /* frames all of whose functions have names */
    size_t lines;     /* ... whose file and line are known  */
};

/* One build of one module whose frames were not all fully named. */
struct named_module {
    const char *path; /* strings of the names; "" when unknown */
    const uint8_t *build_id;
    size_t build_id_length;
    size_t frames;   /* of the trace that lie in it    */
    size_t improved; /* that are better named now      */
    struct frame_counts before, after;
    struct found_module found;
};

struct naming {
    struct named_module *modules; /* in the order of their paths */
    size_t count;
    size_t frames; /* of the whole trace, as what follows */
    size_t improved;
    size_t without_module; /* that lie in none */
    struct frame_counts before, after;
};

/* Names what can be named. 0 or -ENOMEM; free it in both cases, before the names. */
int naming_run(struct naming *naming, struct native_names *names, struct module_search *search);
void naming_free(struct naming *naming);

#endif
