/*
 * messages.h - what a traced program tells in messages (event.h): code objects, modules, threads, forks, its end.
 */
#ifndef HEAPSAKE_RECORD_MESSAGES_H
#define HEAPSAKE_RECORD_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "record/session.h"

/* Takes one message of `length` bytes, not to be trusted. False: it makes no sense, session->wrong says why. */
bool message_take(struct session *session, struct ring_reader *reader, unsigned kind, const uint8_t *bytes,
                  size_t length);

#endif
