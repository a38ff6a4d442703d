/*
 * gobject.c - counts of GObjects, without their headers: 10 times three references are taken and given back, one object
 * keeps one too many, and one floats and is sunk. Prints what it did as JSON.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

size_t g_object_get_type(void);
size_t g_initially_unowned_get_type(void);
void *g_object_new(size_t type, const char *first, ...);
void *g_object_ref(void *object);
void *g_object_ref_sink(void *object);
void g_object_unref(void *object);

static unsigned count_of(const void *object)
{
    return *(const unsigned *)((const char *)object + sizeof(void *));
}

__attribute__((noinline)) static void forgets(void *object)
{
    g_object_ref(object);
}

int main(void)
{
    void *object = g_object_new(g_object_get_type(), NULL);
    for (int i = 0; i < 10; i++) {
        g_object_ref(object);
        g_object_ref(object);
        g_object_ref_sink(object); /* it does not float: one more */
        g_object_unref(object);
        g_object_unref(object);
        g_object_unref(object);
    }
    forgets(object);
    unsigned left = count_of(object);
    g_object_unref(object);

    void *floating = g_object_new(g_initially_unowned_get_type(), NULL);
    g_object_ref_sink(floating); /* it floats: its count stays */
    void (*indirect)(void *) = g_object_unref;
    indirect(floating);
    printf("{\"increments\": 31, \"decrements\": 32, \"left\": %u}\n", left);
    return 0;
}
