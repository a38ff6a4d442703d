/* frame_roles.c - see frame_roles.h */
#include "model/frame_roles.h"

#include <string.h>

#include "internal/compiler.h"

bool frame_acts_for_others(const struct frame *frame)
{
    static const char *const parts[] = {"libpython", "libc.so",    "libc-",      "ld-linux",
                                        "libstdc++", "libpthread", "libheapsake"};
    if (frame->language != FRAME_NATIVE)
        return false;
    struct text name = text_base_name(frame->module);
    for (size_t i = 0; i < HS_COUNT_OF(parts); i++)
        if (text_holds(name, parts[i]))
            return true;
    return text_begins(name, "python");
}

bool frame_only_counts(const struct frame *frame)
{
    static const char *const exact[] = {"Py_IncRef",        "Py_DecRef",     "_Py_IncRef",       "_Py_DecRef",
                                        "Py_NewRef",        "_Py_NewRef",    "Py_XNewRef",       "_Py_XNewRef",
                                        "_Py_NewReference", "Py_SET_REFCNT", "g_object_ref",     "g_object_unref",
                                        "g_clear_object",   "g_set_object",  "g_object_ref_sink"};
    static const char *const beginnings[] = {"Py_INCREF",  "Py_DECREF",   "Py_XINCREF",   "Py_XDECREF",  "_Py_INCREF",
                                             "_Py_DECREF", "_Py_XINCREF", "_Py_XDECREF",  "PyStackRef_", "_PyStackRef_",
                                             "heapsake_",  "Py_CLEAR",    "_Py_RefcntAdd"};
    if (frame->language != FRAME_NATIVE)
        return false;
    for (size_t i = 0; i < HS_COUNT_OF(exact); i++)
        if (text_is(frame->function, exact[i]))
            return true;
    for (size_t i = 0; i < HS_COUNT_OF(beginnings); i++)
        if (text_begins(frame->function, beginnings[i]))
            return true;
    return false;
}

enum frame_keeper frame_keeper(const struct frame *frame)
{
    static const struct {
        const char *part;
        enum frame_keeper keeper;
    } known[] = {{"PyEval", KEEPER_CALL},      {"_PyFrame", KEEPER_CALL},
                 {"frame_", KEEPER_CALL},      {"clear_thread_frame", KEEPER_CALL},
                 {"dict", KEEPER_DICT},        {"Dict", KEEPER_DICT},
                 {"list", KEEPER_LIST},        {"List", KEEPER_LIST},
                 {"tuple", KEEPER_TUPLE},      {"Tuple", KEEPER_TUPLE},
                 {"BuildValue", KEEPER_TUPLE}, {"set_", KEEPER_SET},
                 {"PySet", KEEPER_SET},        {"cell", KEEPER_CELL},
                 {"Cell", KEEPER_CELL},        {"subtype_", KEEPER_INSTANCE},
                 {"slot_", KEEPER_INSTANCE},   {"member_", KEEPER_INSTANCE},
                 {"PyMember", KEEPER_INSTANCE}};
    if (frame->language == FRAME_PYTHON)
        return KEEPER_CALL;
    for (size_t i = 0; i < HS_COUNT_OF(known) && frame->language == FRAME_NATIVE; i++)
        if (text_holds(frame->function, known[i].part))
            return known[i].keeper;
    return KEEPER_UNKNOWN;
}
