/* walk.c - see walk.h */
#include "walk.h"

#include "capi.h"
#include "python.h"
#include "stack.h"

bool python_graph_walk(bool record_values)
{
    (void)record_values;
    return false;
}

bool python_graph_possible(void)
{
    return python_state == PYTHON_RUNNING && stack_is_attached();
}
