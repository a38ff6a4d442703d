/*
 * api.h - what programs call by name: include/heapsake/heapsake.h finds these with dlsym. Their names and parameters
 * are a promise.
 */
#ifndef HEAPSAKE_PRELOAD_API_H
#define HEAPSAKE_PRELOAD_API_H

/* `bytes`: of the counter; 0: a PyObject. 0, or a negative errno. */
int heapsake_api_watch(const void *address, unsigned bytes);
int heapsake_api_unwatch(const void *address);

#endif
