/*
 * process_code.h - the code that another process has mapped: its modules, where functions lie, and which frames a
 * stopped thread has. All files are read when it is opened; a walk over frames reads memory of the process alone.
 *
 * Files are found through /proc/PID, so that it does not matter what the process sees as its root, or whether a file
 * has been replaced since. One thread at a time.
 */
#ifndef HEAPSAKE_RECORD_PROCESS_CODE_H
#define HEAPSAKE_RECORD_PROCESS_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"
#include "record/process_maps.h"

enum function_kind {
    FUNCTION_UNKNOWN, /* no symbol says what it is */
    FUNCTION_PLAIN,
    FUNCTION_LOCKS, /* it may hold a lock that starting a thread takes: allocators, what makes threads and processes */
    FUNCTION_WAITS, /* it waits for other threads on the program's behalf */
};

struct code_module {
    uint64_t start, end; /* of all its segments */
    uint64_t text_end;   /* of the contents of its executable segment */
    enum module_role role;
    bool defines_malloc;
    struct code_range *ranges; /* by address; all functions when it defines malloc, else those that are not plain */
    size_t range_count;
};

struct process_code;

/* 0 or a negative errno, with a line. */
int process_code_open(struct process_code **code, pid_t pid, const struct process_maps *maps, struct error *error);
void process_code_close(struct process_code *code);
/* Whether the process, whose mappings are now `maps`, has the same modules as when `code` was opened. */
bool process_code_is_current(const struct process_code *code, const struct process_maps *maps);

/* NULL: none. */
const struct code_module *process_code_module(const struct process_code *code, uint64_t address);
const struct code_module *process_code_role(const struct process_code *code, enum module_role role);
enum function_kind code_module_function(const struct code_module *module, uint64_t address);
/* Where the function of libc is; 0: libc has no such function. */
uint64_t process_code_libc_function(const struct process_code *code, const char *name);

/*
 * Calls `visit` for each frame of a thread of the process that stands still with these registers, the innermost first.
 * `pc` is where it goes on; `called` is false when it was interrupted there and not by a call: the innermost frame, and
 * those below a signal handler. A false answer of `visit` ends the walk. True: the walk came to the thread's first
 * frame.
 */
typedef bool frame_visit(void *context, uint64_t pc, bool called);
bool process_code_walk(struct process_code *code, int tid, const struct user_regs_struct *registers, frame_visit *visit,
                       void *context);

#endif
