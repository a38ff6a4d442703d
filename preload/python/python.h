/*
 * python.h - CPython inside the traced program: the door to this folder.
 *
 * Nothing here needs Python's headers: functions are found by name in the
 * running process, fields by offsets.c, which knows 3.11 to 3.15.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_PYTHON_H
#define HEAPSAKE_PRELOAD_PYTHON_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"

/* enum python_state of the process, read on hot paths. */
extern uint32_t python_state __attribute__((visibility("hidden")));
enum python_state {
    PYTHON_NONE = 0,     /* no interpreter in the process                                          */
    PYTHON_STARTING = 1, /* found, not initialized or being finalized: python_poll() is to be called     */
    PYTHON_RUNNING = 2,
};

/* Is there an interpreter among the modules? Installs nothing. While no module can go: at the start, or with the
 * loader's lock. */
bool python_present(void);

/*
 * After python_present(): is the program an interpreter (python3, static or with a libpython), rather than one that
 * embeds it and has native code of its own to show (gdb, vim)? For the choice of stack_want_native. `argument0` is the
 * program's argv[0]: libc has not been told of it yet when the library starts.
 */
bool python_is_program(const char *argument0);

/*
 * From the constructor, once the session is on, with `self` inside the hook: finds the interpreter and wraps its
 * allocators. Of an unknown version the stacks are not walked, which is said (emit_blind_spot); stack_want_native is
 * set then.
 */
void python_start(struct thread *self);

/*
 * From attach.c, `self` inside the hook and the session on: finds an interpreter that may be in use already.
 * PYTHON_RUNNING: it is, and its GIL is to be taken (python_capi) before anything else is done; PYTHON_STARTING: it is
 * not initialized yet, and will be followed; PYTHON_NONE: there is none. Nothing of it is changed.
 */
enum python_state python_find(struct thread *self);
/* After PYTHON_RUNNING, with the GIL: wraps its allocators, and asks to be called at its end. */
void python_attach(void);
/* Can the GIL be asked for? Of the interpreter that is known; it may begin to end at any moment, and
 * end whoever asks. */
bool python_has_gil(void);
/*
 * Takes back what was put into the interpreter, if one is known; without the GIL, which one that does not run has not
 * got, its allocators alone. False: something of it had to stay, and passes calls on.
 */
bool python_detach(bool with_gil);
/*
 * A function or variable of the interpreter that is among the modules, whether this library knows it already or not;
 * NULL: there is none, or the loader is changing the list of modules just now.
 */
void *python_symbol(const char *name);
/* Forgets the interpreter; nothing of it is touched. */
void python_forget(void);

/*
 * From the malloc hook while python_state is PYTHON_STARTING, with `self` inside the hook: wraps again what
 * Py_Initialize has overwritten (PYTHONMALLOC, -X dev), and moves on to PYTHON_RUNNING when it is done. Likewise from
 * the beginning of a finalization on, for the interpreter may be initialized again.
 */
void python_poll(struct thread *self);

/*
 * After a dlopen has returned (hook_loader.c's flag), from the next hook in any thread: libpython may have arrived.
 * Walks the link map without taking the loader's lock.
 */
void python_modules_changed(struct thread *self);

/*
 * The node of the calling thread's Python stack; with `native`, hybrid, with `frame_address` as unwind.h has it. 0 when
 * the thread runs no Python code. The caller is inside a hook.
 */
uint32_t python_stack(struct thread *self);
uint32_t python_hybrid_stack(struct thread *self, const void *frame_address);

/*
 * Hybrid, of the place that a signal handler has interrupted, from that handler: calls nothing of the interpreter's but
 * what tells the thread state.
 */
struct unwind_context;
uint32_t python_interrupted_stack(struct thread *self, const struct unwind_context *context);

/*
 * From lifecycle.c: the program's last atexit callback has run. From now on python_poll() waits for the end of
 * the finalization, and for another initialization after it.
 */
void python_finalizing(void);

/* False: this libpython was opened by the program and has been closed since, so that none of it can be
 * called any more. */
bool python_still_there(void);

/* In a forked child: forget what belongs to other threads. */
void python_after_fork(struct thread *self);

#endif
