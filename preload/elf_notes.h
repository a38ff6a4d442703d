/*
 * elf_notes.h - the notes of one segment, one after the other.
 *
 * Reads nothing beyond `length`, whatever the notes say of themselves. Any thread, any time.
 */
#ifndef HEAPSAKE_PRELOAD_ELF_NOTES_H
#define HEAPSAKE_PRELOAD_ELF_NOTES_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct elf_note {
    uint32_t type, name_size, body_size; /* the name's with its '\0' */
    const uint8_t *name, *body;
};

/* How a segment's notes are aligned. */
static inline size_t elf_notes_alignment(const Elf64_Phdr *segment)
{
    return segment->p_align == 8 ? 8 : 4;
}

/* The note at *at, which moves behind it; begin with 0. False: there is none any more. */
static inline bool elf_note_next(const uint8_t *notes, size_t length, size_t alignment, size_t *at,
                                 struct elf_note *note)
{
    Elf64_Nhdr head;
    if (length - *at < sizeof head)
        return false;
    memcpy(&head, notes + *at, sizeof head);
    size_t left = length - *at - sizeof head;
    size_t name = ((size_t)head.n_namesz + alignment - 1) & ~(alignment - 1);
    size_t body = ((size_t)head.n_descsz + alignment - 1) & ~(alignment - 1);
    if (name > left || head.n_descsz > left - name)
        return false;
    note->type = head.n_type;
    note->name_size = head.n_namesz;
    note->body_size = head.n_descsz;
    note->name = notes + *at + sizeof head;
    note->body = note->name + name;
    /* the last one may go without its padding */
    *at = body > left - name ? length : *at + sizeof head + name + body;
    return true;
}

/* `name_size`: with its '\0'. */
static inline bool elf_note_is(const struct elf_note *note, uint32_t type, const char *name, size_t name_size)
{
    return note->type == type && note->name_size == name_size && memcmp(note->name, name, name_size) == 0;
}

#endif
