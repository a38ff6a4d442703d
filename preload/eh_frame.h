/*
 * eh_frame.h - where a module's unwind tables say something about a pc, and how to read it.
 *
 * Every read is checked against the module's mapped range. Async-signal-safe, no state.
 */
#ifndef HEAPSAKE_PRELOAD_EH_FRAME_H
#define HEAPSAKE_PRELOAD_EH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "modules.h"

#define EH_FRAME_RIP 16 /* DWARF's number of the column of return addresses */

/* Bytes from `at` up to `end`; `failed` sticks once something did not fit. */
struct reader {
    const uint8_t *at, *end;
    bool failed;
};

/* One FDE with what its CIE says. */
struct frame_description {
    uint64_t begin, end; /* the pcs it is for */
    uint64_t code_align;
    int64_t data_align;
    uint8_t pointer_encoding;
    bool signal_frame;
    struct reader initial;      /* the CIE's instructions */
    struct reader instructions; /* the FDE's              */
};

/* The FDE that pc lies in; false: there is none. */
bool eh_frame_find(const struct module_range *module, uint64_t pc, struct frame_description *frame);

/* Little-endian, `size` <= 8 bytes. This and the following: 0 once the reader has failed. */
uint64_t read_bytes(struct reader *reader, size_t size);
uint64_t read_uleb(struct reader *reader);
int64_t read_sleb(struct reader *reader);
void read_skip(struct reader *reader, uint64_t size);
/* A pointer of that encoding (DW_EH_PE_*), `data_base` being what data-relative ones are relative to. */
uint64_t read_pointer(struct reader *reader, uint8_t encoding, uint64_t data_base);

#endif
