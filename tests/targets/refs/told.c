/*
 * told.c - an extension that counts in every way that there is, and knows what each line does to the count. Valid C,
 * valid C++ (told_cpp.cpp), valid for the limited API.
 *
 *   run(o)        [[line, count before, count after], ...] of each line that counts o, None, or an object that dies
 *   facts()       what else must not change: how often arguments were evaluated, the order of Py_CLEAR
 *   none() ...    return by a macro; returns() says their lines
 *   broken()      counts what is no object: 5
 *   spin(o, n)    n times Py_INCREF and Py_DECREF: the nanoseconds of processor time that took
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

#ifndef TOLD_NAME
#define TOLD_NAME told
#endif
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define TEXT_OF(a) #a
#define TEXT(a) TEXT_OF(a)

#define MOST_STEPS 64

static struct {
    int line;
    Py_ssize_t before, after;
} steps[MOST_STEPS];
static int step_count, evaluations, cleared_first = -1, died;
static int return_lines[5];

static void note(int line, Py_ssize_t before, Py_ssize_t after)
{
    steps[step_count].line = line;
    steps[step_count].before = before;
    steps[step_count++].after = after;
}

#define STEP(object, ...)                                                                                              \
    do {                                                                                                               \
        Py_ssize_t before_ = Py_REFCNT(object);                                                                        \
        __VA_ARGS__;                                                                                                   \
        note(__LINE__, before_, Py_REFCNT(object));                                                                    \
    } while (0)

static PyObject *once(PyObject *object)
{
    evaluations++;
    return object;
}

static PyObject *kept;

static void capsule_dies(PyObject *capsule)
{
    (void)capsule;
    cleared_first = kept == NULL;
    died++;
}

static int step_by_step(PyObject *o)
{
    PyObject *nothing = NULL, *held = NULL, *other = NULL;
    STEP(o, Py_INCREF(once(o)));
    STEP(o, Py_DECREF(once(o)));
    STEP(o, Py_XINCREF(once(o)));
    STEP(o, Py_XDECREF(once(o)));
    STEP(o, Py_XINCREF(nothing));
    STEP(o, Py_XDECREF(nothing));
    STEP(o, held = Py_NewRef(once(o)));
    STEP(o, other = Py_XNewRef(once(o)));
    STEP(o, nothing = Py_XNewRef(nothing));
    STEP(o, Py_CLEAR(held));
    STEP(o, Py_CLEAR(held));
    STEP(o, held = (Py_INCREF(o), o));
    STEP(o, if (held) Py_INCREF(o); else Py_XDECREF(o));
    STEP(o, if (!held) Py_INCREF(o); else Py_XDECREF(o));
#ifdef Py_SETREF
    STEP(o, Py_SETREF(held, Py_NewRef(once(o))));
    STEP(o, Py_XSETREF(nothing, Py_NewRef(once(o))));
    STEP(o, Py_XSETREF(nothing, NULL));
    PyTypeObject *type = Py_TYPE(o);
    STEP(type, Py_INCREF(type));
    STEP(type, Py_DECREF(type));
    const PyObject *constant = o;
    STEP(o, Py_INCREF((PyObject *)constant));
    STEP(o, Py_DECREF(constant));
    STEP(o, Py_CLEAR(held));
#endif
    STEP(o, Py_CLEAR(held));
    STEP(o, Py_CLEAR(other));
    STEP(Py_None, Py_INCREF(Py_None));
    STEP(Py_None, Py_DECREF(Py_None));
    STEP(o, Py_IncRef(o));
    STEP(o, Py_DecRef(o));
    return held == NULL && other == NULL && nothing == NULL;
}

static int end_something(void)
{
    kept = PyCapsule_New(&evaluations, NULL, capsule_dies);
    if (!kept)
        return 0;
    note(__LINE__ + 1, Py_REFCNT(kept), 0);
    Py_CLEAR(kept);
    PyObject *local = PyCapsule_New(&evaluations, NULL, capsule_dies);
    if (!local)
        return 0;
    note(__LINE__ + 1, Py_REFCNT(local), 0);
    Py_DECREF(local);
    return 1;
}

static PyObject *run(PyObject *module, PyObject *o)
{
    (void)module;
    step_count = 0;
    if (!step_by_step(o) || !end_something()) {
        PyErr_SetString(PyExc_AssertionError, "a variable is not what the macro should have made it");
        return NULL;
    }
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < step_count; i++) {
        PyObject *step = Py_BuildValue("inn", steps[i].line, steps[i].before, steps[i].after);
        if (!step || PyList_Append(list, step) < 0)
            Py_CLEAR(list);
        Py_XDECREF(step);
    }
    return list;
}

static PyObject *facts(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("iii", evaluations, cleared_first, died);
}

static PyObject *none(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return_lines[0] = __LINE__ + 1;
    Py_RETURN_NONE;
}

static PyObject *yes(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return_lines[1] = __LINE__ + 1;
    Py_RETURN_TRUE;
}

static PyObject *no(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return_lines[2] = __LINE__ + 1;
    Py_RETURN_FALSE;
}

static PyObject *not_implemented(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return_lines[3] = __LINE__ + 1;
    Py_RETURN_NOTIMPLEMENTED;
}

static PyObject *less(PyObject *module, PyObject *number)
{
    (void)module;
    long value = PyLong_AsLong(number);
    return_lines[4] = __LINE__ + 1;
    Py_RETURN_RICHCOMPARE(value, 5, Py_LT);
}

/* What a program does that counts dead objects: memory that holds a count, and no type. */
static PyObject *broken(PyObject *module, PyObject *unused)
{
    static uintptr_t remains[8];
    const uintptr_t types[] = {0, 1, 16, 4096, (uintptr_t)0x4141414141414141, (uintptr_t)0x700000001000, (uintptr_t)-8};
    (void)module, (void)unused;
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
        PyObject *dead = (PyObject *)(void *)remains;
        remains[0] = 5;
        remains[1] = types[i];
        Py_DECREF(dead);
        Py_INCREF(dead);
    }
    return PyLong_FromUnsignedLong((unsigned long)remains[0]);
}

static PyObject *returns(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("iiiii", return_lines[0], return_lines[1], return_lines[2], return_lines[3], return_lines[4]);
}

static PyObject *spin(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *o;
    long count;
    struct timespec from, to;
    if (!PyArg_ParseTuple(arguments, "Ol", &o, &count))
        return NULL;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (long i = 0; i < count; i++) {
        Py_INCREF(o);
        __asm__ volatile("" ::: "memory");
        Py_DECREF(o);
        __asm__ volatile("" ::: "memory");
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return PyLong_FromLongLong((to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
}

static PyMethodDef methods[] = {
    {"run", run, METH_O, NULL},
    {"facts", facts, METH_NOARGS, NULL},
    {"none", none, METH_NOARGS, NULL},
    {"yes", yes, METH_NOARGS, NULL},
    {"no", no, METH_NOARGS, NULL},
    {"not_implemented", not_implemented, METH_NOARGS, NULL},
    {"less", less, METH_O, NULL},
    {"broken", broken, METH_NOARGS, NULL},
    {"returns", returns, METH_NOARGS, NULL},
    {"spin", spin, METH_VARARGS, NULL},
#ifdef MORE_METHODS
    MORE_METHODS
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, TEXT(TOLD_NAME), NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC JOIN(PyInit_, TOLD_NAME)(void)
{
    return PyModule_Create(&definition);
}
