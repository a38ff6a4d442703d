/*
 * temporary_file.h - the one file that a test program writes its traces to.
 *
 * A pair of cmocka fixtures, for a test or a group; `state` is not looked at. Helpers that need the file for a moment
 * may call them, too.
 */
#ifndef HEAPSAKE_TESTS_UNIT_TEMPORARY_FILE_H
#define HEAPSAKE_TESTS_UNIT_TEMPORARY_FILE_H

/* Its path, between the two. */
extern char temporary_file[];

/* Makes it, empty, under a new name. 0, or -1. */
int temporary_file_make(void **state);
int temporary_file_remove(void **state);

#endif
