/* program_name.c - see program_name.h */
#include "model/program_name.h"

#include <string.h>

#include "base/base_name.h"

static void append(struct buf *name, const char *text)
{
    buf_append(name, text, strlen(text));
}

/*
 * The word of the command line that says what an interpreter runs, as CPython reads it: options may be joined ("-bm"),
 * -c, -m, -W and -X take the rest of their word, or the next one.
 */
static void append_script(struct buf *name, const struct text_list *arguments)
{
    for (size_t i = 1; i < arguments->count; i++) {
        const char *word = arguments->texts[i];
        if (word[0] != '-' || word[1] == '\0') {
            append(name, base_name(word));
            return;
        }
        if (word[1] == '-') {
            i += strcmp(word, "--check-hash-based-pycs") == 0;
            continue;
        }
        size_t taker = strcspn(word + 1, "cmWX") + 1;
        if (word[taker] == '\0')
            continue;
        const char *value = word[taker + 1] ? word + taker + 1 : i + 1 < arguments->count ? arguments->texts[++i] : "";
        if (word[taker] == 'c' || word[taker] == 'm') {
            append(name, word[taker] == 'c' ? "-c " : "-m ");
            append(name, value);
            return;
        }
    }
    append(name, "python");
}

void program_name(struct buf *name, const struct trace_info *info)
{
    const char *file = info->executable            ? base_name(info->executable)
                       : info->arguments.count > 0 ? base_name(info->arguments.texts[0])
                                                   : "?";
    /* not where Python is embedded in another program */
    if (info->python_version && strncmp(file, "python", 6) == 0)
        append_script(name, &info->arguments);
    else
        append(name, file);
}
