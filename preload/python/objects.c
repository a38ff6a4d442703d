/* objects.c - see objects.h */
#include "objects.h"

#include <stdatomic.h>

#include "../emit.h"
#include "../session.h"
#include "../stack.h"
#include "../watch/births.h"
#include "capi.h"
#include "hybrid.h"
#include "python.h"
#include "stack.h"
#include "type_table.h"

static uintptr_t type_offset; /* of ob_type; 0: births are not wanted    */
static bool installed;        /* once, into this interpreter             */
static bool recorded;         /* false: births are for watches alone       */
static bool loss_said, stranger_said;
static _Atomic bool install_asked;

/* The interpreter's own tracer whose place we have: called before us. */
static struct {
    python_tracer *_Atomic tracer;
    void *_Atomic data;
} shared;

/* The object's type, while it is being made or has not been unmade. */
HS_ALWAYS_INLINE const void *type_of(const void *object)
{
    return *(const void *const *)((const char *)object + type_offset);
}

static __attribute__((noinline)) uint32_t capture(struct thread *self, const void *frame_address)
{
    return stack_want_native ? hybrid_attached(self, frame_address) : stack_attached(self);
}

HS_ALWAYS_INLINE void record_birth(struct thread *self, const void *object, type_value value, const void *frame_address)
{
    const void *block = (const char *)object - type_value_header(value);
    uint32_t node = HS_OBJECT_NODE_SAME;
    if (block == self->last_block)
        self->last_block = NULL; /* the next object there is born by other means */
    else
        node = capture(self, frame_address);
    emit_object(self, block, type_value_number(value), node);
}

HS_ALWAYS_INLINE void born(struct thread *self, const void *object, const void *frame_address)
{
    type_value value = type_table_value(self, type_of(object));
    if (HS_UNLIKELY(value & TYPE_OF_TYPES))
        type_table_forget(object);
    if (HS_LIKELY(recorded))
        record_birth(self, object, value, frame_address);
    if (HS_UNLIKELY(type_value_requests(value)))
        births_born(self, object, value, frame_address, recorded);
}

HS_ALWAYS_INLINE void died(struct thread *self, const void *object)
{
    /* An object that is about to be resized has its reference still: it will be born again. */
    if (*(const uint32_t *)object != 0 || !recorded)
        return;
    type_value value = type_table_value(self, type_of(object));
    if (value & TYPE_RECYCLES)
        emit_object_end(self, (const char *)object - type_value_header(value));
}
static int trace(void *object, int event, void *data)
{
    (void)data;
    python_tracer *other = atomic_load_explicit(&shared.tracer, memory_order_acquire);
    if (HS_UNLIKELY(other != NULL))
        other(object, event, atomic_load_explicit(&shared.data, memory_order_relaxed));
    struct thread *self = hook_enter();
    if (HS_UNLIKELY(!self))
        return 0;
    if (HS_LIKELY(event == PYTHON_TRACER_CREATE))
        born(self, object, __builtin_frame_address(0));
    else if (HS_LIKELY(event == PYTHON_TRACER_DESTROY))
        died(self, object); /* PYTHON_TRACER_REMOVED: objects_check() will see it */
    hook_leave(self);
    return 0;
}

void objects_start(struct thread *self, const struct python_offsets *offsets)
{
    type_offset = 0;
    recorded = session.options & HS_OPTION_OBJECTS;
    if (!offsets || (!recorded && !births_wanted()) || !python_capi.PyRefTracer_SetTracer ||
        !python_capi.PyRefTracer_GetTracer || !python_capi.Py_AddPendingCall)
        return;
    if (offsets->free_threaded) {
        emit_blind_spot(self, "This Python is free-threaded: births and deaths of its objects are not recorded.");
        return;
    }
    const struct python_object_offsets *objects = python_object_offsets_find(offsets->minor);
    if (!objects || python_object_offsets_check(objects, python_capi._PyRuntime) != PYTHON_CHECK_AGREES) {
        emit_blind_spot(self,
                        "This Python keeps its types otherwise than its version is known to: births and deaths of "
                        "its objects are not recorded.");
        return;
    }
    type_table_start(offsets, objects);
    type_offset = offsets->object.type;
}

bool objects_wanted(void)
{
    return type_offset != 0;
}

static bool is_strangers(python_tracer *tracer)
{
    uintptr_t address = (uintptr_t)tracer;
    return tracer && (address < python_capi.text_low || address >= python_capi.text_high);
}

static void say(struct thread *self, bool *said, const char *sentence)
{
    if (!*said)
        emit_blind_spot(self, sentence);
    *said = true;
}

static void say_stranger(struct thread *self)
{
    say(self, &stranger_said,
        "Another tool has the tracer of objects: births and deaths of Python objects are missing "
        "until it gives it back.");
}

void objects_install(void)
{
    void *data = NULL;
    atomic_store(&install_asked, false);
    if (!objects_wanted())
        return;
    installed = true;
    python_tracer *now = python_capi.PyRefTracer_GetTracer(&data);
    if (now == trace)
        return;
    if (is_strangers(now)) {
        struct thread *self = hook_enter();
        if (self) {
            say_stranger(self);
            hook_leave(self);
        }
        return;
    }
    type_table_forget_all(); /* births of types may have been missed */
    atomic_store_explicit(&shared.data, data, memory_order_relaxed);
    atomic_store_explicit(&shared.tracer, now, memory_order_release);
    python_capi.PyRefTracer_SetTracer(trace, NULL);
}

void objects_uninstall(void)
{
    void *data = NULL;
    if (installed && python_capi.PyRefTracer_GetTracer(&data) == trace)
        python_capi.PyRefTracer_SetTracer(atomic_load(&shared.tracer), atomic_load(&shared.data));
    installed = false;
}

static int install_again(void *unused)
{
    (void)unused;
    objects_install();
    return 0;
}

void objects_check(struct thread *self)
{
    if (!installed)
        return;
    void *data;
    python_tracer *now = python_capi.PyRefTracer_GetTracer(&data);
    if (HS_LIKELY(now == trace))
        return;
    if (is_strangers(now)) {
        say_stranger(self);
        return;
    }
    say(self, &loss_said,
        "tracemalloc took the tracer of objects: births and deaths of Python objects are missing "
        "from each of its starts and stops to the next check.");
    if (!atomic_exchange(&install_asked, true) && python_capi.Py_AddPendingCall(install_again, NULL) != 0)
        atomic_store(&install_asked, false);
}

void objects_forget(void)
{
    installed = false;
    atomic_store(&install_asked, false);
    if (objects_wanted())
        type_table_forget_all();
}

void objects_after_fork(void)
{
    type_table_after_fork();
}
