/*
 * refbugs.c - an extension module with the mistakes that people make with reference counts: one function each, beside
 * what is right. What the mistake does to the count of the object that it is about:
 *
 *   balanced(o)            none: two references are taken and given back
 *   error_path(o, fail)    +1 where it fails: no Py_DECREF on the way out
 *   set_item_twice(l, o)   -1: PyList_SetItem has taken the reference that is dropped again
 *   dict_value(d, k, make) +1: PyDict_SetItem takes a reference of its own, the new one is forgotten
 *   cached_error(f)        +1: the exception that f raises replaces the one kept before, which is never released
 *   built_pair(make)       +1: Py_BuildValue("O") takes a reference where "N" would have taken over the new one
 *   built_pair_right(make) none: the same with "N"
 *   keep_borrowed(l)       0, and drop_kept() -1: the first item of the list is kept without a reference
 *   take(o), give_back()   +1 and -1, maybe in two threads: none together
 *   count_rows(i)          +1: of a list that it makes itself
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* So that the compiler does not make one addition of two. */
#define BETWEEN() __asm__ volatile("" ::: "memory")

static PyObject *refbugs_balanced(PyObject *module, PyObject *object)
{
    (void)module;
    Py_INCREF(object);
    BETWEEN();
    Py_INCREF(object);
    BETWEEN();
    Py_DECREF(object);
    BETWEEN();
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *refbugs_error_path(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *object;
    int fail;
    if (!PyArg_ParseTuple(arguments, "Op", &object, &fail))
        return NULL;
    Py_INCREF(object); /* the culprit: error_path */
    if (fail) {
        PyErr_SetString(PyExc_ValueError, "as asked");
        return NULL; /* and Py_DECREF(object)? */
    }
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *refbugs_set_item_twice(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *list, *object;
    if (!PyArg_ParseTuple(arguments, "OO", &list, &object))
        return NULL;
    Py_INCREF(object);
    if (PyList_SetItem(list, 0, object) < 0)
        return NULL;
    Py_DECREF(object); /* the culprit: set_item_twice; the list owns that reference */
    Py_RETURN_NONE;
}

static PyObject *refbugs_dict_value(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *dict, *key, *make;
    if (!PyArg_ParseTuple(arguments, "OOO", &dict, &key, &make))
        return NULL;
    PyObject *value = PyObject_CallObject(make, NULL);
    if (!value)
        return NULL;
    if (PyDict_SetItem(dict, key, value) < 0) { /* the culprit: dict_value */
        Py_DECREF(value);
        return NULL;
    }
    Py_RETURN_NONE; /* and Py_DECREF(value)? */
}

static PyObject *last_error;

static PyObject *refbugs_cached_error(PyObject *module, PyObject *function)
{
    (void)module;
    PyObject *result = PyObject_CallObject(function, NULL);
    if (result) {
        Py_DECREF(result);
        Py_RETURN_FALSE;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    last_error = value; /* and the one before? */
    Py_RETURN_TRUE;
}

static PyObject *refbugs_built_pair(PyObject *module, PyObject *make)
{
    (void)module;
    PyObject *made = PyObject_CallObject(make, NULL);
    if (!made)
        return NULL;
    return Py_BuildValue("(Oi)", made, 1); /* the culprit: built_pair */
}

static PyObject *refbugs_built_pair_right(PyObject *module, PyObject *make)
{
    (void)module;
    PyObject *made = PyObject_CallObject(make, NULL);
    if (!made)
        return NULL;
    return Py_BuildValue("(Ni)", made, 1);
}

static PyObject *kept;

static PyObject *refbugs_keep_borrowed(PyObject *module, PyObject *list)
{
    (void)module;
    PyObject *first = PyList_GetItem(list, 0);
    if (!first)
        return NULL;
    kept = first; /* and Py_INCREF(first)? */
    Py_RETURN_NONE;
}

static PyObject *refbugs_drop_kept(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    Py_CLEAR(kept); /* the culprit: drop_kept */
    Py_RETURN_NONE;
}

#define MOST_TAKEN 4096
static PyObject *taken[MOST_TAKEN];
static unsigned taken_count;

static PyObject *refbugs_take(PyObject *module, PyObject *object)
{
    (void)module;
    if (taken_count == MOST_TAKEN) {
        PyErr_SetString(PyExc_OverflowError, "too many are taken");
        return NULL;
    }
    Py_INCREF(object);
    taken[taken_count++] = object;
    Py_RETURN_NONE;
}

static PyObject *refbugs_give_back(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (taken_count > 0)
        Py_DECREF(taken[--taken_count]);
    Py_RETURN_NONE;
}

static PyObject *refbugs_count_rows(PyObject *module, PyObject *rows)
{
    (void)module;
    PyObject *list = PySequence_List(rows);
    if (!list)
        return NULL;
    return PyLong_FromSsize_t(PyList_GET_SIZE(list)); /* and Py_DECREF(list)? */
}

static PyMethodDef functions[] = {
    {"balanced", refbugs_balanced, METH_O, NULL},
    {"error_path", refbugs_error_path, METH_VARARGS, NULL},
    {"set_item_twice", refbugs_set_item_twice, METH_VARARGS, NULL},
    {"dict_value", refbugs_dict_value, METH_VARARGS, NULL},
    {"cached_error", refbugs_cached_error, METH_O, NULL},
    {"built_pair", refbugs_built_pair, METH_O, NULL},
    {"built_pair_right", refbugs_built_pair_right, METH_O, NULL},
    {"keep_borrowed", refbugs_keep_borrowed, METH_O, NULL},
    {"drop_kept", refbugs_drop_kept, METH_NOARGS, NULL},
    {"take", refbugs_take, METH_O, NULL},
    {"give_back", refbugs_give_back, METH_NOARGS, NULL},
    {"count_rows", refbugs_count_rows, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "refbugs", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_refbugs(void)
{
    return PyModule_Create(&definition);
}
