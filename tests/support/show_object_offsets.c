/*
 * show_object_offsets.c - prints the row of preload/python/object_offsets.c for the Python whose headers it is compiled
 * with (docs/HOWTO_ADD_PYTHON_VERSION.md). Not part of the build.
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>

#include "frameobject.h"
#include "internal/pycore_frame.h"
#if PY_VERSION_HEX >= 0x030e0000
#include "internal/pycore_interpframe_structs.h"
#endif
#include "internal/pycore_gc.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_moduleobject.h"
#include "internal/pycore_runtime.h"
#if PY_VERSION_HEX >= 0x030d0000
#include "internal/pycore_tstate.h"
#endif

#define BEFORE(version) (PY_VERSION_HEX < (version))
#define FIELD(name, type, field) printf("." #name " = %zu, ", offsetof(type, field))
#define ABSENT(name) printf("." #name " = NO, ")
#define ROOT(text, type, field) printf("            {%zu, \"%s\"},\n", offsetof(type, field), text)

static void interpreter(void)
{
    printf("        .interpreter = {");
    FIELD(next, PyInterpreterState, next);
    FIELD(threads, PyInterpreterState, threads.head);
    FIELD(gc, PyInterpreterState, gc);
    FIELD(modules, PyInterpreterState,
#if BEFORE(0x030c0000)
          modules);
#else
          imports.modules);
#endif
    FIELD(sysdict, PyInterpreterState, sysdict);
    FIELD(builtins, PyInterpreterState, builtins);
#if BEFORE(0x030c0000)
    printf(".static_types = 0, ");
#elif BEFORE(0x030d0000)
    FIELD(static_types, PyInterpreterState, types.builtins);
    printf(".static_type_count = %d, ", _Py_MAX_STATIC_BUILTIN_TYPES);
#else
    FIELD(static_types, PyInterpreterState, types.builtins.initialized);
    printf(".static_type_count = %d, ", _Py_MAX_MANAGED_STATIC_BUILTIN_TYPES);
    FIELD(extension_types, PyInterpreterState, types.for_extensions.initialized);
    printf(".extension_type_count = %d, ", _Py_MAX_MANAGED_STATIC_EXT_TYPES);
#endif
    FIELD(ast, PyInterpreterState, ast);
    printf(".ast_size = %zu, ", sizeof(struct ast_state));
#if BEFORE(0x030c0000)
    ABSENT(interned);
#else
    FIELD(interned, PyInterpreterState, cached_objects.interned_strings);
#endif
    printf("},\n");
}

static void static_type(void)
{
#if BEFORE(0x030c0000)
    printf("        .static_type = {.size = 0},\n");
#else
#if BEFORE(0x030d0000)
    typedef static_builtin_state state;
#else
    typedef managed_static_type_state state;
#endif
    printf("        .static_type = {.size = %zu, ", sizeof(state));
    FIELD(type, state, type);
    FIELD(dict, state, tp_dict);
    FIELD(subclasses, state, tp_subclasses);
    printf("},\n");
#endif
}

static void interpreter_roots(void)
{
    printf("        .interpreter_roots = {\n");
#if BEFORE(0x030c0000)
    ROOT("sys.modules", PyInterpreterState, modules);
    ROOT("modules by index", PyInterpreterState, modules_by_index);
    ROOT("importlib", PyInterpreterState, importlib);
    ROOT("import function", PyInterpreterState, import_func);
#else
    ROOT("sys.modules", PyInterpreterState, imports.modules);
    ROOT("modules by index", PyInterpreterState, imports.modules_by_index);
    ROOT("importlib", PyInterpreterState, imports.importlib);
    ROOT("import function", PyInterpreterState, imports.import_func);
#endif
    ROOT("sys.__dict__", PyInterpreterState, sysdict);
    ROOT("builtins.__dict__", PyInterpreterState, builtins);
    ROOT("interpreter dict", PyInterpreterState, dict);
    ROOT("copy of builtins", PyInterpreterState, builtins_copy);
#if !BEFORE(0x030c0000)
    ROOT("copy of sys", PyInterpreterState, sysdict_copy);
#endif
#if BEFORE(0x030d0000)
    ROOT("codec search path", PyInterpreterState, codec_search_path);
    ROOT("codec cache", PyInterpreterState, codec_search_cache);
    ROOT("codec error handlers", PyInterpreterState, codec_error_registry);
#else
    ROOT("codec search path", PyInterpreterState, codecs.search_path);
    ROOT("codec cache", PyInterpreterState, codecs.search_cache);
    ROOT("codec error handlers", PyInterpreterState, codecs.error_registry);
#endif
    ROOT("os.register_at_fork before", PyInterpreterState, before_forkers);
    ROOT("os.register_at_fork parent", PyInterpreterState, after_forkers_parent);
    ROOT("os.register_at_fork child", PyInterpreterState, after_forkers_child);
    ROOT("warning filters", PyInterpreterState, warnings.filters);
    ROOT("warnings shown once", PyInterpreterState, warnings.once_registry);
    ROOT("warnings default action", PyInterpreterState, warnings.default_action);
#if !BEFORE(0x030f0000)
    ROOT("warnings context", PyInterpreterState, warnings.context);
#endif
#if !BEFORE(0x030e0000)
    ROOT("atexit callbacks", PyInterpreterState, atexit.callbacks);
#endif
    ROOT("audit hooks", PyInterpreterState, audit_hooks);
    ROOT("errno map", PyInterpreterState, exc_state.errnomap);
    ROOT("ExceptionGroup", PyInterpreterState, exc_state.PyExc_ExceptionGroup);
#if !BEFORE(0x030c0000)
    ROOT("interned strings", PyInterpreterState, cached_objects.interned_strings);
    ROOT("typing.Generic", PyInterpreterState, cached_objects.generic_type);
    ROOT("typing.TypeVar", PyInterpreterState, cached_objects.typevar_type);
    ROOT("typing.TypeVarTuple", PyInterpreterState, cached_objects.typevartuple_type);
    ROOT("typing.ParamSpec", PyInterpreterState, cached_objects.paramspec_type);
    ROOT("typing.ParamSpecArgs", PyInterpreterState, cached_objects.paramspecargs_type);
    ROOT("typing.ParamSpecKwargs", PyInterpreterState, cached_objects.paramspeckwargs_type);
#if !BEFORE(0x030e0000)
    ROOT("typing constant evaluator", PyInterpreterState, cached_objects.constevaluator_type);
#endif
#if !BEFORE(0x030f0000)
    ROOT("__dict__ descriptor", PyInterpreterState, cached_objects.dict_descriptor);
    ROOT("__weakref__ descriptor", PyInterpreterState, cached_objects.weakref_descriptor);
    ROOT("lazy import function", PyInterpreterState, imports.lazy_import_func);
    ROOT("lazy imports filter", PyInterpreterState, imports.lazy_imports_filter);
    ROOT("sys.lazy_modules", PyInterpreterState, imports.lazy_modules);
    ROOT("lazy submodules", PyInterpreterState, imports.lazy_pending_submodules);
#endif
#if BEFORE(0x030d0000)
    ROOT("interpreter trampoline", PyInterpreterState, interpreter_trampoline);
#endif
#endif
    ROOT("gc.garbage", PyInterpreterState, gc.garbage);
    ROOT("gc.callbacks", PyInterpreterState, gc.callbacks);
    printf("        },\n");
}

static void thread_roots(void)
{
    printf("        .thread_roots = {\n");
    ROOT("thread dict", PyThreadState, dict);
    ROOT("context", PyThreadState, context);
    ROOT("async exception", PyThreadState, async_exc);
#if BEFORE(0x030c0000)
    ROOT("exception type", PyThreadState, curexc_type);
    ROOT("exception", PyThreadState, curexc_value);
    ROOT("exception traceback", PyThreadState, curexc_traceback);
#else
    ROOT("exception", PyThreadState, current_exception);
#endif
    ROOT("handled exception", PyThreadState, exc_state.exc_value);
    ROOT("profile function", PyThreadState, c_profileobj);
    ROOT("trace function", PyThreadState, c_traceobj);
    ROOT("asyncgen firstiter hook", PyThreadState, async_gen_firstiter);
    ROOT("asyncgen finalizer hook", PyThreadState, async_gen_finalizer);
#if !BEFORE(0x030d0000)
    ROOT("threading.local key", PyThreadState, threading_local_key);
    ROOT("threading.local sentinel", PyThreadState, threading_local_sentinel);
#endif
#if !BEFORE(0x030e0000)
    ROOT("running event loop", _PyThreadStateImpl, asyncio_running_loop);
    ROOT("running task", _PyThreadStateImpl, asyncio_running_task);
#endif
    printf("        },\n");
}

int main(void)
{
    printf("    {\n        .minor = %d,\n", PY_MINOR_VERSION);
    interpreter();
    printf("        .gc = {");
    FIELD(generations, struct _gc_runtime_state, generations);
    FIELD(permanent, struct _gc_runtime_state, permanent_generation);
    printf(".generation_size = %zu},\n", sizeof(struct gc_generation));
    static_type();
    interpreter_roots();
    printf("        .thread = {");
    FIELD(next, PyThreadState, next);
    printf("},\n");
    thread_roots();
    printf("        .frame = {");
#if BEFORE(0x030c0000)
    FIELD(function, _PyInterpreterFrame, f_func);
#else
    FIELD(function, _PyInterpreterFrame, f_funcobj);
#endif
    FIELD(f_locals, _PyInterpreterFrame, f_locals);
    FIELD(frame_object, _PyInterpreterFrame, frame_obj);
#if BEFORE(0x030e0000)
    FIELD(stack_top, _PyInterpreterFrame, stacktop);
    ABSENT(stack_pointer);
#else
    ABSENT(stack_top);
    FIELD(stack_pointer, _PyInterpreterFrame, stackpointer);
#endif
    FIELD(locals, _PyInterpreterFrame, localsplus);
    printf("},\n        .frame_object = {");
    FIELD(frame, PyFrameObject, f_frame);
    FIELD(owned, PyFrameObject, _f_frame_data);
    printf("},\n        .code = {");
    FIELD(local_count, PyCodeObject, co_nlocalsplus);
    FIELD(stack_size, PyCodeObject, co_stacksize);
    FIELD(free_count, PyCodeObject, co_nfreevars);
    FIELD(local_names, PyCodeObject, co_localsplusnames);
    FIELD(local_kinds, PyCodeObject, co_localspluskinds);
    FIELD(consts, PyCodeObject, co_consts);
    FIELD(names, PyCodeObject, co_names);
    FIELD(exception_table, PyCodeObject, co_exceptiontable);
    FIELD(file_name, PyCodeObject, co_filename);
    FIELD(name, PyCodeObject, co_name);
    FIELD(qualified_name, PyCodeObject, co_qualname);
    FIELD(line_table, PyCodeObject, co_linetable);
#if BEFORE(0x030c0000)
    FIELD(code, PyCodeObject, _co_code);
    ABSENT(cached);
#else
    ABSENT(code);
    FIELD(cached, PyCodeObject, _co_cached);
#endif
    printf("},\n        .generator = {");
#if BEFORE(0x030c0000)
    FIELD(code, PyGenObject, gi_code);
#else
    ABSENT(code);
#endif
    FIELD(name, PyGenObject, gi_name);
    FIELD(qualified_name, PyGenObject, gi_qualname);
    FIELD(exception, PyGenObject, gi_exc_state.exc_value);
    FIELD(origin, PyGenObject, gi_origin_or_finalizer);
    FIELD(state, PyGenObject, gi_frame_state);
    FIELD(frame, PyGenObject, gi_iframe);
    printf(".cleared = %d", FRAME_CLEARED);
    printf("},\n        .type = {");
    FIELD(cached_keys, PyHeapTypeObject, ht_cached_keys);
    FIELD(name, PyHeapTypeObject, ht_name);
    FIELD(slots, PyHeapTypeObject, ht_slots);
    FIELD(qualified_name, PyHeapTypeObject, ht_qualname);
    FIELD(module, PyHeapTypeObject, ht_module);
    printf("},\n        .function = {");
    FIELD(globals, PyFunctionObject, func_globals);
    FIELD(builtins, PyFunctionObject, func_builtins);
    FIELD(name, PyFunctionObject, func_name);
    FIELD(qualified_name, PyFunctionObject, func_qualname);
    FIELD(code, PyFunctionObject, func_code);
    FIELD(defaults, PyFunctionObject, func_defaults);
    FIELD(kwdefaults, PyFunctionObject, func_kwdefaults);
    FIELD(closure, PyFunctionObject, func_closure);
    FIELD(doc, PyFunctionObject, func_doc);
    FIELD(dict, PyFunctionObject, func_dict);
    FIELD(module, PyFunctionObject, func_module);
    FIELD(annotations, PyFunctionObject, func_annotations);
#if BEFORE(0x030e0000)
    ABSENT(annotate);
#else
    FIELD(annotate, PyFunctionObject, func_annotate);
#endif
#if BEFORE(0x030c0000)
    ABSENT(typeparams);
#else
    FIELD(typeparams, PyFunctionObject, func_typeparams);
#endif
    printf("},\n        .tuple = {");
    FIELD(items, PyTupleObject, ob_item);
    printf("},\n        .module = {");
    FIELD(name, PyModuleObject, md_name);
    printf("},\n        .exception = {");
    FIELD(dict, PyBaseExceptionObject, dict);
    FIELD(args, PyBaseExceptionObject, args);
    FIELD(notes, PyBaseExceptionObject, notes);
    FIELD(traceback, PyBaseExceptionObject, traceback);
    FIELD(context, PyBaseExceptionObject, context);
    FIELD(cause, PyBaseExceptionObject, cause);
    printf("},\n    },\n");
    fprintf(
        stderr,
        "same everywhere: type %zu basicsize %zu itemsize %zu flags %zu traverse %zu weaklist %zu members %zu base %zu "
        "dict %zu dictoffset %zu is_gc %zu bases %zu mro %zu cache %zu subclasses %zu del %zu finalize %zu size %zu\n",
        offsetof(PyTypeObject, tp_name), offsetof(PyTypeObject, tp_basicsize), offsetof(PyTypeObject, tp_itemsize),
        offsetof(PyTypeObject, tp_flags), offsetof(PyTypeObject, tp_traverse),
        offsetof(PyTypeObject, tp_weaklistoffset), offsetof(PyTypeObject, tp_members), offsetof(PyTypeObject, tp_base),
        offsetof(PyTypeObject, tp_dict), offsetof(PyTypeObject, tp_dictoffset), offsetof(PyTypeObject, tp_is_gc),
        offsetof(PyTypeObject, tp_bases), offsetof(PyTypeObject, tp_mro), offsetof(PyTypeObject, tp_cache),
        offsetof(PyTypeObject, tp_subclasses), offsetof(PyTypeObject, tp_del), offsetof(PyTypeObject, tp_finalize),
        sizeof(PyTypeObject));
    fprintf(stderr, "list items %zu dict keys %zu values %zu set mask %zu table %zu module dict %zu\n",
            offsetof(PyListObject, ob_item), offsetof(PyDictObject, ma_keys), offsetof(PyDictObject, ma_values),
            offsetof(PySetObject, mask), offsetof(PySetObject, table), (size_t)16);
    return 0;
}
