/*
 * source_path.h - the file of a frame as others can find it: below the folder that they have checked out.
 */
#ifndef HEAPSAKE_REPORT_SOURCE_PATH_H
#define HEAPSAKE_REPORT_SOURCE_PATH_H

#include "base/buf.h"
#include "model/stacks.h"

/*
 * The path of the frame's file, without "." and "..": relative to the workspace (GITHUB_WORKSPACE, else the current
 * folder) when it is below it, else absolute. A relative one of Python is below `folder`, where the program ran (may be
 * NULL), one of native code, which a build has made so, below the workspace. False, and nothing appended, when there is
 * no such file ("<string>", "../csu/libc-start.c"). Any bytes, not terminated.
 */
bool source_path(struct buf *path, const struct frame *frame, const char *folder);

/* The same as a URI reference: percent-encoded, "file:///..." when it is absolute. */
bool source_uri(struct buf *uri, const struct frame *frame, const char *folder);

#endif
