/*
 * hybrid.c - see hybrid.h
 *
 * A Python program's native stack has a frame of the eval loop for each time that Python was entered; that
 * frame runs one or more Python frames, and takes their place's name in nobody's eyes. So:
 *
 *      native          Python               hybrid
 *      malloc                               malloc
 *      PyObject_...                         PyObject_...
 *      eval loop       scan, decode         scan
 *      PyObject_Call                        decode
 *      eval loop       main                 PyObject_Call
 *      main                                 main (Python)
 *                                           main
 *
 * Which is whose is told by addresses, not by counting or by the name of the eval loop, which compilers cut to
 * pieces: from 3.12 on the loop's shim frame, in 3.11 its _PyCFrame, is a local variable of the loop, so it lies
 * in the loop's native frame. Python frames that belong to no native frame
 * (another stack, a native stack that could not be unwound to its end, Python up to 3.10) come before, outermost.
 *
 * The merged list is compared with the one before while it is made; nodes are looked up from the first difference on.
 */
#include "hybrid.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "../arena.h"
#include "../stack_table.h"
#include "../unwind.h"
#include "python.h"
#include "stack.h"

struct item {
    uint64_t key;  /* native: epoch << 48 | pc; Python: the instruction's address */
    uint32_t kind; /* enum hs_node_kind                                            */
    uint32_t node; /* of the hybrid stack up to here                                */
};

/*
 * What one call of the eval loop runs: the cached frames from `first` up to the next inner run. `address` lies in the
 * native frame of that call; 0: not known.
 */
struct run {
    uintptr_t address;
    uint32_t first;
    uint32_t reserved;
};

#define MOST_RUNS UNWIND_MAX_FRAMES /* each has a native frame */

/* How far the list had come when a native frame was done: the next stack goes on from there if all further out is the
 * same. */
struct milestone {
    uint32_t items;
    uint32_t frames;        /* cached Python frames that lie further out   */
    const void *last_frame; /* the last of them                             */
    uint32_t last_node;     /* its node: if that is the same, all of them are */
    uint32_t node;          /* of the hybrid stack                          */
};

struct hybrid_stack {
    struct unwind_place places[UNWIND_MAX_FRAMES];  /* outermost first, as the rest */
    struct milestone milestones[UNWIND_MAX_FRAMES]; /* of each place                */
    struct run runs[MOST_RUNS + 1];                 /* innermost first              */
    uint32_t natives;                               /* places of the last stack        */
    uint32_t code_epoch;
    uint64_t native_epoch;
    uint32_t root;  /* node under items[0]             */
    uint32_t depth; /* items of the last stack         */
    uint32_t capacity;
    struct item items[];
};

/* The list at work: what agrees with the last one so far, or is written anew. */
struct merge {
    struct thread *self;
    struct hybrid_stack *hybrid;
    uint32_t count;
    uint32_t node;
    bool same;
};

#define FIRST_ITEMS 512u
#define FIELD(type, object, offset) (*(type const *)((const char *)(object) + (offset)))

static size_t bytes_for(uint32_t capacity)
{
    return sizeof(struct hybrid_stack) + capacity * sizeof(struct item);
}

/* Memory for that many items; NULL when there is none. */
static struct hybrid_stack *make_room(struct thread *self, uint32_t items)
{
    struct hybrid_stack *hybrid = self->python.hybrid;
    if (hybrid && items <= hybrid->capacity)
        return hybrid;
    uint32_t capacity = hybrid ? hybrid->capacity : FIRST_ITEMS;
    while (capacity < items)
        capacity *= 2;
    struct hybrid_stack *fresh = arena_map(bytes_for(capacity));
    if (!fresh)
        return NULL;
    if (hybrid) {
        memcpy(fresh, hybrid, bytes_for(hybrid->capacity));
        arena_unmap(hybrid, bytes_for(hybrid->capacity));
    }
    fresh->capacity = capacity;
    self->python.hybrid = fresh;
    return fresh;
}

HS_ALWAYS_INLINE bool agrees(struct merge *merge, enum hs_node_kind kind, uint64_t key)
{
    const struct item *item = &merge->hybrid->items[merge->count];
    if (!merge->same || merge->count >= merge->hybrid->depth || item->key != key || item->kind != kind) {
        merge->same = false;
        return false;
    }
    merge->node = item->node;
    merge->count++;
    return true;
}

static void add(struct merge *merge, enum hs_node_kind kind, uint64_t key, uint64_t frame)
{
    merge->node = stack_node(merge->node, kind, frame);
    merge->hybrid->items[merge->count++] = (struct item){.key = key, .kind = kind, .node = merge->node};
}

static void add_native(struct merge *merge, uint64_t frame)
{
    if (!agrees(merge, HS_NODE_NATIVE, frame))
        add(merge, HS_NODE_NATIVE, frame, frame);
}

/* The cached frames [first, end), outermost first. */
static void add_python(struct merge *merge, uint32_t first, uint32_t end)
{
    const struct cached_frame *frames = merge->self->python.frames;
    uint32_t below = first ? frames[first - 1].node : stack_base(merge->self);
    for (uint32_t i = first; i < end; below = frames[i++].node) {
        if (frames[i].node == below || agrees(merge, HS_NODE_PYTHON, (uintptr_t)frames[i].instruction))
            continue; /* no code to show, or as before */
        uint64_t frame = stack_describe_frame(merge->self, frames[i].frame);
        if (frame)
            add(merge, HS_NODE_PYTHON, (uintptr_t)frames[i].instruction, frame);
    }
}

static bool is_shim(const struct python_offsets *offsets, const void *frame)
{
    return FIELD(uint8_t, frame, offsets->frame.owner) >= offsets->owner_shim;
}

/* The cached Python frames from `first` on as runs of the eval loop, innermost first; returns how many. */
static uint32_t find_runs(const struct thread *self, struct run *runs, const void *cframe, uint32_t first)
{
    const struct python_offsets *offsets = stack_offsets();
    const struct cached_frame *frames = self->python.frames;
    uint32_t depth = self->python.depth, count = 0;
    switch (offsets->entry) {
    case PYTHON_ENTRY_SHIM:
        for (uint32_t i = depth; i-- > first && count < MOST_RUNS;) {
            uint32_t outer = i ? frames[i - 1].node : stack_base(self);
            if (frames[i].node == outer && is_shim(offsets, frames[i].frame))
                runs[count++] = (struct run){.first = i, .address = (uintptr_t)frames[i].frame};
        }
        break;
    case PYTHON_ENTRY_CFRAME:
        for (uint32_t i = depth; i-- > first && cframe && count < MOST_RUNS;) {
            if (frames[i].frame != FIELD(void *, cframe, offsets->cframe.current_frame))
                continue;
            if (count)
                runs[count - 1].first = i + 1;
            runs[count++] = (struct run){.first = first, .address = (uintptr_t)cframe};
            cframe = FIELD(void *, cframe, offsets->cframe.previous);
        }
        break;
    default:
        break;
    }
    if (depth > first && (count == 0 || runs[count - 1].first != first))
        runs[count++] = (struct run){.first = first, .address = 0};
    return count;
}

/* The innermost milestone that still holds, of the first `same`; NULL when the list is to be made
 * from its beginning. */
static const struct milestone *find_milestone(const struct thread *self, const struct hybrid_stack *hybrid, size_t same)
{
    const struct cached_frame *frames = self->python.frames;
    for (size_t i = same; i-- > 0;) {
        const struct milestone *milestone = &hybrid->milestones[i];
        uint32_t count = milestone->frames;
        if (count == 0 || (count <= self->python.depth && frames[count - 1].frame == milestone->last_frame &&
                           frames[count - 1].node == milestone->last_node))
            return milestone;
    }
    return NULL;
}

static void set_milestone(const struct merge *merge, struct milestone *milestone, uint32_t frames)
{
    const struct cached_frame *last = frames ? &merge->self->python.frames[frames - 1] : NULL;
    *milestone = (struct milestone){
        .items = merge->count,
        .frames = frames,
        .last_frame = last ? last->frame : NULL,
        .last_node = last ? last->node : 0,
        .node = merge->node,
    };
}

/* Makes the list of hybrid->places and the Python frames, and returns its node. The first `same` places are those of
 * the last list. */
static uint32_t merge_stacks(struct thread *self, struct hybrid_stack *hybrid, const void *cframe, size_t same,
                             bool truncated)
{
    size_t natives = hybrid->natives;
    uint32_t root = truncated || stack_base(self) ? stack_node(0, HS_NODE_TRUNCATED, 0) : 0;
    uint64_t epoch = natives ? unwind_frame(self, hybrid->places[natives - 1].pc) & ~HS_ADDRESS_MASK : 0;
    if (hybrid->root != root || hybrid->code_epoch != self->python.code_epoch || hybrid->native_epoch != epoch)
        hybrid->depth = same = 0;
    hybrid->root = root;
    hybrid->code_epoch = self->python.code_epoch;
    hybrid->native_epoch = epoch;

    struct merge merge = {.self = self, .hybrid = hybrid, .node = root, .same = true};
    const struct milestone *milestone = find_milestone(self, hybrid, same);
    uint32_t done = 0; /* Python frames */
    size_t i = 0;
    if (milestone) {
        i = (size_t)(milestone - hybrid->milestones) + 1;
        done = milestone->frames;
        merge.count = milestone->items;
        merge.node = milestone->node;
    }
    uint32_t runs = find_runs(self, hybrid->runs, cframe, done);
    const struct run *run = &hybrid->runs[runs]; /* the one that was added last: from the outermost inwards */
    uintptr_t innermost = natives ? hybrid->places[natives - 1].return_at : 0;
#define MORE (run > hybrid->runs)
#define ADD_RUN (run--, add_python(&merge, run->first, done = MORE ? run[-1].first : self->python.depth))
    for (; i < natives; i++) {
        uintptr_t low = hybrid->places[i].return_at, high = i ? hybrid->places[i - 1].return_at : UINTPTR_MAX;
        while (MORE && (run[-1].address < innermost || run[-1].address >= high))
            ADD_RUN; /* of no native frame that is still to come */
        if (MORE && run[-1].address > low)
            ADD_RUN;
        else
            add_native(&merge, epoch | (hybrid->places[i].pc & HS_ADDRESS_MASK));
        set_milestone(&merge, &hybrid->milestones[i], done);
    }
    while (MORE)
        ADD_RUN;
#undef MORE
#undef ADD_RUN
    hybrid->depth = merge.count;
    return merge.node;
}

/* With a `context`, from there; else from the frame address. */
HS_ALWAYS_INLINE uint32_t hybrid_stack_of(struct thread *self, const void *thread_state, const void *frame_address,
                                          const struct unwind_context *context)
{
    if (!thread_state || !stack_walk(self, thread_state))
        return context ? unwind_node_at(self, context) : unwind_node(self, frame_address);
    struct hybrid_stack *hybrid = make_room(self, self->python.depth + UNWIND_MAX_FRAMES);
    if (!hybrid)
        return stack_walk(self, thread_state);
    bool truncated;
    size_t same, count;
    if (context)
        count = unwind_places_at(self, context, hybrid->places, hybrid->natives, &same, &truncated);
    else
        count = unwind_places(self, frame_address, hybrid->places, hybrid->natives, &same, &truncated);
    hybrid->natives = (uint32_t)count;
    const void *cframe = FIELD(void *, thread_state, stack_offsets()->thread_state.current_frame);
    return merge_stacks(self, hybrid, cframe, same, truncated);
}

static uint32_t hybrid_stack(struct thread *self, const void *frame_address, bool attached)
{
    return hybrid_stack_of(self, stack_thread_state(self, attached), frame_address, NULL);
}

uint32_t python_interrupted_stack(struct thread *self, const struct unwind_context *context)
{
    return hybrid_stack_of(self, stack_thread_state_only(self), NULL, context);
}

uint32_t hybrid_attached(struct thread *self, const void *frame_address)
{
    return hybrid_stack(self, frame_address, true);
}

uint32_t python_hybrid_stack(struct thread *self, const void *frame_address)
{
    return hybrid_stack(self, frame_address, false);
}
