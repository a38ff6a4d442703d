/*
 * modules_seen.h - each module of the program is looked at once: its calls of counting functions are patched, and what
 * can be seen of its counting is said.
 *
 * Functions that count are called through the GOT of the modules that call them (got.h), as soon as a module is
 * there: at the start, and before the first dlsym after a dlopen, or the next dlopen or dlclose. Without --refs and
 * --ref-functions no GOT entry is patched; it is looked at modules when one of them tells of itself.
 *
 * All modules are looked at with the loader's lock alone, or while the program has one thread: any other may close one.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_MODULES_SEEN_H
#define HEAPSAKE_PRELOAD_REFS_MODULES_SEEN_H

#include <stdbool.h>
#include <stddef.h>

#include "../python/offsets.h"
#include "../thread.h"
#include "internal/compiler.h"

struct link_map;

/* From the constructor, after python_start(), inside the hook. */
void modules_seen_start(struct thread *self);

/* The interpreter that the process has, or has no more (NULL); `offsets` NULL: not known. */
void modules_seen_interpreter(const struct link_map *interpreter, const struct python_offsets *offsets);

/* Looks at all modules, also those that were looked at before. Inside the hook, with the loader's lock. */
void modules_seen_look_again(struct thread *self);

/* A module tells of its own counting: it is looked at now, and the others when that can be done. Inside the hook, in a
 * call from that module. */
void modules_seen_told(struct thread *self, const struct link_map *module);

/*
 * dlopen or dlsym are about to be called, or dlclose was, or the program ends: new modules are looked at. Outside of any
 * hook.
 */
void modules_seen_loader_called(void);
/* What the GOT entries for dlsym are to lead to. */
const void *modules_seen_dlsym_hook(void);

/* What a module is called, without a NUL: the executable by its file. Its length, 0 for NULL. */
#define MODULES_SEEN_PATH 4096u
size_t modules_seen_path(const struct link_map *module, char room[MODULES_SEEN_PATH]);

/* In a forked child, inside the hook: its recorder's session does not know yet what can be seen. */
void modules_seen_after_fork(struct thread *self);

#endif
