/*
 * watch_line.h - the command that records who takes the references of a leak.
 */
#ifndef HEAPSAKE_REPORT_WATCH_LINE_H
#define HEAPSAKE_REPORT_WATCH_LINE_H

#include "base/buf.h"
#include "trace/trace_info.h"

/*
 * Appends `heapsake run --watch leak:TRACE#NUMBER -o ... -- PROGRAM ARG...`, to be pasted into a shell: the traced
 * program's own words, quoted where they need it. Of a process that was attached to and left it is `heapsake attach
 * --watch leak:TRACE#NUMBER --duration ... -o ... PID`. `path` is the trace. Nothing when the trace does not know its
 * program.
 */
void watch_line(struct buf *line, const char *path, unsigned number, const struct trace_info *info);

#endif
