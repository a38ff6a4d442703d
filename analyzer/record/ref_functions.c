/* ref_functions.c - see ref_functions.h; preload/refs/pairs.c reads what was found to be right here. */
#include "record/ref_functions.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "internal/session.h"

#define FORM "ref=NAME,unref=NAME[,arg=N]"

struct word {
    const char *text;
    size_t length;
};

struct pair {
    struct word ref, unref, arg;
};

/* A symbol as compilers make them, mangled ones too. */
static bool is_symbol(struct word word)
{
    for (size_t i = 0; i < word.length; i++) {
        unsigned char c = (unsigned char)word.text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '.';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return word.length > 0;
}

static bool same(struct word left, struct word right)
{
    return left.length == right.length && memcmp(left.text, right.text, left.length) == 0;
}

static bool split(const char *text, struct pair *pair)
{
    *pair = (struct pair){0};
    for (;;) {
        struct word word = {text, strcspn(text, ",")};
        static const char *const keys[] = {"ref=", "unref=", "arg="};
        struct word *const values[] = {&pair->ref, &pair->unref, &pair->arg};
        size_t i = 0;
        while (i < HS_COUNT_OF(keys) && strncmp(word.text, keys[i], strlen(keys[i])) != 0)
            i++;
        if (i == HS_COUNT_OF(keys) || values[i]->text)
            return false;
        *values[i] = (struct word){word.text + strlen(keys[i]), word.length - strlen(keys[i])};
        text += word.length;
        if (!*text)
            return pair->ref.text && pair->unref.text;
        text++;
    }
}

int ref_functions_check(const struct option_strings *pairs, struct error *error)
{
    struct pair all[HS_MOST_PAIRS];
    size_t bytes = 1;
    if (pairs->count > HS_MOST_PAIRS)
        return error_set(error, -EINVAL, "--ref-functions: at most %d pairs", HS_MOST_PAIRS);
    for (int i = 0; i < pairs->count; i++) {
        const char *text = pairs->values[i];
        struct pair pair;
        if (!split(text, &pair))
            return error_set(error, -EINVAL, "--ref-functions %s: must be " FORM, text);
        if (!is_symbol(pair.ref) || !is_symbol(pair.unref))
            return error_set(error, -EINVAL, "--ref-functions %s: NAME must be the symbol of a function", text);
        if (pair.arg.text && (pair.arg.length != 1 || *pair.arg.text < '1' || *pair.arg.text > '6'))
            return error_set(error, -EINVAL, "--ref-functions %s: arg must be from 1 to 6", text);
        bool twice = same(pair.ref, pair.unref);
        for (int j = 0; j < i && !twice; j++)
            twice = same(all[j].ref, pair.ref) || same(all[j].ref, pair.unref) || same(all[j].unref, pair.ref) ||
                    same(all[j].unref, pair.unref);
        if (twice)
            return error_set(error, -EINVAL, "--ref-functions %s: names a function twice", text);
        all[i] = pair;
        bytes += strlen(text) + 1;
    }
    if (bytes > HS_REF_FUNCTIONS_BYTES)
        return error_set(error, -EINVAL, "--ref-functions: more than %u characters in all", HS_REF_FUNCTIONS_BYTES);
    return 0;
}
