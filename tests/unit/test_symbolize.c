/*
 * test_symbolize.c - modules of this very process: names, lines and inlined calls, and files that are gone, others, or
 * damaged. Compiled with -g.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heapsake/trace_format.h"
#include "symbols/known_names.h"
#include "symbols/symbolize.h"

/* ---- frames to be named ---- */

static unsigned inner_line, middle_line, outer_line;
static volatile int sink;

__attribute__((noinline)) static uint64_t here(void)
{
    sink++;
    return (uint64_t)__builtin_return_address(0);
}

__attribute__((always_inline)) static inline uint64_t inner_call(void)
{
    inner_line = __LINE__ + 1;
    uint64_t pc = here();
    sink++;
    return pc;
}

__attribute__((always_inline)) static inline uint64_t middle_call(void)
{
    middle_line = __LINE__ + 1;
    return inner_call() + 0;
}

__attribute__((noinline)) static uint64_t outer_call(void)
{
    outer_line = __LINE__ + 1;
    uint64_t pc = middle_call();
    sink++;
    return pc;
}

/* ---- the process' own modules ---- */

struct own_module {
    struct hs_message_module message;
    char path[4096];
    uint8_t build_id[64];
};

static struct own_module own[64];
static size_t own_count;

static int note_module(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    struct own_module *module = &own[own_count];
    if (own_count == 64)
        return 1;
    uint64_t end = 0, start = UINT64_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD) {
            uint64_t from = segment->p_vaddr & ~(uint64_t)4095, to = segment->p_vaddr + segment->p_memsz;
            start = from < start ? from : start;
            end = to > end ? to : end;
        }
        if (segment->p_type != PT_NOTE || module->message.build_id_length)
            continue;
        const uint8_t *at = (const uint8_t *)(info->dlpi_addr + segment->p_vaddr), *stop = at + segment->p_memsz;
        while (at + sizeof(ElfW(Nhdr)) < stop) {
            const ElfW(Nhdr) *note = (const void *)at;
            const uint8_t *name = at + sizeof *note, *body = name + ((note->n_namesz + 3) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= 64) {
                module->message.build_id_length = note->n_descsz;
                memcpy(module->build_id, body, note->n_descsz);
            }
            at = body + ((note->n_descsz + 3) & ~3u);
        }
    }
    snprintf(module->path, sizeof module->path, "%s", info->dlpi_name);
    module->message.start = info->dlpi_addr + start;
    module->message.end = info->dlpi_addr + end;
    module->message.bias = info->dlpi_addr;
    module->message.epoch = 1;
    module->message.path_length = (uint32_t)strlen(module->path);
    own_count++;
    return 0;
}

static void add(struct module_set *set, const struct own_module *module)
{
    assert_int_equal(module_set_add(set, &module->message, module->path, strlen(module->path), module->build_id,
                                    module->message.build_id_length),
                     0);
}

static struct module_set *own_set(void)
{
    if (!own_count)
        dl_iterate_phdr(note_module, NULL);
    struct module_set *set = module_set_new(getpid());
    assert_non_null(set);
    for (size_t i = 0; i < own_count; i++)
        add(set, &own[i]);
    return set;
}

/* The executable under another name, as a module of its own, somewhere else in memory. */
static const char copy_path_form[] = "/tmp/heapsake-symbolize-XXXXXX";
#define COPY_BIAS UINT64_C(0x600000000000)

static struct own_module copied_executable(char *path, uint8_t **bytes, size_t *length)
{
    strcpy(path, copy_path_form);
    int in = open("/proc/self/exe", O_RDONLY), out = mkstemp(path);
    struct stat status;
    assert_true(in >= 0 && out >= 0 && fstat(in, &status) == 0);
    *length = (size_t)status.st_size;
    *bytes = malloc(*length);
    assert_int_equal(read(in, *bytes, *length), *length);
    assert_int_equal(write(out, *bytes, *length), *length);
    close(in);
    close(out);
    struct own_module module = own[0];
    module.message.start += COPY_BIAS - own[0].message.bias;
    module.message.end += COPY_BIAS - own[0].message.bias;
    module.message.bias = COPY_BIAS;
    snprintf(module.path, sizeof module.path, "%s", path);
    module.message.path_length = (uint32_t)strlen(path);
    return module;
}

/* ---- reading the payload again ---- */

struct shown {
    uint64_t frame, module, offset;
    unsigned count;
    char functions[8][128], files[8][512];
    unsigned lines[8];
};

static unsigned read_symbols(const struct buf *payload, struct shown *shown, unsigned max)
{
    struct cursor cursor = {payload->data, payload->data + payload->length, false};
    uint64_t string_count = cursor_varint(&cursor);
    const char **strings = calloc(string_count + 1, sizeof *strings);
    size_t *lengths = calloc(string_count + 1, sizeof *lengths);
    for (uint64_t i = 1; i <= string_count; i++)
        strings[i] = cursor_string(&cursor, &lengths[i]);
    unsigned frames = 0;
    while (cursor.at < cursor.end && frames < max) {
        struct shown *one = &shown[frames++];
        *one = (struct shown){.frame = cursor_varint(&cursor)};
        one->module = cursor_varint(&cursor);
        one->offset = cursor_varint(&cursor);
        one->count = (unsigned)cursor_varint(&cursor);
        for (unsigned i = 0; i < one->count; i++) {
            uint64_t function = cursor_varint(&cursor), file = cursor_varint(&cursor), line = cursor_varint(&cursor);
            assert_true(function <= string_count && file <= string_count);
            if (i >= 8)
                continue;
            one->lines[i] = (unsigned)line;
            snprintf(one->functions[i], sizeof one->functions[i], "%.*s", (int)lengths[function],
                     strings[function] ? strings[function] : "");
            snprintf(one->files[i], sizeof one->files[i], "%.*s", (int)lengths[file],
                     strings[file] ? strings[file] : "");
        }
    }
    assert_false(cursor.failed);
    free(strings);
    free(lengths);
    return frames;
}

static unsigned name(struct module_set *set, uint64_t *frames, size_t count, struct shown *shown, unsigned max)
{
    struct buf symbols = BUF_INIT, modules = BUF_INIT;
    struct error error = {0};
    assert_int_equal(symbolize_frames(set, frames, count, &symbols, &modules, &error), 0);
    assert_true(modules.length > 0);
    unsigned frames_read = read_symbols(&symbols, shown, max);
    buf_free(&symbols);
    buf_free(&modules);
    return frames_read;
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

static void check_outer_call(const struct shown *shown)
{
    assert_int_equal(shown->count, 3);
    assert_string_equal(shown->functions[0], "inner_call");
    assert_string_equal(shown->functions[1], "middle_call");
    assert_string_equal(shown->functions[2], "outer_call");
    assert_int_equal(shown->lines[0], inner_line);
    assert_int_equal(shown->lines[1], middle_line);
    assert_int_equal(shown->lines[2], outer_line);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(base_name(shown->files[i]), "test_symbolize.c");
}

/* ---- tests ---- */

static void inlined_calls(void **state)
{
    (void)state;
    struct module_set *set = own_set();
    uint64_t pc = outer_call(), frame = UINT64_C(3) << 48 | pc;
    uint64_t frames[] = {frame, frame, UINT64_C(3) << 48 | 0x1000};
    struct shown shown[3];
    assert_int_equal(name(set, frames, 3, shown, 3), 2); /* one was there twice */
    const struct shown *known = shown[0].frame == frame ? &shown[0] : &shown[1];
    const struct shown *nowhere = shown[0].frame == frame ? &shown[1] : &shown[0];
    check_outer_call(known);
    assert_int_equal(known->frame, frame);
    assert_int_equal(known->offset, pc - own[0].message.bias);
    assert_int_equal(known->module, 1);
    assert_int_equal(nowhere->count, 0);
    assert_int_equal(nowhere->module, 0);
    assert_true(module_set_get(set, 0)->flags & HSK_MODULE_EXECUTABLE);
    module_set_free(set);
}

static void exported_function_of_libc(void **state)
{
    (void)state;
    struct module_set *set = own_set();
    uint64_t frame = UINT64_C(1) << 48 | ((uint64_t)(uintptr_t)&rand_r + 1);
    struct shown shown;
    assert_int_equal(name(set, &frame, 1, &shown, 1), 1);
    assert_true(shown.count >= 1);
    assert_string_equal(shown.functions[shown.count - 1], "rand_r");
    module_set_free(set);
}

static void vdso(void **state)
{
    (void)state;
    struct module_set *set = own_set();
    uint64_t image = getauxval(AT_SYSINFO_EHDR);
    size_t index = image ? module_set_find(set, 1, image) : SIZE_MAX;
    if (!image || index == SIZE_MAX)
        skip();
    assert_true(module_set_get(set, index)->flags & HSK_MODULE_MATCHES);
    module_set_free(set);
}

static void files_are_shared(void **state)
{
    (void)state;
    struct module_set *one = own_set(), *two = own_set(), *three = module_set_clone(one, getpid());
    assert_non_null(three);
    assert_int_equal(module_set_count(one), module_set_count(three));
    for (size_t i = 0; i < module_set_count(one); i++) {
        assert_ptr_equal(module_set_get(one, i)->file, module_set_get(two, i)->file);
        assert_ptr_equal(module_set_get(one, i)->file, module_set_get(three, i)->file);
    }
    module_set_free(one);
    module_set_free(two);
    uint64_t frame = UINT64_C(1) << 48 | outer_call();
    struct shown shown;
    name(three, &frame, 1, &shown, 1);
    check_outer_call(&shown);
    module_set_free(three);
}

/* What one process' frames are called is not looked up again for the next process with the same file. */
static void names_are_remembered(void **state)
{
    (void)state;
    struct module_set *one = own_set(), *two = own_set();
    uint64_t pc = outer_call(), frame = UINT64_C(1) << 48 | pc;
    struct known_names *known = module_file_known_names(module_set_get(one, 0)->file);
    struct native_query query = {.return_address = pc - own[0].message.bias};
    struct name_table names = {.strings = INTERN_INIT, .ceiling = 1 << 20};
    struct name_table narrow = {.strings = INTERN_INIT, .ceiling = 4};
    struct native_functions functions = {0};
    struct shown shown;
    assert_non_null(known);
    name(one, &frame, 1, &shown, 1);
    check_outer_call(&shown);
    assert_true(known_names_get(known, &query, &names, &functions));
    assert_int_equal(query.count, shown.count);
    for (uint32_t i = 0; i < query.count; i++) {
        const struct native_function *function = &functions.items[query.first + i];
        assert_string_equal(intern_get(&names.strings, function->function, NULL), shown.functions[i]);
        assert_int_equal(function->line, shown.lines[i]);
    }
    name(two, &frame, 1, &shown, 1);
    check_outer_call(&shown);
    /* No room for the names: not known, rather than half of them. */
    size_t before = functions.count;
    assert_false(known_names_get(known, &query, &narrow, &functions));
    assert_int_equal(functions.count, before);
    query.return_address = 1;
    assert_false(known_names_get(known, &query, &names, &functions));
    assert_false(known_names_get(NULL, &query, &names, &functions));
    free(functions.items);
    intern_free(&names.strings);
    intern_free(&narrow.strings);
    module_set_free(one);
    module_set_free(two);
}

static void epochs(void **state)
{
    (void)state;
    struct module_set *set = module_set_new(getpid());
    struct hs_message_module message = {.start = 0x10000, .end = 0x20000, .bias = 0x10000, .epoch = 2};
    assert_int_equal(module_set_add(set, &message, "/nowhere/a.so", 13, NULL, 0), 0);
    assert_int_equal(module_set_add(set, &message, "/nowhere/a.so", 13, NULL, 0), 0); /* once is enough */
    message.epoch = 5;
    message.start = 0x18000;
    message.end = 0x28000;
    assert_int_equal(module_set_add(set, &message, "/nowhere/b.so", 13, NULL, 0), 0);
    assert_int_equal(module_set_count(set), 2);
    assert_int_equal(module_set_find(set, 1, 0x19000), SIZE_MAX);
    assert_int_equal(module_set_find(set, 4, 0x19000), 0);
    assert_int_equal(module_set_find(set, 5, 0x19000), 1);
    assert_int_equal(module_set_find(set, 9, 0x11000), 0);
    assert_int_equal(module_set_find(set, 9, 0x27fff), 1);
    assert_int_equal(module_set_find(set, 9, 0x28000), SIZE_MAX);
    assert_int_equal(module_set_get(set, 0)->flags, 0);
    message.end = message.start;
    assert_int_equal(module_set_add(set, &message, "", 0, NULL, 0), -EINVAL);
    module_set_free(set);
}

static void another_build(void **state)
{
    (void)state;
    module_set_free(own_set());
    char path[64];
    uint8_t *bytes;
    size_t length;
    struct own_module module = copied_executable(path, &bytes, &length);
    module.build_id[0] ^= 1;
    struct module_set *set = module_set_new(getpid());
    add(set, &module);
    assert_int_equal(module_set_get(set, 0)->flags, HSK_MODULE_OPENED);
    uint64_t frame = UINT64_C(1) << 48 | (outer_call() - own[0].message.bias + COPY_BIAS);
    struct shown shown;
    name(set, &frame, 1, &shown, 1);
    assert_int_equal(shown.count, 0);
    assert_int_equal(shown.module, 1);
    module_set_free(set);
    unlink(path);
    free(bytes);
}

static void gone_and_overwritten(void **state)
{
    (void)state;
    for (int overwritten = 0; overwritten < 2; overwritten++) {
        char path[64];
        uint8_t *bytes;
        size_t length;
        struct own_module module = copied_executable(path, &bytes, &length);
        struct module_set *set = module_set_new(getpid());
        add(set, &module);
        assert_int_equal(module_set_get(set, 0)->flags, HSK_MODULE_OPENED | HSK_MODULE_MATCHES);
        if (overwritten)
            assert_int_equal(truncate(path, 4096), 0);
        else
            unlink(path);
        uint64_t frame = UINT64_C(1) << 48 | (outer_call() - own[0].message.bias + COPY_BIAS);
        struct shown shown;
        name(set, &frame, 1, &shown, 1);
        if (overwritten)
            assert_int_equal(shown.count, 0);
        else
            check_outer_call(&shown);
        module_set_free(set);
        unlink(path);
        free(bytes);
    }
}

/* Bytes flipped anywhere: names may be wrong or missing, the process goes on. */
static void damaged_files(void **state)
{
    (void)state;
    char path[64];
    uint8_t *bytes;
    size_t length;
    struct own_module module = copied_executable(path, &bytes, &length);
    uint8_t *damaged = malloc(length);
    unsigned seed = 3;
    uint64_t text = module.message.start, text_bytes = module.message.end - module.message.start;
    for (unsigned round = 0; round < 300; round++) {
        memcpy(damaged, bytes, length);
        /* the headers keep the build-id: a file without it is never read */
        for (unsigned i = 0; i < 1 + round % 200; i++)
            damaged[4096 + (size_t)rand_r(&seed) % (length - 4096)] ^= (uint8_t)(1 << rand_r(&seed) % 8);
        size_t kept = round % 5 == 4 ? 4096 + (size_t)rand_r(&seed) % (length - 4096) : length;
        unlink(path);
        int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
        assert_int_equal(write(fd, damaged, kept), kept);
        close(fd);
        struct module_set *set = module_set_new(getpid());
        add(set, &module);
        uint64_t frames[64];
        for (unsigned i = 0; i < 64; i++)
            frames[i] = UINT64_C(1) << 48 | (text + text_bytes * i / 64);
        struct shown shown[64];
        assert_int_equal(name(set, frames, 64, shown, 64), 64);
        module_set_free(set);
    }
    unlink(path);
    free(damaged);
    free(bytes);
}

static void bounds(void **state)
{
    (void)state;
    struct module_set *set = own_set();
    struct buf symbols = BUF_INIT, small = {.ceiling = 16};
    struct error error = {0};
    uint64_t frame = UINT64_C(1) << 48 | outer_call();
    assert_int_equal(symbolize_frames(set, &frame, SYMBOLIZE_MAX_FRAMES + 1, &symbols, NULL, &error), -EINVAL);
    assert_true(strlen(error.text) > 0);
    assert_int_equal(symbols.length, 0);
    assert_int_equal(symbolize_frames(set, &frame, 0, &symbols, NULL, NULL), 0);
    assert_int_equal(symbolize_frames(set, &frame, 1, &small, NULL, NULL), -ENOMEM);
    buf_free(&symbols);
    buf_free(&small);
    module_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inlined_calls),
        cmocka_unit_test(exported_function_of_libc),
        cmocka_unit_test(vdso),
        cmocka_unit_test(files_are_shared),
        cmocka_unit_test(names_are_remembered),
        cmocka_unit_test(epochs),
        cmocka_unit_test(another_build),
        cmocka_unit_test(gone_and_overwritten),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
