/*
 * stack.c - see stack.h
 *
 * The hot path of Python programs. The interpreter's frames are a list from the
 * innermost outwards; most events happen with the frames of the one before, another
 * instruction in the innermost one, or a call more or less:
 *
 *      cached        now                     1. find where the innermost frame was (align)
 *    4 loads  ip a                           2. compare outwards from there: same frame, same
 *    3 decode ip b   3 decode  ip b'            instruction (verify), to the very end
 *    2 scan   ip c   2 scan    ip c          3. look up only what differs
 *    1 main   ip d   1 main    ip d
 *
 * The comparison must reach the outermost frame: a frame popped and pushed again lies
 * at the same address. It does not follow `previous` from frame to frame, which would wait for each load: the next
 * frame is expected to be the cached one, loaded from there, and only compared with `previous`.
 *
 * A pair (frame, instruction) identifies code and place, because an instruction
 * pointer lies inside of one code object; when code objects die, the epoch of
 * code_table.h changes and everything remembered is dropped. Frames without
 * Python code (shims of the eval loop), and those still being set up, are in the cache with
 * their caller's node.
 */
#include "stack.h"

#include <pthread.h>
#include <string.h>

#include "../arena.h"
#include "../modules.h"
#include "../stack_table.h"
#include "../unwind.h"
#include "allocators.h"
#include "capi.h"
#include "code_table.h"
#include "objects.h"
#include "python.h"

#define FIRST_FRAMES 256u
/* A deeper stack is cut at its outer end, in steps, so that it does not become another one with each call. */
#define MOST_FRAMES 8192u
#define CUT_STEP 4096u
/* A chain that is longer than this is taken for broken. */
#define ENDLESS (UINT32_C(1) << 26)

/* How far from the innermost frame step 1 looks. */
#define ALIGN_FRAMES 4u

#define MEMO_ENTRIES 512u

/* parent and instruction give the node, without asking the tables. */
struct memo {
    uint64_t instruction;
    uint32_t parent;
    uint32_t node;
};

/* What lies in front of thread->python.frames. */
struct memory {
    struct memo memo[MEMO_ENTRIES];
    struct cached_frame below; /* frames[-1]: the frame under frames[0] (NULL, or where the stack was cut), its node */
    struct cached_frame frames[];
};
_Static_assert(offsetof(struct memory, frames) == offsetof(struct memory, below) + sizeof(struct cached_frame),
               "frames[-1] is `below`");

static struct {
    const struct python_offsets *offsets; /* NULL: stacks are not walked */
    void *(*current)(void);               /* the thread state that is attached; up to 3.11: the GIL holder's */
    void *(*own)(void);                   /* of this thread, attached or not                                  */
    bool current_is_own;                  /* 3.12+: `current` is thread-local                                  */
    uint32_t previous, instruction;       /* offsets of the frame's fields                                     */
    uint32_t thread_frame, cframe_frame;
    bool by_cframe, frame_objects;
    _Atomic bool teardown;
} walk __attribute__((aligned(HS_CACHE_LINE)));

/* When the allocators were last looked at, on the session's clock; both with the GIL. */
static uint64_t allocators_checked_ns;
static bool forsaken; /* they are not looked after any more */

#define FIELD(type, object, offset) (*(type const *)((const char *)(object) + (offset)))

void stack_start(const struct python_offsets *offsets)
{
    void *(*current)(void) = python_capi.PyThreadState_GetUnchecked ? python_capi.PyThreadState_GetUnchecked
                                                                    : python_capi._PyThreadState_UncheckedGet;
    walk.offsets = NULL;
    forsaken = false;
    if (!offsets || !current || !python_capi.PyGILState_GetThisThreadState || !python_capi.PyCode_Type)
        return;
    walk.current = current;
    walk.own = python_capi.PyGILState_GetThisThreadState;
    walk.current_is_own = offsets->minor >= 12;
    walk.previous = offsets->frame.previous;
    walk.instruction = offsets->frame.instruction;
    walk.thread_frame = offsets->thread_state.current_frame;
    walk.by_cframe = offsets->cframe.current_frame != PYTHON_NO_FIELD;
    walk.cframe_frame = offsets->cframe.current_frame;
    walk.frame_objects = offsets->frame_objects;
    code_table_start(offsets, python_capi.PyCode_Type);
    walk.offsets = offsets;
}

void stack_teardown(bool begun)
{
    atomic_store(&walk.teardown, begun);
}

/*
 * Of the state that holds the GIL, up to 3.11: a thread's own one is that of the interpreter in which it ran first, and
 * in another one it runs with another state. It may be any thread's, which may end meanwhile.
 */
static bool is_of_this_thread(const void *state)
{
    uintptr_t thread;
    return walk.offsets && walk.offsets->thread_state.thread != PYTHON_NO_FIELD &&
           modules_copy(&thread, (uintptr_t)state + walk.offsets->thread_state.thread, sizeof thread) &&
           thread == (uintptr_t)pthread_self();
}

void stack_forsake_allocators(void)
{
    forsaken = true;
}

bool stack_is_attached(void)
{
    if (!walk.current)
        return false;
    void *current = walk.current();
    return current && (walk.current_is_own || current == walk.own() || is_of_this_thread(current));
}

/* Once per tick of the clock, in a thread that is attached: are our wrappers still there? */
HS_ALWAYS_INLINE void look_after_allocators(struct thread *self, bool attached)
{
    if (HS_UNLIKELY(self->clock_ns != allocators_checked_ns) && attached && python_state == PYTHON_RUNNING &&
        !forsaken) {
        allocators_checked_ns = self->clock_ns;
        allocators_check(self);
        objects_check(self);
    }
}

/*
 * Of a thread that may or may not be attached. Without the GIL a thread's own frames stand still. `look_after`: a
 * constant; else nothing is done but looking.
 */
HS_ALWAYS_INLINE const void *any_thread_state(struct thread *self, bool look_after)
{
    if (HS_UNLIKELY(!walk.offsets || (python_state != PYTHON_RUNNING && !python_still_there())))
        return NULL;
    void *current = walk.current();
    if (walk.current_is_own && current) {
        if (look_after)
            look_after_allocators(self, true);
        return current;
    }
    if (HS_UNLIKELY(atomic_load_explicit(&walk.teardown, memory_order_relaxed)))
        return !walk.current_is_own && current && walk.own() == current ? current : NULL;
    void *own = walk.own();
    if (look_after)
        look_after_allocators(self, !walk.current_is_own && own && own == current);
    return own;
}

HS_ALWAYS_INLINE const void *innermost_frame(const void *thread_state)
{
    const void *frame = FIELD(void *, thread_state, walk.thread_frame);
    if (walk.by_cframe && frame)
        frame = FIELD(void *, frame, walk.cframe_frame);
    return frame;
}

HS_ALWAYS_INLINE const void *previous_of(const void *frame)
{
    return FIELD(void *, frame, walk.previous);
}

/* What identifies code and place in a frame. Frame objects hold an index: the code's address and the
 * index together do. */
HS_ALWAYS_INLINE const void *instruction_in(const void *frame, bool frame_objects)
{
    if (!frame_objects)
        return FIELD(void *, frame, walk.instruction);
    uint64_t code = FIELD(uint64_t, frame, walk.offsets->frame.code);
    return (const void *)(uintptr_t)(code ^ (uint64_t)FIELD(uint32_t, frame, walk.instruction) << 44);
}

HS_ALWAYS_INLINE const void *instruction_of(const void *frame)
{
    return instruction_in(frame, walk.frame_objects);
}

uint64_t stack_describe_frame(struct thread *self, const void *frame)
{
    const struct python_offsets *offsets = walk.offsets;
    if (offsets->frame_objects) {
        const void *code = FIELD(void *, frame, offsets->frame.code);
        int32_t index = FIELD(int32_t, frame, offsets->frame.instruction);
        uint32_t number = code ? code_table_number(self, code) : 0;
        uint32_t place = index > 0 ? (uint32_t)index * offsets->lasti_scale : 0;
        return number ? (uint64_t)number << 32 | place : 0;
    }
    uint8_t owner = FIELD(uint8_t, frame, offsets->frame.owner);
    if (offsets->owner_shim && owner >= offsets->owner_shim)
        return 0;
    uintptr_t code = FIELD(uintptr_t, frame, offsets->frame.code) & ~(uintptr_t)offsets->code_tag_mask;
    if (!code)
        return 0;
    uintptr_t instruction = FIELD(uintptr_t, frame, offsets->frame.instruction);
    uintptr_t bytecode = code + offsets->code.bytecode;
    if (offsets->frame.tlbc_index != PYTHON_NO_FIELD) {
        /* free-threaded: each thread runs a copy of the code of its own; _PyCodeArray: size, then entries */
        int32_t index = FIELD(int32_t, frame, offsets->frame.tlbc_index);
        const void *copies = FIELD(void *, code, offsets->code.thread_bytecode);
        if (index > 0 && copies && index < FIELD(int64_t, copies, 0))
            bytecode = FIELD(uintptr_t, copies, 8 + 8 * (size_t)index);
    }
    int64_t place = (int64_t)(instruction - bytecode);
    if (owner != offsets->owner_generator && place < 2 * FIELD(int32_t, code, offsets->code.first_traceable))
        return 0; /* still being set up: sys._getframe does not show it either */
    uint32_t number = code_table_number(self, (const void *)code);
    if (!number)
        return 0;
    return (uint64_t)number << 32 | (place > 0 ? (uint32_t)place : 0);
}

static struct memory *memory_of(const struct thread *self)
{
    return (struct memory *)((char *)self->python.frames - offsetof(struct memory, frames));
}

static bool make_room(struct thread *self, uint32_t frames)
{
    struct python_cache *cache = &self->python;
    if (frames <= cache->capacity)
        return true;
    uint32_t capacity = cache->capacity ? cache->capacity : FIRST_FRAMES;
    while (capacity < frames)
        capacity *= 2;
    struct memory *fresh = arena_map(sizeof *fresh + capacity * sizeof fresh->frames[0]);
    if (!fresh)
        return false;
    if (cache->frames) {
        struct memory *old = memory_of(self);
        size_t bytes = sizeof *old + cache->capacity * sizeof old->frames[0];
        memcpy(fresh, old, bytes);
        arena_unmap(old, bytes);
    }
    cache->frames = fresh->frames;
    cache->capacity = capacity;
    return true;
}

HS_ALWAYS_INLINE struct memo *memo_of(struct memory *memory, uint64_t instruction, uint32_t parent)
{
    uint64_t hash = (instruction ^ (uint64_t)parent << 36) * UINT64_C(0x9e3779b97f4a7c15);
    return &memory->memo[hash >> 55];
}
_Static_assert(MEMO_ENTRIES == 1u << (64 - 55), "memo_of() takes as many bits of the hash");

static __attribute__((noinline)) uint32_t node_from_tables(struct thread *self, struct memory *memory,
                                                           const void *frame, const void *instruction, uint32_t parent)
{
    uint64_t place = stack_describe_frame(self, frame);
    if (!place)
        return parent;
    uint32_t node = stack_node(parent, HS_NODE_PYTHON, place);
    struct memo *memo = memo_of(memory, (uintptr_t)instruction, parent);
    /* Not a generator that has not begun: in another frame the same place would be "still being set up". */
    if (node && (uint32_t)place)
        *memo = (struct memo){.instruction = (uintptr_t)instruction, .parent = parent, .node = node};
    return node;
}

/* The memo's answer: is it about this place? */
HS_ALWAYS_INLINE bool memo_knows(const struct memo *memo, const void *instruction, uint32_t parent)
{
    return HS_LIKELY(memo->instruction == (uintptr_t)instruction && memo->parent == parent);
}

HS_ALWAYS_INLINE uint32_t node_of(struct thread *self, struct memory *memory, const void *frame,
                                  const void *instruction, uint32_t parent)
{
    const struct memo *memo = memo_of(memory, (uintptr_t)instruction, parent);
    return memo_knows(memo, instruction, parent) ? memo->node
                                                 : node_from_tables(self, memory, frame, instruction, parent);
}

/* Everything anew, but for the nodes of the outer frames that are the same. */
static __attribute__((noinline)) uint32_t walk_all(struct thread *self, const void *innermost)
{
    struct python_cache *cache = &self->python;
    uint32_t count = 0;
    for (const void *frame = innermost; frame && count < ENDLESS; frame = previous_of(frame))
        count++;
    uint32_t cut = count > MOST_FRAMES ? (count - MOST_FRAMES + CUT_STEP - 1) / CUT_STEP * CUT_STEP : 0;
    uint32_t depth = count - cut;
    if (!make_room(self, depth)) {
        cache->depth = 0;
        return stack_node(0, HS_NODE_TRUNCATED, 0);
    }
    struct memory *memory = memory_of(self);
    struct cached_frame *frames = cache->frames;
    uint32_t epoch = atomic_load_explicit(&code_table_epoch, memory_order_acquire);
    if (cache->code_epoch != epoch) {
        memset(memory->memo, 0, sizeof memory->memo);
        cache->depth = 0;
        cache->code_epoch = epoch;
    }
    uint32_t known = cache->depth, first = depth;
    const void *frame = innermost;
    for (uint32_t i = depth; i-- > 0; frame = previous_of(frame)) {
        const void *instruction = instruction_of(frame);
        if (i >= known || frames[i].frame != frame || frames[i].instruction != instruction) {
            frames[i].frame = frame;
            frames[i].instruction = instruction;
            first = i;
        }
    }
    if (known == 0 || frame != memory->below.frame)
        first = 0;
    memory->below.frame = frame;
    if (first == 0)
        memory->below.node = cut ? stack_node(0, HS_NODE_TRUNCATED, 0) : 0;
    uint32_t node = first ? frames[first - 1].node : memory->below.node;
    for (uint32_t i = first; i < depth; i++) {
        node = node_of(self, memory, frames[i].frame, frames[i].instruction, node);
        frames[i].node = node;
    }
    cache->depth = depth;
    return node;
}

/*
 * Step 2, from `entry` outwards to frames[0]: the outermost frame whose instruction is another one now, entry + 1 when
 * none is. NULL: other frames have been there since.
 */
HS_ALWAYS_INLINE struct cached_frame *verify(struct cached_frame *entry, const struct cached_frame *outermost,
                                             bool frame_objects)
{
    struct cached_frame *differs = entry + 1;
    const void *frame = entry->frame;
    for (;; entry--) {
        if (instruction_in(frame, frame_objects) != entry->instruction)
            differs = entry;
        const void *previous = previous_of(frame);
        frame = entry[-1].frame;
        if (HS_UNLIKELY(previous != frame))
            return NULL;
        if (entry == outermost)
            return differs;
    }
}

/* Step 3, for frames that are the cached ones, but at another instruction. */
static __attribute__((noinline)) uint32_t look_up(struct thread *self, struct cached_frame *entry,
                                                  const struct cached_frame *last)
{
    struct memory *memory = memory_of(self);
    uint32_t node = entry[-1].node;
    for (; entry <= last; entry++) {
        const void *instruction = instruction_of(entry->frame);
        node = node_of(self, memory, entry->frame, instruction, node);
        entry->instruction = instruction;
        entry->node = node;
    }
    return node;
}

/* The innermost frame is another one than in the cache. */
static __attribute__((noinline)) uint32_t walk_moved(struct thread *self, const void *innermost)
{
    struct python_cache *cache = &self->python;
    uint32_t depth = cache->depth;

    /* 1. align: `at` is the innermost frame of the cache that is still there, pushed[] what has been called since */
    struct cached_frame *frames = cache->frames;
    const void *pushed[ALIGN_FRAMES];
    uint32_t pushed_count = 0, at;
    const void *frame = innermost;
    for (;;) {
        uint32_t last = depth > ALIGN_FRAMES ? depth - ALIGN_FRAMES : 0;
        for (at = depth; at-- > last;) {
            if (frames[at].frame == frame)
                goto aligned;
        }
        if (pushed_count == ALIGN_FRAMES)
            return walk_all(self, innermost);
        pushed[pushed_count++] = frame;
        frame = previous_of(frame);
        if (!frame)
            return walk_all(self, innermost);
    }
aligned:;
    uint32_t new_depth = at + 1 + pushed_count;
    struct cached_frame *differs = verify(&frames[at], frames, walk.frame_objects);
    if (HS_UNLIKELY(!differs || new_depth > cache->capacity))
        return walk_all(self, innermost);
    uint32_t node = look_up(self, differs, &frames[at]);
    struct memory *memory = memory_of(self);
    for (uint32_t i = at + 1; i < new_depth; i++) {
        frame = pushed[--pushed_count];
        const void *instruction = instruction_of(frame);
        node = node_of(self, memory, frame, instruction, node);
        frames[i] = (struct cached_frame){.frame = frame, .instruction = instruction, .node = node};
    }
    cache->depth = new_depth;
    return node;
}

/* The usual case, the innermost frame is the same, calls nothing; the others follow as tail calls. */
HS_ALWAYS_INLINE uint32_t walk_frames(struct thread *self, const void *innermost)
{
    struct python_cache *cache = &self->python;
    if (HS_UNLIKELY(!innermost)) {
        cache->depth = 0;
        return 0;
    }
    uint32_t depth = cache->depth;
    if (HS_UNLIKELY(!depth || cache->code_epoch != atomic_load_explicit(&code_table_epoch, memory_order_relaxed)))
        return walk_all(self, innermost);
    struct cached_frame *frames = cache->frames, *last = frames + depth - 1;
    if (last->frame != innermost || HS_UNLIKELY(walk.frame_objects))
        return walk_moved(self, innermost);
    struct cached_frame *entry = verify(last, frames, false);
    if (HS_UNLIKELY(!entry))
        return walk_all(self, innermost);
    uint32_t node = entry[-1].node;
    for (; entry <= last; entry++) {
        const void *instruction = instruction_in(entry->frame, false);
        const struct memo *memo = memo_of(memory_of(self), (uintptr_t)instruction, node);
        if (!memo_knows(memo, instruction, node))
            return look_up(self, entry, last);
        node = memo->node;
        entry->instruction = instruction;
        entry->node = node;
    }
    return node;
}

const void *stack_thread_state(struct thread *self, bool attached)
{
    if (!attached)
        return any_thread_state(self, true);
    if (HS_UNLIKELY(!walk.offsets))
        return NULL;
    look_after_allocators(self, true);
    return walk.current();
}

uint32_t stack_attached(struct thread *self)
{
    if (HS_UNLIKELY(!walk.offsets))
        return 0;
    look_after_allocators(self, true);
    const void *thread_state = walk.current();
    return thread_state ? walk_frames(self, innermost_frame(thread_state)) : 0;
}

uint32_t python_stack(struct thread *self)
{
    const void *thread_state = any_thread_state(self, true);
    return thread_state ? walk_frames(self, innermost_frame(thread_state)) : 0;
}

const void *stack_thread_state_only(struct thread *self)
{
    return any_thread_state(self, false);
}

uint32_t stack_walk(struct thread *self, const void *thread_state)
{
    return walk_frames(self, innermost_frame(thread_state));
}

uint32_t stack_base(const struct thread *self)
{
    return self->python.depth ? memory_of(self)->below.node : 0;
}

const struct python_offsets *stack_offsets(void)
{
    return walk.offsets;
}

bool stack_innermost(struct thread *self, struct stack_place *place)
{
    const struct cached_frame *frames = self->python.frames;
    for (uint32_t i = self->python.depth; i-- > 0;) {
        uint32_t outer = i ? frames[i - 1].node : stack_base(self);
        if (frames[i].node == outer)
            continue; /* no code to show */
        const void *frame = frames[i].frame;
        uintptr_t code = FIELD(uintptr_t, frame, walk.offsets->frame.code) & ~(uintptr_t)walk.offsets->code_tag_mask;
        place->code = (const void *)code;
        place->frame = stack_describe_frame(self, frame);
        return place->frame != 0;
    }
    return false;
}
