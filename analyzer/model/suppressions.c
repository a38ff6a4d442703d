/* suppressions.c - see suppressions.h */
#include "model/suppressions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/grow.h"
#include "symbols/demangle.h"

#define FILE_MAX_BYTES ((size_t)16 << 20)
#define FRAMES_MAX 64 /* patterns of one Valgrind suppression; its own limit is 24 */

enum pattern_kind { PATTERN_CAUSE, PATTERN_TYPE, PATTERN_FUNCTION, PATTERN_FILE, PATTERN_MODULE, PATTERN_ELLIPSIS };

struct pattern {
    enum pattern_kind kind;
    char *glob;
};

struct suppression {
    enum suppression_format format;
    char *name;
    unsigned kinds; /* enum suppression_kind, of Valgrind's */
    struct pattern *patterns;
    size_t pattern_count;
    uint64_t matches, bytes;
};

struct parser {
    struct suppressions *suppressions;
    const char *name;
    unsigned line_number;
    struct suppression *open; /* the one that is being read */
    unsigned stage;           /* Valgrind: 0 outside, 1 name, 2 kind, 3 frames, 4 frames of one that is none of ours */
    struct error *error;
};

static int wrong(struct parser *parser, const char *what)
{
    return error_set(parser->error, -EINVAL, "%s:%u: %s", parser->name, parser->line_number, what);
}

static int no_memory(struct parser *parser)
{
    return error_set(parser->error, -ENOMEM, "%s: out of memory", parser->name);
}

static int begin(struct parser *parser, enum suppression_format format, const char *name)
{
    struct suppressions *s = parser->suppressions;
    if (!grow((void **)&s->list, s->count, &s->capacity, sizeof *s->list))
        return no_memory(parser);
    char *copy = strdup(name);
    if (!copy)
        return no_memory(parser);
    parser->open = &s->list[s->count++];
    *parser->open = (struct suppression){.format = format, .name = copy, .kinds = SUPPRESSION_ALL_KINDS};
    return 0;
}

static int add_pattern(struct parser *parser, enum pattern_kind kind, const char *glob)
{
    struct suppression *open = parser->open;
    if (open->pattern_count == FRAMES_MAX)
        return wrong(parser, "too many lines in one suppression");
    struct pattern *grown = reallocarray(open->patterns, open->pattern_count + 1, sizeof *grown);
    if (!grown)
        return no_memory(parser);
    open->patterns = grown;
    /* ours are names as people read them; Valgrind's are as the linker knows them */
    char *copy = kind == PATTERN_FUNCTION && open->format == SUPPRESSION_VALGRIND && !strpbrk(glob, "*?")
                     ? demangle(glob)
                     : NULL;
    if (!copy)
        copy = strdup(glob);
    if (!copy)
        return no_memory(parser);
    open->patterns[open->pattern_count++] = (struct pattern){.kind = kind, .glob = copy};
    return 0;
}

/* --- our own format --- */

static int read_ours(struct parser *parser, char *line)
{
    static const char *const keys[] = {
        [PATTERN_CAUSE] = "cause", [PATTERN_TYPE] = "type",     [PATTERN_FUNCTION] = "function",
        [PATTERN_FILE] = "file",   [PATTERN_MODULE] = "module",
    };
    size_t length = strlen(line);
    if (line[0] == '[') {
        if (parser->open && parser->open->pattern_count == 0)
            return wrong(parser, "the suppression before this one has no lines: it would match everything");
        if (line[length - 1] != ']' || length < 3)
            return wrong(parser, "a suppression begins with [its name]");
        line[length - 1] = '\0';
        return begin(parser, SUPPRESSION_OURS, line + 1);
    }
    char *equals = strchr(line, '=');
    if (!parser->open || !equals)
        return wrong(parser, "expected [name] or key = pattern");
    char *end = equals;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    const char *value = equals + 1 + strspn(equals + 1, " \t");
    if (value[0] == '\0')
        return wrong(parser, "a key without a pattern");
    for (size_t i = 0; i < HS_COUNT_OF(keys); i++)
        if (strcmp(line, keys[i]) == 0)
            return add_pattern(parser, (enum pattern_kind)i, value);
    return wrong(parser, "keys are cause, type, function, file and module");
}

/* --- Valgrind's --- */

static int read_kinds(struct parser *parser, char *list)
{
    static const struct {
        const char *name;
        unsigned kind;
    } names[] = {
        {"definite", SUPPRESSION_DEFINITE},   {"indirect", SUPPRESSION_INDIRECT}, {"possible", SUPPRESSION_POSSIBLE},
        {"reachable", SUPPRESSION_REACHABLE}, {"all", SUPPRESSION_ALL_KINDS},     {"none", 0},
    };
    parser->open->kinds = 0;
    char *rest = NULL;
    for (char *word = strtok_r(list, ", \t", &rest); word; word = strtok_r(NULL, ", \t", &rest)) {
        size_t i = 0;
        while (i < HS_COUNT_OF(names) && strcmp(word, names[i].name) != 0)
            i++;
        if (i == HS_COUNT_OF(names))
            return wrong(parser, "leak kinds are definite, indirect, possible, reachable, all and none");
        parser->open->kinds |= names[i].kind;
    }
    return 0;
}

/* A suppression of another tool, or of something that is no leak: forget it, skip its lines. */
static void drop_open(struct parser *parser)
{
    free(parser->open->name);
    parser->suppressions->count--;
    parser->open = NULL;
    parser->stage = 4;
}

static int read_valgrind_frame(struct parser *parser, char *line)
{
    if (strcmp(line, "...") == 0)
        return add_pattern(parser, PATTERN_ELLIPSIS, "");
    if (strncmp(line, "match-leak-kinds:", 17) == 0)
        return read_kinds(parser, line + 17);
    if (strncmp(line, "fun:", 4) == 0)
        return add_pattern(parser, PATTERN_FUNCTION, line + 4);
    if (strncmp(line, "obj:", 4) == 0)
        return add_pattern(parser, PATTERN_MODULE, line + 4);
    if (strncmp(line, "src:", 4) == 0) {
        char *colon = strrchr(line + 4, ':'); /* the line moves with every change: the file has to do */
        if (colon)
            *colon = '\0';
        return add_pattern(parser, PATTERN_FILE, line + 4);
    }
    return wrong(parser, "frames are fun:, obj:, src: and ...");
}

static int read_valgrind(struct parser *parser, char *line)
{
    if (parser->stage == 0) {
        if (strcmp(line, "{") != 0)
            return wrong(parser, "a suppression begins with {");
        parser->stage = 1;
        return 0;
    }
    if (strcmp(line, "}") == 0) {
        if (parser->stage < 3)
            return wrong(parser, "a suppression needs a name and a kind");
        if (parser->stage == 3 && parser->open->pattern_count == 0)
            return wrong(parser, "a suppression without frames would match everything");
        parser->stage = 0;
        parser->open = NULL;
        return 0;
    }
    if (parser->stage == 1) {
        parser->stage = 2;
        return begin(parser, SUPPRESSION_VALGRIND, line);
    }
    if (parser->stage == 2) {
        const char *kind = strrchr(line, ':');
        if (!kind)
            return wrong(parser, "the second line is a kind, as Memcheck:Leak");
        parser->stage = 3;
        if (strcmp(kind, ":Leak") != 0 || !memmem(line, (size_t)(kind - line), "Memcheck", 8))
            drop_open(parser);
        return 0;
    }
    return parser->stage == 4 ? 0 : read_valgrind_frame(parser, line);
}

/* --- LSan's --- */

/* A part of a name: so "*x*" as a glob, unless ^ or $ tie it to the ends. */
static int read_lsan(struct parser *parser, const char *line)
{
    if (strncmp(line, "leak:", 5) != 0)
        return wrong(parser, "expected leak:PATTERN");
    const char *pattern = line + 5;
    if (pattern[0] == '\0')
        return wrong(parser, "a pattern that matches everything");
    int code = begin(parser, SUPPRESSION_LSAN, pattern);
    struct buf glob = BUF_INIT;
    size_t length = strlen(pattern);
    bool start = pattern[0] == '^', end = length > 1 && pattern[length - 1] == '$';
    buf_printf(&glob, "%s%.*s%s", start ? "" : "*", (int)(length - start - end), pattern + start, end ? "" : "*");
    buf_append_byte(&glob, 0);
    if (code == 0)
        code = glob.failed ? no_memory(parser) : add_pattern(parser, PATTERN_FUNCTION, (const char *)glob.data);
    buf_free(&glob);
    return code;
}

/* --- files --- */

/* Without blanks around it; a comment is an empty line. */
static char *trim(char *line)
{
    line += strspn(line, " \t");
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r", line[length - 1]))
        line[--length] = '\0';
    return line[0] == '#' ? line + length : line;
}

static int detect(struct parser *parser, const char *line, enum suppression_format *format)
{
    if (line[0] == '{')
        *format = SUPPRESSION_VALGRIND;
    else if (strncmp(line, "leak:", 5) == 0)
        *format = SUPPRESSION_LSAN;
    else if (line[0] == '[')
        *format = SUPPRESSION_OURS;
    else
        return wrong(parser, "not a file of suppressions: expected [name], { or leak:PATTERN");
    return 0;
}

static int parse_lines(struct parser *parser, char *text)
{
    enum suppression_format format = SUPPRESSION_OURS;
    bool known = false;
    int code = 0;
    for (char *line = text, *next; line && code == 0; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        else if (line[0] == '\0')
            break; /* behind the last newline */
        parser->line_number++;
        line = trim(line);
        if (line[0] == '\0')
            continue;
        if (!known && (code = detect(parser, line, &format)) != 0)
            return code;
        known = true;
        code = format == SUPPRESSION_OURS       ? read_ours(parser, line)
               : format == SUPPRESSION_VALGRIND ? read_valgrind(parser, line)
                                                : read_lsan(parser, line);
    }
    if (code == 0 && format == SUPPRESSION_VALGRIND && parser->stage != 0)
        return wrong(parser, "the last suppression has no }");
    if (code == 0 && format == SUPPRESSION_OURS && parser->open && parser->open->pattern_count == 0)
        return wrong(parser, "the last suppression has no lines: it would match everything");
    return code;
}

static void free_from(struct suppressions *s, size_t first)
{
    for (size_t i = first; i < s->count; i++) {
        for (size_t k = 0; k < s->list[i].pattern_count; k++)
            free(s->list[i].patterns[k].glob);
        free(s->list[i].patterns);
        free(s->list[i].name);
    }
    s->count = first;
}

int suppressions_parse(struct suppressions *s, const char *text, size_t length, const char *name, struct error *error)
{
    struct parser parser = {.suppressions = s, .name = name, .error = error};
    if (memchr(text, 0, length))
        return error_set(error, -EINVAL, "%s: not a text file", name);
    char *copy = strndup(text, length);
    if (!copy)
        return no_memory(&parser);
    size_t before = s->count;
    int code = parse_lines(&parser, copy);
    if (code != 0)
        free_from(s, before);
    free(copy);
    return code;
}

int suppressions_load(struct suppressions *s, const char *path, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, -errno, "%s: %s", path, strerror(errno));
    struct buf text = {.ceiling = FILE_MAX_BYTES};
    char part[16384];
    size_t got;
    while (!text.failed && (got = fread(part, 1, sizeof part, file)) > 0)
        buf_append(&text, part, got);
    int code = ferror(file)  ? error_set(error, -EIO, "%s: cannot be read", path)
               : text.failed ? error_set(error, -EFBIG, "%s: larger than %zu MiB: not a file of suppressions", path,
                                         FILE_MAX_BYTES >> 20)
                             : 0;
    fclose(file);
    if (code == 0)
        code = suppressions_parse(s, text.data ? (const char *)text.data : "", text.length, path, error);
    buf_free(&text);
    return code;
}

void suppressions_free(struct suppressions *s)
{
    free_from(s, 0);
    free(s->list);
    *s = SUPPRESSIONS_INIT;
}

/* --- matching --- */

bool suppressions_glob(const char *pattern, const char *text, size_t length)
{
    const char *star = NULL;
    size_t at = 0, star_at = 0;
    while (at < length) {
        if (*pattern == '*') {
            star = pattern++;
            star_at = at;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == text[at])) {
            pattern++;
            at++;
        } else if (star) { /* the last star takes one byte more */
            pattern = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool glob_text(const char *pattern, struct text text)
{
    return text.bytes && suppressions_glob(pattern, text.bytes, text.length);
}

static bool match_frame(const struct pattern *pattern, const struct frame *frame)
{
    switch (pattern->kind) {
    case PATTERN_FUNCTION:
        return glob_text(pattern->glob, frame->function);
    case PATTERN_FILE:
        return glob_text(pattern->glob, frame->file);
    case PATTERN_MODULE:
        return glob_text(pattern->glob, frame->module);
    default:
        return false;
    }
}

static bool match_ours(const struct suppression *s, const struct suppression_subject *subject)
{
    bool frames = false;
    for (size_t i = 0; i < s->pattern_count; i++) {
        const char *value = s->patterns[i].kind == PATTERN_CAUSE ? subject->cause : subject->type;
        if (s->patterns[i].kind > PATTERN_TYPE)
            frames = true;
        else if (!value || !suppressions_glob(s->patterns[i].glob, value, strlen(value)))
            return false;
    }
    for (size_t f = 0; frames && f < subject->frame_count; f++) {
        size_t i = 0;
        while (i < s->pattern_count &&
               (s->patterns[i].kind <= PATTERN_TYPE || match_frame(&s->patterns[i], &subject->frames[f])))
            i++;
        if (i == s->pattern_count)
            return true;
    }
    return !frames;
}

/* Valgrind's stacks begin with the allocator itself, ours with its caller. */
static bool is_allocator(const struct pattern *pattern)
{
    static const char *const names[] = {
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "memalign",
        "posix_memalign",
        "valloc",
        "aligned_alloc",
        "_Znwm",
        "_Znam",
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "strdup",
        "strndup",
        "mmap",
        "operator new(unsigned long)",
        "operator new[](unsigned long)",
    };
    for (size_t i = 0; pattern->kind == PATTERN_FUNCTION && i < HS_COUNT_OF(names); i++)
        if (suppressions_glob(pattern->glob, names[i], strlen(names[i])))
            return true;
    return false;
}

/* The patterns describe the innermost frames; what is further out does not matter. "..." is what * is in a glob. */
static bool match_frames(const struct pattern *patterns, size_t count, const struct suppression_subject *subject)
{
    size_t p = 0, f = 0, ellipsis = SIZE_MAX, ellipsis_frame = 0;
    for (;;) {
        if (p == count)
            return true;
        if (patterns[p].kind == PATTERN_ELLIPSIS) {
            ellipsis = p++;
            ellipsis_frame = f;
        } else if (f < subject->frame_count && match_frame(&patterns[p], &subject->frames[f])) {
            p++;
            f++;
        } else if (ellipsis != SIZE_MAX && ellipsis_frame < subject->frame_count) {
            p = ellipsis + 1;
            f = ++ellipsis_frame;
        } else {
            return false;
        }
    }
}

static bool match_valgrind(const struct suppression *s, const struct suppression_subject *subject)
{
    if (!(s->kinds & subject->kind))
        return false;
    if (match_frames(s->patterns, s->pattern_count, subject))
        return true;
    return is_allocator(&s->patterns[0]) && match_frames(s->patterns + 1, s->pattern_count - 1, subject);
}

static bool match_lsan(const struct suppression *s, const struct suppression_subject *subject)
{
    const char *glob = s->patterns[0].glob;
    for (size_t f = 0; f < subject->frame_count; f++) {
        const struct frame *frame = &subject->frames[f];
        if (glob_text(glob, frame->function) || glob_text(glob, frame->file) || glob_text(glob, frame->module))
            return true;
    }
    return false;
}

static bool match_one(const struct suppression *s, const struct suppression_subject *subject)
{
    if (s->format == SUPPRESSION_OURS)
        return match_ours(s, subject);
    if (subject->cause && strcmp(subject->cause, "lost") != 0)
        return false;
    return s->format == SUPPRESSION_VALGRIND ? match_valgrind(s, subject) : match_lsan(s, subject);
}

bool suppressions_match(struct suppressions *s, const struct suppression_subject *subject, uint64_t bytes)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!match_one(&s->list[i], subject))
            continue;
        s->list[i].matches++;
        s->list[i].bytes += bytes;
        return true;
    }
    return false;
}

struct suppression_use suppressions_use(const struct suppressions *s, size_t index)
{
    const struct suppression *one = &s->list[index];
    return (struct suppression_use){.name = one->name, .matches = one->matches, .bytes = one->bytes};
}
