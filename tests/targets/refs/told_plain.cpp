/* told_plain.cpp - told.c as C++ of any standard, with nothing added. */
#include "told.c"
