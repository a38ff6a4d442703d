/*
 * lines.c - a small extension with a mistake: parse(line, make) gives make(name, value) of "name = value".
 *
 * docs/REFCOUNTS.md finds the mistake.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static PyObject *lines_parse(PyObject *module, PyObject *args)
{
    const char *line;
    PyObject *make;
    (void)module;
    if (!PyArg_ParseTuple(args, "sO", &line, &make))
        return NULL;
    const char *equals = strchr(line, '=');
    Py_ssize_t length = equals ? equals - line : (Py_ssize_t)strlen(line);
    PyObject *entry = PyObject_CallFunction(make, "s#s", line, length, equals ? equals + 1 : "");
    if (!entry)
        return NULL;
    Py_INCREF(entry); /* ours, while it is checked */
    PyObject *valid = PyObject_CallMethod(entry, "check", NULL);
    if (!valid) {
        Py_DECREF(entry);
        return NULL;
    }
    Py_DECREF(valid);
    Py_DECREF(entry);
    return entry;
}

static PyMethodDef functions[] = {
    {"parse", lines_parse, METH_VARARGS, "parse(line, make): what make(name, value) makes of a line."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "lines", NULL, -1, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_lines(void)
{
    return PyModule_Create(&definition);
}
