/* unwatched.c - see unwatched.h */
#include "unwatched.h"

#include "../emit.h"
#include "../proc_text.h"

#define TERM_BYTES 320u
#define SENTENCE_BYTES 512u

void unwatched_say(struct thread *self, const char *kind, const char *text, const char *why)
{
    char sentence[SENTENCE_BYTES];
    char *term_end = sentence + TERM_BYTES, *limit = sentence + sizeof sentence - 1;
    char *end = text_append(text_append(sentence, term_end, kind), term_end, text);
    text_append(text_append(end, limit, " is not watched: "), limit, why);
    emit_blind_spot(self, sentence);
}
