/*
 * watch_spec.h - what `--watch SPEC` says, read by both sides: the analyzer refuses what is wrong, the library
 * follows what is right (hs_session.watch holds one SPEC a line).
 *
 * Terms, separated by commas; all of them must hold:
 *
 *   type:NAME          objects of a type: "Item", "Outer.Item", "app.models.Item"
 *   site:FILE:LINE     born on that line; FILE is the end of a path, from a '/' on: "views.py", "app/views.py"
 *   site:FUNCTION      born in a function: "make_item", "Shop.make_item"
 *   symbol:NAME        a global variable of the program or of a library; size:N: its bytes, where the symbol's are not
 *                      told
 *   every:N            one of each N of the births that match. every:1: each, as far as there are watchpoints, whatever it
 *                      costs
 *   leak:TRACE#N       what the Nth leak of a trace consists of: the command puts type: and site: in its place
 *   addr:ADDRESS       an object of a process that is attached to; with size:N: a counter of so many bytes
 *
 * No allocation, no locale, nothing of libc but memcmp and memchr. Texts point into the SPEC and are not terminated.
 */
#ifndef HEAPSAKE_INTERNAL_WATCH_SPEC_H
#define HEAPSAKE_INTERNAL_WATCH_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HS_WATCH_REQUESTS 16u /* SPECs at most */

struct hs_watch_text {
    const char *bytes; /* NULL: not given */
    size_t length;
};

struct hs_watch_spec {
    struct hs_watch_text type;
    struct hs_watch_text function; /* site:FUNCTION  */
    struct hs_watch_text file;     /* site:FILE:LINE */
    struct hs_watch_text symbol;
    struct hs_watch_text trace; /* leak:TRACE#N   */
    uint64_t line;
    uint64_t size;  /* 0: not given */
    uint64_t every; /* 0: not given */
    uint64_t leak;  /* from 1       */
    uint64_t address;
};

static inline struct hs_watch_text hs_watch_text_from(const char *bytes, const char *end)
{
    return (struct hs_watch_text){bytes, (size_t)(end - bytes)};
}

/* A decimal number that is all of the text, from 1 on; 0: it is none. */
static inline uint64_t hs_watch_number(struct hs_watch_text text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned char)text.bytes[i] - (unsigned)'0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    return number;
}

static inline uint64_t hs_watch_address(struct hs_watch_text text)
{
    uint64_t address = 0;
    if (text.length < 3 || text.length > 18 || text.bytes[0] != '0' || (text.bytes[1] | 32) != 'x')
        return 0;
    for (size_t i = 2; i < text.length; i++) {
        unsigned c = (unsigned char)text.bytes[i], letter = c | 32;
        unsigned digit = c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : 16;
        if (digit > 15)
            return 0;
        address = address << 4 | digit;
    }
    return address;
}

static inline bool hs_watch_starts(struct hs_watch_text text, const char *word, struct hs_watch_text *rest)
{
    size_t length = strlen(word);
    if (text.length < length || memcmp(text.bytes, word, length) != 0)
        return false;
    *rest = (struct hs_watch_text){text.bytes + length, text.length - length};
    return true;
}

/* "views.py:12", or the name of a function, which no number ends. False: it is neither. */
static inline bool hs_watch_take_site(struct hs_watch_spec *spec, struct hs_watch_text text)
{
    size_t digits = text.length;
    while (digits > 0 && text.bytes[digits - 1] >= '0' && text.bytes[digits - 1] <= '9')
        digits--;
    bool numbered = digits < text.length && digits > 0 && text.bytes[digits - 1] == ':';
    if (numbered) {
        spec->file = (struct hs_watch_text){text.bytes, digits - 1};
        spec->line = hs_watch_number((struct hs_watch_text){text.bytes + digits, text.length - digits});
    } else {
        spec->function = text;
    }
    return text.length && text.bytes[0] != ':' && (!numbered || spec->line);
}

/* NULL, or what is wrong with this term. */
static inline const char *hs_watch_take_term(struct hs_watch_spec *spec, struct hs_watch_text term)
{
    static const char twice[] = "a term is given twice: each --watch says one thing";
    struct hs_watch_text rest;
    if (hs_watch_starts(term, "type:", &rest)) {
        if (spec->type.bytes)
            return twice;
        spec->type = rest;
        return rest.length ? NULL : "type: needs the name of a type";
    }
    if (hs_watch_starts(term, "site:", &rest)) {
        if (spec->file.bytes || spec->function.bytes)
            return twice;
        return hs_watch_take_site(spec, rest) ? NULL : "site: needs FILE:LINE or the name of a function";
    }
    if (hs_watch_starts(term, "symbol:", &rest)) {
        if (spec->symbol.bytes)
            return twice;
        spec->symbol = rest;
        return rest.length ? NULL : "symbol: needs the name of a variable";
    }
    if (hs_watch_starts(term, "size:", &rest)) {
        if (spec->size)
            return twice;
        spec->size = hs_watch_number(rest);
        bool right = spec->size == 1 || spec->size == 2 || spec->size == 4 || spec->size == 8;
        return right ? NULL : "size: is 1, 2, 4 or 8";
    }
    if (hs_watch_starts(term, "every:", &rest)) {
        if (spec->every)
            return twice;
        spec->every = hs_watch_number(rest);
        return spec->every ? NULL : "every: needs a number from 1 on";
    }
    if (hs_watch_starts(term, "addr:", &rest)) {
        if (spec->address)
            return twice;
        spec->address = hs_watch_address(rest);
        return spec->address ? NULL : "addr: needs an address such as 0x7f0012345678";
    }
    return "a term is none of type:NAME, site:FILE:LINE, site:FUNCTION and every:N, leak:TRACE#N, symbol:NAME, "
           "addr:0xADDRESS and size:N";
}

/* leak:TRACE#N[,every:N]: the trace's name may hold commas. NULL, or what is wrong. */
static inline const char *hs_watch_take_leak(struct hs_watch_spec *spec, struct hs_watch_text text)
{
    static const char wrong[] = "leak: needs TRACE#N, the number of a leak that `heapsake leaks TRACE` lists";
    size_t mark = text.length;
    while (mark > 0 && text.bytes[mark - 1] != '#')
        mark--;
    if (mark < 2)
        return wrong;
    spec->trace = (struct hs_watch_text){text.bytes, mark - 1};
    struct hs_watch_text rest = {text.bytes + mark, text.length - mark};
    const char *comma = memchr(rest.bytes, ',', rest.length);
    size_t digits = comma ? (size_t)(comma - rest.bytes) : rest.length;
    spec->leak = hs_watch_number((struct hs_watch_text){rest.bytes, digits});
    if (!spec->leak)
        return wrong;
    if (!comma)
        return NULL;
    struct hs_watch_text term = hs_watch_text_from(comma + 1, rest.bytes + rest.length), number;
    return hs_watch_starts(term, "every:", &number) ? hs_watch_take_term(spec, term) : "leak: goes with ,every:N alone";
}

/* Reads one SPEC. NULL, or what is wrong with it, as a part of a sentence. */
static inline const char *hs_watch_parse(struct hs_watch_spec *spec, const char *bytes, size_t length)
{
    struct hs_watch_text all = {bytes, length}, rest;
    *spec = (struct hs_watch_spec){0};
    if (hs_watch_starts(all, "leak:", &rest))
        return hs_watch_take_leak(spec, rest);
    for (const char *at = bytes, *end = bytes + length;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *wrong = hs_watch_take_term(spec, hs_watch_text_from(at, comma ? comma : end));
        if (wrong)
            return wrong;
        if (!comma)
            break;
        at = comma + 1;
    }
    bool objects = spec->type.bytes || spec->function.bytes || spec->file.bytes;
    if (objects + (spec->symbol.bytes != NULL) + (spec->address != 0) != 1)
        return objects || spec->symbol.bytes || spec->address
                   ? "symbol: and addr: stand alone, without type: or site:"
                   : "it does not say what to watch: type:, site:, leak:, symbol: or addr:";
    if (spec->size && objects)
        return "size: goes with symbol: or addr:";
    if (spec->size && spec->address % spec->size != 0)
        return "a counter of N bytes lies at a multiple of N";
    if (spec->every && !objects)
        return "every: goes with type: or site:";
    return NULL;
}

/* ---- does it match? ---- */

static inline bool hs_watch_is(struct hs_watch_text text, struct hs_watch_text name)
{
    return text.length == name.length && memcmp(text.bytes, name.bytes, name.length) == 0;
}

/* Is `part` the end of `whole`, from a `separator` or its beginning on? */
static inline bool hs_watch_ends(struct hs_watch_text whole, struct hs_watch_text part, char separator)
{
    if (part.length > whole.length)
        return false;
    size_t before = whole.length - part.length;
    return memcmp(whole.bytes + before, part.bytes, part.length) == 0 &&
           (before == 0 || whole.bytes[before - 1] == separator || part.bytes[0] == separator);
}

/* `module` is empty for builtins. True without type: */
static inline bool hs_watch_type_matches(const struct hs_watch_spec *spec, struct hs_watch_text module,
                                         struct hs_watch_text name)
{
    struct hs_watch_text wanted = spec->type;
    if (!wanted.bytes || hs_watch_is(name, wanted))
        return true;
    if (wanted.length == module.length + 1 + name.length && wanted.bytes[module.length] == '.')
        return memcmp(wanted.bytes, module.bytes, module.length) == 0 &&
               memcmp(wanted.bytes + module.length + 1, name.bytes, name.length) == 0;
    static const char builtins[] = "builtins.";
    size_t prefix = sizeof builtins - 1;
    return module.length == 0 && wanted.length == prefix + name.length && memcmp(wanted.bytes, builtins, prefix) == 0 &&
           memcmp(wanted.bytes + prefix, name.bytes, name.length) == 0;
}

/* A line of Python and the qualified name of its function. True without site: */
static inline bool hs_watch_site_matches(const struct hs_watch_spec *spec, struct hs_watch_text file, uint64_t line,
                                         struct hs_watch_text function)
{
    if (spec->file.bytes)
        return spec->line == line && hs_watch_ends(file, spec->file, '/');
    return !spec->function.bytes || hs_watch_ends(function, spec->function, '.');
}

#endif
