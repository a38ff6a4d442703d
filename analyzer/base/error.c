/* error.c - see error.h */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int error_set(struct error *error, int code, const char *format, ...)
{
    if (error && error->text[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return code;
}

/* One write, so that lines of several processes do not mix. */
static void print_line(const char *text)
{
    char line[4 * sizeof(((struct error *)0)->text) + 32] = "heapsake: ";
    size_t length = strlen(line);
    for (const unsigned char *c = (const unsigned char *)text; *c && length + 6 < sizeof line; c++) {
        if (*c >= 0x20 && *c != 0x7f)
            line[length++] = (char)*c;
        else
            length += (size_t)snprintf(line + length, 5, "\\x%02x", *c);
    }
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; /* nowhere left to say it */
}

void error_print(const struct error *error)
{
    print_line(error->text);
}

void message_print(const char *format, ...)
{
    char text[sizeof(((struct error *)0)->text)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_line(text);
}
