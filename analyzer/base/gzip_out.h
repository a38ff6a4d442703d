/*
 * gzip_out.h - bytes that go to a stream as one gzip member.
 *
 *     if (gzip_begin(&gzip, stream)) {
 *         gzip_put(&gzip, bytes, length);
 *         ...
 *     }
 *     whole = gzip_end(&gzip);
 *
 * The same bytes give the same output: no time and no name are in the header. The stream is the caller's, who looks at
 * its errors. Not thread-safe.
 */
#ifndef HEAPSAKE_BASE_GZIP_OUT_H
#define HEAPSAKE_BASE_GZIP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

struct gzip_out {
    FILE *to;
    bool failed; /* memory ran out */
    z_stream stream;
    uint8_t room[1 << 16];
};

/* False when memory runs out. */
bool gzip_begin(struct gzip_out *gzip, FILE *to);
void gzip_put(struct gzip_out *gzip, const void *bytes, size_t length);
/* The end of the member; in every case, once, after gzip_begin(). False when memory ran out on the way. */
bool gzip_end(struct gzip_out *gzip);

#endif
