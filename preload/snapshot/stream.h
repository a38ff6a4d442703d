/*
 * stream.h - in the snapshot child: frames into the ring of bytes that the recorder reads
 * (include/internal/snapshot.h).
 *
 * Waits for room as long as the recorder lives and wants more; the child's deadline (child.c) bounds it. When that is
 * over, stream_stopped() is true for good and everything else does nothing.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_STREAM_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/snapshot.h"

void stream_begin(struct hs_area *area);
/* At most HS_STREAM_FRAME_MAX bytes. */
void stream_write(enum hs_stream_kind kind, const void *bytes, size_t length);
void stream_stop(void);
bool stream_stopped(void);

#endif
