/*
 * thread_stop.h - one thread of another process is stopped by ptrace, looked at, and let go, and notices nothing.
 *
 * A thread that is interrupted in a system call stands, for the tracer, behind the `syscall` instruction, with what the
 * kernel means to do in rax: -ERESTARTSYS and its kin say that the call shall begin anew, which the kernel does when
 * the thread goes on there. Who sends the thread elsewhere does it himself: the thread comes back to two bytes before,
 * with the number of the call in rax (thread_stop_rewind). Of a call that has used up part of its time the kernel keeps
 * the rest in the thread's restart block, for which the number is that of restart_syscall. A signal frame would lose
 * that.
 *
 * Some calls are not begun anew by the kernel, but given up with -EINTR, and count their time from the beginning when
 * we begin them: epoll_wait is that one which matters. Its timeout is a register, which is lessened by the time that
 * has passed. thread_stop does this at once, so that whatever happens next nobody sees an EINTR. That time was measured
 * before the stop; a thread that has gone to sleep anew meanwhile, as the count of its sleeps tells, may be in another
 * call, and waits from the beginning.
 *
 * ptrace calls are bound to a thread: all of this is called by one thread, and when that thread ends, or the whole
 * process by whatever means, the kernel lets go of what it has stopped.
 */
#ifndef HEAPSAKE_RECORD_THREAD_STOP_H
#define HEAPSAKE_RECORD_THREAD_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#define RED_ZONE 128u /* bytes below rsp that are the thread's */

/* Where a thread waits. */
struct thread_place {
    long call;
    uint64_t pc;
    bool in_libc;       /* whose code does not look at an argument again */
    uint64_t waited_ms; /* 0: not known                                  */
    uint64_t sleeps;    /* process_info_sleeps() before that was measured  */
};

enum thread_doing {
    THREAD_ELSEWHERE, /* in a call that cannot begin anew, or gone, or stopped */
    THREAD_WAITS,     /* in one that can: `place` is filled but for in_libc    */
    THREAD_RUNS,
};
enum thread_doing thread_doing(pid_t pid, int tid, struct thread_place *place);

/* Fills waited_ms and sleeps of a thread that waits. */
void thread_waited(pid_t pid, int tid, struct thread_place *place);

/* A signal is about to be delivered: it must find the call as it was, since it may want to interrupt it. */
bool thread_has_signal(pid_t pid, int tid);

enum stop_result {
    STOP_DONE,
    STOP_NOT_NOW, /* it is gone, or has stopped for another reason */
    STOP_DENIED,
};

/* Why the system did not let us stop a thread. */
struct stop_denial {
    int code;        /* an errno                                                               */
    uint64_t tracer; /* who held the thread then, which may be over by now; 0: nobody in sight */
};
/* In words. */
void stop_denial_tell(const struct stop_denial *denial, char *why, size_t size);

/*
 * Seizes and stops the thread. `place` says where it was seen, if it was seen waiting; NULL else. On STOP_DONE the
 * registers are those that it goes on with when it is let go now, and *since_ns is when it was last known not to stand
 * still; else it has been let go already (or the kernel will, when the calling thread ends). *denial is for
 * STOP_DENIED.
 */
enum stop_result thread_stop(pid_t pid, int tid, const struct thread_place *place, struct user_regs_struct *registers,
                             uint64_t *since_ns, struct stop_denial *denial);
/*
 * From before a stop until it is over: what stands still waits for us, so we go before all others. Only some may ask
 * for that. (Under load stops lasted up to 70 ms without, since somebody else computed meanwhile.)
 */
void thread_stop_hurry(bool hurry);
/*
 * Turns the registers of a stopped thread into those with which it may be sent anywhere: when it comes back to
 * registers->rip with all of them as they are, it goes on as if nothing had been. *call is the system call that it then
 * begins anew, or -1: it runs, or has the result of one. False: it is not at a place to be sent from.
 */
bool thread_stop_rewind(int tid, const struct thread_place *place, struct user_regs_struct *registers, long *call);
/* All registers at once; false: none of them. */
bool thread_stop_set(int tid, const struct user_regs_struct *registers);
void thread_stop_end(int tid);
/*
 * Lets go of threads that thread_stop() has asked to stop, and that have come to it since it gave them up. To be called
 * often while more threads are tried.
 */
void thread_stop_release(pid_t pid);

#endif
