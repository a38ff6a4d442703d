/*
 * asking.h - how `heapsake snapshot` talks with a recorder: over the address where programs say hello.
 *
 * One struct ask; answered by one struct ask_answer at once, and after ANSWER_WAIT by another one. Its text, a file's
 * name or a sentence, lies behind it. Never between different versions of heapsake.
 */
#ifndef HEAPSAKE_RECORD_ASKING_H
#define HEAPSAKE_RECORD_ASKING_H

#include <stdint.h>

#define ASK_MAGIC 0x3f6b7361u /* "ask?" */
#define ASK_VERSION 1u
#define ASK_TEXT_MAX 4096u
/* A program that has not answered for so long is busy where no snapshot can be taken. */
#define ASK_BUSY_SECONDS 10

struct ask {
    uint32_t magic;
    uint32_t version;
    int32_t pid; /* of whom a snapshot is to be taken, as the recorder sees it */
    uint32_t reserved;
};

enum answer_kind {
    ANSWER_NOT_MINE = 1, /* this recorder does not trace that process               */
    ANSWER_WAIT = 2,     /* it does, and has asked for the snapshot                 */
    ANSWER_DONE = 3,     /* the snapshot is in the trace; the text is the file's name */
    ANSWER_FAILED = 4,   /* there is none; the text says why                        */
};

struct ask_answer {
    uint32_t magic;
    uint32_t kind;           /* enum answer_kind */
    uint32_t number, reason; /* of the snapshot */
    uint64_t nodes, edges;
    uint64_t pause_ns, walk_ns, resident_bytes;
};

#endif
