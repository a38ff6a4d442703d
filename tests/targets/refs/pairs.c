/*
 * pairs.c - a program's own reference counts. With -DLIBRARY the library that has them; else the program that uses it,
 * which prints what it did as JSON.
 *
 * The functions have arguments of all kinds, to show that they arrive.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct thing {
    int count;
    double last;
};

struct large {
    long words[5];
};

struct thing *thing_new(void);
struct thing *thing_ref(struct thing *thing);
int thing_unref(struct thing *thing);
double other_ref(double a, int one, double b, struct thing *thing, double c, long two, long three, long four, long five,
                 long six, double d, double e, double f, double g, double h, double i);
struct large other_unref(struct thing *thing, int count, ...);

#ifdef LIBRARY

struct thing *thing_new(void)
{
    struct thing *thing = malloc(sizeof *thing);
    thing->count = 1;
    return thing;
}

struct thing *thing_ref(struct thing *thing)
{
    thing->count++;
    return thing;
}

int thing_unref(struct thing *thing)
{
    int left = --thing->count;
    if (!left)
        free(thing);
    return left;
}

double other_ref(double a, int one, double b, struct thing *thing, double c, long two, long three, long four, long five,
                 long six, double d, double e, double f, double g, double h, double i)
{
    thing->count++;
    thing->last = a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9;
    return thing->last + (double)(one + two * 10 + three * 100 + four * 1000 + five * 10000 + six * 100000);
}

struct large other_unref(struct thing *thing, int count, ...)
{
    va_list list;
    struct large result = {{0}};
    va_start(list, count);
    for (int i = 0; i < count; i++)
        result.words[i % 5] += (long)(va_arg(list, double) * 2);
    va_end(list);
    thing->count--;
    return result;
}

#else

int main(void)
{
    struct thing *thing = thing_new();
    int right = 1;
    for (int i = 0; i < 25; i++)
        right &= thing_ref(thing) == thing;
    for (int i = 0; i < 20; i++)
        thing_unref(thing);
    for (int i = 0; i < 7; i++) {
        double sum = other_ref(1, 1, 2, thing, 3, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9);
        right &= sum == 1 + 4 + 9 + 16 + 25 + 36 + 49 + 64 + 81 + 654321.0 && thing->last == 285;
    }
    for (int i = 0; i < 6; i++) {
        struct large large = other_unref(thing, 9, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5);
        right &= large.words[0] == 3 + 13 && large.words[3] == 9 + 19 && large.words[4] == 11;
    }
    printf("{\"right\": %s, \"count\": %d}\n", right ? "true" : "false", thing->count);
    return 0;
}

#endif
