/* elf_identity.c - see elf_identity.h */
#include "symbols/elf_identity.h"

#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>

static enum elf_names names_of(Elf *elf)
{
    enum elf_names best = ELF_EXPORTED_FUNCTIONS;
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return best;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS)
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && (!strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info")))
            return ELF_DEBUG_INFORMATION;
        if (header.sh_type == SHT_SYMTAB)
            best = ELF_ALL_FUNCTIONS;
    }
    return best;
}

void elf_describe(Elf *elf, struct elf_identity *identity)
{
    const void *bytes;
    ssize_t length = dwelf_elf_gnu_build_id(elf, &bytes);
    *identity = (struct elf_identity){.names = names_of(elf)};
    if (length > 0 && length <= BUILD_ID_MAX_BYTES) {
        memcpy(identity->build_id, bytes, (size_t)length);
        identity->build_id_length = (size_t)length;
    }
}

bool elf_identify(int fd, struct elf_identity *identity)
{
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    bool is_elf = elf && elf_kind(elf) == ELF_K_ELF;
    if (is_elf)
        elf_describe(elf, identity);
    elf_end(elf);
    return is_elf;
}

bool elf_is_build(const struct elf_identity *identity, const uint8_t *build_id, size_t length)
{
    return length > 0 && identity->build_id_length == length && !memcmp(identity->build_id, build_id, length);
}

const char *build_id_text(char *text, const uint8_t *build_id, size_t length)
{
    *text = '\0';
    for (size_t i = 0; i < length && i < BUILD_ID_MAX_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", build_id[i]);
    return text;
}
