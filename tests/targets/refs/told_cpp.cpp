/*
 * told_cpp.cpp - told.c as C++, and counting where only C++ can: in templates, methods, lambdas, destructors and
 * initializers, also of the global kind. cpp(o) gives the lines, as run(o) does.
 */
#include <Python.h>

#include <utility>

static PyObject *cpp(PyObject *module, PyObject *o);
#define MORE_METHODS {"cpp", cpp, METH_O, NULL},
#include "told.c"

namespace {

/* As binding libraries do it. */
class Handle {
public:
    explicit Handle(PyObject *object) : object_(object) { Py_XINCREF(object_); }
    Handle(const Handle &other) : Handle(other.object_) {}
    Handle(Handle &&other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    ~Handle() { Py_XDECREF(object_); }
    Handle &operator=(const Handle &) = delete;
    PyObject *get() const { return object_; }

private:
    PyObject *object_;
};

template <typename Function>
auto with_reference(PyObject *object, Function function)
{
    Py_INCREF(object);
    auto result = function(object);
    Py_DECREF(object);
    return result;
}

struct Initialized {
    PyObject *object = (Py_INCREF(Py_None), Py_None);
} initialized;

}  // namespace

static PyObject *cpp(PyObject *module, PyObject *o)
{
    (void)module;
    step_count = 0;
    STEP(o, ::Py_INCREF(o));
    STEP(o, Py_DECREF(static_cast<PyObject *>(static_cast<void *>(o))));
    Py_ssize_t before = Py_REFCNT(o);
    {
        Handle first(o), second(first), third(std::move(second));
        with_reference(first.get(), [](PyObject *object) { return Py_REFCNT(object); });
        with_reference(third.get(), [](auto *object) { return object != nullptr; });
        [o] { Py_INCREF(o); }();
        [o] { Py_DECREF(o); }();
    }
    if (before != Py_REFCNT(o)) {
        PyErr_SetString(PyExc_AssertionError, "references are left");
        return nullptr;
    }
    return Py_BuildValue("(iii)(iii)", steps[0].line, (int)steps[0].before, (int)steps[0].after, steps[1].line,
                         (int)steps[1].before, (int)steps[1].after);
}
