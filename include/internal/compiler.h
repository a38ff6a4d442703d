/*
 * compiler.h - what the code asks of the compiler and the machine.
 *
 * Shared by preload/ and analyzer/. Holds no state and depends on nothing else.
 */
#ifndef HEAPSAKE_INTERNAL_COMPILER_H
#define HEAPSAKE_INTERNAL_COMPILER_H

#if !defined(__linux__) || !defined(__x86_64__)
#error "heapsake supports Linux on x86-64; see docs/ARCHITECTURE.md for what a port needs"
#endif

#define HS_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define HS_EXPORT __attribute__((visibility("default")))
#define HS_ALWAYS_INLINE static inline __attribute__((always_inline))
#define HS_COLD __attribute__((cold, noinline))
#define HS_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define HS_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define HS_CACHE_LINE 64
#define HS_PAGE_SIZE 4096

#endif
