/*
 * module_file.h - the files of native modules, opened once for all traced processes.
 *
 * `heapsake run make` has hundreds of processes that map the same few files, so open files are kept in one
 * registry, by device and inode, and counted. Thread-safe: the registry has a lock, and what a file says about
 * itself never changes.
 */
#ifndef HEAPSAKE_SYMBOLS_MODULE_FILE_H
#define HEAPSAKE_SYMBOLS_MODULE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbols/elf_identity.h"

struct module_file;
struct known_names;

/*
 * Where a process' paths begin: its root folder, held open when it is not our own. Counted like files. NULL stands for
 * our own root.
 */
struct module_root;

/*
 * The root of `pid`, which is told through *root; true when it could be looked at. The caller owns a reference.
 */
bool module_root_of(pid_t pid, struct module_root **root);
struct module_root *module_root_ref(struct module_root *root);
void module_root_unref(struct module_root *root);
/* A descriptor of the regular file `path` below `root`, links followed inside that root; -errno. */
int module_root_open(const struct module_root *root, const char *path);

/*
 * The registry's entry for an open regular file; takes `fd` over in every case. `root` and `path` (may be NULL) are
 * where its debug file is looked for. NULL when it is no readable ELF file, or descriptors or memory ran out.
 */
struct module_file *module_file_adopt(int fd, const struct module_root *root, const char *path);
/* The kernel's vdso, copied from our own address space: every process of this kernel has the same. */
struct module_file *module_file_vdso(void);
struct module_file *module_file_ref(struct module_file *file);
void module_file_unref(struct module_file *file);

/* Its build-id; *length is 0 when it has none. */
const uint8_t *module_file_build_id(const struct module_file *file, size_t *length);
int module_file_descriptor(const struct module_file *file);
/* False when it was written to since it was opened: its contents are another program's then. */
bool module_file_unchanged(const struct module_file *file);
/* What its addresses are called, as far as somebody has asked (known_names.h); may be NULL. */
struct known_names *module_file_known_names(const struct module_file *file);
/* The best that it, or its separate file, tells. */
enum elf_names module_file_names(const struct module_file *file);
/* The separate file with its debug information, -1 when there is none (or none is needed). */
int module_file_debug_descriptor(const struct module_file *file);

#endif
