/*
 * lifecycle.c - see lifecycle.h
 *
 * atexit callbacks run in the reverse order of their registration, and nothing but
 * start-up code has registered one when Py_IsInitialized() becomes true: a callback that is
 * registered then runs last. Registering needs the interpreter, so it is done by a pending call, between two
 * instructions of the main thread, or at the latest when finalization flushes pending calls.
 *
 * What this allocates is recorded like everything else, about 200 bytes: it is freed in the teardown, where a free of
 * something that was never allocated would look like a loss, and hiding it would also hide what the collector frees
 * meanwhile.
 *
 * Whatever goes wrong is left alone: the trace then ends without the mark.
 */
#include "lifecycle.h"

#include "../emit.h"
#include "../snapshot/take.h"
#include "capi.h"
#include "objects.h"
#include "python.h"

#define METH_NOARGS 0x0004

static void *registered; /* the callback, a reference of our own; NULL: none is registered */

static void *at_exit(void *module, void *unused)
{
    (void)module;
    (void)unused;
    struct thread *self = hook_enter();
    if (self) {
        emit_message(self, HS_MESSAGE_FINALIZE, NULL, 0);
        hook_leave(self);
    }
    snapshot_at_exit(NULL, false);
    python_finalizing();
    registered = NULL; /* the interpreter's own from here on: our reference goes with it */
    python_capi.Py_IncRef(python_capi._Py_NoneStruct);
    return python_capi._Py_NoneStruct;
}

static const struct python_method at_exit_method = {
    .name = "heapsake_finalize",
    .function = at_exit,
    .flags = METH_NOARGS,
};

static bool can_register(void)
{
    const struct python_capi *capi = &python_capi;
    return capi->Py_AddPendingCall && capi->PyCFunction_NewEx && capi->PyImport_ImportModule &&
           capi->PyImport_GetModuleDict && capi->PyDict_GetItemString && capi->PyDict_DelItemString &&
           capi->PyObject_GetAttrString && capi->PyObject_CallFunctionObjArgs && capi->PyErr_Fetch &&
           capi->PyErr_Restore && capi->PyErr_Clear && capi->Py_IncRef && capi->Py_DecRef && capi->_Py_NoneStruct;
}

/* The atexit module, as a new reference; *imported: it was not there before, and is to be taken out again. */
static void *find_atexit(void *modules, bool *imported)
{
    void *module = python_capi.PyDict_GetItemString(modules, "atexit");
    *imported = !module;
    if (module) {
        python_capi.Py_IncRef(module);
        return module;
    }
    /* -X importtime would report an import that the program did not ask for. */
    void *options = python_capi.PySys_GetXOptions ? python_capi.PySys_GetXOptions() : NULL;
    if (options && python_capi.PyDict_GetItemString(options, "importtime"))
        return NULL;
    return python_capi.PyImport_ImportModule("atexit");
}

static void register_at_exit(void)
{
    const struct python_capi *capi = &python_capi;
    void *modules = capi->PyImport_GetModuleDict(); /* borrowed */
    if (!modules)
        return;
    bool imported = false;
    void *module = find_atexit(modules, &imported);
    void *registrar = module ? capi->PyObject_GetAttrString(module, "register") : NULL;
    void *function = registrar ? capi->PyCFunction_NewEx(&at_exit_method, NULL, NULL) : NULL;
    void *result = function ? capi->PyObject_CallFunctionObjArgs(registrar, function, NULL) : NULL;
    if (result) {
        capi->Py_IncRef(function);
        registered = function;
    }
    /* Up to 3.10 the callbacks may belong to the module object; since then, to the interpreter. */
    if (module && imported && capi->Py_Version)
        capi->PyDict_DelItemString(modules, "atexit");
    void *owned[] = {result, function, registrar, module};
    for (unsigned i = 0; i < HS_COUNT_OF(owned); i++) {
        if (owned[i])
            capi->Py_DecRef(owned[i]);
    }
}

static void unregister_at_exit(void)
{
    const struct python_capi *capi = &python_capi;
    bool imported = false;
    void *modules = capi->PyImport_GetModuleDict(); /* borrowed */
    void *module = modules ? find_atexit(modules, &imported) : NULL;
    void *unregister = module ? capi->PyObject_GetAttrString(module, "unregister") : NULL;
    void *result = unregister ? capi->PyObject_CallFunctionObjArgs(unregister, registered, NULL) : NULL;
    if (module && imported)
        capi->PyDict_DelItemString(modules, "atexit");
    void *owned[] = {result, unregister, module, registered};
    for (unsigned i = 0; i < HS_COUNT_OF(owned); i++) {
        if (owned[i])
            capi->Py_DecRef(owned[i]);
    }
    registered = NULL;
}

/* Whatever becomes of it, an exception that is under way stays what it was. */
static void without_exception(void (*work)(void))
{
    void *type, *value, *traceback;
    python_capi.PyErr_Fetch(&type, &value, &traceback);
    work();
    python_capi.PyErr_Clear();
    python_capi.PyErr_Restore(type, value, traceback);
}

void lifecycle_begin(void)
{
    objects_install();
    if (can_register() && !registered)
        without_exception(register_at_exit);
}

void lifecycle_end(void)
{
    objects_uninstall();
    if (registered)
        without_exception(unregister_at_exit);
}

/* In the main thread, with the GIL, between two instructions. */
static int lifecycle_register(void *unused)
{
    (void)unused;
    if (python_state == PYTHON_RUNNING) /* not when there was a detach meanwhile */
        lifecycle_begin();
    return 0;
}

void lifecycle_arm(void)
{
    if (can_register() || objects_wanted())
        python_capi.Py_AddPendingCall(lifecycle_register, NULL);
}
