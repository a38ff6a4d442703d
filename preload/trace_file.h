/*
 * trace_file.h - where this process's trace is written, for programs that read it meanwhile.
 *
 * Each process of a recording has a file of its own. The recorder chooses its name and tells it in the session. What
 * programs call by name: the name and the parameters are a promise.
 */
#ifndef HEAPSAKE_PRELOAD_TRACE_FILE_H
#define HEAPSAKE_PRELOAD_TRACE_FILE_H

/*
 * The absolute path, terminated, goes into `path`, which has room for `size` bytes. 0; -ENOTCONN: not traced; -EAGAIN:
 * the recorder has not begun to write yet (it has when a flush is over), or the path is longer than it can tell;
 * -ENAMETOOLONG: longer than `size`. May be called from any thread; preserves errno.
 */
int heapsake_api_trace_file(char *path, unsigned size);

#endif
