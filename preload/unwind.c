/*
 * unwind.c - native stacks.
 *
 * A frame is the triple (pc, sp, rbp): a return address, and what rsp and rbp
 * are when that return has happened. Its caller is a function of the triple, the
 * rule of the pc (unwind_rules.h) and at most three words of stack memory: the
 * return address, and perhaps the saved rbp and a saved CFA.
 *
 * The remembered stack. Each thread keeps its last stack, outermost frame first,
 * and for each frame the words of memory that it came from ("checks"). A new walk goes inside out; as soon as it meets
 * a frame that the remembered stack has too (same place of the return address, same pc, and same rbp if any frame
 * further out depends on it), comparing the checks of the frames further out with memory proves that they are all
 * unchanged, and the walk is over:
 *
 *      remembered   [0 main][1 run][2 parse][3 read][4 grow]
 *                    ^ checks compared ^     ^ replaced by the frames just walked
 *
 * No fault. The unwinder reads the stack and nothing else through pointers that a program could have spoiled. It holds:
 *   (1) An address is read only if it lies in [low, limit), where that range is one mapped piece of memory:
 *       - a stack whose bounds are known (struct thread; the main thread's end comes from the loader): everything
 * between the hook's own frame and the stack's end is in use, so it is mapped;
 *       - any other stack (sigaltstack, coroutines, threads whose bounds nobody recorded): the pages of struct region,
 * of which each was asked for with a system call when it was first needed. What is known of it is forgotten when the
 * thread was seen on another stack in between, and when memory was unmapped (unwind_unmapped). (2) sp grows strictly
 * from frame to frame, so a walk ends, and nothing below the first frame is read but the red zone of an interrupted
 * function. Only a signal frame may lead to any other place; there the range is determined anew as in (1), and their
 * number is bounded. (3) Remembered checks are read only in walks that met a remembered frame, and only if the
 * outermost of them lies within the range of this walk. They lie above the frame that was met. What remains: a
 * coroutine's stack that is replaced, behind the hooks' back and without an event of this thread in between, by a
 * smaller one at an overlapping place whose stack is corrupt as well.
 */
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include "arena.h"
#include "modules.h"
#include "stack_table.h"
#include "sys.h"
#include "unwind.h"
#include "unwind_rules.h"

#define PAGE_MASK ((uintptr_t)HS_PAGE_SIZE - 1)
#define RED_ZONE 128
#define MAX_SIGNALS 8   /* signal frames followed in one stack                          */
#define MAX_PROBES 1024 /* pages asked for in one walk                                   */
#define MAX_MAIN_STACK                                                                                                 \
    (UINT64_C(120) << 20) /* the kernel keeps at least 128 MiB below the main stack free of mappings */
#define PC_LIMIT (UINT64_C(1) << 47)
#define CUT_ALIGNMENT 16384 /* see cut() */

/* A frame of the remembered stack. */
struct frame {
    uint64_t pc;         /* of an interrupted function: one more, so that pc - 1 is always in the right instruction */
    uintptr_t return_at; /* sp - 8: where the return address is                       */
    uintptr_t rbp;       /* valid if needs_rbp                                        */
    uint32_t node;       /* of the stack down to this frame; valid for the first `noded` frames */
    uint16_t checks;     /* number of checks for the frames further out than this one  */
    bool needs_rbp;      /* whether this frame's caller, or any further out, depends on rbp */
};

struct check {
    const uint64_t *address;
    uint64_t value;
};

/* A frame of the walk at work, with how its caller was found. */
struct step {
    uint64_t pc;
    uintptr_t return_at;
    uintptr_t rbp;
    uintptr_t rbp_at; /* where the caller's rbp was stored; 0: it is unchanged      */
    uintptr_t cfa_at; /* where the CFA was stored; 0: it was not                   */
    bool uses_rbp;    /* the CFA or rbp_at depended on rbp                        */
    bool interrupted; /* pc is not a return address, and not found at return_at          */
};

/* One run of pages that are readable; of a stack whose bounds are not known. */
struct region {
    uintptr_t low, high; /* 0, 0: none */
    uint32_t generation;
};

struct native_stack {
    uint32_t depth;      /* frames                                                            */
    uint32_t joinable;   /* the first so many frames may be met again: no signal frame among them */
    uint32_t noded;      /* the first so many have their node                                  */
    uint32_t generation; /* of the modules, when it was walked                                 */
    uint32_t tid;        /* whose stack it is                                                  */
    uint32_t root;       /* node of HS_NODE_TRUNCATED, or 0                                     */
    uintptr_t top;       /* no check lies at or above it                                        */
    bool truncated;      /* the outermost frame is not the beginning                            */
    bool cut;            /* ... because the stack is too deep                                   */
    bool bounds_tried;
    struct region region;
    struct frame frames[2 * UNWIND_MAX_FRAMES];
    struct check checks[2 * UNWIND_MAX_FRAMES * 3 + 1];
    struct step steps[UNWIND_MAX_FRAMES];
};

_Static_assert(2 * UNWIND_MAX_FRAMES * 3 + 1 <= UINT16_MAX, "frame.checks counts them");

/* The hull of all regions, and how often memory was unmapped within. */
static _Atomic uintptr_t regions_low = UINTPTR_MAX, regions_high;
static _Atomic uint32_t regions_generation;

extern void *__libc_stack_end __attribute__((weak));

HS_ALWAYS_INLINE uint64_t load(uintptr_t address)
{
    return *(const volatile uint64_t *)address;
}

/* ---- where reading is safe ---- */

struct reach {
    uintptr_t limit; /* the end of what may be read                          */
    bool foreign;    /* it is the region's end: asking may move it further out */
    uint32_t probes; /* pages that may still be asked for                     */
};

/* Moves the region's end outwards until `end` is inside; false when a page on the way cannot be read. */
static HS_COLD bool reach_further(struct native_stack *stack, struct reach *reach, uintptr_t end)
{
    struct region *region = &stack->region;
    if (!reach->foreign)
        return false;
    while (region->high < end) {
        if (!reach->probes || region->high >= PC_LIMIT || !modules_readable(region->high))
            break;
        reach->probes--;
        region->high += HS_PAGE_SIZE;
    }
    reach->limit = region->high;
    uintptr_t hull = atomic_load_explicit(&regions_high, memory_order_relaxed);
    while (hull < region->high && !atomic_compare_exchange_weak(&regions_high, &hull, region->high))
        ;
    return region->high >= end;
}

/* A stack that nobody told us the bounds of. `sp` is known to be in use unless it comes from a ucontext. */
static HS_COLD bool reach_foreign(struct native_stack *stack, struct reach *reach, uintptr_t sp, bool in_use)
{
    struct region *region = &stack->region;
    uint32_t generation = atomic_load_explicit(&regions_generation, memory_order_acquire);
    uintptr_t page = sp & ~PAGE_MASK;
    reach->foreign = true;
    if (region->generation != generation)
        *region = (struct region){.generation = generation};
    if (sp < region->low && region->low - page <= MAX_PROBES / 4 * HS_PAGE_SIZE) {
        /* Deeper in the same stack, if all that lies in between can be read. */
        while (region->low > page && reach->probes && modules_readable(region->low - HS_PAGE_SIZE)) {
            reach->probes--;
            region->low -= HS_PAGE_SIZE;
        }
    }
    if (sp < region->low || sp >= region->high) {
        if (!in_use && (page >= PC_LIMIT || !modules_readable(page)))
            return false;
        region->low = page;
        region->high = page + HS_PAGE_SIZE;
    }
    uintptr_t hull = atomic_load_explicit(&regions_low, memory_order_relaxed);
    while (hull > region->low && !atomic_compare_exchange_weak(&regions_low, &hull, region->low))
        ;
    return reach_further(stack, reach, region->high);
}

/* The main thread's stack ends where the loader found it; how far down it may grow is its limit. */
static HS_COLD void find_main_bounds(struct thread *self, struct native_stack *stack)
{
    stack->bounds_tried = true;
    struct rlimit limit;
    if (self->stack_high || !&__libc_stack_end || self->tid != (uint32_t)sys_getpid())
        return;
    long result = sys_call6(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit, 0, 0);
    uint64_t size = result || limit.rlim_cur > MAX_MAIN_STACK ? MAX_MAIN_STACK : limit.rlim_cur;
    uintptr_t high = (uintptr_t)__libc_stack_end;
    if (high <= size)
        return;
    self->stack_low = high - size;
    self->stack_high = high;
}

/* Where may be read, on the stack that sp points into. */
HS_ALWAYS_INLINE bool reach_from(struct thread *self, struct native_stack *stack, struct reach *reach, uintptr_t sp,
                                 bool in_use)
{
    if (HS_LIKELY(sp - self->stack_low < self->stack_high - self->stack_low)) {
        reach->limit = self->stack_high;
        reach->foreign = false;
        if (HS_UNLIKELY(stack->region.high) && in_use)
            stack->region = (struct region){0}; /* left that stack: it may be gone when the thread is back */
        return true;
    }
    return reach_foreign(stack, reach, sp, in_use);
}

void unwind_unmapped(const void *address, size_t size)
{
    uintptr_t from = (uintptr_t)address;
    if (from < atomic_load_explicit(&regions_high, memory_order_relaxed) &&
        from + size > atomic_load_explicit(&regions_low, memory_order_relaxed))
        atomic_fetch_add_explicit(&regions_generation, 1, memory_order_release);
}

/* ---- one frame, the general way ---- */

struct registers {
    uint64_t pc;
    uintptr_t sp, rbp;
    uintptr_t floor; /* nothing below is read */
};

enum outcome { STEP_DONE, STEP_OUTERMOST, STEP_LOST, STEP_CROSSED };

HS_ALWAYS_INLINE bool may_read(struct native_stack *stack, struct reach *reach, uintptr_t floor, uintptr_t address)
{
    if (address < floor || address >= PC_LIMIT)
        return false;
    return HS_LIKELY(address + 8 <= reach->limit) || reach_further(stack, reach, address + 8);
}

/* Out of a signal handler: the kernel stored the interrupted registers in a ucontext, to which sp points. */
static HS_COLD enum outcome step_signal(struct thread *self, struct native_stack *stack, struct reach *reach,
                                        struct registers *at)
{
    /* offsets of gregs[REG_RBP], [REG_RSP] and [REG_RIP] in ucontext_t: the kernel's ABI */
    enum { CONTEXT_RBP = 120, CONTEXT_RSP = 160, CONTEXT_RIP = 168 };
    if (!may_read(stack, reach, at->sp, at->sp + CONTEXT_RIP))
        return STEP_LOST;
    uintptr_t sp = load(at->sp + CONTEXT_RSP);
    uint64_t rip = load(at->sp + CONTEXT_RIP);
    at->rbp = load(at->sp + CONTEXT_RBP);
    if (!rip || rip + 1 >= PC_LIMIT || sp < HS_PAGE_SIZE || sp >= PC_LIMIT)
        return STEP_LOST;
    bool same_stack = sp > at->sp && sp < reach->limit;
    if (!same_stack && (!reach_from(self, stack, reach, sp, false) || !modules_readable(sp & ~(uintptr_t)7)))
        return STEP_LOST;
    at->pc = rip + 1;
    at->sp = sp;
    at->floor = sp - RED_ZONE;
    uintptr_t low = reach->foreign ? stack->region.low : self->stack_low;
    if (at->floor < low)
        at->floor = low;
    return STEP_CROSSED;
}

/* Code without unwind information: if rbp points at a frame record on this stack, take that. */
static HS_COLD enum outcome step_frame_record(struct native_stack *stack, struct reach *reach, struct registers *at,
                                              struct step *step)
{
    step->uses_rbp = true;
    uintptr_t rbp = at->rbp;
    if (rbp < at->sp || (rbp & 7) || !may_read(stack, reach, at->sp, rbp + 8))
        return STEP_LOST;
    uintptr_t outer_rbp = load(rbp);
    uint64_t pc = load(rbp + 8);
    if ((outer_rbp && outer_rbp <= rbp) || outer_rbp >= PC_LIMIT || (outer_rbp & 7) || pc < HS_PAGE_SIZE ||
        pc >= PC_LIMIT)
        return STEP_LOST;
    step->rbp_at = rbp;
    at->sp = rbp + 16;
    at->rbp = outer_rbp;
    at->pc = pc;
    at->floor = at->sp;
    return STEP_DONE;
}

static enum outcome step_general(struct thread *self, struct native_stack *stack, struct reach *reach,
                                 struct registers *at, struct step *step, struct unwind_rule rule)
{
    switch (rule.kind) {
    case UNWIND_OUTERMOST:
        return STEP_OUTERMOST;
    case UNWIND_SIGNAL:
        return step_signal(self, stack, reach, at);
    case UNWIND_NO_FDE:
        if (!at->rbp) { /* the kernel starts a program with 0 in rbp: this is the loader's entry or alike */
            step->uses_rbp = true;
            return STEP_OUTERMOST;
        }
        return step_frame_record(stack, reach, at, step);
    case UNWIND_NO_MODULE:
        return step_frame_record(stack, reach, at, step);
    case UNWIND_FRAME:
        break;
    default:
        return STEP_LOST;
    }
    uintptr_t cfa = (rule.cfa_from_rbp ? at->rbp : at->sp) + (uintptr_t)(intptr_t)rule.cfa_offset;
    step->uses_rbp = rule.cfa_from_rbp || rule.rbp == UNWIND_RBP_AT_RBP;
    if (rule.cfa_in_memory) {
        if (!may_read(stack, reach, at->floor, cfa))
            return STEP_LOST;
        step->cfa_at = cfa;
        cfa = load(cfa);
        if (cfa <= step->cfa_at)
            return STEP_LOST;
    }
    if (cfa <= at->sp || !may_read(stack, reach, at->sp, cfa - 8))
        return STEP_LOST;
    uintptr_t rbp = at->rbp;
    if (rule.rbp != UNWIND_RBP_SAME) {
        uintptr_t rbp_at = (rule.rbp == UNWIND_RBP_AT_CFA ? cfa : at->rbp) + (uintptr_t)(intptr_t)rule.rbp_offset;
        if (rbp_at >= cfa || !may_read(stack, reach, at->floor, rbp_at))
            return STEP_LOST;
        step->rbp_at = rbp_at;
        rbp = load(rbp_at);
    }
    at->pc = load(cfa - 8);
    at->sp = cfa;
    at->rbp = rbp;
    at->floor = cfa;
    return STEP_DONE;
}

/* ---- the remembered stack ---- */

/* How many of the first `count` checks hold, from the outermost on. */
HS_ALWAYS_INLINE uint32_t checks_hold(const struct check *checks, uint32_t count)
{
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        uint64_t differs = (*checks[i].address ^ checks[i].value) | (*checks[i + 1].address ^ checks[i + 1].value) |
                           (*checks[i + 2].address ^ checks[i + 2].value) |
                           (*checks[i + 3].address ^ checks[i + 3].value);
        if (HS_UNLIKELY(differs))
            break;
    }
    for (; i < count; i++)
        if (*checks[i].address != checks[i].value)
            break;
    return i;
}

/*
 * Makes frames from the walked steps, steps[count - 1] being the outermost, on top of the first `kept` frames and
 * `checks` checks. The innermost of the kept frames was met with another callee than before, so what it came from is
 * written anew: its checks are not among those kept.
 */
static void keep(struct native_stack *stack, uint32_t kept, uint32_t count, uint32_t checks)
{
    struct frame *outer = kept ? &stack->frames[kept - 1] : NULL;
    struct frame *frame = &stack->frames[kept];
    bool all_joinable = true;
    stack->joinable = kept;
    for (uint32_t i = count; i-- > 0; frame++) {
        const struct step *step = &stack->steps[i];
        bool outer_needs = false;
        if (outer) {
            outer_needs = outer->needs_rbp;
            stack->checks[checks++] = (struct check){(const uint64_t *)outer->return_at, outer->pc};
            if (outer_needs && step->rbp_at)
                stack->checks[checks++] = (struct check){(const uint64_t *)step->rbp_at, outer->rbp};
            if (step->cfa_at)
                stack->checks[checks++] = (struct check){(const uint64_t *)step->cfa_at, outer->return_at + 8};
        }
        frame->pc = step->pc;
        frame->return_at = step->return_at;
        frame->rbp = step->rbp;
        frame->checks = (uint16_t)checks;
        frame->needs_rbp = step->uses_rbp || (outer_needs && !step->rbp_at);
        if (step->interrupted)
            all_joinable = false; /* further in, addresses need not be in order */
        if (all_joinable)
            stack->joinable++;
        outer = frame;
    }
    stack->depth = kept + count;
    if (stack->noded > kept)
        stack->noded = kept;
}

/*
 * Too deep: keeps the innermost frames. If the cut were always UNWIND_MAX_FRAMES away from the innermost frame, each
 * level of a deep recursion would have outermost frames and so nodes of its own. So it is made where the stack crosses
 * a multiple of CUT_ALIGNMENT, if there is one in the outer half.
 */
static HS_COLD void cut(struct native_stack *stack)
{
    uint32_t least = stack->depth > UNWIND_MAX_FRAMES ? stack->depth - UNWIND_MAX_FRAMES : 0;
    uint32_t most = stack->depth > UNWIND_MAX_FRAMES / 2 ? stack->depth - UNWIND_MAX_FRAMES / 2 : 0;
    uint32_t dropped = least;
    for (uint32_t i = least ? least : 1; i <= most && i < stack->depth; i++)
        if (stack->frames[i].return_at / CUT_ALIGNMENT != stack->frames[i - 1].return_at / CUT_ALIGNMENT) {
            dropped = i;
            break;
        }
    stack->truncated = stack->cut = true;
    stack->noded = 0;
    if (!dropped)
        return;
    stack->top = stack->frames[dropped].return_at + 8;
    uint32_t gone = stack->frames[dropped].checks;
    uint32_t all = stack->frames[stack->depth - 1].checks;
    stack->depth -= dropped;
    stack->joinable = stack->joinable > dropped ? stack->joinable - dropped : 0;
    memmove(stack->frames, stack->frames + dropped, stack->depth * sizeof stack->frames[0]);
    memmove(stack->checks, stack->checks + gone, (all - gone) * sizeof stack->checks[0]);
    for (uint32_t i = 0; i < stack->depth; i++)
        stack->frames[i].checks = (uint16_t)(stack->frames[i].checks - gone);
}

static HS_COLD struct native_stack *stack_new(struct thread *self)
{
    struct native_stack *stack = arena_map(sizeof *stack);
    self->native.stack = stack;
    return stack;
}

/* What does not hold for this thread or this set of modules any more is forgotten. */
static HS_COLD void start_anew(struct thread *self, struct native_stack *stack, uint32_t generation)
{
    stack->depth = stack->joinable = stack->noded = stack->root = 0;
    stack->truncated = stack->cut = false;
    stack->generation = generation;
    if (stack->tid != self->tid) {
        stack->tid = self->tid;
        stack->region = (struct region){0};
        stack->bounds_tried = false;
    }
    if (!stack->bounds_tried)
        find_main_bounds(self, stack);
}

HS_ALWAYS_INLINE uint32_t current_generation(void)
{
    if (HS_UNLIKELY(atomic_load_explicit(&modules_pending, memory_order_relaxed)) && modules_recheck())
        rules_forget();
    return atomic_load_explicit(&modules_generation, memory_order_acquire);
}

/* ---- the walk ---- */

/* Below the stack pointer of an interrupted function lies what it may still use. */
static HS_COLD uintptr_t floor_below(const struct thread *self, const struct native_stack *stack,
                                     const struct reach *reach, uintptr_t sp)
{
    uintptr_t low = reach->foreign ? stack->region.low : self->stack_low;
    return sp - RED_ZONE < low ? low : sp - RED_ZONE;
}

/*
 * Brings self's remembered stack up to date with the stack at frame_address, or with the one of a `context` (NULL: a
 * constant, please). False: a module was unloaded, begin again.
 */
HS_ALWAYS_INLINE bool walk(struct thread *self, struct native_stack *stack, uintptr_t frame_address,
                           const struct unwind_context *context, uint32_t generation)
{
    static const struct frame nowhere; /* return_at 0: never met */
    struct reach reach = {.probes = MAX_PROBES};
    uintptr_t lowest = context ? context->sp : frame_address;
    if (!reach_from(self, stack, &reach, lowest, true) || lowest + 16 > reach.limit) {
        stack->depth = stack->joinable = stack->noded = 0;
        stack->truncated = true;
        return true;
    }
    const struct rule_table *table = atomic_load_explicit(&rule_table, memory_order_acquire);
    uint64_t pc = context ? context->pc : load(frame_address + 8);
    uintptr_t rbp = context ? context->rbp : load(frame_address);
    uintptr_t sp = context ? context->sp : frame_address + 16;
    uintptr_t floor = context ? floor_below(self, stack, &reach, sp) : sp;
    uint32_t count = 0;                /* frames walked                              */
    uint32_t cursor = stack->joinable; /* remembered frames that may still be met     */
    uint32_t scanned = UINT32_MAX;     /* checks that hold, once that was looked at    */
    uint32_t signals = 0;
    bool interrupted = context != NULL;
    bool truncated = false, deep = false;
    struct check end = {NULL, 0}; /* what ended it, if it was a word in memory    */

    for (;;) {
        uintptr_t return_at = sp - 8;
        while (cursor && stack->frames[cursor - 1].return_at < return_at)
            cursor--;
        const struct frame *met = cursor ? &stack->frames[cursor - 1] : &nowhere;
        if (met->return_at == return_at && met->pc == pc && (!met->needs_rbp || met->rbp == rbp) && !interrupted) {
            if (scanned == UINT32_MAX) {
                if (HS_LIKELY(stack->top <= reach.limit) || reach_further(stack, &reach, stack->top))
                    scanned = checks_hold(stack->checks, met->checks);
                else
                    scanned = 0;
            }
            uint32_t depth = cursor + count;
            if (met->checks <= scanned && (!stack->cut || depth >= UNWIND_MAX_FRAMES / 2)) {
                if (count || cursor != stack->depth)
                    keep(stack, cursor, count, met->checks);
                if (HS_UNLIKELY(depth > UNWIND_MAX_FRAMES))
                    cut(stack);
                return true;
            }
        }
        if (HS_UNLIKELY(count == UNWIND_MAX_FRAMES)) {
            deep = true;
            break;
        }
        struct step *step = &stack->steps[count++];
        step->pc = pc;
        step->return_at = return_at;
        step->rbp = rbp;
        step->rbp_at = 0;
        step->cfa_at = 0;
        step->uses_rbp = false;
        step->interrupted = interrupted;
        interrupted = false;

        uint32_t code = rule_lookup(table, pc);
        if (HS_LIKELY(code - 1 < RULE_CODE_LISTED - 1)) {
            step->uses_rbp = code & RULE_CODE_FROM_RBP;
            uintptr_t cfa = (code & RULE_CODE_FROM_RBP ? rbp : sp) + ((code & 0x3ff0) >> 1);
            if (HS_UNLIKELY(cfa - sp - 1 >= reach.limit - sp) &&
                (cfa <= sp || cfa >= PC_LIMIT || !reach_further(stack, &reach, cfa))) {
                truncated = true;
                break;
            }
            if (code & 15) {
                uintptr_t rbp_at = cfa - (code & 15) * 8;
                if (HS_UNLIKELY(rbp_at < floor)) {
                    truncated = true;
                    break;
                }
                step->rbp_at = rbp_at;
                rbp = load(rbp_at);
            }
            pc = load(cfa - 8);
            sp = cfa;
            floor = cfa;
        } else {
            struct unwind_rule rule;
            if (code != RULE_CODE_NONE) {
                rule = rule_listed(code);
            } else {
                if (!rule_make(self, pc, generation, &rule))
                    return false;
                table = atomic_load_explicit(&rule_table, memory_order_acquire);
            }
            struct registers at = {pc, sp, rbp, floor};
            enum outcome outcome = step_general(self, stack, &reach, &at, step, rule);
            if (outcome == STEP_OUTERMOST)
                break;
            if (outcome == STEP_LOST || (outcome == STEP_CROSSED && ++signals > MAX_SIGNALS)) {
                truncated = true;
                break;
            }
            pc = at.pc;
            sp = at.sp;
            rbp = at.rbp;
            floor = at.floor;
            if (outcome == STEP_CROSSED) {
                interrupted = true;
                cursor = stack->joinable;
                scanned = UINT32_MAX;
                continue;
            }
        }
        if (HS_UNLIKELY(pc - 1 >= PC_LIMIT - 1)) {
            truncated = pc != 0; /* 0 is how the outermost frame of a thread or coroutine often looks */
            end = (struct check){(const uint64_t *)(sp - 8), pc};
            break;
        }
    }

    /* Nothing, or nothing useful, of the remembered stack was met: this is a new one. */
    stack->root = 0;
    stack->truncated = truncated;
    stack->cut = false;
    stack->checks[0] = end;
    stack->top = end.address ? (uintptr_t)end.address + 8 : stack->steps[count - 1].return_at + 8;
    keep(stack, 0, count, end.address != NULL);
    if (deep)
        cut(stack);
    return true;
}

HS_ALWAYS_INLINE struct native_stack *up_to_date_with(struct thread *self, const void *frame_address,
                                                      const struct unwind_context *context)
{
    struct native_stack *stack = self->native.stack;
    if (HS_UNLIKELY(!stack) && !(stack = stack_new(self)))
        return NULL;
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        uint32_t generation = current_generation();
        if (HS_UNLIKELY(stack->generation != generation || stack->tid != self->tid))
            start_anew(self, stack, generation);
        if (HS_LIKELY(walk(self, stack, (uintptr_t)frame_address, context, generation)))
            return stack;
        rules_forget();
    }
    return NULL;
}

static struct native_stack *up_to_date(struct thread *self, const void *frame_address)
{
    return up_to_date_with(self, frame_address, NULL);
}

static __attribute__((noinline)) struct native_stack *up_to_date_at(struct thread *self,
                                                                    const struct unwind_context *context)
{
    return up_to_date_with(self, (const void *)context->sp, context);
}

static size_t take_places(const struct native_stack *stack, struct unwind_place *places, size_t known, size_t *same,
                          bool *truncated)
{
    size_t depth = stack ? stack->depth : 0;
    size_t left_out = depth > UNWIND_MAX_FRAMES ? depth - UNWIND_MAX_FRAMES : 0;
    *truncated = !stack || stack->truncated || left_out;
    size_t count = depth - left_out, i = 0;
    if (known > count)
        known = count;
    const struct frame *frame = stack ? stack->frames + left_out : NULL;
    while (i < known && places[i].pc == frame[i].pc && places[i].return_at == frame[i].return_at)
        i++;
    *same = i;
    for (; i < count; i++)
        places[i] = (struct unwind_place){.pc = frame[i].pc, .return_at = frame[i].return_at};
    return count;
}

size_t unwind_places(struct thread *self, const void *frame_address, struct unwind_place *places, size_t known,
                     size_t *same, bool *truncated)
{
    return take_places(up_to_date(self, frame_address), places, known, same, truncated);
}

size_t unwind_places_at(struct thread *self, const struct unwind_context *context, struct unwind_place *places,
                        size_t known, size_t *same, bool *truncated)
{
    return take_places(up_to_date_at(self, context), places, known, same, truncated);
}

size_t unwind_pcs(struct thread *self, const void *frame_address, uint64_t *pcs, size_t max, bool *truncated)
{
    const struct native_stack *stack = up_to_date(self, frame_address);
    *truncated = !stack || stack->truncated;
    if (!stack)
        return 0;
    size_t count = stack->depth;
    if (count > max) {
        count = max;
        *truncated = true;
    }
    for (size_t i = 0; i < count; i++)
        pcs[i] = stack->frames[stack->depth - 1 - i].pc;
    return count;
}

HS_ALWAYS_INLINE uint32_t node_of_stack(struct native_stack *stack)
{
    if (HS_UNLIKELY(!stack || !stack->depth))
        return 0;
    if (HS_LIKELY(stack->noded == stack->depth))
        return stack->frames[stack->depth - 1].node;

    if (stack->truncated && !stack->root) {
        stack->root = stack_node(0, HS_NODE_TRUNCATED, 0);
        if (!stack->root)
            return 0;
    }
    uint64_t epoch = modules_epoch(stack->generation) << HS_ADDRESS_BITS;
    uint32_t node = stack->noded ? stack->frames[stack->noded - 1].node : stack->root;
    for (uint32_t i = stack->noded; i < stack->depth; i++) {
        node = stack_node(node, HS_NODE_NATIVE, epoch | stack->frames[i].pc);
        if (HS_UNLIKELY(!node))
            return 0;
        stack->frames[i].node = node;
        stack->noded = i + 1;
    }
    return node;
}

uint32_t unwind_node(struct thread *self, const void *frame_address)
{
    return node_of_stack(up_to_date(self, frame_address));
}

uint32_t unwind_node_at(struct thread *self, const struct unwind_context *context)
{
    return node_of_stack(up_to_date_at(self, context));
}

uint64_t unwind_frame(struct thread *self, uint64_t pc)
{
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        uint32_t generation = current_generation();
        uint64_t frame = modules_epoch(generation) << HS_ADDRESS_BITS | (pc & HS_ADDRESS_MASK);
        struct module_range module;
        if (rule_lookup(atomic_load_explicit(&rule_table, memory_order_acquire), pc) != RULE_CODE_NONE ||
            !modules_find(pc - 1, &module) || modules_announce(self, &module, generation))
            return frame;
        rules_forget();
    }
    return pc & HS_ADDRESS_MASK;
}

void unwind_modules_changed(void)
{
    atomic_store_explicit(&modules_pending, 1, memory_order_release);
}

void unwind_after_fork(struct thread *self)
{
    /* The modules are mapped as before, and what the parent announced the child's session has inherited. */
    (void)self;
    rules_after_fork();
}
