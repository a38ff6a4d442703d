/*
 * elf_identity.h - which build a native file is of, and how much it tells of its functions.
 */
#ifndef HEAPSAKE_SYMBOLS_ELF_IDENTITY_H
#define HEAPSAKE_SYMBOLS_ELF_IDENTITY_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUILD_ID_MAX_BYTES 64

/* Less first. */
enum elf_names {
    ELF_EXPORTED_FUNCTIONS = 0, /* its dynamic symbols, or the few more of .gnu_debugdata */
    ELF_ALL_FUNCTIONS,          /* a symbol table                                         */
    ELF_DEBUG_INFORMATION,      /* files, lines and inlined calls too                     */
};

struct elf_identity {
    uint8_t build_id[BUILD_ID_MAX_BYTES];
    size_t build_id_length; /* 0: it has none */
    enum elf_names names;
};

/* Of an open file, whose position does not matter. False when it is no readable ELF file. Thread-safe. */
bool elf_identify(int fd, struct elf_identity *identity);
void elf_describe(Elf *elf, struct elf_identity *identity);

/* Is it of the build that this id names? Never, when there is no id. */
bool elf_is_build(const struct elf_identity *identity, const uint8_t *build_id, size_t length);

/* The id as people write it. `text` has room for 2 * BUILD_ID_MAX_BYTES + 1; returned. */
const char *build_id_text(char *text, const uint8_t *build_id, size_t length);
#define BUILD_ID_TEXT_SIZE (2 * BUILD_ID_MAX_BYTES + 1)

#endif
