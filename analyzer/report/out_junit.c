/* out_junit.c - a verdict as JUnit's XML, which CI systems show as tests; see out_check.h */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "report/out_check.h"
#include "report/out_text.h"

/*
 * XML 1.0 knows no control characters but tab, CR and LF, and not U+FFFE and U+FFFF, not even escaped: they are shown
 * as \xNN, as is what is no UTF-8. In attributes line ends are escaped, which a parser would turn into blanks.
 */
static void put_xml(FILE *to, const char *bytes, size_t length, bool attribute)
{
    for (size_t at = 0; at < length;) {
        size_t step = utf8_length(bytes + at, length - at);
        char c = bytes[at];
        bool none = step == 3 && memcmp(bytes + at, "\xef\xbf", 2) == 0 && (unsigned char)bytes[at + 2] >= 0xbe;
        if (step == 0 || none || (utf8_is_control(bytes + at, step) && c != '\n' && c != '\t')) {
            fprintf(to, "\\x%02x", (unsigned char)c);
            at++;
            continue;
        }
        if (c == '&')
            fputs("&amp;", to);
        else if (c == '<')
            fputs("&lt;", to);
        else if (c == '>')
            fputs("&gt;", to);
        else if (c == '"')
            fputs("&quot;", to);
        else if (attribute && (c == '\n' || c == '\t'))
            fprintf(to, "&#%d;", c);
        else
            fwrite(bytes + at, 1, step, to);
        at += step;
    }
}

static void put_attribute(FILE *to, const char *name, const char *bytes, size_t length)
{
    fprintf(to, " %s=\"", name);
    put_xml(to, bytes, length, true);
    fputc('"', to);
}

static void put_failure(const struct verdict *verdict, const struct violation *violation, FILE *to)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    fprintf(to, "      <failure type=\"%s\"", limit_rule_names[violation->limit->rule]);
    put_attribute(to, "message", (const char *)violation->message.data, violation->message.length);
    fputc('>', to);
    if (memory) {
        out_check_details(verdict, violation, memory);
        if (fclose(memory) == 0)
            put_xml(to, text, length, false);
        free(text);
    }
    fputs("</failure>\n", to);
}

/* One for each limit; JUnit knows one failure a test case, so that a limit that is violated twice is two of them. */
static void put_cases(const struct verdict *verdict, const struct limit *limit, FILE *to)
{
    char *name = NULL;
    size_t length = 0, number = 0;
    FILE *memory = open_memstream(&name, &length);
    if (!memory)
        return;
    out_check_limit(limit, memory);
    if (fclose(memory) != 0)
        return;
    for (size_t i = 0; i <= verdict->count; i++) {
        const struct violation *violation = i < verdict->count ? &verdict->list[i] : NULL;
        if (violation ? violation->limit != limit : number > 0)
            continue;
        fputs("    <testcase classname=\"heapsake\"", to);
        fputs(" name=\"", to);
        put_xml(to, name, length, true);
        if (++number > 1)
            fprintf(to, " (%zu)", number);
        fputs(violation ? "\">\n" : "\"/>\n", to);
        if (violation) {
            put_failure(verdict, violation, to);
            fputs("    </testcase>\n", to);
        }
    }
    free(name);
}

void out_check_junit(const struct verdict *verdict, const char *trace, FILE *to)
{
    static const char failed[] = "could not be checked: see what heapsake check said";
    size_t tests = verdict ? verdict->count : 1, failures = verdict ? verdict->count : 0;
    for (size_t i = 0; verdict && i < verdict->limits->count; i++)
        tests += verdict_violations(verdict, &verdict->limits->list[i]) == 0;
    fprintf(to,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites tests=\"%zu\" failures=\"%zu\" errors=\"%d\">\n"
            "  <testsuite tests=\"%zu\" failures=\"%zu\" errors=\"%d\"",
            tests, failures, !verdict, tests, failures, !verdict);
    put_attribute(to, "name", "heapsake check", strlen("heapsake check"));
    if (verdict) {
        const char *program = verdict->measured->state.program;
        fputs(">\n    <properties>\n      <property name=\"program\"", to);
        put_attribute(to, "value", program, strlen(program));
        fputs("/>\n    </properties>\n", to);
        for (size_t i = 0; i < verdict->limits->count; i++)
            put_cases(verdict, &verdict->limits->list[i], to);
    } else {
        fputs(">\n    <testcase classname=\"heapsake\" name=\"check\">\n      <error type=\"unusable\"", to);
        put_attribute(to, "message", failed, strlen(failed));
        fputc('>', to);
        put_xml(to, trace, strlen(trace), false);
        fputs("</error>\n    </testcase>\n", to);
    }
    fputs("  </testsuite>\n</testsuites>\n", to);
}
