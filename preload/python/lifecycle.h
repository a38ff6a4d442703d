/*
 * lifecycle.h - the moment before the interpreter tears itself down.
 *
 * What is alive when the program's last atexit callback has run is what the program kept; what is freed
 * after it is the teardown's work. HS_MESSAGE_FINALIZE marks that moment.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_LIFECYCLE_H
#define HEAPSAKE_PRELOAD_PYTHON_LIFECYCLE_H

/*
 * Once the interpreter is initialized: asks it to run lifecycle_register() in its main thread as soon as it can. From
 * any thread, inside of a hook. At most once per initialization.
 */
void lifecycle_arm(void);

/* The same at once, in the calling thread, which holds the GIL. */
void lifecycle_begin(void);
/* Takes the atexit callback back. From a thread that holds the GIL. */
void lifecycle_end(void);

#endif
