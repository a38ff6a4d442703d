/*
 * program_name.h - what a person would call the program of a trace: the same on every machine and for every
 * interpreter.
 */
#ifndef HEAPSAKE_MODEL_PROGRAM_NAME_H
#define HEAPSAKE_MODEL_PROGRAM_NAME_H

#include "base/buf.h"
#include "trace/trace_info.h"

/*
 * "app.py", "-m pytest", "-c import app; ..." of a Python interpreter's command line; else the name of the executable's
 * file.
 * "?" when the trace does not say. Any bytes, not terminated, appended to `name`.
 */
void program_name(struct buf *name, const struct trace_info *info);

#endif
