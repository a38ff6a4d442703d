/*
 * safe_point.h - whether a stopped thread may be made to start another one, right where it stands.
 *
 * Starting a thread takes locks of libc: those of its allocator (or of whichever the program has), of its list of
 * stacks, of the loader's thread-local storage. So the thread must hold none of them: no frame of it lies in the
 * loader, in our library, in an allocator, or in what starts and ends threads and processes; what runs does not run
 * inside libc; and what waits on a futex inside libc waits for something of the program's.
 */
#ifndef HEAPSAKE_RECORD_SAFE_POINT_H
#define HEAPSAKE_RECORD_SAFE_POINT_H

#include "record/process_code.h"
#include "record/process_maps.h"

/*
 * NULL when it may, else why not, as the end of "the thread is ...". `call` is the system call that it waits in, or -1.
 * `maps` are its process's mappings of a moment ago; `room` is how many bytes below its red zone shall be its stack's.
 */
const char *safe_point_objection(struct process_code *code, const struct process_maps *maps, pid_t pid, int tid,
                                 const struct user_regs_struct *registers, long call, uint64_t room);

#endif
