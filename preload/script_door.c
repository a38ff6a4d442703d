/*
 * script_door.c - the way in by a script: CPython 3.14 and later let a debugger name a script, which the main thread
 * runs between two instructions (PEP 768). heapsake's (analyzer/record/remote_script.c) opens this library as if it
 * were an extension module, which needs no module that the program may not have, and finds the door below.
 *
 * The door starts the thread that the injector starts elsewhere (analyzer/record/injection_stub.c), and then fails, in
 * every case: a module that could not be made is in no list of modules, and can be asked for again. A call that fails
 * is also one behind which the interpreter does not look for signals: a signal handler that raises an exception does so
 * in the program's code, and not in the script, where it would be lost.
 *
 * What is to be done is in the script's own variables, which the interpreter tells since no other frame lies between:
 *
 *   call      b"heapsake_attach" or b"heapsake_detach"
 *   argument  bytes: the session
 *   script    bytes: the script's path. The door removes it once the thread is started: that is how the other side
 * knows.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attach.h"
#include "internal/compiler.h"
#include "own_thread.h"
#include "python/python.h"
#include "real.h"
#include "sys.h"

#define THREAD_STACK ((size_t)256 << 10)
#define ORDER_BYTES 4096u /* with its text */
#define LOOKS 1000u       /* while the loader changes its list in another thread */

void *PyInit_heapsake_door(void);

/* In mapped memory of its own: malloc may be anybody's. */
struct order {
    void (*door)(const char *argument);
    char argument[];
};

struct interpreter {
    void *(*globals)(void);
    void *(*get)(void *dictionary, const char *name);
    const char *(*text)(void *bytes);
};

static bool find_interpreter(struct interpreter *python)
{
    for (unsigned i = 0; i < LOOKS; i++, sys_yield()) {
        *(void **)&python->globals = python_symbol("PyEval_GetGlobals");
        *(void **)&python->get = python_symbol("PyDict_GetItemString");
        *(void **)&python->text = python_symbol("PyBytes_AsString");
        if (python->globals && python->get && python->text)
            return true;
    }
    return false;
}

/* Of the script's variables; NULL: it has none of that name. The text is the interpreter's. */
static const char *variable(const struct interpreter *python, const char *name)
{
    void *globals = python->globals(), *value = globals ? python->get(globals, name) : NULL;
    return value ? python->text(value) : NULL;
}

static void *door_thread(void *context)
{
    struct order *order = context;
    order->door(order->argument);
    sys_munmap(order, ORDER_BYTES);
    return NULL;
}

static struct order *make_order(const char *call, const char *argument)
{
    size_t length = strlen(argument);
    struct order *order = NULL;
    if (length < ORDER_BYTES - sizeof *order)
        order = sys_mmap(NULL, ORDER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!order || sys_failed(order))
        return NULL;
    order->door = strcmp(call, "heapsake_attach") == 0 ? heapsake_attach : heapsake_detach;
    memcpy(order->argument, argument, length + 1);
    return order;
}

/* With the GIL, from the script alone. Never a module: Python makes an exception of that, which the script catches. */
HS_EXPORT void *PyInit_heapsake_door(void)
{
    struct interpreter python;
    if (!find_interpreter(&python))
        return NULL;
    const char *call = variable(&python, "call"), *argument = variable(&python, "argument"),
               *script = variable(&python, "script");
    struct order *order = call && argument && script ? make_order(call, argument) : NULL;
    if (!order)
        return NULL;
    real_ensure();
    if (own_thread_start(NULL, THREAD_STACK, door_thread, order))
        sys_call(SYS_unlink, script, 0, 0);
    else
        sys_munmap(order, ORDER_BYTES);
    return NULL;
}
