/* counts.c - counts MODE N: N times one kind of allocation, and the truth about it. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#include "truth.h"

enum { KEPT = 4096, PAGE = 4096 };

static struct truth truth;
static void *kept[KEPT];
static void *volatile sink;
static volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler warns about what it can see */

static void *got(void *block, size_t bytes)
{
    CHECK(block);
    memset(block, 0x5a, bytes);
    truth_alloc(&truth.malloc, bytes);
    return block;
}

static void gone(void *block, size_t bytes)
{
    truth_free(&truth.malloc, bytes);
    free(block);
}

static void malloc_free(long n)
{
    for (long i = 0; i < n; i++) {
        size_t bytes = 1 + (size_t)i % 3000;
        gone(got(malloc(bytes), bytes), bytes);
    }
}

static void malloc_keep(long n)
{
    for (long i = 0; i < n; i++)
        kept[i % KEPT] = got(malloc(100 + (size_t)i), 100 + (size_t)i);
}

static void calloc_keep(long n)
{
    for (long i = 0; i < n; i++) {
        unsigned char *block = calloc(7, 33);
        CHECK(block && !block[0] && !block[230]);
        kept[i % KEPT] = got(block, 7 * 33);
    }
}

static void calloc_overflow(long n)
{
    for (long i = 0; i < n; i++) {
        errno = 0;
        sink = calloc(huge, 16);
        CHECK(!sink && errno == ENOMEM);
    }
}

static void malloc_huge(long n)
{
    for (long i = 0; i < n; i++) {
        errno = 0;
        sink = malloc(huge);
        CHECK(!sink && errno == ENOMEM);
    }
}

static void malloc_zero(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = malloc(0);
        CHECK(block);
        truth_alloc(&truth.malloc, 0);
        if (i % 2)
            gone(block, 0);
    }
}

static void malloc_large(long n) /* beyond the threshold where libc maps each block */
{
    for (long i = 0; i < n; i++) {
        void *block = malloc(1 << 20);
        CHECK(block);
        truth_alloc(&truth.malloc, 1 << 20);
        gone(block, 1 << 20);
    }
}

static void malloc_4gib(long n) /* a size that does not fit 32 bits; untouched, so it costs no memory */
{
    for (long i = 0; i < n; i++) {
        size_t bytes = ((size_t)4 << 30) + 12345;
        void *block = malloc(bytes);
        CHECK(block);
        truth_alloc(&truth.malloc, bytes);
        gone(block, bytes);
    }
}

static void free_null(long n)
{
    for (long i = 0; i < n; i++)
        free(NULL);
}

static void realloc_null(long n)
{
    for (long i = 0; i < n; i++)
        kept[i % KEPT] = got(realloc(NULL, 77), 77);
}

static void realloc_zero(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = got(malloc(50), 50);
        truth_free(&truth.malloc, 50);
        sink = realloc(block, 0);
        CHECK(!sink);
    }
}

static void realloc_huge(long n) /* fails, and the old block stays */
{
    for (long i = 0; i < n; i++) {
        void *block = got(malloc(60), 60);
        errno = 0;
        sink = realloc(block, huge);
        CHECK(!sink && errno == ENOMEM);
        CHECK(*(unsigned char *)block == 0x5a);
        if (i % 2)
            gone(block, 60);
    }
}

static void resize(long n, size_t from, size_t to)
{
    for (long i = 0; i < n; i++) {
        unsigned char *block = got(malloc(from), from);
        truth_free(&truth.malloc, from);
        block = realloc(block, to);
        CHECK(block && block[0] == 0x5a && block[(from < to ? from : to) - 1] == 0x5a);
        truth_alloc(&truth.malloc, to);
        if (i % 2)
            gone(block, to);
    }
}

static void realloc_shrink(long n) { resize(n, 900, 30); }
static void realloc_grow(long n) { resize(n, 30, 900); }
static void realloc_large(long n) { resize(n, 300000, 3000000); } /* libc moves it with mremap */

static void realloc_move(long n) /* a neighbour keeps it from growing in place */
{
    for (long i = 0; i < n; i++) {
        void *block = got(malloc(40), 40);
        void *neighbour = got(malloc(40), 40);
        truth_free(&truth.malloc, 40);
        block = realloc(block, 5000);
        CHECK(block);
        truth_alloc(&truth.malloc, 5000);
        gone(neighbour, 40);
        gone(block, 5000);
    }
}

static void realloc_chain(long n)
{
    void *block = NULL;
    size_t bytes = 0;
    for (long i = 0; i < n; i++) {
        if (block)
            truth_free(&truth.malloc, bytes);
        bytes = 10 + (size_t)(i * 37 % 20000);
        block = realloc(block, bytes);
        CHECK(block);
        truth_alloc(&truth.malloc, bytes);
    }
    kept[0] = block;
}

static void reallocarray_keep(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = got(reallocarray(NULL, 11, 13), 143);
        errno = 0;
        sink = reallocarray(block, huge, 16);
        CHECK(!sink && errno == ENOMEM);
        truth_free(&truth.malloc, 143);
        block = reallocarray(block, 100, 9);
        CHECK(block);
        truth_alloc(&truth.malloc, 900);
        kept[i % KEPT] = block;
    }
}

static void posix_memalign_keep(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = NULL;
        CHECK(posix_memalign(&block, 256, 1000) == 0 && (uintptr_t)block % 256 == 0);
        kept[i % KEPT] = got(block, 1000);
        void *untouched = &truth;
        CHECK(posix_memalign(&untouched, 3, 10) == EINVAL && untouched == &truth);
    }
}

static void aligned_alloc_free(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = aligned_alloc(512, 1024);
        CHECK(block && (uintptr_t)block % 512 == 0);
        gone(got(block, 1024), 1024);
    }
}

static void memalign_keep(long n)
{
    for (long i = 0; i < n; i++)
        kept[i % KEPT] = got(memalign(128, 500), 500);
}

static void valloc_free(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = valloc(5000);
        CHECK((uintptr_t)block % PAGE == 0);
        gone(got(block, 5000), 5000);
    }
}

static void pvalloc_free(long n)
{
    for (long i = 0; i < n; i++)
        gone(got(pvalloc(2 * PAGE), 2 * PAGE), 2 * PAGE);
}

static void usable_size(long n)
{
    CHECK(malloc_usable_size(NULL) == 0);
    for (long i = 0; i < n; i++) {
        void *block = got(malloc(1001), 1001);
        CHECK(malloc_usable_size(block) >= 1001 && malloc_usable_size(block) < 1100);
        gone(block, 1001);
    }
}

static void through_libc(long n) /* libc's own calls arrive too */
{
    for (long i = 0; i < n; i++) {
        char *copy = strdup("a string of thirty-one letters.");
        CHECK(copy);
        truth_alloc(&truth.malloc, 32);
        gone(copy, 32);
    }
}

static void *mapped(size_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(block != MAP_FAILED);
    truth_alloc(&truth.mmap, bytes);
    return block;
}

static void mmap_munmap(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = mapped(3 * PAGE);
        truth_free(&truth.mmap, 3 * PAGE);
        CHECK(munmap(block, 3 * PAGE) == 0);
    }
}

static void mmap_keep(long n)
{
    for (long i = 0; i < n; i++)
        mapped((size_t)(1 + i % 5) * PAGE);
}

static void mmap_fails(long n)
{
    for (long i = 0; i < n; i++)
        CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void munmap_fails(long n)
{
    for (long i = 0; i < n; i++) {
        char *block = mapped(2 * PAGE);
        CHECK(munmap(block + 1, PAGE) == -1 && errno == EINVAL); /* and all of it stays */
        block[0] = block[2 * PAGE - 1] = 1;
    }
}

static void mremap_fails(long n)
{
    for (long i = 0; i < n; i++) {
        char *block = mapped(2 * PAGE);
        CHECK(mremap(block, 2 * PAGE, huge & ~(size_t)(PAGE - 1), MREMAP_MAYMOVE) == MAP_FAILED);
        block[0] = block[2 * PAGE - 1] = 1;
    }
}

/* Address space that is only reserved, and files, are not memory of the program's own. */
static void mmap_reserve(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(block != MAP_FAILED && munmap(block, 16 * PAGE) == 0);
        int file = open("/proc/self/exe", O_RDONLY);
        block = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
        CHECK(block != MAP_FAILED && close(file) == 0 && munmap(block, PAGE) == 0);
    }
}

/* Pieces of a mapping go one by one: bytes are exact, blocks are the tracer's matter. */
static void munmap_pieces(long n)
{
    for (long i = 0; i < n; i++) {
        char *block = mapped(6 * PAGE);
        CHECK(munmap(block, PAGE) == 0);            /* the head   */
        CHECK(munmap(block + 5 * PAGE, PAGE) == 0); /* the tail   */
        CHECK(munmap(block + 2 * PAGE, PAGE) == 0); /* the middle */
        truth.mmap.live_bytes -= 3 * PAGE;
    }
}

static void munmap_across(long n) /* one munmap over what two mmaps made */
{
    for (long i = 0; i < n; i++) {
        char *low = mapped(8 * PAGE);
        void *high = mmap(low + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                          0);
        CHECK(high == low + 4 * PAGE); /* replaces the upper half */
        truth.mmap.allocations++;
        truth.mmap.allocated_bytes += 4 * PAGE;
        CHECK(munmap(low, 8 * PAGE) == 0);
        truth.mmap.live_bytes -= 8 * PAGE;
    }
}

static void mremap_grow(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = mapped(2 * PAGE);
        block = mremap(block, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
        CHECK(block != MAP_FAILED);
        truth.mmap.live_bytes += 62 * PAGE;
    }
}

static void mremap_shrink(long n)
{
    for (long i = 0; i < n; i++) {
        void *block = mapped(8 * PAGE);
        CHECK(mremap(block, 8 * PAGE, PAGE, 0) == block);
        truth.mmap.live_bytes -= 7 * PAGE;
    }
}

static void sbrk_works(long n) /* how the break is reported is the tracer's matter, that it works is not */
{
    for (long i = 0; i < n; i++) {
        char *before = sbrk(PAGE);
        CHECK(before != (void *)-1);
        memset(before, 1, PAGE);
        CHECK((char *)sbrk(0) == before + PAGE);
    }
}

static const struct mode modes[] = {
    {"malloc_free", malloc_free},
    {"malloc_keep", malloc_keep},
    {"calloc_keep", calloc_keep},
    {"calloc_overflow", calloc_overflow},
    {"malloc_huge", malloc_huge},
    {"malloc_zero", malloc_zero},
    {"malloc_large", malloc_large},
    {"malloc_4gib", malloc_4gib},
    {"free_null", free_null},
    {"realloc_null", realloc_null},
    {"realloc_zero", realloc_zero},
    {"realloc_huge", realloc_huge},
    {"realloc_shrink", realloc_shrink},
    {"realloc_grow", realloc_grow},
    {"realloc_large", realloc_large},
    {"realloc_move", realloc_move},
    {"realloc_chain", realloc_chain},
    {"reallocarray_keep", reallocarray_keep},
    {"posix_memalign_keep", posix_memalign_keep},
    {"aligned_alloc_free", aligned_alloc_free},
    {"memalign_keep", memalign_keep},
    {"valloc_free", valloc_free},
    {"pvalloc_free", pvalloc_free},
    {"usable_size", usable_size},
    {"through_libc", through_libc},
    {"mmap_munmap", mmap_munmap},
    {"mmap_keep", mmap_keep},
    {"mmap_fails", mmap_fails},
    {"munmap_fails", munmap_fails},
    {"mremap_fails", mremap_fails},
    {"mmap_reserve", mmap_reserve},
    {"munmap_pieces", munmap_pieces},
    {"munmap_across", munmap_across},
    {"mremap_grow", mremap_grow},
    {"mremap_shrink", mremap_shrink},
    {"sbrk_works", sbrk_works},
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    return truth_of_mode(modes, sizeof modes / sizeof modes[0], argv, &truth);
}
