/* ref_tracer.c - a tool with a tracer of objects of its own, which counts births of one type. */
#include <dlfcn.h>
#include <stddef.h>

typedef int tracer(void *object, int event, void *data);

static long births;
static void *wanted;

static int count(void *object, int event, void *data)
{
    (void)data;
    births += event == 0 && ((void **)object)[1] == wanted;
    return 0;
}

/* Begins to count the objects of a type (NULL: ends); the number of births. */
long ref_tracer(void *type)
{
    int (*set)(tracer *, void *);
    *(void **)&set = dlsym(RTLD_DEFAULT, "PyRefTracer_SetTracer");
    wanted = type;
    set(type ? count : NULL, NULL);
    return births;
}
