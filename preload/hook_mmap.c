/*
 * hook_mmap.c - memory that the program maps itself.
 *
 * Recorded are private or shared anonymous mappings that can be written from the start: what stands for memory. Files,
 * and address space that is only reserved (PROT_NONE), are not; unmapping them is an UNMAP of a range that the recorder
 * does not know, and is ignored there. libc's own mappings (malloc's, thread stacks') are calls inside libc and do not
 * come by here. A mapping over an existing one (MAP_FIXED) ends what lies under it; the recorder sees to that.
 */
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emit.h"
#include "real.h"
#include "stack.h"
#include "sys.h"
#include "thread.h"

#define HERE __builtin_frame_address(0)

/*
 * hook_enter(), but NULL inside operator new of a replacement allocator, which hook_replaced.c calls unguarded. A frame
 * that is not above ours any more has been left by an exception.
 */
static struct thread *mapping_enter(const void *frame_address)
{
    struct thread *self = hook_enter();
    if (self && self->allocator_frame) {
        if (self->allocator_frame > (uintptr_t)frame_address) {
            hook_leave(self);
            return NULL;
        }
        self->allocator_frame = 0;
    }
    return self;
}

static size_t whole_pages(size_t size)
{
    return (size + HS_PAGE_SIZE - 1) & ~(size_t)(HS_PAGE_SIZE - 1);
}

/* MAP_FIXED replaces silently; said before the call, as a free is. */
static void before_map(struct thread *self, const void *address, size_t size, int flags)
{
    if (flags & MAP_FIXED) {
        unwind_unmapped(address, size);
        emit_unmap(self, address, whole_pages(size));
    }
}

#define MAP(name)                                                                                                      \
    real_ensure();                                                                                                     \
    struct thread *self = mapping_enter(HERE);                                                                         \
    if (!self)                                                                                                         \
        return real.name(address, size, protection, flags, fd, offset);                                                \
    before_map(self, address, size, flags);                                                                            \
    void *mapped = real.name(address, size, protection, flags, fd, offset);                                            \
    if (mapped != MAP_FAILED && flags & MAP_ANONYMOUS && protection & PROT_WRITE)                                      \
        emit_alloc(self, HS_DOMAIN_MMAP, mapped, whole_pages(size), stack_capture(self, HERE));                        \
    hook_leave(self);                                                                                                  \
    return mapped

HS_EXPORT void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    MAP(mmap);
}
HS_EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
    MAP(mmap64);
}

HS_EXPORT int munmap(void *address, size_t size)
{
    real_ensure();
    if ((uintptr_t)address % HS_PAGE_SIZE || size == 0)
        return real.munmap(address, size); /* EINVAL: nothing will be unmapped */
    unwind_unmapped(address, size);
    struct thread *self = mapping_enter(HERE);
    if (self)
        emit_unmap(self, address, whole_pages(size));
    int result = real.munmap(address, size);
    if (self)
        hook_leave(self);
    return result;
}

HS_EXPORT void *mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    real_ensure();
    va_list list;
    va_start(list, flags);
    void *new_address = flags & MREMAP_FIXED ? va_arg(list, void *) : NULL;
    va_end(list);
    struct thread *self = mapping_enter(HERE);
    if (!self)
        return real.mremap(address, old_size, new_size, flags, new_address);
    unwind_unmapped(address, old_size);
    emit_realloc_begin(self, HS_DOMAIN_MMAP, address);
    void *mapped = real.mremap(address, old_size, new_size, flags, new_address);
    if (mapped != MAP_FAILED)
        emit_realloc_commit(self, HS_DOMAIN_MMAP, mapped, whole_pages(new_size), stack_capture(self, HERE));
    else
        emit_realloc_abort(self, HS_DOMAIN_MMAP, address);
    hook_leave(self);
    return mapped;
}

/* The program's own calls only: malloc's go through libc's inside. */
static void record_break(struct thread *self, char *before, char *after, const void *frame_address)
{
    if (after > before)
        emit_alloc(self, HS_DOMAIN_MMAP, before, (size_t)(after - before), stack_capture(self, frame_address));
    else if (after < before)
        emit_unmap(self, after, (size_t)(before - after));
}

HS_EXPORT void *sbrk(intptr_t increment)
{
    real_ensure();
    struct thread *self = increment ? mapping_enter(HERE) : NULL;
    char *before = real.sbrk(increment);
    if (self) {
        if (before != (void *)-1)
            record_break(self, before, before + increment, HERE);
        hook_leave(self);
    }
    return before;
}

HS_EXPORT int brk(void *address)
{
    real_ensure();
    struct thread *self = mapping_enter(HERE);
    char *before = self ? real.sbrk(0) : NULL;
    int result = real.brk(address);
    if (self) {
        if (result == 0)
            record_break(self, before, address, HERE);
        hook_leave(self);
    }
    return result;
}
