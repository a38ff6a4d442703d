/* network.c - see network.h */
#include "record/network.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "record/proc_folder.h"
#include "record/recorder.h"

struct errand {
    int network;
    const char *name; /* NULL: only whether it can be entered */
    int result;
};

int network_open(int folder)
{
    if (proc_same(folder, "ns/net") != 0)
        return -EEXIST;
    int network = openat(folder, "ns/net", O_RDONLY | O_CLOEXEC);
    return network < 0 ? -errno : network;
}

static void *run_errand(void *context)
{
    struct errand *errand = context;
    errand->result = setns(errand->network, CLONE_NEWNET) != 0 ? -errno : 0;
    if (errand->result == 0 && errand->name)
        errand->result = recorder_listen_at(errand->name);
    return NULL;
}

static int run_there(int network, const char *name)
{
    struct errand errand = {.network = network, .name = name};
    pthread_t thread;
    int code = pthread_create(&thread, NULL, run_errand, &errand);
    if (code != 0)
        return -code;
    pthread_join(thread, NULL);
    return errand.result;
}

bool network_may_enter(int network)
{
    return run_there(network, NULL) == 0;
}

int network_listen_at(int network, const char *name)
{
    return run_there(network, name);
}
