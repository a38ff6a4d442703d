/*
 * proc_folder.h - one process as /proc shows it, through a descriptor of its folder.
 *
 * The descriptor stands for that very process: when it has ended every read fails, also when its number has been given
 * to another by then. Reading stops nobody and changes nothing. Thread-safe.
 */
#ifndef HEAPSAKE_RECORD_PROC_FOLDER_H
#define HEAPSAKE_RECORD_PROC_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"

/* A descriptor of /proc/PID that serves as the `folder` below; a negative errno. The caller closes it. */
int proc_folder_open(pid_t pid);

/*
 * The whole text of a file, terminated, in place of what `text` held. `name` is below `folder`, or a path from the root
 * (then `folder` is not looked at). False: it cannot be read, and `text` is "" unless memory ran out.
 */
bool proc_folder_text(struct buf *text, int folder, const char *name);
/* As much of it as `most` bytes; more may come if they come together. */
bool proc_folder_head(struct buf *text, int folder, const char *name, size_t most);

/*
 * A short text, without a folder and without memory of the heap: what does not fit is left out. `format` is the path,
 * made of pid and tid. False: it cannot be read, errno says why, and `text` is as it was.
 */
bool proc_text(char *text, size_t size, const char *format, int pid, int tid);

/* Of a text of lines "Name:  value": where the value begins; NULL: there is no such line. Lines end with '\n'. */
const char *proc_field(const char *text, const char *name);
/* The number in such a line; `otherwise` when there is none. */
uint64_t proc_field_number(const char *text, const char *name, int base, uint64_t otherwise);

/* Of the text of a stat: where a field begins, by proc(5)'s numbers from 3 (the state) on; NULL: it has none. */
const char *proc_stat_field(const char *stat, unsigned number);

/* A whole file that is one number, such as those of /proc/sys; `otherwise` when it cannot be read or is none. */
int64_t proc_number(const char *path, int64_t otherwise);

/* kernel.yama.ptrace_scope: 1: a process is traced by its ancestors and whom it has named, 2: by root, 3: by nobody. */
int64_t proc_ptrace_scope(void);

/* Is what `name` leads to (a namespace, the root) the same as for us? -1: that cannot be told. */
int proc_same(int folder, const char *name);

/* Opens `path` as that process finds it: below its root, in its mount namespace. A descriptor or a negative errno. */
int proc_open_path(int folder, const char *path, int flags);

#endif
