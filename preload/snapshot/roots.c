/*
 * roots.c - scan_roots(), see scan.h: where references begin outside of Python.
 *
 * Modules are found in the memory map, not in the loader's list, which another thread may have been changing, and which
 * lacks other namespaces. What is read of them is guarded like everything else. Our own module is no root: its tables
 * hold the address of every block, in a way.
 *
 * A thread's stack reaches from its stack pointer up to the data that libc keeps for the thread, below which lies its
 * thread-local storage. The main thread has these elsewhere. A thread on a stack that the program has made (a
 * coroutine, a signal stack in a block of the heap) has that block as a root, and its own stack whole.
 */
#include <elf.h>
#include <string.h>

#include "../proc_text.h"
#include "../session.h"
#include "../thread.h"
#include "child.h"
#include "graph.h"
#include "mappings.h"
#include "nodes.h"
#include "scan.h"

#define MAX_SEGMENTS 64
#define THREAD_DATA_BYTES 2304u /* struct pthread, about */
#define TLS_ROUNDING_BYTES 128u
#define RED_ZONE 128u
#define DTV_MAX 4096u

static uintptr_t tls_bytes; /* static TLS of all modules, at most */

/* ---- modules ---- */

static uint32_t path_string(const struct mapping *mapping)
{
    return graph_string(mapping->path, mapping->path_length);
}

/* Is the address part of this file, and may it be written? Else the file is only mapped for reading it. */
static bool is_data_of(const struct mapping *module, uintptr_t from, uintptr_t to)
{
    for (const struct mapping *at = mappings_find(from); at && at->start < to; at = mappings_find(at->end))
        if (at->inode == module->inode && !at->shared)
            return true;
    return false;
}

/*
 * malloc's own lists are in libc's data. They hold the addresses of free chunks, which begin 8 bytes before the end of
 * the block that lies before: an inner pointer into that one, and to whatever lies there.
 */
static bool is_libc(const struct mapping *module)
{
    static const char *const names[] = {"/libc.so.", "/libc-2."};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);
        for (size_t at = 0; at + length <= module->path_length; at++)
            if (!memcmp(module->path + at, names[i], length))
                return true;
    }
    return false;
}

static void scan_segment(const struct mapping *module, uintptr_t bias, const Elf64_Phdr *segment,
                         const Elf64_Phdr *relro)
{
    uintptr_t from = bias + segment->p_vaddr, to = from + segment->p_memsz;
    uintptr_t ours = (uintptr_t)&session;
    if (to < from || (ours >= from && ours < to) || !is_data_of(module, from, to))
        return;
    if (relro && bias + relro->p_vaddr <= from) {
        uintptr_t end = (bias + relro->p_vaddr + relro->p_memsz) & ~(uintptr_t)(HS_PAGE_SIZE - 1);
        if (end > from && end <= to)
            from = end;
    }
    graph_root_begin(nodes_new(), HSK_ROOT_DATA, 0, path_string(module), from - bias);
    if (is_libc(module))
        scan_starts(from, to);
    else
        scan_words(from, to, 0, BLOCK_NONE);
    graph_end();
}

static void scan_module(const struct mapping *module)
{
    Elf64_Ehdr file;
    Elf64_Phdr segments[MAX_SEGMENTS];
    if (module->end - module->start < sizeof file)
        return;
    memcpy(&file, (const void *)module->start, sizeof file);
    if (memcmp(file.e_ident, ELFMAG, SELFMAG) || file.e_ident[EI_CLASS] != ELFCLASS64 ||
        (file.e_type != ET_DYN && file.e_type != ET_EXEC) || file.e_phentsize != sizeof segments[0] ||
        file.e_phnum > MAX_SEGMENTS || file.e_phoff > module->end - module->start ||
        file.e_phnum * sizeof segments[0] > module->end - module->start - file.e_phoff)
        return;
    memcpy(segments, (const char *)module->start + file.e_phoff, file.e_phnum * sizeof segments[0]);
    const Elf64_Phdr *first = NULL, *relro = NULL;
    for (unsigned i = 0; i < file.e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && !first)
            first = &segments[i];
        else if (segments[i].p_type == PT_GNU_RELRO)
            relro = &segments[i];
    }
    if (!first)
        return;
    uintptr_t bias = module->start - (first->p_vaddr & ~(uint64_t)(HS_PAGE_SIZE - 1));
    for (unsigned i = 0; i < file.e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_W)
            scan_segment(module, bias, &segments[i], relro);
        else if (segments[i].p_type == PT_TLS)
            tls_bytes += segments[i].p_memsz + segments[i].p_align;
    }
}

static __attribute__((noinline)) void scan_module_guarded(const struct mapping *module)
{
    struct child_guard guard;
    if (CHILD_GUARDED(&guard)) {
        scan_module(module);
        child_guard_end(&guard);
    } else {
        graph_end();
    }
}

static void scan_modules(void)
{
    for (uint32_t i = 0; i < mappings_count() && !graph_stopped(); i++) {
        const struct mapping *mapping = mappings_at(i);
        if (mapping->inode && !mapping->offset && mapping->readable)
            scan_module_guarded(mapping);
    }
}

/* ---- threads ---- */

static uint32_t thread_name(uint32_t tid)
{
    char path[64], name[32];
    char *limit = path + sizeof path - 1;
    char *out = text_append(path, limit, "/proc/");
    out = text_append_number(out, limit, (uint64_t)session.pid);
    out = text_append(out, limit, "/task/");
    out = text_append_number(out, limit, tid);
    text_append(out, limit, "/comm");
    long length = proc_read(path, name, sizeof name);
    while (length > 0 && name[length - 1] == '\n')
        length--;
    return length > 0 ? graph_string(name, (size_t)length) : 0;
}

static void scan_range(enum hsk_root kind, uint32_t name, uint32_t tid, uintptr_t from, uintptr_t to)
{
    if (from >= to)
        return;
    graph_root_begin(nodes_new(), kind, name, 0, tid);
    scan_words(from, to, 0, BLOCK_NONE);
    graph_end();
}

/* The vector of the thread's dynamic TLS blocks; where it is a block of the heap it is found as one. */
static void scan_dtv(uint32_t name, uint32_t tid, uintptr_t pointer)
{
    struct child_guard guard;
    if (!CHILD_GUARDED(&guard))
        return;
    uintptr_t dtv = ((const uintptr_t *)pointer)[1];
    if (dtv % 16 == 0 && dtv > HS_PAGE_SIZE && nodes_find_block(dtv) == BLOCK_NONE) {
        uintptr_t length = ((const uintptr_t *)dtv)[-2]; /* entries of two words; before them, how many */
        if (length && length <= DTV_MAX)
            scan_range(HSK_ROOT_TLS, name, tid, dtv, dtv + (length + 1) * 16);
    }
    child_guard_end(&guard);
}

/* The part of [low, high) that the stack of this thread takes; *tls is where its thread-local storage begins. */
static bool stack_bounds(const struct scan_thread *thread, uintptr_t *low, uintptr_t *high)
{
    const struct mapping *data = thread->pointer ? mappings_find(thread->pointer) : NULL;
    bool is_main = thread->tid == (uint32_t)session.pid;
    if (is_main) {
        for (uint32_t i = 0; i < mappings_count(); i++)
            if (mappings_at(i)->path_length == 7 && !memcmp(mappings_at(i)->path, "[stack]", 7)) {
                *low = mappings_at(i)->start;
                *high = mappings_at(i)->end;
                return true;
            }
        return false;
    }
    const struct mapping *stack = data ? data : thread->sp ? mappings_find(thread->sp) : NULL;
    if (!stack)
        return false;
    *low = stack->start;
    *high = stack->end;
    uintptr_t end = (thread->pointer + THREAD_DATA_BYTES + HS_PAGE_SIZE - 1) & ~(uintptr_t)(HS_PAGE_SIZE - 1);
    if (data && end < *high)
        *high = end;
    return true;
}

/* A leaf function of another thread may use the red zone below its stack pointer; the thread that forked was
 * in a call. */
static void scan_thread(const struct scan_thread *thread, uintptr_t red_zone, uint32_t *whole, uint32_t *unknown)
{
    uint32_t name = thread_name(thread->tid);
    uintptr_t low, high;
    if (stack_bounds(thread, &low, &high)) {
        uintptr_t top = high;
        if (thread->pointer > low && thread->pointer < high)
            top = thread->pointer - tls_bytes > low ? thread->pointer - tls_bytes : low;
        if (thread->sp >= low && thread->sp < high)
            low = thread->sp - low > red_zone ? (thread->sp - red_zone) & ~(uintptr_t)7 : low;
        else
            ++*whole;
        scan_range(HSK_ROOT_STACK, name, thread->tid, low, top);
    } else {
        ++*unknown;
    }
    uint32_t block = thread->sp ? nodes_find_block(thread->sp) : BLOCK_NONE;
    if (block != BLOCK_NONE)
        scan_range(HSK_ROOT_STACK, name, thread->tid, thread->sp & ~(uintptr_t)7,
                   nodes_block(block).start + nodes_block(block).size);
    const struct mapping *data = thread->pointer ? mappings_find(thread->pointer) : NULL;
    if (data) {
        uintptr_t from = thread->pointer - data->start > tls_bytes ? thread->pointer - tls_bytes : data->start;
        uintptr_t to = thread->pointer + THREAD_DATA_BYTES;
        if (thread->sp > from && thread->sp < thread->pointer)
            from = thread->sp; /* so near the top of its stack */
        scan_range(HSK_ROOT_TLS, name, thread->tid, from & ~(uintptr_t)7, to < data->end ? to : data->end);
        scan_dtv(name, thread->tid, thread->pointer);
    }
}

static void say_count(const char *what, uint32_t count)
{
    char sentence[160];
    if (!count)
        return;
    char *limit = sentence + sizeof sentence - 1;
    text_append(text_append_number(text_append(sentence, limit, what), limit, count), limit, ".");
    graph_problem(sentence);
}

void scan_roots(const struct scan_threads *threads)
{
    if (!mappings_read()) {
        graph_problem("The memory map could not be read: what the program's own data and stacks refer to is missing.");
        return;
    }
    tls_bytes = TLS_ROUNDING_BYTES;
    scan_modules();
    uint32_t whole = 0, unknown = 0;
    graph_root_begin(nodes_new(), HSK_ROOT_REGISTERS, thread_name(threads->own.tid), 0, threads->own.tid);
    scan_words((uintptr_t)threads->registers, (uintptr_t)(threads->registers + SCAN_REGISTERS), 0, BLOCK_NONE);
    graph_end();
    scan_thread(&threads->own, 0, &whole, &unknown);
    for (uint32_t i = 0; i < threads->count && !graph_stopped(); i++) {
        struct scan_thread thread = threads->others[i];
        thread.pointer = thread_pointer_of(thread.tid);
        scan_thread(&thread, RED_ZONE, &whole, &unknown);
    }
    say_count("Threads that ran just then, so that their stacks were searched whole, with what is stale on them: ",
              whole);
    say_count("Threads whose stacks could not be found: ", unknown);
    if (threads->incomplete)
        graph_problem("Not all threads could be listed: what their stacks refer to is missing.");
}
