/*
 * told_embedded.c - a program with an interpreter in it, whose own code counts.
 */
#include <Python.h>
#include <stdio.h>

int main(void)
{
    Py_Initialize();
    PyObject *list = PyList_New(0);
    if (!list)
        return 1;
    for (int i = 0; i < 3; i++) {
        /* one line for all of them */
        Py_INCREF(list);
    }
    for (int i = 0; i < 4; i++) Py_DECREF(list);
    puts("done");
    return Py_FinalizeEx() < 0;
}
