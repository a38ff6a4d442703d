/*
 * proc_text.h - the kernel's small text files, read by system calls alone, and a little text put together.
 */
#ifndef HEAPSAKE_PRELOAD_PROC_TEXT_H
#define HEAPSAKE_PRELOAD_PROC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file's beginning, at most size - 1 bytes and a NUL; its length, or a negative errno. Leaves no descriptor. */
long proc_read(const char *path, char *text, size_t size);

/* The number behind `key`, which begins a line ("MemAvailable:"), of a text as it is in /proc/meminfo. */
bool proc_find_number(const char *text, const char *key, uint64_t *number);
/* The number that text begins with (blanks skipped); *end is what is behind it. False: there is none. */
bool proc_number(const char *text, unsigned base, uint64_t *number, const char **end);

/* Appends at `out`, never beyond `limit`, which is the last byte and gets a NUL. Returns the new end. */
char *text_append(char *out, char *limit, const char *text);
char *text_append_number(char *out, char *limit, uint64_t number);

#endif
