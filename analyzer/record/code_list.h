/*
 * code_list.h - the Python code objects that a session has described.
 *
 * Kept for the closing screen, and for forked children, whose traces begin with
 * the codes of their parent. Entries never change once they are made and
 * are shared by the lists of parent and children; the lists themselves belong to
 * one thread at a time.
 */
#ifndef HEAPSAKE_RECORD_CODE_LIST_H
#define HEAPSAKE_RECORD_CODE_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "internal/event.h"

struct code_entry {
    _Atomic uint32_t references;
    struct hs_message_code code;
    uint8_t bytes[]; /* file, function, line table, as in the message */
};

struct code_list {
    struct code_entry **entries;
    size_t count, capacity;
};

#define CODE_LIST_INIT ((struct code_list){0})

void code_list_free(struct code_list *list);

/*
 * Adds the code object of an HS_MESSAGE_CODE, whose `length` bytes were written by the traced program. 0, -EINVAL when
 * they make no sense, -ENOMEM.
 */
int code_list_add(struct code_list *list, const uint8_t *message, size_t length);

/* A copy that shares the entries; 0 or -ENOMEM. `list` is not initialized before. */
int code_list_copy(struct code_list *list, const struct code_list *from);

/* Appends the records of the entries from number `first` on, as a CODES chunk has them. */
void code_list_write(const struct code_list *list, size_t first, struct buf *payload);

/* The last description of a code number, NULL when there is none. */
const struct code_entry *code_list_find(const struct code_list *list, uint32_t code);

#endif
