/*
 * python_include.h - where the Python.h is that tells heapsake of every change of a reference count.
 */
#ifndef HEAPSAKE_PYTHON_INCLUDE_H
#define HEAPSAKE_PYTHON_INCLUDE_H

#include <linux/limits.h>

#include "base/error.h"

/* The folder, for the compiler's -I. 0, or -ENOENT. */
int python_include_find(char folder[PATH_MAX], struct error *error);

#endif
