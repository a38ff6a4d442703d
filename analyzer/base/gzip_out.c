/* gzip_out.c - see gzip_out.h */
#include "base/gzip_out.h"

#define LEVEL 4               /* higher ones gain a few percent on profiles, for three times the time */
#define WINDOW_GZIP (15 + 16) /* zlib's largest window, and a header of gzip */
#define MEMORY_LEVEL 8
#define STEP (UINT32_C(1) << 30) /* zlib counts in unsigned int */

bool gzip_begin(struct gzip_out *gzip, FILE *to)
{
    gzip->to = to;
    gzip->stream = (z_stream){0};
    gzip->failed =
        deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK;
    return !gzip->failed;
}

/* Whatever zlib has for the stream, until it wants more input (or, with Z_FINISH, has ended). */
static void drain(struct gzip_out *gzip, int flush)
{
    do {
        gzip->stream.next_out = gzip->room;
        gzip->stream.avail_out = sizeof gzip->room;
        if (deflate(&gzip->stream, flush) == Z_STREAM_ERROR) {
            gzip->failed = true;
            return;
        }
        fwrite(gzip->room, 1, sizeof gzip->room - gzip->stream.avail_out, gzip->to);
    } while (gzip->stream.avail_out == 0);
}

void gzip_put(struct gzip_out *gzip, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0 && !gzip->failed) {
        uInt step = length < STEP ? (uInt)length : STEP;
        gzip->stream.next_in = (Bytef *)(uintptr_t)at; /* zlib does not write to it */
        gzip->stream.avail_in = step;
        drain(gzip, Z_NO_FLUSH);
        at += step;
        length -= step;
    }
}

bool gzip_end(struct gzip_out *gzip)
{
    if (!gzip->failed)
        drain(gzip, Z_FINISH);
    deflateEnd(&gzip->stream);
    return !gzip->failed;
}
