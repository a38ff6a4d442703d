/*
 * network.h - listening in the network namespace of another process.
 *
 * Programs meet their recorder at an abstract address, and such an address is known within one network namespace. A
 * socket belongs to the one that its maker was in, whoever has its descriptor later. So a thread that ends at once
 * enters the other namespace and makes it there; nothing else of this process does. That takes CAP_SYS_ADMIN.
 */
#ifndef HEAPSAKE_RECORD_NETWORK_H
#define HEAPSAKE_RECORD_NETWORK_H

#include <stdbool.h>

/* A descriptor of the network namespace of the process of `folder` (proc_folder.h), if it is another than ours; else a
 * negative errno, -EEXIST: it is the same. The caller closes it. */
int network_open(int folder);
/* May we make sockets in it? */
bool network_may_enter(int network);
/* As recorder_listen_at(), there. */
int network_listen_at(int network, const char *name);

#endif
