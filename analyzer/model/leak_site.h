/*
 * leak_site.h - what makes two leaks of two runs the same one: cause, type, and where, without lines and addresses.
 *
 * Where is the innermost frames of the stack, each as function and file's name (the module's where no file is known):
 *
 *     page_for (web_app.py) < Shop.do_GET (web_app.py) < main (web_app.py)
 *
 * Frames that act for others (the interpreter's, libc's, the import system's) are left out, since they differ between
 * versions; so are those outside of the outermost one in a file of the program's own, if there is one: another version
 * of a test runner or a server calls by other ways. Recursion counts once. Folders are left out, since they differ
 * between machines. Lines are kept apart: they tell two leaks of one function apart, by their order, and may move.
 */
#ifndef HEAPSAKE_MODEL_LEAK_SITE_H
#define HEAPSAKE_MODEL_LEAK_SITE_H

#include <stdbool.h>

#include "base/buf.h"
#include "model/leak_causes.h"
#include "model/stacks.h"

#define LEAK_SITE_FRAMES 8u

struct leak_site {
    char *text; /* escaped, terminated: never a tab or a newline in it */
    uint32_t lines[LEAK_SITE_FRAMES];
    unsigned line_count;
};

/* 0 or -ENOMEM; the caller frees site->text. */
int leak_site_of(struct leak_site *site, const struct stacks *stacks, uint32_t stack);

/* By text, then by lines: the order of a baseline. */
int leak_site_compare(const struct leak_site *left, const struct leak_site *right);
int leak_site_compare_lines(const struct leak_site *left, const struct leak_site *right);

/*
 * Any bytes as one word of a baseline: control characters, backslashes and what is no UTF-8 as \xNN; what is long is
 * cut, and has a number behind it that tells it from others with the same beginning.
 */
void leak_site_append_name(struct buf *text, const char *bytes, size_t length);

/*
 * The innermost frame that people would look at, as a stack: in a file of their own, else in any file, else the
 * innermost. 0 for 0.
 */
uint32_t leak_site_place(const struct stacks *stacks, uint32_t stack);

#endif
