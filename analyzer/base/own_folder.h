/* own_folder.h - where this command lies, for what is installed beside it. */
#ifndef HEAPSAKE_BASE_OWN_FOLDER_H
#define HEAPSAKE_BASE_OWN_FOLDER_H

#include <limits.h>

/* The folder of the running executable with a slash behind it; "" when that is not known. Thread-safe. */
void own_folder(char folder[PATH_MAX]);

#endif
