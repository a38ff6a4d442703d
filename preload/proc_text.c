/* proc_text.c - see proc_text.h */
#include "proc_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys.h"

long proc_read(const char *path, char *text, size_t size)
{
    long fd = sys_call6(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0, 0, 0);
    if (fd < 0)
        return fd;
    size_t length = 0;
    long got = 0;
    while (length < size - 1) {
        got = sys_call(SYS_read, fd, text + length, size - 1 - length);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    sys_close((int)fd);
    text[length] = '\0';
    return got < 0 ? got : (long)length;
}

bool proc_number(const char *text, unsigned base, uint64_t *number, const char **end)
{
    while (*text == ' ' || *text == '\t')
        text++;
    if (base == 16 && text[0] == '0' && text[1] == 'x')
        text += 2;
    const char *begin = text;
    uint64_t value = 0;
    for (;; text++) {
        unsigned digit = *text >= '0' && *text <= '9'   ? (unsigned)(*text - '0')
                         : *text >= 'a' && *text <= 'f' ? (unsigned)(*text - 'a') + 10
                                                        : 99;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    *number = value;
    if (end)
        *end = text;
    return text > begin;
}

bool proc_find_number(const char *text, const char *key, uint64_t *number)
{
    size_t length = strlen(key);
    for (; text; text = strchr(text, '\n')) {
        if (*text == '\n')
            text++;
        if (!strncmp(text, key, length))
            return proc_number(text + length, 10, number, NULL);
    }
    return false;
}

char *text_append(char *out, char *limit, const char *text)
{
    while (*text && out < limit)
        *out++ = *text++;
    *out = '\0';
    return out;
}

char *text_append_number(char *out, char *limit, uint64_t number)
{
    char digits[24];
    char *at = digits + sizeof digits;
    *--at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return text_append(out, limit, at);
}
