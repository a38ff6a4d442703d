/* watch_line.c - see watch_line.h */
#include "report/watch_line.h"

#include <inttypes.h>
#include <string.h>

/* Between single quotes, in which only a single quote is special. */
static void append_word(struct buf *line, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,";
    size_t length = strlen(word);
    if (length > 0 && strspn(word, plain) == length) {
        buf_append(line, word, length);
        return;
    }
    buf_append_byte(line, '\'');
    for (size_t i = 0; i < length; i++) {
        if (word[i] == '\'')
            buf_append(line, "'\\'", 3);
        buf_append_byte(line, (uint8_t)word[i]);
    }
    buf_append_byte(line, '\'');
}

/* app.hsk: app.watch.hsk */
static void append_output(struct buf *line, const char *path)
{
    struct buf name = BUF_INIT;
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".hsk") == 0)
        length -= 4;
    buf_append(&name, path, length);
    buf_append(&name, ".watch.hsk", sizeof ".watch.hsk");
    if (!name.failed)
        append_word(line, (const char *)name.data);
    line->failed |= name.failed;
    buf_free(&name);
}

static void append_program(struct buf *line, const struct trace_info *info)
{
    buf_printf(line, " --");
    for (size_t i = 0; i < info->arguments.count; i++) {
        buf_append_byte(line, ' ');
        append_word(line, info->arguments.texts[i]);
    }
}

/* Where it was left it runs on, and grows on. */
static bool was_left(const struct trace_info *info)
{
    return trace_info_attached(info) && info->ended_by && strcmp(info->ended_by, "detach") == 0 && info->pid > 0;
}

/* As long as the recording that has shown the leak; rounded up to seconds. */
static uint64_t seconds_of(const struct trace_info *info)
{
    return (info->duration_ns + UINT64_C(999999999)) / UINT64_C(1000000000);
}

void watch_line(struct buf *line, const char *path, unsigned number, const struct trace_info *info)
{
    struct buf spec = BUF_INIT;
    if (!was_left(info) && info->arguments.count == 0)
        return;
    buf_printf(&spec, "leak:%s#%u", path, number);
    buf_append_byte(&spec, '\0');
    buf_printf(line, "heapsake %s --watch ", was_left(info) ? "attach" : "run");
    if (!spec.failed)
        append_word(line, (const char *)spec.data);
    line->failed |= spec.failed;
    buf_free(&spec);
    if (was_left(info))
        buf_printf(line, " --duration %" PRIu64, seconds_of(info));
    buf_printf(line, " -o ");
    append_output(line, path);
    if (was_left(info))
        buf_printf(line, " %" PRId64, info->pid);
    else
        append_program(line, info);
}
