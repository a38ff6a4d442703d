/*
 * unwind_cfi.h - the rule of one call frame, from a module's .eh_frame.
 *
 * DWARF's call frame information says for each pc where the caller's stack
 * pointer (the canonical frame address, CFA), the return address and the saved
 * registers are. Heapsake follows three registers only (rsp, rbp and rip), so all that it
 * needs of a frame fits one small rule.
 */
#ifndef HEAPSAKE_PRELOAD_UNWIND_CFI_H
#define HEAPSAKE_PRELOAD_UNWIND_CFI_H

#include <stdint.h>

#include "modules.h"

enum unwind_rule_kind {
    UNWIND_UNKNOWN = 0,   /* there is an FDE, but it says something that three registers cannot follow */
    UNWIND_OUTERMOST = 1, /* the frame has no caller                                            */
    UNWIND_SIGNAL = 2,    /* the return from a signal handler: rsp points at the ucontext        */
    UNWIND_NO_FDE = 3,    /* a pc of a module that says nothing about it: hand-written code      */
    UNWIND_FRAME = 4,     /* an ordinary frame, as the other fields say; return address at CFA - 8 */
    UNWIND_NO_MODULE = 5, /* a pc of no module: generated code, or garbage. unwind_cfi_rule() never gives it */
};

struct unwind_rule {
    uint8_t kind;
    uint8_t cfa_from_rbp;  /* CFA = rbp + cfa_offset; else rsp + cfa_offset                      */
    uint8_t cfa_in_memory; /* ... no: the CFA is what is stored there                            */
    uint8_t rbp;           /* enum unwind_rbp: where the caller's rbp is                         */
    int32_t cfa_offset;
    int32_t rbp_offset;
};

enum unwind_rbp {
    UNWIND_RBP_SAME = 0,   /* still in rbp               */
    UNWIND_RBP_AT_CFA = 1, /* stored at CFA + rbp_offset */
    UNWIND_RBP_AT_RBP = 2, /* stored at rbp + rbp_offset */
};

/*
 * The rule of the frame that returns to `pc`, which lies in `module`: the
 * instruction looked at is the one before pc. Async-signal-safe. Costs a few hundred nanoseconds.
 */
struct unwind_rule unwind_cfi_rule(uint64_t pc, const struct module_range *module);

#endif
