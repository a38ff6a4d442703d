/*
 * eh_frame.c - where a module's unwind tables say something about a pc, and how to read it.
 *
 * .eh_frame_hdr is a sorted table of the .eh_frame section's records: FDEs, one for each function, with what several
 * have in common in a CIE.
 */
#include <string.h>

#include "eh_frame.h"

/* ---- reading ---- */

uint64_t read_bytes(struct reader *reader, size_t size)
{
    uint64_t value = 0;
    if (reader->failed || (size_t)(reader->end - reader->at) < size) {
        reader->failed = true;
        return 0;
    }
    memcpy(&value, reader->at, size);
    reader->at += size;
    return value;
}

uint64_t read_uleb(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint64_t byte = read_bytes(reader, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

int64_t read_sleb(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
        uint64_t byte = read_bytes(reader, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80)) {
            if (shift < 64 && (byte & 0x40))
                value |= ~UINT64_C(0) << shift;
            return (int64_t)value;
        }
    }
}

void read_skip(struct reader *reader, uint64_t size)
{
    if (reader->failed || (uint64_t)(reader->end - reader->at) < size)
        reader->failed = true;
    else
        reader->at += size;
}

/* DW_EH_PE_*: the low half says how a pointer is stored, the high half what it is relative to. */
enum {
    POINTER_ABSOLUTE = 0x00,
    POINTER_ULEB = 0x01,
    POINTER_UDATA2 = 0x02,
    POINTER_UDATA4 = 0x03,
    POINTER_UDATA8 = 0x04,
    POINTER_SLEB = 0x09,
    POINTER_SDATA2 = 0x0a,
    POINTER_SDATA4 = 0x0b,
    POINTER_SDATA8 = 0x0c,
    POINTER_PC_RELATIVE = 0x10,
    POINTER_DATA_RELATIVE = 0x30,
    POINTER_INDIRECT = 0x80,
    POINTER_OMITTED = 0xff,
};

/* The value of a pointer of that encoding. Indirect ones (personality routines) are not followed: nobody needs them
 * here. */
uint64_t read_pointer(struct reader *reader, uint8_t encoding, uint64_t data_base)
{
    uint64_t here = (uint64_t)(uintptr_t)reader->at;
    uint64_t value;
    if (encoding == POINTER_OMITTED)
        return 0;
    switch (encoding & 0x0f) {
    case POINTER_ABSOLUTE:
    case POINTER_UDATA8:
    case POINTER_SDATA8:
        value = read_bytes(reader, 8);
        break;
    case POINTER_UDATA2:
        value = read_bytes(reader, 2);
        break;
    case POINTER_UDATA4:
        value = read_bytes(reader, 4);
        break;
    case POINTER_SDATA2:
        value = (uint64_t)(int16_t)read_bytes(reader, 2);
        break;
    case POINTER_SDATA4:
        value = (uint64_t)(int32_t)read_bytes(reader, 4);
        break;
    case POINTER_ULEB:
        value = read_uleb(reader);
        break;
    case POINTER_SLEB:
        value = (uint64_t)read_sleb(reader);
        break;
    default:
        reader->failed = true;
        return 0;
    }
    switch (encoding & 0x70) {
    case 0:
        return value;
    case POINTER_PC_RELATIVE:
        return value + here;
    case POINTER_DATA_RELATIVE:
        return value + data_base;
    default:
        reader->failed = true;
        return 0;
    }
}

/* ---- CIE and FDE ---- */

/* The body of the record at `at`: its reader stands behind the length. False at the end of the section or when it does
 * not fit. */
static bool open_record(const struct module_range *module, const uint8_t *at, struct reader *body)
{
    if ((uintptr_t)at < module->start || (uintptr_t)at >= module->end)
        return false;
    *body = (struct reader){at, (const uint8_t *)module->end, false};
    uint64_t length = read_bytes(body, 4);
    if (length == 0xffffffff)
        length = read_bytes(body, 8);
    if (body->failed || !length || length > (uint64_t)(body->end - body->at))
        return false;
    body->end = body->at + length;
    return true;
}

static bool read_cie(const struct module_range *module, const uint8_t *at, struct frame_description *frame)
{
    struct reader cie;
    if (!open_record(module, at, &cie) || read_bytes(&cie, 4) != 0)
        return false;
    uint64_t version = read_bytes(&cie, 1);
    if (version != 1 && version != 3)
        return false;
    const char *augmentation = (const char *)cie.at;
    const uint8_t *terminator = memchr(cie.at, 0, (size_t)(cie.end - cie.at));
    if (!terminator)
        return false;
    cie.at = terminator + 1;
    frame->code_align = read_uleb(&cie);
    frame->data_align = read_sleb(&cie);
    uint64_t return_register = version == 1 ? read_bytes(&cie, 1) : read_uleb(&cie);
    if (return_register != EH_FRAME_RIP)
        return false;
    frame->pointer_encoding = POINTER_ABSOLUTE;
    frame->signal_frame = false;
    if (*augmentation == 'z') {
        uint64_t length = read_uleb(&cie);
        struct reader data = cie;
        read_skip(&cie, length);
        if (cie.failed)
            return false;
        data.end = cie.at;
        while (*++augmentation) {
            if (*augmentation == 'R')
                frame->pointer_encoding = (uint8_t)read_bytes(&data, 1);
            else if (*augmentation == 'P')
                read_pointer(&data, (uint8_t)(read_bytes(&data, 1) & ~POINTER_INDIRECT), 0);
            else if (*augmentation == 'L')
                read_bytes(&data, 1);
            else if (*augmentation == 'S')
                frame->signal_frame = true;
            else
                return false;
        }
        if (data.failed)
            return false;
    } else if (*augmentation) {
        return false;
    }
    frame->initial = cie;
    return !cie.failed;
}

/* Reads the FDE at `at` and its CIE. *record_end is set to what follows, also when the record is a CIE and false is
 * returned. */
static bool read_fde(const struct module_range *module, const uint8_t *at, struct frame_description *frame,
                     const uint8_t **record_end)
{
    struct reader fde;
    *record_end = NULL;
    if (!open_record(module, at, &fde))
        return false;
    *record_end = fde.end;
    const uint8_t *here = fde.at;
    uint64_t back = read_bytes(&fde, 4);
    if (!back || back > (uint64_t)(here - (const uint8_t *)module->start) || !read_cie(module, here - back, frame))
        return false;
    frame->begin = read_pointer(&fde, frame->pointer_encoding, 0);
    frame->end = frame->begin + read_pointer(&fde, frame->pointer_encoding & 0x0f, 0);
    /* The augmentation data (where the exception tables are) comes with a 'z', that is with any
     * augmentation we accept. */
    const uint8_t *cie = here - back;
    struct reader reader;
    if (!open_record(module, cie, &reader))
        return false;
    read_skip(&reader, 5);
    if (read_bytes(&reader, 1) == 'z')
        read_skip(&fde, read_uleb(&fde));
    frame->instructions = fde;
    return !fde.failed && !reader.failed;
}

/* Without a search table: one FDE after the other. */
static bool scan_section(const struct module_range *module, const uint8_t *at, uint64_t pc,
                         struct frame_description *frame)
{
    const uint8_t *next;
    for (; at; at = next) {
        if (read_fde(module, at, frame, &next) && pc >= frame->begin && pc < frame->end)
            return true;
    }
    return false;
}

bool eh_frame_find(const struct module_range *module, uint64_t pc, struct frame_description *frame)
{
    const uint8_t *hdr = module->eh_frame_hdr;
    if (!hdr || (uintptr_t)hdr < module->start || (uintptr_t)hdr >= module->end)
        return false;
    uint64_t base = (uint64_t)(uintptr_t)hdr;
    struct reader reader = {hdr, (const uint8_t *)module->end, false};
    uint64_t version = read_bytes(&reader, 1);
    uint8_t section_encoding = (uint8_t)read_bytes(&reader, 1);
    uint8_t count_encoding = (uint8_t)read_bytes(&reader, 1);
    uint8_t table_encoding = (uint8_t)read_bytes(&reader, 1);
    if (version != 1)
        return false;
    uint64_t section = read_pointer(&reader, section_encoding, base);
    uint64_t count = count_encoding == POINTER_OMITTED ? 0 : read_pointer(&reader, count_encoding, base);
    if (reader.failed)
        return false;

    /* Linkers write one kind of table: pairs of 4-byte offsets from the header, (first pc, FDE), sorted by pc. */
    if (table_encoding != (POINTER_DATA_RELATIVE | POINTER_SDATA4) || !count)
        return scan_section(module, (const uint8_t *)(uintptr_t)section, pc, frame);
    if (count > (uint64_t)(reader.end - reader.at) / 8)
        return false;
    int64_t wanted = (int64_t)(pc - base);
    uint64_t low = 0, high = count; /* the last entry that is not above pc lies in [low, high) */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        int32_t first;
        memcpy(&first, reader.at + middle * 8, sizeof first);
        if (first <= wanted)
            low = middle;
        else
            high = middle;
    }
    int32_t entry[2];
    memcpy(entry, reader.at + low * 8, sizeof entry);
    const uint8_t *record_end;
    return read_fde(module, (const uint8_t *)(uintptr_t)(base + (uint64_t)(int64_t)entry[1]), frame, &record_end) &&
           pc >= frame->begin && pc < frame->end;
}
