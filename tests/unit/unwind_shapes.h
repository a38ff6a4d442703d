/*
 * unwind_shapes.h - functions with call frames of every kind, for the unwinder's test and benchmark.
 *
 * unwind_shapes.c is compiled several times with different flags, each time with another SHAPES, the prefix of its
 * names.
 */
#ifndef HEAPSAKE_TESTS_UNWIND_SHAPES_H
#define HEAPSAKE_TESTS_UNWIND_SHAPES_H

typedef void (*shape_callback)(void);

struct shapes {
    const char *name;
    void (*plain)(shape_callback callback);
    void (*recursion)(unsigned depth, shape_callback callback);
    void (*big_frames)(unsigned depth, shape_callback callback);           /* several KiB each        */
    void (*variable_frames)(unsigned depth, shape_callback callback);      /* alloca and arrays         */
    void (*realigned)(unsigned depth, shape_callback callback);            /* 32- and 64-byte alignment */
    void (*many_registers)(unsigned depth, shape_callback callback);       /* every callee-saved register */
    void (*through_libc)(shape_callback callback);                         /* qsort in bsearch          */
    void (*mixed)(unsigned seed, unsigned depth, shape_callback callback); /* of all, by chance   */
};

extern const struct shapes shapes_O2, shapes_O0, shapes_Os, shapes_fp;

#endif
