/*
 * Python.h - the interpreter's Python.h, with macros that tell heapsake of every change of a reference count.
 *
 *     cc -I"$(heapsake --python-include)" $(python3-config --includes) ...
 *
 * The folder comes before the interpreter's own. An extension built this way does what it did; in a program that
 * heapsake traces each Py_INCREF, Py_DECREF and so on of it is an event with file, line and function. In any other
 * program it costs one branch that is never taken, and needs nothing that was not there before.
 *
 * How they meet: heapsake_refs_hook, of which each extension has its own, holds the address of a weak symbol. The
 * loader finds it in heapsake's preloaded library, or leaves NULL. What is linked into an executable is found by it.
 *
 * The counting itself is always the interpreter's: its inline functions are called by their names, in parentheses.
 * Py_CLEAR, Py_SETREF, Py_RETURN_NONE and all else that is made of Py_INCREF and Py_DECREF needs no care.
 */
#ifndef HEAPSAKE_PYTHON_H
#define HEAPSAKE_PYTHON_H

/* For #include_next, which -pedantic forbids elsewhere. It makes a system header of the interpreter's Python.h, too. */
#pragma GCC system_header
#include_next <Python.h>

/* Other versions, implementations and machines get what they would have got without us. */
#if PY_VERSION_HEX >= 0x030b0000 && !defined(PYPY_VERSION) && !defined(GRAALVM_PYTHON) && defined(__linux__) &&        \
    defined(__x86_64__)

#ifdef __cplusplus
extern "C" {
#endif

/* The count has become `count` by a change of one, up or down (`delta`). Before a change that ends the object. */
typedef void heapsake_refs_function(void *object, int delta, Py_ssize_t count, const char *file, int line,
                                    const char *function);

extern __attribute__((weak, visibility("default"))) heapsake_refs_function heapsake_refs_told;

/* One for each extension, whatever its flags about visibility say. NULL: nobody listens. */
extern __attribute__((weak, visibility("hidden"))) heapsake_refs_function *heapsake_refs_hook;
__attribute__((weak, used, visibility("hidden"))) heapsake_refs_function *heapsake_refs_hook = heapsake_refs_told;

/* In an executable the linker leaves NULL for good. Its note says where the variable is. */
__asm__(".pushsection .note.heapsake, \"a\", @note\n"
        ".balign 4\n"
        ".long 9, 8, 1\n"
        ".asciz \"heapsake\"\n"
        ".balign 4\n"
        ".quad heapsake_refs_hook - .\n"
        ".popsection\n");

#define HEAPSAKE_INLINE static inline __attribute__((always_inline, artificial, unused))
#define HEAPSAKE_OUTLINED static __attribute__((noinline, cold, unused))
#define HEAPSAKE_HEARD __builtin_expect(!!heapsake_refs_hook, 0)

/* The interpreter's Py_DECREF, which says in some debug builds where a count became negative. */
#if defined(Py_REF_DEBUG) &&                                                                                           \
    (!defined(Py_LIMITED_API) || (PY_VERSION_HEX < 0x030c0000 && Py_LIMITED_API + 0 < 0x030a0000))
#define HEAPSAKE_OWN_DECREF(op) (Py_DECREF)(file, line, op)
#else
#define HEAPSAKE_OWN_DECREF(op) (Py_DECREF)(op)
#endif

/* Behind a call of the hook: it must not become a jump, for heapsake leaves one frame out of native stacks. */
#define HEAPSAKE_NO_JUMP __asm__ volatile("")

/* Whether anything changed (some objects are immortal) is seen in the count, not judged. */
HEAPSAKE_OUTLINED void heapsake_incref_heard(PyObject *op, const char *file, int line, const char *function)
{
    Py_ssize_t before = Py_REFCNT(op);
    (Py_INCREF)(op);
    Py_ssize_t after = Py_REFCNT(op);
    if (after != before)
        heapsake_refs_hook(op, 1, after, file, line, function);
    HEAPSAKE_NO_JUMP;
}

HEAPSAKE_OUTLINED void heapsake_decref_heard(PyObject *op, const char *file, int line, const char *function)
{
    Py_ssize_t before = Py_REFCNT(op);
#if defined(Py_GIL_DISABLED) || defined(_Py_OPAQUE_PYOBJECT)
    /* Behind it the object may be gone already: another thread may have had the last reference. */
    if ((int)before >= 0)
        heapsake_refs_hook(op, -1, before - 1, file, line, function);
    HEAPSAKE_OWN_DECREF(op);
#else
    if (before == 1) {
        heapsake_refs_hook(op, -1, 0, file, line, function);
        HEAPSAKE_OWN_DECREF(op);
        return;
    }
    HEAPSAKE_OWN_DECREF(op);
    Py_ssize_t after = Py_REFCNT(op);
    if (after != before)
        heapsake_refs_hook(op, -1, after, file, line, function);
    HEAPSAKE_NO_JUMP;
#endif
}

HEAPSAKE_INLINE void heapsake_incref(PyObject *op, const char *file, int line, const char *function)
{
    if (HEAPSAKE_HEARD)
        heapsake_incref_heard(op, file, line, function);
    else
        (Py_INCREF)(op);
}

HEAPSAKE_INLINE void heapsake_decref(PyObject *op, const char *file, int line, const char *function)
{
    if (HEAPSAKE_HEARD)
        heapsake_decref_heard(op, file, line, function);
    else
        HEAPSAKE_OWN_DECREF(op);
}

HEAPSAKE_INLINE void heapsake_xincref(PyObject *op, const char *file, int line, const char *function)
{
    if (op != _Py_NULL)
        heapsake_incref(op, file, line, function);
}

HEAPSAKE_INLINE void heapsake_xdecref(PyObject *op, const char *file, int line, const char *function)
{
    if (op != _Py_NULL)
        heapsake_decref(op, file, line, function);
}

HEAPSAKE_INLINE PyObject *heapsake_newref(PyObject *op, const char *file, int line, const char *function)
{
    heapsake_incref(op, file, line, function);
    return op;
}

HEAPSAKE_INLINE PyObject *heapsake_xnewref(PyObject *op, const char *file, int line, const char *function)
{
    heapsake_xincref(op, file, line, function);
    return op;
}

#ifdef __cplusplus
}
#endif

/* The limited API of 3.11 and later takes PyObject * alone, but for Py_DECREF. */
#if !defined(Py_LIMITED_API) || Py_LIMITED_API + 0 < 0x030b0000
#define HEAPSAKE_CAST(op) _PyObject_CAST(op)
#else
#define HEAPSAKE_CAST(op) (op)
#endif
#define HEAPSAKE_HERE __FILE__, __LINE__, __builtin_FUNCTION()

#undef Py_INCREF
#undef Py_DECREF
#undef Py_XINCREF
#undef Py_XDECREF
#undef Py_NewRef
#undef Py_XNewRef
#define Py_INCREF(op) heapsake_incref(HEAPSAKE_CAST(op), HEAPSAKE_HERE)
#define Py_DECREF(op) heapsake_decref(_PyObject_CAST(op), HEAPSAKE_HERE)
#define Py_XINCREF(op) heapsake_xincref(HEAPSAKE_CAST(op), HEAPSAKE_HERE)
#define Py_XDECREF(op) heapsake_xdecref(HEAPSAKE_CAST(op), HEAPSAKE_HERE)
#define Py_NewRef(op) heapsake_newref(HEAPSAKE_CAST(op), HEAPSAKE_HERE)
#define Py_XNewRef(op) heapsake_xnewref(HEAPSAKE_CAST(op), HEAPSAKE_HERE)

#endif
#endif
