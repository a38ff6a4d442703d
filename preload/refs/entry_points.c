/*
 * entry_points.c - see entry_points.h
 *
 * Whether a call has changed anything (some objects are immortal) is seen in the count. The real functions run outside
 * of the hook: at count 0 an object dies, and what it frees is recorded.
 */
#include "entry_points.h"

#include "../emit.h"
#include "../python/elf_lookup.h"
#include "../stack.h"
#include "leaf.h"
#include "python_counts.h"

typedef void counting(void *object);
typedef void *referring(void *object);

static struct {
    counting *change[ENTRY_PRIVATE_DEC + 1];
    referring *refer[ENTRY_POINTS];
} real_entry;

static __attribute__((noinline)) void tell(void *object, bool down, int64_t count, const void *frame_address,
                                           const void *pc)
{
    struct thread *self = hook_enter();
    if (!self)
        return;
    uint32_t node = stack_want_native ? stack_capture(self, frame_address) : leaf_of_call(self, python_stack(self), pc);
    emit_count(self, HS_COUNT_ENTRY_POINT, object, python_counts_header(self, object), down,
               count < 0 ? 0 : (uint64_t)count, python_counts_type(self, object), node);
    hook_leave(self);
}

HS_ALWAYS_INLINE void told_up(void *object, int64_t before, const void *frame_address, const void *pc)
{
    int64_t after = python_counts_read(object);
    if (after != before)
        tell(object, false, after, frame_address, pc);
}

HS_ALWAYS_INLINE void up(enum entry_point entry, void *object, const void *frame_address, const void *pc)
{
    int64_t before = object ? python_counts_read(object) : 0;
    real_entry.change[entry](object);
    if (object)
        told_up(object, before, frame_address, pc);
}

HS_ALWAYS_INLINE void *refer(enum entry_point entry, void *object, const void *frame_address, const void *pc)
{
    int64_t before = object ? python_counts_read(object) : 0;
    void *same = real_entry.refer[entry](object);
    if (object)
        told_up(object, before, frame_address, pc);
    return same;
}

HS_ALWAYS_INLINE void down(enum entry_point entry, void *object, const void *frame_address, const void *pc)
{
    counting *real = real_entry.change[entry];
    int64_t before = object ? python_counts_read(object) : -1;
    /* Free-threaded, the object may be gone after it, whatever its count was. */
    bool ends = before == 1 || (python_counts.free_threaded && before >= 0);
    if (ends)
        tell(object, true, before - 1, frame_address, pc);
    real(object);
    if (!object || ends || python_counts.free_threaded)
        return;
    int64_t after = python_counts_read(object);
    if (after != before)
        tell(object, true, after, frame_address, pc);
}

#define CALLER __builtin_frame_address(0), __builtin_return_address(0)

static void inc_ref(void *object)
{
    up(ENTRY_INC, object, CALLER);
}

static void private_inc_ref(void *object)
{
    up(ENTRY_PRIVATE_INC, object, CALLER);
}

static void dec_ref(void *object)
{
    down(ENTRY_DEC, object, CALLER);
}

static void private_dec_ref(void *object)
{
    down(ENTRY_PRIVATE_DEC, object, CALLER);
}

static void *new_ref(void *object)
{
    return refer(ENTRY_NEW_REF, object, CALLER);
}

static void *x_new_ref(void *object)
{
    return refer(ENTRY_X_NEW_REF, object, CALLER);
}

void entry_points_find(const struct link_map *interpreter, struct got_patch *patches)
{
    static const struct {
        const char *symbol;
        counting *change;
        referring *refer;
    } entries[ENTRY_POINTS] = {
        [ENTRY_INC] = {"Py_IncRef", inc_ref, NULL},
        [ENTRY_DEC] = {"Py_DecRef", dec_ref, NULL},
        [ENTRY_PRIVATE_INC] = {"_Py_IncRef", private_inc_ref, NULL},
        [ENTRY_PRIVATE_DEC] = {"_Py_DecRef", private_dec_ref, NULL},
        [ENTRY_NEW_REF] = {"Py_NewRef", NULL, new_ref},
        [ENTRY_X_NEW_REF] = {"Py_XNewRef", NULL, x_new_ref},
    };
    bool known = interpreter && python_counts.type;
    for (unsigned i = 0; i < ENTRY_POINTS; i++) {
        void *real = known ? elf_find_symbol(interpreter, entries[i].symbol) : NULL;
        patches[i] = (struct got_patch){.symbol = entries[i].symbol, .real = real};
        if (!real)
            continue;
        if (entries[i].change) {
            patches[i].replacement = (const void *)(uintptr_t)entries[i].change;
            *(void **)&real_entry.change[i] = real;
        } else {
            patches[i].replacement = (const void *)(uintptr_t)entries[i].refer;
            *(void **)&real_entry.refer[i] = real;
        }
    }
}
