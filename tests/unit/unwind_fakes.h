/*
 * unwind_fakes.h - what the unwinder asks of the rest of the library, small and observable: for its test and its
 * benchmark.
 */
#ifndef HEAPSAKE_TESTS_UNWIND_FAKES_H
#define HEAPSAKE_TESTS_UNWIND_FAKES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/session.h"

struct thread;

/* The calling thread's struct thread, made when there is none. Its stack bounds are unknown. */
struct thread *fake_self(void);

/* Nodes made by the fake stack_node(), by number. */
struct hs_node fake_node(uint32_t number);
uint32_t fake_node_count(void);
extern _Atomic uint64_t fake_node_calls;

#define FAKE_MODULES 256
/* The modules announced so far, in order. */
struct fake_module {
    struct hs_message_module message;
    uint8_t build_id[64];
    char path[4096];
};
extern struct fake_module fake_modules[FAKE_MODULES];
extern _Atomic uint32_t fake_module_count;

/* While it is set, arena_map() and arena_alloc() fail. */
extern bool fake_no_memory;

#endif
