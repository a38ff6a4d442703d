/*
 * capi.h - the functions and objects of CPython that the library calls, found by name.
 *
 * One struct, filled once by python_capi_resolve() from whichever module
 * defines them: a static python3, a libpython linked in, or one that a program
 * has opened with dlopen. Nothing of it is called through the dynamic linker.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_CAPI_H
#define HEAPSAKE_PRELOAD_PYTHON_CAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PyMemAllocatorEx */
struct python_allocator {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
};

/* PyObjectArenaAllocator */
struct python_arena_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *arena, size_t size);
};

/* PyMemAllocatorDomain */
enum python_domain { PYTHON_RAW = 0, PYTHON_MEM = 1, PYTHON_OBJECT = 2, PYTHON_DOMAINS = 3 };

/* PyMethodDef */
struct python_method {
    const char *name;
    void *(*function)(void *self, void *argument);
    int flags;
    const char *documentation;
};

/* PyRefTracer, and PyRefTracerEvent */
typedef int python_tracer(void *object, int event, void *data);
enum python_tracer_event {
    PYTHON_TRACER_CREATE = 0,
    PYTHON_TRACER_DESTROY = 1,
    PYTHON_TRACER_REMOVED = 2, /* 3.15+: no object; another tracer takes the place */
};

/*
 * FUNCTION(name, return type, parameters), OBJECT(name): without it Python's memory cannot be hooked.
 * ..._OPTIONAL: NULL where this version lacks it; its user does without.
 */
#define PYTHON_CAPI(FUNCTION, FUNCTION_OPTIONAL, OBJECT_OPTIONAL)                                                      \
    FUNCTION(PyMem_GetAllocator, void, (int domain, struct python_allocator *allocator))                               \
    FUNCTION(PyMem_SetAllocator, void, (int domain, const struct python_allocator *allocator))                         \
    FUNCTION(Py_IsInitialized, int, (void))                                                                            \
    FUNCTION(Py_GetVersion, const char *, (void))                                                                      \
    FUNCTION_OPTIONAL(PyObject_GetArenaAllocator, void, (struct python_arena_allocator * allocator))                   \
    FUNCTION_OPTIONAL(PyObject_SetArenaAllocator, void, (const struct python_arena_allocator *allocator))              \
    FUNCTION_OPTIONAL(PyThreadState_GetUnchecked, void *, (void))  /* 3.13+ */                                         \
    FUNCTION_OPTIONAL(_PyThreadState_UncheckedGet, void *, (void)) /* up to 3.12 */                                    \
    FUNCTION_OPTIONAL(PyEval_SaveThread, void *, (void))                                                               \
    FUNCTION_OPTIONAL(PyEval_RestoreThread, void, (void *state))                                                       \
    FUNCTION_OPTIONAL(PyGILState_Ensure, int, (void))                                                                  \
    FUNCTION_OPTIONAL(PyGILState_Release, void, (int state))                                                           \
    FUNCTION_OPTIONAL(PyGILState_GetThisThreadState, void *, (void))                                                   \
    FUNCTION_OPTIONAL(Py_IsFinalizing, int, (void))  /* 3.13+ */                                                       \
    FUNCTION_OPTIONAL(_Py_IsFinalizing, int, (void)) /* up to 3.12 */                                                  \
    FUNCTION_OPTIONAL(Py_AddPendingCall, int, (int (*function)(void *), void *argument))                               \
    FUNCTION_OPTIONAL(PyCFunction_NewEx, void *, (const struct python_method *method, void *self, void *module))       \
    FUNCTION_OPTIONAL(PyImport_ImportModule, void *, (const char *name))                                               \
    FUNCTION_OPTIONAL(PyImport_GetModuleDict, void *, (void))                                                          \
    FUNCTION_OPTIONAL(PyDict_GetItemString, void *, (void *dict, const char *key))                                     \
    FUNCTION_OPTIONAL(PyDict_DelItemString, int, (void *dict, const char *key))                                        \
    FUNCTION_OPTIONAL(PyObject_GetAttrString, void *, (void *object, const char *name))                                \
    FUNCTION_OPTIONAL(PyObject_CallFunctionObjArgs, void *, (void *callable, ...))                                     \
    FUNCTION_OPTIONAL(PySys_GetXOptions, void *, (void))                                                               \
    FUNCTION_OPTIONAL(PyErr_Fetch, void, (void **type, void **value, void **traceback))                                \
    FUNCTION_OPTIONAL(PyErr_Restore, void, (void *type, void *value, void *traceback))                                 \
    FUNCTION_OPTIONAL(PyErr_Clear, void, (void))                                                                       \
    FUNCTION_OPTIONAL(Py_IncRef, void, (void *object))                                                                 \
    FUNCTION_OPTIONAL(Py_DecRef, void, (void *object))                                                                 \
    FUNCTION_OPTIONAL(PyRefTracer_SetTracer, int, (python_tracer * tracer, void *data)) /* 3.13+ */                    \
    FUNCTION_OPTIONAL(PyRefTracer_GetTracer, python_tracer *, (void **data))            /* 3.13+ */                    \
    FUNCTION_OPTIONAL(PyGC_IsEnabled, int, (void))                                                                     \
    FUNCTION_OPTIONAL(PyCode_Addr2Line, int, (void *code, int offset))                                                 \
    FUNCTION_OPTIONAL(_PyEval_EvalFrameDefault, void *, (void))                                                        \
    FUNCTION_OPTIONAL(PyInterpreterState_Head, void *, (void))                                                         \
    OBJECT_OPTIONAL(PyBaseObject_Type)                                                                                 \
    OBJECT_OPTIONAL(PyType_Type)                                                                                       \
    OBJECT_OPTIONAL(PyUnicode_Type)                                                                                    \
    OBJECT_OPTIONAL(PyBytes_Type)                                                                                      \
    OBJECT_OPTIONAL(PyLong_Type)                                                                                       \
    OBJECT_OPTIONAL(PyBool_Type)                                                                                       \
    OBJECT_OPTIONAL(PyFloat_Type)                                                                                      \
    OBJECT_OPTIONAL(PyComplex_Type)                                                                                    \
    OBJECT_OPTIONAL(PyByteArray_Type)                                                                                  \
    OBJECT_OPTIONAL(PyList_Type)                                                                                       \
    OBJECT_OPTIONAL(PyTuple_Type)                                                                                      \
    OBJECT_OPTIONAL(PyDict_Type)                                                                                       \
    OBJECT_OPTIONAL(PyFrozenDict_Type) /* 3.15+ */                                                                     \
    OBJECT_OPTIONAL(PySet_Type)                                                                                        \
    OBJECT_OPTIONAL(PyFrozenSet_Type)                                                                                  \
    OBJECT_OPTIONAL(PyFunction_Type)                                                                                   \
    OBJECT_OPTIONAL(PyMethod_Type)                                                                                     \
    OBJECT_OPTIONAL(PyModule_Type)                                                                                     \
    OBJECT_OPTIONAL(PyCell_Type)                                                                                       \
    OBJECT_OPTIONAL(PyTraceBack_Type)                                                                                  \
    OBJECT_OPTIONAL(PyFrame_Type)                                                                                      \
    OBJECT_OPTIONAL(PyGen_Type)                                                                                        \
    OBJECT_OPTIONAL(PyCoro_Type)                                                                                       \
    OBJECT_OPTIONAL(PyAsyncGen_Type)                                                                                   \
    OBJECT_OPTIONAL(PyDictProxy_Type)                                                                                  \
    OBJECT_OPTIONAL(PyCFunction_Type)                                                                                  \
    OBJECT_OPTIONAL(PyMethodDescr_Type)                                                                                \
    OBJECT_OPTIONAL(PyClassMethodDescr_Type)                                                                           \
    OBJECT_OPTIONAL(PyMemberDescr_Type)                                                                                \
    OBJECT_OPTIONAL(PyGetSetDescr_Type)                                                                                \
    OBJECT_OPTIONAL(PyWrapperDescr_Type)                                                                               \
    OBJECT_OPTIONAL(PyRange_Type)                                                                                      \
    OBJECT_OPTIONAL(_PyWeakref_RefType)                                                                                \
    OBJECT_OPTIONAL(_PyWeakref_ProxyType)                                                                              \
    OBJECT_OPTIONAL(_PyWeakref_CallableProxyType)                                                                      \
    OBJECT_OPTIONAL(PyCode_Type)                                                                                       \
    OBJECT_OPTIONAL(_Py_NoneStruct)                                                                                    \
    OBJECT_OPTIONAL(_PyRuntime)                                                                                        \
    OBJECT_OPTIONAL(Py_Version) /* 3.11+ */

struct python_capi {
#define FUNCTION(name, type, parameters) type(*name) parameters;
#define OBJECT(name) void *name;
    PYTHON_CAPI(FUNCTION, FUNCTION, OBJECT)
#undef FUNCTION
#undef OBJECT
    /* Where the interpreter's own code lies, [low, high). Its built-in allocators are recognized by it. */
    uintptr_t text_low, text_high;
};

extern struct python_capi python_capi __attribute__((visibility("hidden")));

/* Finds a symbol that the module `context` stands for defines; NULL when it does not. */
typedef void *(*python_resolver)(const void *context, const char *name);

/* Fills *capi; false when something that is needed is missing. Calls nothing but `find`. */
bool python_capi_resolve(struct python_capi *capi, python_resolver find, const void *context);

#endif
