/* unwatched.c - see unwatched.h */
#include "unwatched.h"

#include "../emit.h"
#include "../proc_text.h"

#define SPEC_BYTES 320u
#define SENTENCE_BYTES 512u

void unwatched_say(struct thread *self, const char *spec, const char *why)
{
    char sentence[SENTENCE_BYTES];
    char *limit = sentence + sizeof sentence - 1;
    char *end = text_append(sentence, sentence + SPEC_BYTES, spec);
    text_append(text_append(end, limit, " is not watched: "), limit, why);
    emit_blind_spot(self, sentence);
}
