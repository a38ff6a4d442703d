/*
 * injection_stub.h - the code that the injector (injection.h) writes into a process, and what it works on.
 *
 * The code is position independent, refers to nothing outside of itself, and is used as bytes: a copy of
 * injection_stub_begin..injection_stub_end at any address that is a multiple of 16 works, at many addresses and in many
 * threads at once. A thread enters a copy of injection_stub_entry with rsp at a block; nothing else is asked of it:
 *
 *      low  | struct injection_block | its texts | where to go on | red zone, 128 bytes | stack of the thread   high
 *       rsp ^                                    ^ back_to
 *
 * It starts a thread for the block and goes on where it was, with all registers, flags and the extended state as they
 * were, on any stack that has the room for the block and STUB_ROOM below it: the work is done on a stack of its own,
 * with all signals blocked but libc's own two. The new thread has a copy of the block, calls the function and ends.
 * When there is no memory, or no thread can be had, nothing happens.
 *
 * No system call is used in the interrupted thread that would overwrite the kernel's restart block of a sleep.
 */
#ifndef HEAPSAKE_RECORD_INJECTION_STUB_H
#define HEAPSAKE_RECORD_INJECTION_STUB_H

#include <stdint.h>

/* Bytes below the block that the entry uses on the stack of the thread. */
#define STUB_ROOM 512u

/* At a multiple of 16. Addresses are of the process that the stub runs in. */
struct injection_block {
    uint64_t back_to;     /* where the address to go on at lies; it is followed by the red zone            */
    uint64_t state_bytes; /* of the extended state (xsave), a multiple of 64                               */
    uint64_t bytes;       /* of the block with its texts, a multiple of 16                                 */
    uint64_t library, function, argument; /* terminated texts, as offsets from the block's beginning       */
    uint64_t dlopen, dlsym;
    uint64_t pthread_create, pthread_attr_init, pthread_attr_setstacksize, pthread_attr_setdetachstate;
    uint64_t errno_location;
    uint64_t signals; /* the stub's own: the mask to go back to */
    uint64_t stack;   /* the stub's own: its stack              */
    uint64_t unused;
};

extern const unsigned char injection_stub_begin[] __asm__("__start_injection_stub")
    __attribute__((visibility("hidden")));
extern const unsigned char injection_stub_end[] __asm__("__stop_injection_stub") __attribute__((visibility("hidden")));
extern const unsigned char injection_stub_entry[] __attribute__((visibility("hidden")));

#endif
