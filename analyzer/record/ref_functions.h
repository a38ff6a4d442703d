/*
 * ref_functions.h - is what --ref-functions says a pair of functions?
 */
#ifndef HEAPSAKE_RECORD_REF_FUNCTIONS_H
#define HEAPSAKE_RECORD_REF_FUNCTIONS_H

#include "base/error.h"
#include "command.h"

/* Each "ref=NAME,unref=NAME[,arg=N]", no function twice, and room for all of them. 0, or -EINVAL. */
int ref_functions_check(const struct option_strings *pairs, struct error *error);

#endif
