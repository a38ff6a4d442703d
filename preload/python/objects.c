/* objects.c - see objects.h */
#include "objects.h"

#include <stdatomic.h>

#include "../emit.h"
#include "../session.h"
#include "../stack.h"
#include "capi.h"
#include "hybrid.h"
#include "python.h"
#include "stack.h"
#include "type_table.h"

bool objects_missing;

static uintptr_t type_offset; /* of ob_type; 0: objects are not recorded */
static bool installed;        /* once, into this interpreter             */
static bool taken_said;
static _Atomic bool install_asked;

/* The object's type, while it is being made or has not been unmade. */
HS_ALWAYS_INLINE const void *type_of(const void *object)
{
    return *(const void *const *)((const char *)object + type_offset);
}

static __attribute__((noinline)) uint32_t capture(struct thread *self, const void *frame_address)
{
    return stack_want_native ? hybrid_attached(self, frame_address) : stack_attached(self);
}

HS_ALWAYS_INLINE void born(struct thread *self, const void *object, const void *frame_address)
{
    type_value value = type_table_value(self, type_of(object));
    if (HS_UNLIKELY(value & TYPE_OF_TYPES))
        type_table_forget(object);
    const void *block = (const char *)object - type_value_header(value);
    uint32_t node = HS_OBJECT_NODE_SAME;
    if (block == self->last_block)
        self->last_block = NULL; /* the next object there is born by other means */
    else
        node = capture(self, frame_address);
    emit_object(self, block, type_value_number(value), node);
}

HS_ALWAYS_INLINE void died(struct thread *self, const void *object)
{
    /* An object that is about to be resized has its reference still: it will be born again. */
    if (*(const uint32_t *)object != 0)
        return;
    type_value value = type_table_value(self, type_of(object));
    if (value & TYPE_RECYCLES)
        emit_object_end(self, (const char *)object - type_value_header(value));
}

HS_COLD static void say_taken(struct thread *self)
{
    if (taken_said)
        return;
    taken_said = true;
    emit_blind_spot(self, "Another tool (tracemalloc is one) took the tracer of objects: births and deaths of Python "
                          "objects are missing until it is given back.");
}

HS_COLD static void removed(struct thread *self)
{
    if (python_state == PYTHON_RUNNING) {
        objects_missing = true;
        say_taken(self);
    }
}

static int trace(void *object, int event, void *data)
{
    (void)data;
    struct thread *self = hook_enter();
    if (HS_UNLIKELY(!self))
        return 0;
    if (HS_LIKELY(event == PYTHON_TRACER_CREATE))
        born(self, object, __builtin_frame_address(0));
    else if (HS_LIKELY(event == PYTHON_TRACER_DESTROY))
        died(self, object);
    else if (event == PYTHON_TRACER_REMOVED)
        removed(self);
    hook_leave(self);
    return 0;
}

void objects_start(struct thread *self, const struct python_offsets *offsets)
{
    type_offset = 0;
    if (!offsets || !(session.options & HS_OPTION_OBJECTS) || !python_capi.PyRefTracer_SetTracer ||
        !python_capi.PyRefTracer_GetTracer || !python_capi.Py_AddPendingCall)
        return;
    if (offsets->type_object.name == PYTHON_NO_FIELD) {
        if (offsets->free_threaded)
            emit_blind_spot(self, "This Python is free-threaded: births and deaths of its objects are not recorded.");
        return;
    }
    type_table_start(offsets);
    type_offset = offsets->object.type;
}

bool objects_wanted(void)
{
    return type_offset != 0;
}

void objects_install(void)
{
    void *data;
    atomic_store(&install_asked, false);
    if (!objects_wanted())
        return;
    python_tracer *now = python_capi.PyRefTracer_GetTracer(&data);
    if (now && now != trace) {
        struct thread *self = hook_enter();
        objects_missing = true;
        if (self) {
            say_taken(self);
            hook_leave(self);
        }
        return;
    }
    if (!now) {
        type_table_forget_all();
        python_capi.PyRefTracer_SetTracer(trace, NULL);
    }
    installed = true;
    objects_missing = false;
}

static int install_again(void *unused)
{
    (void)unused;
    objects_install();
    return 0;
}

void objects_check(struct thread *self)
{
    if (!installed && !objects_missing)
        return;
    void *data;
    python_tracer *now = python_capi.PyRefTracer_GetTracer(&data);
    if (HS_LIKELY(now == trace))
        return;
    objects_missing = true;
    say_taken(self);
    if (!now && !atomic_exchange(&install_asked, true))
        python_capi.Py_AddPendingCall(install_again, NULL);
}

void objects_forget(void)
{
    installed = objects_missing = false;
    atomic_store(&install_asked, false);
    if (objects_wanted())
        type_table_forget_all();
}

void objects_after_fork(void)
{
    type_table_after_fork();
}
