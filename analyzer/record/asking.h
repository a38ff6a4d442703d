/*
 * asking.h - how `heapsake snapshot` and `heapsake detach` talk with a recorder: over the address where programs say
 * hello.
 *
 * One struct ask; answered by one struct ask_answer at once, and after ANSWER_WAIT by another one. Its text, a file's
 * name or a sentence, lies behind it. Never between different versions of heapsake.
 */
#ifndef HEAPSAKE_RECORD_ASKING_H
#define HEAPSAKE_RECORD_ASKING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ASK_MAGIC 0x3f6b7361u /* "ask?" */
#define ASK_VERSION 2u
#define ASK_TEXT_MAX 4096u
/* A program that has not answered for so long is busy where no snapshot can be taken. */
#define ASK_BUSY_SECONDS 10

enum ask_what {
    ASK_SNAPSHOT = 0, /* take a snapshot of it    */
    ASK_DETACH = 1,   /* leave it, and end the trace */
};

struct ask {
    uint32_t magic;
    uint32_t version;
    int32_t pid;   /* whom it is about, as the recorder sees it */
    uint32_t what; /* enum ask_what */
};

enum answer_kind {
    ANSWER_NOT_MINE = 1, /* this recorder does not trace that process               */
    ANSWER_WAIT = 2,     /* it does, and has asked for the snapshot                 */
    ANSWER_DONE = 3,     /* the snapshot is in the trace, or the trace is finished; the text is the file's name */
    ANSWER_FAILED = 4,   /* it is not; the text says why                            */
};

struct ask_answer {
    uint32_t magic;
    uint32_t kind;           /* enum answer_kind */
    uint32_t number, reason; /* of the snapshot */
    uint64_t nodes, edges;
    uint64_t pause_ns, walk_ns, resident_bytes;
};

/* For the commands: the one process that argv names, or -EINVAL after saying what is wrong. */
int asking_pid(const char *command, int argc, char **argv);
/*
 * Asks the recorder of `pid`, and waits up to `seconds` for what was asked. False: there is none, which has been said
 * to the user. `text` is then the file's name.
 */
bool asking(enum ask_what what, pid_t pid, unsigned seconds, struct ask_answer *answer, char text[ASK_TEXT_MAX + 1]);

/* For recorders: answers, without waiting. Who has asked may have gone. `magic` is filled in here; a long
 * text is cut. */
void asking_answer(int fd, const struct ask_answer *answer, const char *text);

#endif
