/*
 * elf_file.h - what an ELF file says of itself, as far as one asks before it is loaded or looked into. Which build it
 * is of is in elf_identity.h.
 *
 * Files are not to be trusted: whatever is wrong in one is answered with "it does not say". Not thread-safe on one
 * file; different files may be used by different threads.
 */
#ifndef HEAPSAKE_SYMBOLS_ELF_FILE_H
#define HEAPSAKE_SYMBOLS_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;

/* Takes `fd` over in every case. NULL: it is no ELF file, or memory ran out. */
struct elf_file *elf_file_open(int fd);
/* NULL is allowed. */
void elf_file_close(struct elf_file *file);

unsigned elf_file_bits(const struct elf_file *file);    /* 32 or 64                          */
unsigned elf_file_machine(const struct elf_file *file); /* EM_X86_64 and the like            */
bool elf_file_has_loader(const struct elf_file *file);  /* it names a program interpreter    */

/* The first `size` bytes of a variable that it exports, as they lie in the file. False: it exports none
 * with so many. */
bool elf_file_variable(const struct elf_file *file, const char *name, void *bytes, size_t size);
/* Does it define and export a symbol of that name? */
bool elf_file_exports(const struct elf_file *file, const char *name);

/*
 * Where the section of that name lies in memory, by the file's own addresses, and how long it is. False: it has none,
 * or one that is not loaded.
 */
bool elf_file_section(const struct elf_file *file, const char *name, uint64_t *address, uint64_t *size);
/* The file's own address of what is loaded from `offset` of it, the beginning of a page. False: no segment is. */
bool elf_file_address(const struct elf_file *file, uint64_t offset, uint64_t *address);

/* The names in its DT_NEEDED and DT_RUNPATH (or DT_RPATH) entries, by number from 0; NULL behind the last. */
const char *elf_file_needed(const struct elf_file *file, size_t index);
const char *elf_file_run_path(const struct elf_file *file, size_t index);

/*
 * The versions of symbols that it needs, by number from 0, and of which library (its soname); false behind the last.
 * Those that may be missing (weak ones) are left out.
 */
bool elf_file_version_needed(const struct elf_file *file, size_t index, const char **library, const char **version);
/* Does it define this version of symbols? */
bool elf_file_defines_version(const struct elf_file *file, const char *version);
/* The highest N of the versions GLIBC_2.N that it defines; 0: none. */
unsigned elf_file_glibc_defined(const struct elf_file *file);

/* N of "GLIBC_2.N", or of "GLIBC_2.N.M"; 0: it is no such version. */
unsigned elf_glibc_number(const char *version);

#endif
