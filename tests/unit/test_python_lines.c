/*
 * test_python_lines.c - lines of instructions against what every interpreter found says itself, and damaged tables.
 *
 * Interpreters: HEAPSAKE_PYTHONS (separated by colons), else those of /usr/bin and pyenv's. The damaged tables need
 * none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols/python_lines.h"

/*
 * Writes for each code object of some files of the standard library: first line, minor version, bytes of its table,
 * number of code units; the table; the line of each code unit, 0 for none.
 */
static const char truth_program[] =
    "import dis, glob, os, struct, sys\n"
    "minor = sys.version_info[1]\n"
    "def lines(code):\n"
    "    units = len(code.co_code) // 2\n"
    "    if minor >= 11:\n"
    "        return [p[0] or 0 for p in code.co_positions()]\n"
    "    if minor == 10:\n"
    "        found = [0] * units\n"
    "        for start, end, line in code.co_lines():\n"
    "            for i in range(start // 2, end // 2): found[i] = line or 0\n"
    "        return found\n"
    "    starts = dict(dis.findlinestarts(code))\n"
    "    found, line = [], code.co_firstlineno\n"
    "    for i in range(units):\n"
    "        line = starts.get(2 * i, line)\n"
    "        found.append(line)\n"
    "    return found\n"
    "def emit(code, out):\n"
    "    table = code.co_linetable if minor >= 10 else code.co_lnotab\n"
    "    wanted = lines(code)\n"
    "    out.write(struct.pack('<4I', code.co_firstlineno, minor, len(table), len(wanted)))\n"
    "    out.write(table)\n"
    "    out.write(struct.pack('<%di' % len(wanted), *wanted))\n"
    "    for constant in code.co_consts:\n"
    "        if hasattr(constant, 'co_code'): emit(constant, out)\n"
    "files = sorted(glob.glob(os.path.dirname(os.__file__) + '/*.py'))\n"
    "for name in files[::6]:\n"
    "    with open(name, encoding='utf-8') as f: text = f.read()\n"
    "    emit(compile(text, name, 'exec'), sys.stdout.buffer)\n"
    /* lines far apart, backwards, and beyond what one entry holds */
    "far = 'x = (1 +' + chr(10) * 9000 + ' y +' + chr(10) * 300 + 'len(a,' + chr(10) * 40 + 'b))'\n"
    "emit(compile(far, 'far', 'exec'), sys.stdout.buffer)\n"
    "emit(compile('x = [' + ','.join('f(%d)%s' % (i, chr(10) * (i % 7)) for i in range(3000)) + ']', 'long', 'exec'),"
    " sys.stdout.buffer)\n";

struct tally {
    unsigned codes, units, without_line;
};

static bool read_exactly(FILE *stream, void *to, size_t length)
{
    return fread(to, 1, length, stream) == length;
}

static struct tally compare_with(const char *python)
{
    struct tally tally = {0};
    char script[] = "/tmp/heapsake-lines-XXXXXX";
    int fd = mkstemp(script);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, truth_program, strlen(truth_program)), strlen(truth_program));
    close(fd);
    char command[4096];
    snprintf(command, sizeof command, "exec '%s' -I -W ignore %s", python, script);
    FILE *stream = popen(command, "r");
    assert_non_null(stream);
    uint32_t head[4];
    while (read_exactly(stream, head, sizeof head)) {
        uint8_t *table = malloc(head[2] + 1);
        int32_t *wanted = malloc((head[3] + 1) * sizeof *wanted);
        assert_true(read_exactly(stream, table, head[2]));
        assert_true(read_exactly(stream, wanted, head[3] * sizeof *wanted));
        for (uint32_t unit = 0; unit < head[3]; unit++) {
            for (unsigned odd = 0; odd < 2; odd++) {
                unsigned line = python_line(table, head[2], head[0], head[1], 2 * unit + odd);
                if ((int32_t)line != wanted[unit])
                    fail_msg("%s: code from line %u, unit %u: line %u, not %d", python, head[0], unit, line,
                             wanted[unit]);
            }
            tally.without_line += wanted[unit] == 0;
        }
        tally.codes++;
        tally.units += head[3];
        free(table);
        free(wanted);
    }
    assert_int_equal(pclose(stream), 0);
    unlink(script);
    return tally;
}

static void interpreters_agree(void **state)
{
    (void)state;
    glob_t found = {0};
    const char *given = getenv("HEAPSAKE_PYTHONS");
    if (given) {
        char *list = strdup(given), *rest = list, *python;
        for (int flags = 0; (python = strsep(&rest, ":"));)
            if (*python) {
                glob(python, flags | GLOB_NOCHECK, NULL, &found);
                flags = GLOB_APPEND;
            }
        free(list);
    } else {
        char pattern[4096];
        snprintf(pattern, sizeof pattern, "%s/.pyenv/versions/3.*/bin/python3", getenv("HOME") ? getenv("HOME") : "");
        glob("/usr/bin/python3.[0-9]", 0, NULL, &found);
        glob("/usr/bin/python3.1[0-9]", GLOB_APPEND, NULL, &found);
        glob(pattern, GLOB_APPEND, NULL, &found);
    }
    unsigned compared = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *old = strstr(found.gl_pathv[i], "/versions/3.");
        if (access(found.gl_pathv[i], X_OK) != 0 || (old && atoi(old + 12) < 9))
            continue;
        struct tally tally = compare_with(found.gl_pathv[i]);
        print_message("%s: %u code objects, %u code units, %u without a line\n", found.gl_pathv[i], tally.codes,
                      tally.units, tally.without_line);
        assert_true(tally.codes > 300);
        assert_true(tally.units > 30000);
        compared++;
    }
    globfree(&found);
    if (!compared)
        skip();
}

static void by_hand(void **state)
{
    (void)state;
    /* form 10 (same line), two units; form 13, one unit, 70 lines on; no line at all, one unit; long form, 3 lines back
     */
    static const uint8_t locations[] = {
        0x80 | 10 << 3 | 1, 1, 2, 0x80 | 13 << 3, 0x40 | 12, 2, 0x80 | 15 << 3, 0x80 | 14 << 3 | 3, 7, 0, 1, 1};
    static const unsigned wanted[] = {10, 10, 80, 0, 77, 77, 77, 77, 0, 0};
    for (unsigned unit = 0; unit < 10; unit++)
        assert_int_equal(python_line(locations, sizeof locations, 10, 11, 2 * unit), wanted[unit]);
    static const uint8_t ranges[] = {4, 0, 2, 128, 0, 100, 2, 100, 2, 156};
    static const unsigned wanted_310[] = {5, 5, 0, 205, 105, 0};
    for (unsigned unit = 0; unit < 6; unit++)
        assert_int_equal(python_line(ranges, sizeof ranges, 5, 10, 2 * unit), wanted_310[unit]);
    static const uint8_t lnotab[] = {0, 1, 4, 2, 2, 0xff};
    static const unsigned wanted_39[] = {6, 6, 8, 7, 7};
    for (unsigned unit = 0; unit < 5; unit++)
        assert_int_equal(python_line(lnotab, sizeof lnotab, 5, 9, 2 * unit), wanted_39[unit]);
}

static void damaged_tables(void **state)
{
    (void)state;
    for (unsigned minor = 8; minor < 17; minor++) {
        assert_int_equal(python_line(NULL, 0, 0, minor, 0), 0);
        assert_int_equal(python_line((const uint8_t *)"", 1, 0, minor, UINT32_MAX), 0);
    }
    unsigned seed = 1;
    for (unsigned round = 0; round < 100000; round++) {
        /* exactly as long as it is, so that a sanitizer sees a read behind it */
        size_t length = (size_t)rand_r(&seed) % 24;
        uint8_t *table = malloc(length + !length);
        for (size_t i = 0; i < length; i++)
            table[i] = (uint8_t)(rand_r(&seed) >> 4);
        unsigned line =
            python_line(table, length, (unsigned)rand_r(&seed), 9 + round % 7, (unsigned)rand_r(&seed) % 100);
        assert_true(line <= INT32_MAX);
        free(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(damaged_tables),
        cmocka_unit_test(interpreters_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
