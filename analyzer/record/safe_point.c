/* safe_point.c - see safe_point.h */
#include "record/safe_point.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "record/thread_stop.h"

#define SHADOW_STACK_NOTE 0x204
#define RSEQ_CS_AT 8u
#define ARENA_ALIGNMENT ((uint64_t)1 << 20) /* at least: of the heaps of malloc's further arenas */
#define ARENA_HEAD 256u                     /* bytes that hold the arena's lock                  */

struct frames_seen {
    const struct process_code *code;
    bool waits; /* in a system call */
    unsigned count;
    bool outside;       /* one that is not libc's         */
    bool in_signal;     /* a handler's                    */
    bool waits_for_own; /* libc waits for somebody on the program's behalf */
    const char *objection;
};

static bool read_words(pid_t pid, uint64_t address, void *words, size_t bytes)
{
    struct iovec here = {words, bytes}, there = {(void *)address, bytes};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

static const char *objection_to(struct frames_seen *seen, const struct code_module *module, uint64_t pc)
{
    if (!module) {
        seen->outside = true;
        return NULL;
    }
    if (module->role == MODULE_LOADER)
        return "inside the loader";
    if (module->role == MODULE_HEAPSAKE)
        return "inside heapsake's library";
    enum function_kind kind = code_module_function(module, pc);
    if (kind == FUNCTION_LOCKS)
        return "inside an allocator, or starting a thread or process";
    if (module->role != MODULE_LIBC) {
        seen->outside = true;
        /* a static function of an allocator, which its caller has left for it */
        return module->defines_malloc && kind == FUNCTION_UNKNOWN ? "inside what may be an allocator" : NULL;
    }
    if (seen->count == 0 && !seen->waits)
        return "running inside libc";
    if (!seen->outside && kind == FUNCTION_WAITS)
        seen->waits_for_own = true;
    return NULL;
}

static bool look_at_frame(void *context, uint64_t pc, bool called)
{
    struct frames_seen *seen = context;
    if (seen->count > 0 && !called)
        seen->in_signal = true;
    pc -= called;
    seen->objection = objection_to(seen, process_code_module(seen->code, pc), pc);
    seen->count++;
    return seen->objection == NULL;
}

/* malloc waits for its own locks only: in libc's data, or at the beginning of an arena's heap. */
static bool may_be_malloc_lock(const struct process_code *code, uint64_t futex)
{
    const struct code_module *module = process_code_module(code, futex);
    return (module && (module->role == MODULE_LIBC || module->role == MODULE_LOADER)) ||
           futex % ARENA_ALIGNMENT < ARENA_HEAD;
}

static const char *objection_to_frames(struct process_code *code, int tid, const struct user_regs_struct *registers,
                                       long call)
{
    struct frames_seen seen = {.code = code, .waits = call >= 0};
    bool to_the_end = process_code_walk(code, tid, registers, look_at_frame, &seen);
    if (seen.objection)
        return seen.objection;
    if (!to_the_end && (!seen.outside || seen.in_signal))
        return "at a place whose callers cannot be told";
    if (call == SYS_futex && !seen.waits_for_own && may_be_malloc_lock(code, registers->rdi))
        return "waiting for a lock inside libc";
    return NULL;
}

/* In a sequence that the kernel would begin anew if the thread were interrupted. */
static bool in_restartable_sequence(pid_t pid, int tid, uint64_t pc)
{
#ifdef PTRACE_GET_RSEQ_CONFIGURATION
    struct __ptrace_rseq_configuration where;
    uint64_t at;
    struct {
        uint32_t version, flags;
        uint64_t start, length, abort;
    } sequence;
    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof where, &where) != (long)sizeof where ||
        where.rseq_abi_pointer == 0 || !read_words(pid, where.rseq_abi_pointer + RSEQ_CS_AT, &at, sizeof at) || at == 0)
        return false;
    return !read_words(pid, at, &sequence, sizeof sequence) || pc - sequence.start < sequence.length;
#else
    (void)pid, (void)tid, (void)pc;
    return false;
#endif
}

static bool has_shadow_stack(int tid)
{
    uint64_t pointer;
    struct iovec part = {&pointer, sizeof pointer};
    return ptrace(PTRACE_GETREGSET, tid, (void *)SHADOW_STACK_NOTE, &part) == 0;
}

/* Its own, and not one of a coroutine or signal handler: what lies below rsp there may be anybody's. */
static bool on_own_stack(const struct process_maps *maps, pid_t pid, int tid, const struct user_regs_struct *registers,
                         uint64_t room)
{
    const struct mapping *stack = process_maps_find(maps, registers->rsp);
    if (!stack || !stack->read || !stack->write)
        return false;
    if (tid == pid)
        return strcmp(stack->name, "[stack]") == 0; /* it grows */
    return registers->fs_base > registers->rsp && registers->fs_base < stack->end &&
           registers->rsp - stack->start >= RED_ZONE + room;
}

/* libc's own threads have their control block where fs points to, which points to itself. */
static bool is_thread_of_libc(pid_t pid, const struct user_regs_struct *registers)
{
    uint64_t words[3];
    return read_words(pid, registers->fs_base, words, sizeof words) && words[0] == registers->fs_base &&
           words[2] == registers->fs_base;
}

const char *safe_point_objection(struct process_code *code, const struct process_maps *maps, pid_t pid, int tid,
                                 const struct user_regs_struct *registers, long call, uint64_t room)
{
    const struct mapping *here = process_maps_find(maps, registers->rip);
    if (!here || !here->execute || mapping_is_kernels(here))
        return "in code of the kernel's, or in new code";
    if (!on_own_stack(maps, pid, tid, registers, room))
        return "on a stack that is not its own, or too small";
    if (!is_thread_of_libc(pid, registers))
        return "not one of libc's threads";
    if (has_shadow_stack(tid))
        return "protected by a shadow stack";
    if (in_restartable_sequence(pid, tid, registers->rip))
        return "in a restartable sequence";
    return objection_to_frames(code, tid, registers, call);
}
