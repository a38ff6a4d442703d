/*
 * pairs.c - see pairs.h
 *
 * Each function has an entry of a few bytes, which tells the common part below its number. That part keeps what a call
 * may bring along: six integer arguments, the count of floating ones (rax), their registers' lower 128 bits, and r10.
 * Wider vectors as arguments lose their upper parts. Then it jumps to the real function with the stack as it was.
 */
#include "pairs.h"

#include <stdint.h>
#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "../python/elf_lookup.h"
#include "../stack.h"

#define MOST_ARGUMENTS 6u

struct pair_function {
    const char *name;
    const void *real; /* NULL: no module defines it so far */
    uint8_t argument; /* from 0                            */
};

static struct pair_function functions[PAIR_FUNCTIONS]; /* the first of each two counts up */
static unsigned function_count;

#define ENTRY_BYTES 16 /* of the table of entries */
extern const char pairs_entries[] __attribute__((visibility("hidden")));

__attribute__((visibility("hidden"), used)) const void *pairs_called(uint32_t index, void *const *arguments,
                                                                     const void *frame_address);

const void *pairs_called(uint32_t index, void *const *arguments, const void *frame_address)
{
    const struct pair_function *function = &functions[index];
    void *object = arguments[function->argument];
    struct thread *self = object ? hook_enter() : NULL;
    if (self) {
        uint32_t node =
            python_state == PYTHON_NONE ? unwind_node(self, frame_address) : python_hybrid_stack(self, frame_address);
        emit_count(self, HS_COUNT_PAIR, object, 0, index & 1, 0, 0, node);
        hook_leave(self);
    }
    return function->real;
}

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".type pairs_entries, @function\n"
        "pairs_entries:\n"
        ".cfi_startproc\n"
        ".set pairs_index, 0\n"
        ".rept " TEXT(HS_MOST_PAIRS) " * 2\n"
                                     ".balign " TEXT(
                                         ENTRY_BYTES) "\n"
                                                      "endbr64\n"
                                                      "movl $pairs_index, %r11d\n"
                                                      "jmp 1f\n"
                                                      ".set pairs_index, pairs_index + 1\n"
                                                      ".endr\n"
                                                      "1:\n"
                                                      "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
                                                      "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n"
                                                      "sub $192, %rsp\n"
                                                      "movups %xmm0, 0(%rsp)\n"
                                                      "movups %xmm1, 16(%rsp)\n"
                                                      "movups %xmm2, 32(%rsp)\n"
                                                      "movups %xmm3, 48(%rsp)\n"
                                                      "movups %xmm4, 64(%rsp)\n"
                                                      "movups %xmm5, 80(%rsp)\n"
                                                      "movups %xmm6, 96(%rsp)\n"
                                                      "movups %xmm7, 112(%rsp)\n"
                                                      "mov %rdi, 128(%rsp)\n"
                                                      "mov %rsi, 136(%rsp)\n"
                                                      "mov %rdx, 144(%rsp)\n"
                                                      "mov %rcx, 152(%rsp)\n"
                                                      "mov %r8, 160(%rsp)\n"
                                                      "mov %r9, 168(%rsp)\n"
                                                      "mov %rax, 176(%rsp)\n"
                                                      "mov %r10, 184(%rsp)\n"
                                                      "mov %r11d, %edi\n"
                                                      "lea 128(%rsp), %rsi\n"
                                                      "mov %rbp, %rdx\n"
                                                      "call pairs_called\n"
                                                      "mov %rax, %r11\n"
                                                      "movups 0(%rsp), %xmm0\n"
                                                      "movups 16(%rsp), %xmm1\n"
                                                      "movups 32(%rsp), %xmm2\n"
                                                      "movups 48(%rsp), %xmm3\n"
                                                      "movups 64(%rsp), %xmm4\n"
                                                      "movups 80(%rsp), %xmm5\n"
                                                      "movups 96(%rsp), %xmm6\n"
                                                      "movups 112(%rsp), %xmm7\n"
                                                      "mov 128(%rsp), %rdi\n"
                                                      "mov 136(%rsp), %rsi\n"
                                                      "mov 144(%rsp), %rdx\n"
                                                      "mov 152(%rsp), %rcx\n"
                                                      "mov 160(%rsp), %r8\n"
                                                      "mov 168(%rsp), %r9\n"
                                                      "mov 176(%rsp), %rax\n"
                                                      "mov 184(%rsp), %r10\n"
                                                      "leave\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\n"
                                                      "jmp *%r11\n"
                                                      ".cfi_endproc\n"
                                                      ".size pairs_entries, . - pairs_entries\n"
                                                      ".popsection\n");

/* The value of `key` in "ref=NAME,unref=NAME,arg=N", a line that ends at `end`. Its length; 0: it has none. */
static size_t find_value(const char *line, const char *end, const char *key, const char **value)
{
    size_t key_length = strlen(key);
    while (line < end) {
        const char *comma = memchr(line, ',', (size_t)(end - line));
        const char *word_end = comma ? comma : end;
        if ((size_t)(word_end - line) > key_length && memcmp(line, key, key_length) == 0 && line[key_length] == '=') {
            *value = line + key_length + 1;
            return (size_t)(word_end - *value);
        }
        line = word_end + 1;
    }
    return 0;
}

static const char *copy(const char *text, size_t length)
{
    char *kept = arena_alloc(length + 1);
    return kept ? memcpy(kept, text, length) : NULL;
}

static void add_pair(const char *line, const char *end)
{
    const char *ref, *unref, *argument;
    size_t ref_length = find_value(line, end, "ref", &ref), unref_length = find_value(line, end, "unref", &unref);
    if (!ref_length || !unref_length || function_count + 2 > PAIR_FUNCTIONS)
        return;
    uint8_t number = 1;
    if (find_value(line, end, "arg", &argument) == 1 && *argument >= '1' && *argument < (char)('1' + MOST_ARGUMENTS))
        number = (uint8_t)(*argument - '0');
    struct pair_function up = {.name = copy(ref, ref_length), .argument = number - 1};
    struct pair_function down = {.name = copy(unref, unref_length), .argument = number - 1};
    if (!up.name || !down.name)
        return;
    functions[function_count++] = up;
    functions[function_count++] = down;
}

bool pairs_read(const char *text, size_t size)
{
    const char *end = text + strnlen(text, size);
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline ? newline : end;
        add_pair(text, line_end);
        text = line_end + 1;
    }
    return function_count > 0;
}

bool pairs_find(const struct link_map *module, struct got_patch *patches)
{
    bool found = false;
    for (unsigned i = 0; i < function_count; i++) {
        struct pair_function *function = &functions[i];
        if (!function->real) {
            function->real = elf_find_symbol(module, function->name);
            found = found || function->real;
            patches[i] = (struct got_patch){function->name, function->real, pairs_entries + i * ENTRY_BYTES};
        }
    }
    return found;
}
