/*
 * text_file.h - reading a small text file whole.
 */
#ifndef HEAPSAKE_BASE_TEXT_FILE_H
#define HEAPSAKE_BASE_TEXT_FILE_H

#include "base/buf.h"
#include "base/error.h"

/*
 * All of a file into `text`, with a terminator behind its length; not more than text's ceiling, which must be set.
 * `what` it should be, for the message: "limits". A negative errno.
 */
int text_file_read(struct buf *text, const char *path, const char *what, struct error *error);

#endif
