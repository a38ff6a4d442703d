/*
 * remote_script.h - the script that another process's Python runs for us, as a file that it can read.
 *
 * The file lies in a folder for temporary files of that process's own root, and belongs to the user that the process
 * runs as, so that it can remove it, which the script does as the last thing before it ends (preload/script_door.c).
 * That it is gone tells that it has run. Should this process die, the script does no harm when it runs: nobody answers
 * the library's hello, and the file is gone then, too.
 *
 * A folder in which others than root, that user and this one could put another file in its place is not used.
 */
#ifndef HEAPSAKE_RECORD_REMOTE_SCRIPT_H
#define HEAPSAKE_RECORD_REMOTE_SCRIPT_H

#include <stdbool.h>

#include "base/error.h"
#include "record/injection.h"

struct remote_script {
    int folder;        /* a descriptor of where it is                                                */
    int watch;         /* tells of openings (inotify); -1: it is not written, or nothing tells       */
    unsigned openings; /* that were told so far                                                      */
    char path[64];     /* as the process finds it                                                    */
};

/*
 * Chooses where it will be, in the process of `process` (proc_folder.h); nothing is written. 0, or -EACCES with a line:
 * no folder is fit.
 */
int remote_script_place(struct remote_script *script, int process, struct error *error);
/* Forgets the place; the file is not touched. */
void remote_script_close(struct remote_script *script);

/*
 * Writes it: it does in the process what injection_call() would (`function` is heapsake_attach or heapsake_detach).
 * 0 or a negative errno with a line; then there is no file.
 */
int remote_script_write(struct remote_script *script, int process, const struct injection_order *order,
                        struct error *error);
bool remote_script_is_there(const struct remote_script *script);
/*
 * Since it was written, how often has somebody opened it? That is Python: no other one knows of the file. What has been
 * opened is read to its end also when the file has been removed meanwhile. Where the system tells nothing (no more
 * watches of inotify are to be had) once, as it may have been.
 */
unsigned remote_script_openings(struct remote_script *script);
void remote_script_remove(const struct remote_script *script);

#endif
