/* hook_process.h - what the constructor starts of hook_process.c. */
#ifndef HEAPSAKE_PRELOAD_HOOK_PROCESS_H
#define HEAPSAKE_PRELOAD_HOOK_PROCESS_H

/* Registers what runs at fork and at exit(). Once. */
void hook_process_prepare(void);

#endif
