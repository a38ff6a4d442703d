/*
 * _fields.c - the fields of a line that a web server has written into its access log ("common log format"):
 *
 *     192.0.2.7 - ada [28/Nov/2026:12:00:00 +0000] "GET /cart?item=3&count=2 HTTP/1.1" 200 5120
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A part of the line, which is somebody else's. */
struct part {
    const char *at, *end;
};

/* Takes what stands before the divider, and the divider; false when there is none. */
static bool take(struct part *rest, char divider, struct part *taken)
{
    const char *found = memchr(rest->at, divider, (size_t)(rest->end - rest->at));
    if (!found)
        return false;
    *taken = (struct part){rest->at, found};
    rest->at = found + 1;
    return true;
}

static PyObject *text_of(struct part part)
{
    return PyUnicode_DecodeUTF8(part.at, part.end - part.at, "replace");
}

/* All that follow: 0, or -1 and an exception. */

static int malformed(const char *what)
{
    PyErr_Format(PyExc_ValueError, "no line of an access log: %s", what);
    return -1;
}

/* Takes over `value`, which may be NULL with an exception. */
static int put(PyObject *request, const char *name, PyObject *value)
{
    if (!value)
        return -1;
    int failed = PyObject_SetAttrString(request, name, value);
    Py_DECREF(value); /* the request has taken a reference of its own */
    return failed;
}

static int put_text(PyObject *request, const char *name, struct part *rest, char divider)
{
    struct part taken;
    return take(rest, divider, &taken) ? put(request, name, text_of(taken)) : malformed(name);
}

static int put_number(PyObject *request, const char *name, struct part *rest)
{
    char *end;
    long number = strtol(rest->at, &end, 10); /* ends at the NUL behind the line */
    if (end == rest->at)
        return malformed(name);
    rest->at = end;
    return put(request, name, PyLong_FromLong(number));
}

static int skip_to(struct part *rest, char divider)
{
    struct part taken;
    return take(rest, divider, &taken) ? 0 : malformed("it is too short");
}

/* item=3&count=2 */
static PyObject *query_of(struct part part)
{
    PyObject *query = PyDict_New();
    struct part name, value;
    while (query && take(&part, '=', &name)) {
        if (!take(&part, '&', &value)) {
            value = part;
            part.at = part.end;
        }
        PyObject *key = text_of(name), *text = text_of(value);
        if (!key || !text || PyDict_SetItem(query, key, text) < 0)
            Py_CLEAR(query);
        Py_XDECREF(key);
        Py_XDECREF(text);
    }
    return query;
}

static int put_target(PyObject *request, struct part *rest)
{
    struct part target, path;
    if (!take(rest, ' ', &target))
        return malformed("path");
    if (!take(&target, '?', &path)) {
        path = target;
        target.at = target.end;
    }
    return put(request, "path", text_of(path)) < 0 ? -1 : put(request, "query", query_of(target));
}

static int put_fields(PyObject *request, struct part rest)
{
    bool failed = put_text(request, "host", &rest, ' ') < 0 || skip_to(&rest, ' ') < 0 ||
                  put_text(request, "user", &rest, ' ') < 0 || skip_to(&rest, '[') < 0 ||
                  put_text(request, "time", &rest, ']') < 0 || skip_to(&rest, '"') < 0 ||
                  put_text(request, "method", &rest, ' ') < 0 || put_target(request, &rest) < 0 ||
                  skip_to(&rest, '"') < 0 || put_number(request, "status", &rest) < 0 ||
                  put_number(request, "bytes", &rest) < 0;
    return failed ? -1 : 0;
}

static PyObject *parse(PyObject *module, PyObject *args)
{
    const char *line;
    Py_ssize_t length;
    PyObject *make;
    (void)module;
    if (!PyArg_ParseTuple(args, "s#O", &line, &length, &make))
        return NULL;
    PyObject *request = PyObject_CallObject(make, NULL);
    if (!request)
        return NULL;
    if (put_fields(request, (struct part){line, line + length}) < 0) {
        Py_DECREF(request);
        return NULL;
    }
    return request;
}

static PyObject *tidy(PyObject *module, PyObject *path)
{
    Py_ssize_t length, used = 0;
    const char *text = PyUnicode_AsUTF8AndSize(path, &length);
    (void)module;
    if (!text)
        return NULL;
    char *tidied = malloc((size_t)length + 1);
    if (!tidied)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < length; i++)
        if (text[i] != '/' || used == 0 || tidied[used - 1] != '/')
            tidied[used++] = text[i];
    /* An old debt: nobody frees `tidied`. It is in heapsake.baseline until somebody does. */
    return PyUnicode_DecodeUTF8(tidied, used, "replace");
}

static PyMethodDef functions[] = {
    {"parse", parse, METH_VARARGS, "parse(line, make): make() with the fields of the line; ValueError if it is none."},
    {"tidy", tidy, METH_O, "tidy(path): the path without doubled slashes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_fields", NULL, -1, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__fields(void)
{
    return PyModule_Create(&definition);
}
