/*
 * remote_python.h - the place in another process where its CPython takes requests of debuggers (PEP 768, CPython 3.14
 * and later), found and looked at without stopping anything.
 *
 * An interpreter publishes in a section of its own where its structures have their fields (_Py_DebugOffsets). What is
 * read there is believed only as far as it is known of that version and fits together; else it is no place to write to.
 *
 * A request is three fields of the main thread's state, in the order in which they are to be written: the path of a
 * script, a flag that says that there is one, and a bit in the word by which the thread is told to look
 * (eval_breaker). The thread takes the flag back before it opens the script. Nobody stands still meanwhile, so nothing
 * is written that others may be writing: of the flag its lowest byte, and of the word the byte with the events, whose
 * other bits are chosen so that none is lost that nobody would set again (remote_python_nudge()).
 *
 * Reads and writes go through /proc/PID/mem, which the kernel opens to those who may trace the process, whether
 * somebody else does or not, and which stands for the program that it was when it was opened. Not thread-safe on one
 * struct.
 */
#ifndef HEAPSAKE_RECORD_REMOTE_PYTHON_H
#define HEAPSAKE_RECORD_REMOTE_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "record/mapped_files.h"

struct remote_python {
    int memory; /* a descriptor */
    uint64_t runtime;
    uint64_t finalizing;   /* address of a pointer, 0 as long as it is not being finalized */
    uint64_t flag;         /* address of an int32_t: 1: there is a request                   */
    uint64_t script;       /* address of the path, terminated                                */
    uint64_t script_bytes; /* room for it                                                    */
    uint64_t breaker;      /* address of the word with the events                            */
};

/*
 * Of the process of `folder` (proc_folder.h) with these files. 0, and the caller closes it; or, with a line about "its
 * Python" in `error`: -ENOENT: there is none, or none of 3.14 or later; -ENOTSUP: it is one that cannot be asked, or
 * not now; -EACCES: its memory is not shown to us.
 */
int remote_python_open(struct remote_python *python, int folder, const struct mapped_files *files, struct error *error);
void remote_python_close(struct remote_python *python);

enum request_state {
    REQUEST_NONE,    /* there is none: it was taken, if there was one                            */
    REQUEST_WAITS,   /* the thread has been told to look, and has not yet                       */
    REQUEST_ASLEEP,  /* it waits, and the thread has not been told, or has looked and been disturbed */
    REQUEST_NO_MORE, /* the process has ended or become another program, or its Python ends       */
};
enum request_state remote_python_state(const struct remote_python *python);
/* Which script the request is for, or the last one was: the beginning, terminated; "" when that cannot be read. */
void remote_python_script(const struct remote_python *python, char *path, size_t size);

/*
 * Each false when it cannot be written, or (nudge) when another thread wants the GIL of this one: again later, though
 * nothing may be left to do then, as a thread that hands it over finds the request on its way.
 */
bool remote_python_name_script(const struct remote_python *python, const char *path);
bool remote_python_raise_flag(const struct remote_python *python);
bool remote_python_lower_flag(const struct remote_python *python);
bool remote_python_nudge(const struct remote_python *python);

#endif
