/* unwind_shapes.c - functions with call frames of every kind. SHAPES names this copy, which depends on the flags it is
 * compiled with. */
#include <alloca.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unwind_shapes.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#define SHAPE static __attribute__((noinline, noclone)) void

static volatile uintptr_t sink;
static __thread shape_callback current;

static void use(const void *memory)
{
    sink += (uintptr_t)memory;
}

SHAPE plain(shape_callback callback)
{
    callback();
    sink++;
}

SHAPE recursion(unsigned depth, shape_callback callback)
{
    if (depth)
        recursion(depth - 1, callback);
    else
        callback();
    sink++;
}

SHAPE big_frames(unsigned depth, shape_callback callback)
{
    char room[9000];
    memset(room, (int)depth, sizeof room);
    use(room);
    if (depth)
        big_frames(depth - 1, callback);
    else
        callback();
    sink += (unsigned char)room[depth];
}

SHAPE variable_frames(unsigned depth, shape_callback callback)
{
    char room[depth % 7 * 40 + 1];
    char *more = alloca(depth % 5 * 24 + 1);
    memset(room, 1, sizeof room);
    more[0] = 1;
    use(room);
    use(more);
    if (depth)
        variable_frames(depth - 1, callback);
    else
        callback();
    sink += (uintptr_t)room[0] + (uintptr_t)more[0];
}

__attribute__((target("avx2"))) SHAPE realigned(unsigned depth, shape_callback callback)
{
    typedef double vector __attribute__((vector_size(32)));
    _Alignas(64) volatile vector values[3];
    values[depth % 3] = (vector){depth, 1, 2, 3};
    values[0] = values[depth % 3];
    use((const void *)values);
    char *more = alloca(depth % 3 * 16 + 1);
    use(more);
    if (depth)
        realigned(depth - 1, callback);
    else
        callback();
    sink += (uintptr_t)values[0][1];
}

__attribute__((force_align_arg_pointer)) SHAPE realigned_entry(unsigned depth, shape_callback callback)
{
    if (depth)
        realigned(depth - 1, callback);
    else
        callback();
    sink++;
}

SHAPE many_registers(unsigned depth, shape_callback callback)
{
    uintptr_t a = sink, b = a ^ depth, c = a + b, d = b * c, e = c - a, f = d ^ e;
    if (depth)
        many_registers(depth - 1, callback);
    else
        callback();
    sink += a ^ b ^ c ^ d ^ e ^ f;
}

static int compare(const void *a, const void *b)
{
    if (current) {
        shape_callback callback = current;
        current = NULL;
        callback();
    }
    return *(const int *)a - *(const int *)b;
}

static int compare_by_sorting(const void *a, const void *b)
{
    int numbers[] = {5, 3, 9, 1, 7};
    qsort(numbers, 5, sizeof numbers[0], compare);
    return *(const int *)a - *(const int *)b;
}

SHAPE through_libc(shape_callback callback)
{
    int numbers[] = {1, 2, 3, 4, 5}, key = 4;
    current = callback;
    use(bsearch(&key, numbers, 5, sizeof numbers[0], compare_by_sorting));
}

struct mix {
    unsigned seed, depth;
    shape_callback callback;
};

static __thread struct mix mix;

static void mix_on(void)
{
    if (!mix.depth) {
        mix.callback();
        return;
    }
    mix.depth--;
    mix.seed = mix.seed * 1103515245u + 12345u;
    unsigned kind = mix.seed >> 16;
    unsigned depth = kind / 8 % 4;
    switch (kind % 8) {
    case 0:
        plain(mix_on);
        break;
    case 1:
        recursion(depth, mix_on);
        break;
    case 2:
        big_frames(depth % 2, mix_on);
        break;
    case 3:
        variable_frames(depth, mix_on);
        break;
    case 4:
        realigned(depth, mix_on);
        break;
    case 5:
        many_registers(depth, mix_on);
        break;
    case 6:
        through_libc(mix_on);
        break;
    default:
        realigned_entry(depth, mix_on);
        break;
    }
    sink++;
}

SHAPE mixed(unsigned seed, unsigned depth, shape_callback callback)
{
    mix = (struct mix){seed, depth, callback};
    mix_on();
    sink++;
}

const struct shapes PASTE(shapes_, SHAPES) = {
    .name = TEXT(SHAPES),
    .plain = plain,
    .recursion = recursion,
    .big_frames = big_frames,
    .variable_frames = variable_frames,
    .realigned = realigned_entry,
    .many_registers = many_registers,
    .through_libc = through_libc,
    .mixed = mixed,
};
