/*
 * entry.c - an extension that counts by calling functions, as the limited API and other languages do.
 *
 *   calls(o)  the counts that each of its calls on o left, in order
 *   ends()    makes a list and drops it
 *   loads()   how many calls it made while it was imported, before it asked for any memory
 *   spin(o, n)  n times Py_IncRef and Py_DecRef: the nanoseconds of processor time that took
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

#define MOST 64

static Py_ssize_t counts[MOST];
static int made, loaded;

static void note(PyObject *o)
{
    counts[made++] = Py_REFCNT(o);
}

static PyObject *calls(PyObject *module, PyObject *o)
{
    (void)module;
    made = 0;
    Py_IncRef(o), note(o);
    Py_IncRef(o), note(o);
    _Py_IncRef(o), note(o);
    (Py_NewRef)(o), note(o);
    (Py_XNewRef)(o), note(o);
    Py_IncRef(NULL);
    Py_DecRef(NULL);
    (Py_XNewRef)(NULL);
    Py_DecRef(o), note(o);
    _Py_DecRef(o), note(o);
    Py_DecRef(o), note(o);
    Py_DecRef(o), note(o);
    Py_DecRef(o), note(o);
#ifdef Py_LIMITED_API
    /* these are calls, too, from 3.12 on */
    if (Py_LIMITED_API + 0 >= 0x030c0000) {
        Py_INCREF(o), note(o);
        Py_DECREF(o), note(o);
    }
#endif
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < made; i++) {
        PyObject *count = PyLong_FromSsize_t(counts[i]);
        if (!count || PyList_Append(list, count) < 0) {
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(count);
    }
    return list;
}

static PyObject *ends(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(3);
    if (!list)
        return NULL;
    Py_DecRef(list);
    Py_RETURN_NONE;
}

static PyObject *loads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(loaded);
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
        Py_IncRef(o);
        Py_DecRef(o);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return PyLong_FromLongLong((to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
}

static PyMethodDef methods[] = {
    {"calls", calls, METH_O, NULL},
    {"ends", ends, METH_NOARGS, NULL},
    {"loads", loads, METH_NOARGS, NULL},
    {"spin", spin, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "entry", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_entry(void)
{
    PyObject *builtins = PyEval_GetBuiltins();
    Py_IncRef(builtins);
    Py_DecRef(builtins);
    loaded = 2;
    return PyModule_Create(&definition);
}
