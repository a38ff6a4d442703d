/*
 * test_injection_stub.c - the code that is written into other processes, copied to a page of this one: it runs
 * anywhere, refers to nothing outside of itself, and changes no register.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record/injection_stub.h"

#define XSAVE_BYTES 16384 /* more than any processor of today needs */

/* Linked with --emit-relocs: this program's file still has every relocation that the linker has resolved. */
static void test_no_relocations(void **state)
{
    (void)state;
    elf_version(EV_CURRENT);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    size_t names, of_stub = 0, of_text = 0, sections = 0;
    assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header, about;
        assert_non_null(gelf_getshdr(section, &header));
        sections += strcmp(elf_strptr(elf, names, header.sh_name), "injection_stub") == 0;
        if (header.sh_type != SHT_RELA || header.sh_info == 0)
            continue;
        assert_non_null(gelf_getshdr(elf_getscn(elf, header.sh_info), &about));
        const char *name = elf_strptr(elf, names, about.sh_name);
        if (strcmp(name, "injection_stub") == 0)
            of_stub += header.sh_size;
        if (strcmp(name, ".text") == 0)
            of_text += header.sh_size;
    }
    assert_int_equal(sections, 1);
    assert_int_equal(of_stub, 0);
    assert_true(of_text > 0);
    elf_end(elf);
    close(fd);
}

static void test_size(void **state)
{
    (void)state;
    assert_true(injection_stub_end - injection_stub_begin < 1024); /* it must fit behind the code of some module */
}

static sem_t called;
static char heard[64];
static uint64_t blocked_there;

/* Found by dlsym in the executable. */
void called_by_stub(const char *argument);
__attribute__((visibility("default"))) void called_by_stub(const char *argument)
{
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    memcpy(&blocked_there, &mask, sizeof blocked_there);
    strncpy(heard, argument, sizeof heard - 1);
    sem_post(&called);
}

static void *open_self(const char *path, int flags)
{
    assert_int_equal(flags, RTLD_NOW | RTLD_LOCAL);
    return strcmp(path, "/this/program") == 0 ? dlopen(NULL, RTLD_NOW) : NULL;
}

static int no_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *context)
{
    (void)thread, (void)attributes, (void)function, (void)context;
    errno = EAGAIN;
    return EAGAIN;
}

static const void *copied(void)
{
    size_t bytes = (size_t)(injection_stub_end - injection_stub_begin);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    memcpy(page, injection_stub_begin, bytes);
    assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    return (const char *)page + (injection_stub_entry - injection_stub_begin);
}

struct texts {
    struct injection_block block;
    char library[32], function[32], argument[32];
};

static struct texts made_block(void)
{
    struct texts texts = {
        .block = {.state_bytes = XSAVE_BYTES,
                  .bytes = sizeof texts,
                  .library = offsetof(struct texts, library),
                  .function = offsetof(struct texts, function),
                  .argument = offsetof(struct texts, argument),
                  .dlopen = (uintptr_t)open_self,
                  .dlsym = (uintptr_t)dlsym,
                  .pthread_create = (uintptr_t)pthread_create,
                  .pthread_attr_init = (uintptr_t)pthread_attr_init,
                  .pthread_attr_setstacksize = (uintptr_t)pthread_attr_setstacksize,
                  .pthread_attr_setdetachstate = (uintptr_t)pthread_attr_setdetachstate,
                  .errno_location = (uintptr_t)__errno_location},
        .library = "/this/program",
        .function = "called_by_stub",
        .argument = "a word",
    };
    return texts;
}

/* What the registers hold before and after; in the order in which enter() stores them. */
struct registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, flags;
    uint64_t red_zone;
    unsigned char xmm0[16], xmm15[16];
};

/* To the entry, as an interrupted thread: all registers as they are in `before`, rsp at the block. */
void enter(const struct registers *before, struct registers *after, const void *entry, struct texts *texts);
__asm__(".text\n"
        ".globl enter\n"
        "enter:\n"
        "  pushq %rbx\n  pushq %rbp\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  pushq %rsi\n" /* after, for the end */
        "  movq %rsp, %rbp\n"
        "  subq $256, %rsp\n"
        "  andq $-16, %rsp\n"
        /* the interrupted function's rsp is here; its red zone lies below, and holds something */
        "  movq 120(%rdi), %rax\n"
        "  movq %rax, -128(%rsp)\n"
        "  leaq 1f(%rip), %rax\n"
        "  movq %rax, -136(%rsp)\n"
        "  leaq -136(%rsp), %rax\n"
        "  movq %rax, (%rcx)\n" /* back_to */
        /* the block, copied below */
        "  movq %rcx, %r10\n"
        "  movq 16(%rcx), %rcx\n"
        "  movq %rsp, %r11\n" /* remembered behind the frame */
        "  movq %r11, -8(%rbp)\n"
        "  subq $144, %rsp\n"
        "  subq %rcx, %rsp\n"
        "  movq %rdi, %r8\n"
        "  movq %r10, %rsi\n"
        "  movq %rsp, %rdi\n"
        "  rep movsb\n"
        "  movq %rdx, -16(%rbp)\n" /* the entry */
        "  movups 128(%r8), %xmm0\n"
        "  movups 144(%r8), %xmm15\n"
        "  movq %r8, %rdi\n"
        "  pushq 112(%rdi)\n"
        "  popfq\n"
        "  movq 0(%rdi), %rax\n  movq 8(%rdi), %rbx\n  movq 16(%rdi), %rcx\n  movq 24(%rdi), %rdx\n"
        "  movq 32(%rdi), %rsi\n  movq 48(%rdi), %r8\n  movq 56(%rdi), %r9\n  movq 64(%rdi), %r10\n"
        "  movq 72(%rdi), %r11\n  movq 80(%rdi), %r12\n  movq 88(%rdi), %r13\n  movq 96(%rdi), %r14\n"
        "  movq 104(%rdi), %r15\n  movq 40(%rdi), %rdi\n"
        "  jmp *-16(%rbp)\n"
        /* back, rsp as it was before the block */
        "1:\n"
        "  xchgq %rdi, (%rbp)\n" /* after; its own is kept in its place */
        "  movq %rax, 0(%rdi)\n  movq %rbx, 8(%rdi)\n  movq %rcx, 16(%rdi)\n  movq %rdx, 24(%rdi)\n"
        "  movq %rsi, 32(%rdi)\n  movq %r8, 48(%rdi)\n  movq %r9, 56(%rdi)\n  movq %r10, 64(%rdi)\n"
        "  movq %r11, 72(%rdi)\n  movq %r12, 80(%rdi)\n  movq %r13, 88(%rdi)\n  movq %r14, 96(%rdi)\n"
        "  movq %r15, 104(%rdi)\n"
        "  movq (%rbp), %rax\n  movq %rax, 40(%rdi)\n"
        "  movq -128(%rsp), %rax\n  movq %rax, 120(%rdi)\n"
        "  pushfq\n  popq 112(%rdi)\n"
        "  movups %xmm0, 128(%rdi)\n"
        "  movups %xmm15, 144(%rdi)\n"
        "  cmpq -8(%rbp), %rsp\n"
        "  je 2f\n"
        "  ud2\n"
        "2:\n"
        "  cld\n"
        "  movq %rbp, %rsp\n"
        "  popq %rsi\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbp\n  popq %rbx\n"
        "  ret\n");

static struct registers some_registers(void)
{
    struct registers registers;
    unsigned char *bytes = (unsigned char *)&registers;
    for (size_t i = 0; i < sizeof registers; i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    registers.flags = 0x2 | 0x200 | 0x1 | 0x4 | 0x40 | 0x400 | 0x800; /* carry, parity, zero, direction, overflow */
    return registers;
}

static void test_thread_is_started(void **state)
{
    (void)state;
    const void *entry = copied();
    struct registers before = some_registers(), after = {0};
    sigset_t none, mask;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    for (int round = 0; round < 100; round++) {
        struct texts texts = made_block();
        memset(&after, 0, sizeof after);
        memset(heard, 0, sizeof heard);
        errno = 4711;
        enter(&before, &after, entry, &texts);
        assert_int_equal(errno, 4711);
        assert_memory_equal(&before, &after, sizeof before);
        while (sem_wait(&called) != 0)
            ;
        assert_string_equal(heard, "a word");
        assert_int_equal(blocked_there | (UINT64_C(1) << (SIGKILL - 1)) | (UINT64_C(1) << (SIGSTOP - 1)),
                         ~(UINT64_C(3) << 31));
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_memory_equal(&mask, &none, 8);
}

/* No thread, or no such library: nothing happens, and all is as it was. */
static void test_nothing_can_be_had(void **state)
{
    (void)state;
    const void *entry = copied();
    struct registers before = some_registers(), after = {0};
    struct texts texts = made_block();
    texts.block.pthread_create = (uintptr_t)no_thread;
    errno = 4711;
    enter(&before, &after, entry, &texts);
    assert_int_equal(errno, 4711);
    assert_memory_equal(&before, &after, sizeof before);
    texts = made_block();
    strcpy(texts.library, "/no/such/library");
    enter(&before, &after, entry, &texts);
    assert_memory_equal(&before, &after, sizeof before);
    texts = made_block();
    strcpy(texts.function, "no_such_function");
    enter(&before, &after, entry, &texts);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(sem_trywait(&called), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_relocations),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_thread_is_started),
        cmocka_unit_test(test_nothing_can_be_had),
    };
    sem_init(&called, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
