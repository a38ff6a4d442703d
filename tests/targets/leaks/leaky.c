/*
 * leaky.c - an extension module with the mistakes that extension modules make, one each, beside what is right.
 *
 *   look(o)      right                         note(o)       never gives its reference back
 *   check(o, ok) forgets it where it fails     count_rows(i) forgets the list that it made
 *   hold(o)      keeps the newest 32 in C, on purpose
 *   Pair(a, b)   tp_traverse visits both       PartialPair(a, b) ... leaves the second out
 *   Box(a)       not known to the collector    Legacy(a)     has tp_del, so the collector gives up on its cycles
 *   Buffer(n)    frees its memory              ForgetfulBuffer(n)  does not
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>

static PyObject *leaky_look(PyObject *module, PyObject *object)
{
    (void)module;
    Py_INCREF(object);
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *leaky_note(PyObject *module, PyObject *object)
{
    (void)module;
    Py_INCREF(object); /* and Py_DECREF? */
    Py_RETURN_NONE;
}

static PyObject *leaky_check(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *object;
    int right;
    if (!PyArg_ParseTuple(arguments, "Op", &object, &right))
        return NULL;
    Py_INCREF(object);
    if (!right) {
        PyErr_SetString(PyExc_ValueError, "not right");
        return NULL; /* and Py_DECREF(object)? */
    }
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *leaky_count_rows(PyObject *module, PyObject *rows)
{
    (void)module;
    PyObject *list = PySequence_List(rows);
    if (!list)
        return NULL;
    return PyLong_FromSsize_t(PyList_GET_SIZE(list)); /* and Py_DECREF(list)? */
}

#define HELD 32
static PyObject *held[HELD];
static unsigned next_held;

static PyObject *leaky_hold(PyObject *module, PyObject *object)
{
    (void)module;
    PyObject *former = held[next_held % HELD];
    Py_INCREF(object);
    held[next_held++ % HELD] = object;
    Py_XDECREF(former);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"look", leaky_look, METH_O, NULL},
    {"note", leaky_note, METH_O, NULL},
    {"check", leaky_check, METH_VARARGS, NULL},
    {"count_rows", leaky_count_rows, METH_O, NULL},
    {"hold", leaky_hold, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* Up to two references, for Pair, PartialPair, Box and Legacy. */
struct pair {
    PyObject_HEAD
    PyObject *first, *second;
};

static PyObject *pair_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    PyObject *first, *second = NULL;
    if (!PyArg_ParseTuple(arguments, "O|O", &first, &second))
        return NULL;
    struct pair *pair = (struct pair *)type->tp_alloc(type, 0);
    if (!pair)
        return NULL;
    Py_INCREF(first);
    Py_XINCREF(second);
    pair->first = first;
    pair->second = second;
    return (PyObject *)pair;
}

static int pair_clear(PyObject *self)
{
    struct pair *pair = (struct pair *)self;
    Py_CLEAR(pair->first);
    Py_CLEAR(pair->second);
    return 0;
}

static void pair_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyType_IS_GC(type))
        PyObject_GC_UnTrack(self);
    pair_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static int pair_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct pair *pair = (struct pair *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pair->first);
    Py_VISIT(pair->second);
    return 0;
}

static int pair_traverse_first(PyObject *self, visitproc visit, void *arg)
{
    struct pair *pair = (struct pair *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pair->first); /* and pair->second? */
    return 0;
}

static void legacy_del(PyObject *self) { (void)self; }

static PyType_Slot pair_slots[] = {{Py_tp_new, pair_new},
                                   {Py_tp_dealloc, pair_dealloc},
                                   {Py_tp_traverse, pair_traverse},
                                   {Py_tp_clear, pair_clear},
                                   {0, NULL}};
static PyType_Slot partial_slots[] = {{Py_tp_new, pair_new},
                                      {Py_tp_dealloc, pair_dealloc},
                                      {Py_tp_traverse, pair_traverse_first},
                                      {Py_tp_clear, pair_clear},
                                      {0, NULL}};
static PyType_Slot box_slots[] = {{Py_tp_new, pair_new}, {Py_tp_dealloc, pair_dealloc}, {0, NULL}};
static PyType_Slot legacy_slots[] = {{Py_tp_new, pair_new},
                                     {Py_tp_dealloc, pair_dealloc},
                                     {Py_tp_traverse, pair_traverse},
                                     {Py_tp_clear, pair_clear},
                                     {Py_tp_del, legacy_del},
                                     {0, NULL}};

/* A buffer of malloc's, readable by bytes(). */
struct buffer {
    PyObject_HEAD
    char *bytes;
    Py_ssize_t size;
};

static PyObject *buffer_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "n", &size))
        return NULL;
    struct buffer *buffer = (struct buffer *)type->tp_alloc(type, 0);
    if (!buffer)
        return NULL;
    buffer->bytes = malloc((size_t)size);
    if (!buffer->bytes) {
        Py_DECREF(buffer);
        return PyErr_NoMemory();
    }
    memset(buffer->bytes, 'x', (size_t)size);
    buffer->size = size;
    return (PyObject *)buffer;
}

static void buffer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(((struct buffer *)self)->bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

static void forgetful_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self); /* and its bytes? */
    Py_DECREF(type);
}

static int buffer_get(PyObject *self, Py_buffer *view, int flags)
{
    struct buffer *buffer = (struct buffer *)self;
    return PyBuffer_FillInfo(view, self, buffer->bytes, buffer->size, 1, flags);
}

static PyType_Slot buffer_slots[] = {{Py_tp_new, buffer_new},
                                     {Py_tp_dealloc, buffer_dealloc},
                                     {Py_bf_getbuffer, buffer_get},
                                     {0, NULL}};
static PyType_Slot forgetful_slots[] = {{Py_tp_new, buffer_new},
                                        {Py_tp_dealloc, forgetful_dealloc},
                                        {Py_bf_getbuffer, buffer_get},
                                        {0, NULL}};

#define WITH_GC (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC)
static PyType_Spec specs[] = {
    {"leaky.Pair", sizeof(struct pair), 0, WITH_GC, pair_slots},
    {"leaky.PartialPair", sizeof(struct pair), 0, WITH_GC, partial_slots},
    {"leaky.Box", sizeof(struct pair), 0, Py_TPFLAGS_DEFAULT, box_slots},
    {"leaky.Legacy", sizeof(struct pair), 0, WITH_GC, legacy_slots},
    {"leaky.Buffer", sizeof(struct buffer), 0, Py_TPFLAGS_DEFAULT, buffer_slots},
    {"leaky.ForgetfulBuffer", sizeof(struct buffer), 0, Py_TPFLAGS_DEFAULT, forgetful_slots},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "leaky", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_leaky(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromSpec(&specs[i]);
        if (!type || PyModule_AddObject(module, strchr(specs[i].name, '.') + 1, type) < 0) {
            Py_XDECREF(type);
            Py_DECREF(module);
            return NULL;
        }
    }
    return module;
}
