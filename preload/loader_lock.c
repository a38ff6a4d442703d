/* loader_lock.c - see loader_lock.h */
#include "loader_lock.h"

#include <link.h>

struct order {
    void (*work)(uint64_t come, uint64_t gone, void *context);
    void *context;
};

static int call(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const struct order *order = context;
    order->work(info->dlpi_adds, info->dlpi_subs, order->context);
    return 1; /* the first module is enough */
}

void loader_lock_held(void (*work)(uint64_t come, uint64_t gone, void *context), void *context)
{
    struct order order = {work, context};
    dl_iterate_phdr(call, &order);
}
