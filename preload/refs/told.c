/*
 * told.c - what extensions that were compiled with our Python.h call at each change of a count.
 *
 * They find it by its name through the loader (include/heapsake/python/Python.h), so it is exported. The GIL is held,
 * or else the program is broken already: the Python stack is taken so that it does no harm then.
 */
#include "../emit.h"
#include "../stack.h"
#include "leaf.h"
#include "modules_seen.h"
#include "python_counts.h"

HS_EXPORT void heapsake_refs_told(void *object, int delta, long count, const char *file, int line,
                                  const char *function);

/* Below zero by as much as a broken program may bring it: 32 bits wrap, and immortal ones lie lower. */
static uint64_t shown(long count)
{
    return count < 0 || ((uint64_t)count >> 28) == 0xf ? 0 : (uint64_t)count;
}

static __attribute__((noinline)) uint32_t native_stack(struct thread *self, const void *frame_address)
{
    return leaf_without_native(stack_capture(self, frame_address)); /* the function of Python.h between it and us */
}

void heapsake_refs_told(void *object, int delta, long count, const char *file, int line, const char *function)
{
    struct thread *self = hook_enter();
    if (HS_UNLIKELY(!self))
        return;
    bool native = HS_UNLIKELY(stack_want_native || python_state == PYTHON_NONE);
    uint32_t parent = native ? native_stack(self, __builtin_frame_address(0)) : python_stack(self);
    uint32_t node = leaf_of_line(self, parent, file, (uint32_t)line, function);
    emit_count(self, HS_COUNT_INSTRUMENTED, object, python_counts_header(self, object), delta < 0, shown(count),
               python_counts_type(self, object), node);
    hook_leave(self);
}
