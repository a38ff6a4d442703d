/* environment.c - see environment.h */
#include "environment.h"

#include <string.h>

#include "internal/session.h"

#define LIBRARY_NAME "libheapsake.so"
#define SESSION_MAX 108 /* of a socket address */
#define PATH_BYTES 4096

static char session_name[SESSION_MAX];
static char library_path[PATH_BYTES];
static const char *output, *options; /* in the memory of the environment that the kernel made */

const char *environment_session(void)
{
    return session_name;
}
const char *environment_library(void)
{
    return library_path;
}
const char *environment_output(void)
{
    return output;
}
const char *environment_options(void)
{
    return options;
}

void environment_set_session(const char *name)
{
    size_t length = strlen(name);
    if (length < sizeof session_name)
        memcpy(session_name, name, length + 1);
}

void environment_set_library(const char *path)
{
    size_t length = strlen(path);
    if (length < sizeof library_path)
        memcpy(library_path, path, length + 1);
}

/* The value of `entry` if it is a setting of `name`, else NULL. */
static const char *value_of(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

static bool is_separator(char c)
{
    return c == ':' || c == ' ';
}

static bool is_our_library(const char *path, size_t length)
{
    size_t name_length = sizeof LIBRARY_NAME - 1;
    return length >= name_length && memcmp(path + length - name_length, LIBRARY_NAME, name_length) == 0 &&
           (length == name_length || path[length - name_length - 1] == '/');
}

/* Takes our entry out of the list, in place, and remembers it. Returns whether anything is left. */
static bool strip_preload(char *list)
{
    char *out = list;
    for (const char *at = list; *at;) {
        const char *end = at;
        while (*end && !is_separator(*end))
            end++;
        size_t length = (size_t)(end - at);
        if (is_our_library(at, length)) {
            if (length < sizeof library_path) {
                memcpy(library_path, at, length);
                library_path[length] = '\0';
            }
        } else if (length) {
            if (out != list)
                *out++ = ':';
            memmove(out, at, length);
            out += length;
        }
        at = *end ? end + 1 : end;
    }
    *out = '\0';
    return out != list;
}

void environment_take(char **envp)
{
    char **out = envp;
    for (char **entry = envp; *entry; entry++) {
        const char *session_value = value_of(*entry, HS_ENV_SESSION);
        char *preload = (char *)value_of(*entry, HS_ENV_PRELOAD);
        const char *output_value = value_of(*entry, HS_ENV_OUTPUT), *options_value = value_of(*entry, HS_ENV_OPTIONS);
        if (session_value)
            environment_set_session(session_value);
        else if (output_value)
            output = output_value;
        else if (options_value)
            options = options_value;
        else if (!preload || strip_preload(preload))
            *out++ = *entry;
    }
    *out = NULL;
}

struct environment_room environment_measure(char *const envp[])
{
    if (!session_name[0] || !library_path[0])
        return (struct environment_room){0};
    struct environment_room room = {.pointers = 3};
    room.bytes =
        sizeof HS_ENV_SESSION + 1 + strlen(session_name) + sizeof HS_ENV_PRELOAD + 1 + strlen(library_path) + 1;
    for (char *const *entry = envp; entry && *entry; entry++) {
        room.pointers++;
        const char *preload = value_of(*entry, HS_ENV_PRELOAD);
        if (preload)
            room.bytes += strlen(preload) + 1;
    }
    return room;
}

static char *append(char *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

static bool names_our_library(const char *list)
{
    for (const char *at = list; *at;) {
        const char *end = at;
        while (*end && !is_separator(*end))
            end++;
        if (is_our_library(at, (size_t)(end - at)))
            return true;
        at = *end ? end + 1 : end;
    }
    return false;
}

char **environment_restore(char *const envp[], char **pointers, char *bytes)
{
    const char *users_preload = "";
    char **out = pointers;
    for (char *const *entry = envp; entry && *entry; entry++) {
        const char *preload = value_of(*entry, HS_ENV_PRELOAD);
        if (preload)
            users_preload = preload; /* the last one counts, as for the loader */
        else if (!value_of(*entry, HS_ENV_SESSION))
            *out++ = *entry;
    }
    *out++ = bytes;
    bytes = append(append(bytes, HS_ENV_SESSION "="), session_name);
    *bytes++ = '\0';
    *out++ = bytes;
    bytes = append(bytes, HS_ENV_PRELOAD "=");
    if (!names_our_library(users_preload)) {
        bytes = append(bytes, library_path);
        if (*users_preload)
            *bytes++ = ':';
    }
    bytes = append(bytes, users_preload);
    *bytes = '\0';
    *out = NULL;
    return pointers;
}
