/* plugged.c - a module that attached.c opens: its calls of malloc go through a GOT of its own. */
#include <stdlib.h>

__attribute__((visibility("default"))) void *plugged_malloc(void)
{
    void *led_to;
    __asm__ volatile("movq malloc@GOTPCREL(%%rip), %0" : "=r"(led_to));
    return led_to;
}

__attribute__((visibility("default"))) void *plugged_keep(size_t size)
{
    void *block = malloc(size);
    return block;
}
