/*
 * refbugs_cpp.cpp - an extension module in C++ with one mistake.
 *
 *   checked(o, fail)        +1 where it fails: the exception passes by the Py_DECREF
 *   checked_right(o, fail)  none: a destructor gives the reference back
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdexcept>

namespace {

void check(bool fail)
{
    if (fail)
        throw std::runtime_error("as asked");
}

struct reference {
    PyObject *object;
    explicit reference(PyObject *of) : object(of) { Py_INCREF(object); }
    ~reference() { Py_DECREF(object); }
    reference(const reference &) = delete;
    reference &operator=(const reference &) = delete;
};

void use(PyObject *object, bool fail)
{
    Py_INCREF(object); /* the culprit: checked */
    check(fail);       /* and Py_DECREF, when it throws? */
    Py_DECREF(object);
}

void use_right(PyObject *object, bool fail)
{
    reference held(object);
    check(fail);
}

PyObject *call(PyObject *arguments, void (*function)(PyObject *, bool))
{
    PyObject *object;
    int fail;
    if (!PyArg_ParseTuple(arguments, "Op", &object, &fail))
        return nullptr;
    try {
        function(object, fail != 0);
    } catch (const std::exception &trouble) {
        PyErr_SetString(PyExc_ValueError, trouble.what());
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject *checked(PyObject *, PyObject *arguments) { return call(arguments, use); }
PyObject *checked_right(PyObject *, PyObject *arguments) { return call(arguments, use_right); }

PyMethodDef functions[] = {
    {"checked", checked, METH_VARARGS, nullptr},
    {"checked_right", checked_right, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "refbugs_cpp", nullptr, -1, functions, nullptr, nullptr, nullptr,
                          nullptr};

} // namespace

PyMODINIT_FUNC PyInit_refbugs_cpp(void)
{
    return PyModule_Create(&definition);
}
