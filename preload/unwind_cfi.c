/*
 * unwind_cfi.c - the rule of one call frame: what a module's FDE says, run up to a pc and put into few words.
 *
 * The tables are read where the loader mapped them; the module is in use on the calling thread's stack, so it stays
 * while they are read.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "eh_frame.h"
#include "unwind_cfi.h"

enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RIP = EH_FRAME_RIP };

/* ---- expressions ---- */

/*
 * A value of an expression, as far as it can be said without running the
 * program: a constant, a register plus a constant, or what is stored at one of these.
 */
struct symbolic {
    enum { BASE_NONE, BASE_RBP, BASE_RSP, BASE_CFA } base;
    bool loaded; /* *(base + offset) */
    int64_t offset;
};

#define EXPRESSION_STACK 8

/* The value of an expression at pc; false: it needs more than a symbolic can say. */
static bool evaluate(struct reader code, uint64_t pc, bool starts_with_cfa, struct symbolic *result)
{
    struct symbolic stack[EXPRESSION_STACK];
    unsigned depth = 0;
    if (starts_with_cfa)
        stack[depth++] = (struct symbolic){BASE_CFA, false, 0};
    while (code.at < code.end) {
        uint64_t op = read_bytes(&code, 1);
        struct symbolic value = {BASE_NONE, false, 0};
        bool binary = false;
        if (op >= 0x30 && op <= 0x4f) { /* lit0 .. lit31 */
            value.offset = (int64_t)(op - 0x30);
        } else if (op >= 0x70 && op <= 0x8f) { /* breg0 .. breg31 */
            value.offset = read_sleb(&code);
            if (op - 0x70 == REGISTER_RBP)
                value.base = BASE_RBP;
            else if (op - 0x70 == REGISTER_RSP)
                value.base = BASE_RSP;
            else if (op - 0x70 == REGISTER_RIP)
                value.offset = (int64_t)((uint64_t)value.offset + pc);
            else
                return false;
        } else {
            switch (op) {
            case 0x06: /* deref */
                if (!depth || stack[depth - 1].loaded || stack[depth - 1].base == BASE_NONE)
                    return false;
                stack[depth - 1].loaded = true;
                continue;
            case 0x23: /* plus_uconst */
                value.offset = (int64_t)read_uleb(&code);
                binary = true;
                op = 0x22;
                break;
            case 0x08: /* const1u */
                value.offset = (int64_t)read_bytes(&code, 1);
                break;
            case 0x09: /* const1s */
                value.offset = (int8_t)read_bytes(&code, 1);
                break;
            case 0x0a: /* const2u */
                value.offset = (int64_t)read_bytes(&code, 2);
                break;
            case 0x0b: /* const2s */
                value.offset = (int16_t)read_bytes(&code, 2);
                break;
            case 0x0c: /* const4u */
                value.offset = (int64_t)read_bytes(&code, 4);
                break;
            case 0x0d: /* const4s */
                value.offset = (int32_t)read_bytes(&code, 4);
                break;
            case 0x10: /* constu */
                value.offset = (int64_t)read_uleb(&code);
                break;
            case 0x11: /* consts */
                value.offset = read_sleb(&code);
                break;
            case 0x1a: /* and */
            case 0x1c: /* minus */
            case 0x22: /* plus */
            case 0x24: /* shl */
            case 0x2a: /* ge */
                if (!depth)
                    return false;
                value = stack[--depth];
                binary = true;
                break;
            default:
                return false;
            }
        }
        if (!binary) {
            if (depth == EXPRESSION_STACK)
                return false;
            stack[depth++] = value;
            continue;
        }
        if (!depth)
            return false;
        struct symbolic *left = &stack[depth - 1];
        if (value.loaded || left->loaded || (value.base != BASE_NONE && left->base != BASE_NONE))
            return false;
        uint64_t a = (uint64_t)left->offset, b = (uint64_t)value.offset;
        if (op == 0x22) {
            left->base = left->base == BASE_NONE ? value.base : left->base;
            left->offset = (int64_t)(a + b);
            continue;
        }
        if (value.base != BASE_NONE || (op != 0x1c && left->base != BASE_NONE))
            return false;
        if (op == 0x1c)
            left->offset = (int64_t)(a - b);
        else if (op == 0x1a)
            left->offset = (int64_t)(a & b);
        else if (op == 0x24)
            left->offset = b < 64 ? (int64_t)(a << b) : 0;
        else
            left->offset = (int64_t)a >= (int64_t)b;
    }
    if (code.failed || !depth)
        return false;
    *result = stack[depth - 1];
    return true;
}

/* ---- the instructions ---- */

/* Where a register of the caller is. */
struct place {
    enum { PLACE_UNSAID, PLACE_SAME, PLACE_AT_CFA, PLACE_EXPRESSION, PLACE_UNDEFINED, PLACE_OTHER } kind;
    int64_t offset;
    struct reader expression;
};

struct row {
    uint64_t cfa_register; /* with cfa_offset, unless cfa_expression.at is set */
    int64_t cfa_offset;
    struct reader cfa_expression;
    struct place rbp, rip;
};

#define REMEMBERED_ROWS 8

static struct place *place_of(struct row *row, uint64_t reg)
{
    return reg == REGISTER_RBP ? &row->rbp : reg == REGISTER_RIP ? &row->rip : NULL;
}

static void set_place(struct row *row, uint64_t reg, int kind, int64_t offset)
{
    struct place *place = place_of(row, reg);
    if (place)
        *place = (struct place){.kind = kind, .offset = offset};
}

static void set_place_expression(struct row *row, uint64_t reg, int kind, struct reader *code)
{
    uint64_t length = read_uleb(code);
    struct reader expression = *code;
    read_skip(code, length);
    expression.end = code->at;
    struct place *place = place_of(row, reg);
    if (place)
        *place = (struct place){.kind = kind, .expression = expression};
}

static void restore_place(struct row *row, const struct row *initial, uint64_t reg)
{
    if (reg == REGISTER_RBP)
        row->rbp = initial->rbp;
    else if (reg == REGISTER_RIP)
        row->rip = initial->rip;
}

/* Factored offsets; damaged ones wrap. */
static int64_t scale(uint64_t factor, const struct frame_description *frame)
{
    return (int64_t)(factor * (uint64_t)frame->data_align);
}

/* Runs instructions up to the row that holds at pc. `initial` is what restore goes back to: NULL while it is being
 * made. */
static bool run(struct reader code, const struct frame_description *frame, uint64_t pc, const struct row *initial,
                struct row *row)
{
    struct row remembered[REMEMBERED_ROWS];
    unsigned rows = 0;
    uint64_t at = frame->begin;
    while (code.at < code.end && !code.failed) {
        uint64_t op = read_bytes(&code, 1);
        uint64_t reg, delta = 0;
        switch (op >> 6) {
        case 1: /* advance_loc */
            at += (op & 0x3f) * frame->code_align;
            if (at > pc)
                return true;
            continue;
        case 2: /* offset */
            set_place(row, op & 0x3f, PLACE_AT_CFA, scale(read_uleb(&code), frame));
            continue;
        case 3: /* restore */
            if (!initial)
                return false;
            restore_place(row, initial, op & 0x3f);
            continue;
        default:
            break;
        }
        switch (op) {
        case 0x00: /* nop */
            break;
        case 0x01: /* set_loc */
            at = read_pointer(&code, frame->pointer_encoding, 0);
            if (at > pc)
                return !code.failed;
            break;
        case 0x02: /* advance_loc1, 2, 4 */
        case 0x03:
        case 0x04:
            delta = read_bytes(&code, (size_t)1 << (op - 2));
            at += delta * frame->code_align;
            if (at > pc)
                return !code.failed;
            break;
        case 0x05: /* offset_extended */
            reg = read_uleb(&code);
            set_place(row, reg, PLACE_AT_CFA, scale(read_uleb(&code), frame));
            break;
        case 0x06: /* restore_extended */
            if (!initial)
                return false;
            restore_place(row, initial, read_uleb(&code));
            break;
        case 0x07: /* undefined */
            set_place(row, read_uleb(&code), PLACE_UNDEFINED, 0);
            break;
        case 0x08: /* same_value */
            set_place(row, read_uleb(&code), PLACE_SAME, 0);
            break;
        case 0x09: /* register */
            reg = read_uleb(&code);
            read_uleb(&code);
            set_place(row, reg, PLACE_OTHER, 0);
            break;
        case 0x0a: /* remember_state */
            if (rows == REMEMBERED_ROWS)
                return false;
            remembered[rows++] = *row;
            break;
        case 0x0b: /* restore_state */
            if (!rows)
                return false;
            *row = remembered[--rows];
            break;
        case 0x0c: /* def_cfa */
            row->cfa_register = read_uleb(&code);
            row->cfa_offset = (int64_t)read_uleb(&code);
            row->cfa_expression.at = NULL;
            break;
        case 0x0d: /* def_cfa_register */
            row->cfa_register = read_uleb(&code);
            row->cfa_expression.at = NULL;
            break;
        case 0x0e: /* def_cfa_offset */
            row->cfa_offset = (int64_t)read_uleb(&code);
            break;
        case 0x0f: /* def_cfa_expression */
            delta = read_uleb(&code);
            row->cfa_expression = code;
            read_skip(&code, delta);
            row->cfa_expression.end = code.at;
            break;
        case 0x10: /* expression */
            reg = read_uleb(&code);
            set_place_expression(row, reg, PLACE_EXPRESSION, &code);
            break;
        case 0x11: /* offset_extended_sf */
            reg = read_uleb(&code);
            set_place(row, reg, PLACE_AT_CFA, scale((uint64_t)read_sleb(&code), frame));
            break;
        case 0x12: /* def_cfa_sf */
            row->cfa_register = read_uleb(&code);
            row->cfa_offset = scale((uint64_t)read_sleb(&code), frame);
            row->cfa_expression.at = NULL;
            break;
        case 0x13: /* def_cfa_offset_sf */
            row->cfa_offset = scale((uint64_t)read_sleb(&code), frame);
            break;
        case 0x14: /* val_offset, val_offset_sf: the value itself, not its place */
        case 0x15:
            reg = read_uleb(&code);
            read_uleb(&code);
            set_place(row, reg, PLACE_OTHER, 0);
            break;
        case 0x16: /* val_expression */
            reg = read_uleb(&code);
            set_place_expression(row, reg, PLACE_OTHER, &code);
            break;
        case 0x2e: /* GNU_args_size */
            read_uleb(&code);
            break;
        case 0x2f: /* GNU_negative_offset_extended */
            reg = read_uleb(&code);
            set_place(row, reg, PLACE_AT_CFA, scale(-read_uleb(&code), frame));
            break;
        default:
            return false;
        }
    }
    return !code.failed;
}

static bool fits(int64_t offset)
{
    return offset >= INT32_MIN && offset <= INT32_MAX;
}

/* Says a row as a rule; UNWIND_UNKNOWN when it cannot be said. */
static struct unwind_rule say(const struct row *row, uint64_t pc)
{
    const struct unwind_rule unknown = {.kind = UNWIND_UNKNOWN};
    struct unwind_rule rule = {.kind = UNWIND_FRAME};
    struct symbolic value;
    if (row->rip.kind == PLACE_UNDEFINED)
        return (struct unwind_rule){.kind = UNWIND_OUTERMOST};
    if (row->rip.kind != PLACE_AT_CFA || row->rip.offset != -8)
        return unknown;

    if (row->cfa_expression.at) {
        if (!evaluate(row->cfa_expression, pc, false, &value) || (value.base != BASE_RBP && value.base != BASE_RSP) ||
            !fits(value.offset))
            return unknown;
        rule.cfa_from_rbp = value.base == BASE_RBP;
        rule.cfa_in_memory = value.loaded;
        rule.cfa_offset = (int32_t)value.offset;
    } else {
        if ((row->cfa_register != REGISTER_RBP && row->cfa_register != REGISTER_RSP) || !fits(row->cfa_offset))
            return unknown;
        rule.cfa_from_rbp = row->cfa_register == REGISTER_RBP;
        rule.cfa_offset = (int32_t)row->cfa_offset;
    }

    switch (row->rbp.kind) {
    case PLACE_UNSAID:
    case PLACE_SAME:
    case PLACE_UNDEFINED:
        rule.rbp = UNWIND_RBP_SAME;
        return rule;
    case PLACE_AT_CFA:
        rule.rbp = UNWIND_RBP_AT_CFA;
        rule.rbp_offset = (int32_t)row->rbp.offset;
        return fits(row->rbp.offset) ? rule : unknown;
    case PLACE_EXPRESSION:
        if (!evaluate(row->rbp.expression, pc, true, &value) || value.loaded || !fits(value.offset) ||
            (value.base != BASE_RBP && value.base != BASE_CFA))
            return unknown;
        rule.rbp = value.base == BASE_RBP ? UNWIND_RBP_AT_RBP : UNWIND_RBP_AT_CFA;
        rule.rbp_offset = (int32_t)value.offset;
        return rule;
    default:
        return unknown;
    }
}

/* mov $SYS_rt_sigreturn, %rax (long or short form); syscall: where signal handlers return to, with or
 * without an FDE. */
static bool is_sigreturn(uint64_t pc, const struct module_range *module)
{
    static const uint8_t long_form[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t short_form[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
    uint8_t code[sizeof long_form];
    if (pc < module->start || module->end - pc < sizeof code || !modules_copy(code, pc, sizeof code))
        return false; /* a mapped range may have holes, so it was a question */
    return !memcmp(code, long_form, sizeof long_form) || !memcmp(code, short_form, sizeof short_form);
}

struct unwind_rule unwind_cfi_rule(uint64_t pc, const struct module_range *module)
{
    struct frame_description frame;
    if (!eh_frame_find(module, pc - 1, &frame))
        return (struct unwind_rule){.kind = is_sigreturn(pc, module) ? UNWIND_SIGNAL : UNWIND_NO_FDE};
    if (frame.signal_frame && is_sigreturn(pc, module))
        return (struct unwind_rule){.kind = UNWIND_SIGNAL};
    struct row initial = {.cfa_register = UINT64_MAX};
    if (!run(frame.initial, &frame, UINT64_MAX, NULL, &initial))
        return (struct unwind_rule){.kind = UNWIND_UNKNOWN};
    struct row row = initial;
    if (!run(frame.instructions, &frame, pc - 1, &initial, &row))
        return (struct unwind_rule){.kind = UNWIND_UNKNOWN};
    return say(&row, pc - 1);
}
