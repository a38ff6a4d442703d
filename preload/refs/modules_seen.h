/*
 * modules_seen.h - each module of the program is looked at once: its calls of counting functions are patched, and what
 * can be seen of its counting is said.
 *
 * Functions that count are called through the GOT of the modules that call them (got.h), as soon as a module is
 * there: at the start, and before the first dlsym after a dlopen, or at the malloc that happens to come first. Without
 * --refs and
 * --ref-functions no GOT entry is patched, and nothing here is reached.
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

/* Looks at the modules that are new; false: it has to be done once more. Inside the hook. */
bool modules_seen_look(struct thread *self);
/* The same, and those that were looked at before, too. */
void modules_seen_look_again(struct thread *self);

/* From the malloc hook. False: nothing is left to do at the next malloc. */
bool modules_seen_chore(struct thread *self);

/*
 * dlopen or dlsym are about to be called: new modules are looked at. Outside of any hook. In a process that was
 * attached to there is no other time for it: at a malloc modules could be closed while they are looked at.
 */
void modules_seen_dlsym_called(void);
/* What the GOT entries for dlsym are to lead to. */
const void *modules_seen_dlsym_hook(void);

/* A module is about to be opened, or has been closed. Any time; does nothing unless something is patched. */
void modules_seen_opening(void);
void modules_seen_closed(void);

/* What a module is called, without a NUL: the executable by its file. Its length, 0 for NULL. */
#define MODULES_SEEN_PATH 4096u
size_t modules_seen_path(const struct link_map *module, char room[MODULES_SEEN_PATH]);

/* In a forked child, inside the hook: its recorder's session does not know yet what can be seen. */
void modules_seen_after_fork(struct thread *self);

#endif
