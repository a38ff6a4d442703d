/*
 * environment.h - our variables: out of the program's sight, back again for what it executes.
 *
 * The constructor takes HEAPSAKE_SESSION, HEAPSAKE_OUTPUT, HEAPSAKE_OPTIONS and our entry of LD_PRELOAD out of the
 * environment; the user's other entries stay. The exec hooks put session and entry back into the environment that the
 * program gives to a new image.
 */
#ifndef HEAPSAKE_PRELOAD_ENVIRONMENT_H
#define HEAPSAKE_PRELOAD_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

/* Takes our variables out of envp, in place, and remembers them. Constructor only. */
void environment_take(char **envp);

/* The recorder's address; "" when there is none. */
const char *environment_session(void);
/* Sets the address when the library has started the recorder itself. */
void environment_set_session(const char *name);
/* What the user has set for a recorder that the library starts itself; NULL when nothing. Valid for ever. */
const char *environment_output(void);
const char *environment_options(void);
/* The path of this library as LD_PRELOAD had it. "" when it was not there (dlopen), until it is set. */
const char *environment_library(void);
/* After an attach: the path for what the process executes; "": nothing is to be put into its environment. */
void environment_set_library(const char *path);

/*
 * What an exec with `envp` needs: number of pointers and bytes of strings for environment_restore().
 * All zero when there is nothing to put back.
 */
struct environment_room {
    size_t pointers;
    size_t bytes;
};
struct environment_room environment_measure(char *const envp[]);
/* envp with our variables added, in the room given; keeps pointing into envp. Async-signal-safe, touches no global
 * state. */
char **environment_restore(char *const envp[], char **pointers, char *bytes);

#endif
