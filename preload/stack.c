/* stack.c - see stack.h */
#include "stack.h"

bool stack_want_native;
