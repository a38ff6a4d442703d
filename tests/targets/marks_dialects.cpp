/* marks_dialects.cpp - the same as C++. */
#include "marks_dialects.c"
