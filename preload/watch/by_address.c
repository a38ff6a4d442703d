/* by_address.c - see by_address.h */
#include "by_address.h"

#include <errno.h>

#include "../emit.h"
#include "../modules.h"
#include "../python/python.h"
#include "../python/stack.h"
#include "../python/type_table.h"
#include "../stack.h"
#include "object_guess.h"
#include "trap.h"
#include "unwatched.h"
#include "watched.h"

static struct wanted {
    const void *address;
    unsigned bytes; /* 0: an object */
    unsigned request;
    const char *text; /* the SPEC */
} wanted[HS_WATCH_REQUESTS];
static unsigned wanted_count;

/* ---- beginning ---- */

static int order_object(struct thread *self, struct watch_order *order)
{
    const struct python_offsets *offsets = stack_offsets();
    if (python_state != PYTHON_RUNNING || !offsets)
        return -EINVAL;
    if (offsets->free_threaded)
        return -EOPNOTSUPP;
    if (!stack_is_attached())
        return -EPERM;
    order->bytes = object_count_bytes();
    if (object_immortal(emit_counter(order->address, order->bytes)))
        return -EINVAL;
    order->flags = HSK_WATCH_PYTHON;
    type_value value = object_type_value(self, order->address);
    order->type = type_value_number(value);
    order->block = (const char *)order->address - type_value_header(value);
    return 0;
}

struct watched *by_address_find(const void *address)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        if (atomic_load(&watched[i].watch) && watched[i].address == address && !watched[i].sample)
            return &watched[i];
    return NULL;
}

int by_address_watch(struct thread *self, const void *address, unsigned bytes, uint32_t request,
                     const void *frame_address)
{
    struct watch_order order = {.address = address, .block = address, .bytes = bytes, .request = request};
    int code = bytes ? 0 : order_object(self, &order);
    if (code != 0 || by_address_find(address))
        return code;
    code = trap_prepare();
    if (code != 0)
        return code == -EACCES ? -EPERM : code;
    if (frame_address)
        order.node = stack_capture(self, frame_address);
    return watched_begin(self, &order);
}

/* ---- what --watch asks for ---- */

void by_address_want(const struct hs_watch_spec *spec, const char *text, unsigned request)
{
    wanted[wanted_count++] = (struct wanted){
        .address = (const void *)(uintptr_t)spec->address,
        .bytes = (unsigned)spec->size,
        .request = request,
        .text = text,
    };
}

bool by_address_wanted(void)
{
    return wanted_count > 0;
}

void by_address_give_up(void)
{
    wanted_count = 0;
}

/* NULL: it is. */
static const char *begin(struct thread *self, const struct wanted *one)
{
    bool object = !one->bytes && python_state == PYTHON_RUNNING;
    if (object && !object_is_there(one->address))
        return "there is no Python object at that address; with size:N it would be a counter of N bytes.";
    if (!object && !modules_readable((uintptr_t)one->address))
        return "there is no memory at that address.";
    switch (by_address_watch(self, one->address, one->bytes, one->request, NULL)) {
    case 0:
        return NULL;
    case -EBUSY:
        return "all watchpoints are in use.";
    case -EOPNOTSUPP:
        return "this Python is free-threaded: its counts are not in one place.";
    case -EINVAL:
        return object ? "that object lives for ever: its count does not change."
                      : "no Python runs here; with size:N it would be a counter of N bytes.";
    default:
        return one->bytes ? "the kernel refuses a watchpoint there." : "its count cannot be watched now.";
    }
}

void by_address_begin(struct thread *self)
{
    for (unsigned i = 0; i < wanted_count; i++) {
        const char *why = begin(self, &wanted[i]);
        if (why)
            unwatched_say(self, wanted[i].text, why);
    }
}
