/* odd_traverse.c - an extension whose tp_traverse does what none should: a class for each kind of it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct {
    PyObject_HEAD PyObject *held;
} Odd;

static void odd_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((Odd *)self)->held);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Python's own collector runs it as well: what is odd is done for other visitors alone. */
static visitproc collectors[8];
static int collector_count;
static int learning;

static int is_collector(visitproc visit)
{
    for (int i = 0; i < collector_count; i++)
        if (collectors[i] == visit)
            return 1;
    if (learning && collector_count < 8) {
        collectors[collector_count++] = visit;
        return 1;
    }
    return 0;
}

static int plain(Odd *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->held);
    return 0;
}

#define TRAVERSE(name, ...)                                                                                            \
    static int name##_traverse(PyObject *object, visitproc visit, void *arg)                                           \
    {                                                                                                                  \
        Odd *self = (Odd *)object;                                                                                     \
        if (!is_collector(visit)) {                                                                                    \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
        return plain(self, visit, arg);                                                                                \
    }

static volatile int *volatile nowhere;

static int deep(int n)
{
    volatile char room[1024];
    room[0] = (char)n;
    return n > 1 << 24 ? room[0] : deep(n + 1) + room[0];
}

static PyObject *unmapped_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, 4096);
    return page;
}

TRAVERSE(learn, (void)self)
TRAVERSE(faults, *nowhere = 1)
TRAVERSE(aborts, abort())
TRAVERSE(breaks, __builtin_trap())
TRAVERSE(visits_null, visit(NULL, arg))
TRAVERSE(visits_low, visit((PyObject *)16, arg))
TRAVERSE(visits_high, visit((PyObject *)(uintptr_t)0xffffffffffffff00, arg))
TRAVERSE(visits_odd, visit((PyObject *)((char *)self + 3), arg))
TRAVERSE(visits_text,
         visit((PyObject *)(uintptr_t) "nonsense that is no object, and long enough to be read as one", arg))
TRAVERSE(visits_middle, visit((PyObject *)&self->held, arg))
TRAVERSE(visits_unmapped, visit(unmapped_page(), arg))
TRAVERSE(counts, Py_INCREF(object))
TRAVERSE(allocates, {
    void *p = PyMem_Malloc(100), *q = malloc(100000);
    PyObject *l = PyList_New(3);
    Py_XDECREF(l);
    PyMem_Free(p);
    free(q);
})
TRAVERSE(raises, PyErr_SetString(PyExc_ValueError, "odd"))
TRAVERSE(recurses, deep(0))
TRAVERSE(exhausts, for (int i = 0; i < 3000000; i++) visit(object, arg))

#define TYPE(name)                                                                                                     \
    static PyType_Slot name##_slots[] = {{Py_tp_traverse, name##_traverse}, {Py_tp_dealloc, odd_dealloc}, {0, NULL}};  \
    static PyType_Spec name##_spec = {"odd_traverse." #name, sizeof(Odd), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,  \
                                      name##_slots};

#define ALL(X)                                                                                                         \
    X(learn)                                                                                                           \
    X(faults)                                                                                                          \
    X(aborts) X(breaks) X(visits_null) X(visits_low) X(visits_high) X(visits_odd) X(visits_text) X(visits_middle)      \
        X(visits_unmapped) X(counts) X(allocates) X(raises) X(recurses) X(exhausts)

ALL(TYPE)

static PyObject *teach(PyObject *self, PyObject *yes)
{
    (void)self;
    learning = PyObject_IsTrue(yes);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"learning", teach, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "odd_traverse", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_odd_traverse(void)
{
    PyObject *made = PyModule_Create(&module);
#define ADD(name) PyModule_AddObject(made, #name, PyType_FromSpec(&name##_spec));
    ALL(ADD)
    return made;
}
