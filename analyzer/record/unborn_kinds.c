/* unborn_kinds.c - see unborn_kinds.h */
#include "record/unborn_kinds.h"

#include <stdio.h>

#include "internal/watch_spec.h"
#include "record/recorder.h"

#define TELLS_BIRTHS 13u /* the first minor version of CPython that does */
#define SPEC_BYTES 320   /* of a SPEC that are shown */

void births_known_take(struct births_known *known, const struct session *session)
{
    known->seen |= atomic_load_explicit(&session->shared->births_seen, memory_order_acquire);
    known->python |= session->python_version != NULL;
}

static const char *sentence(const struct births_known *known, const struct session *session)
{
    unsigned minor;
    if (!known->python)
        return "no Python runs here.";
    if (session->python_version && sscanf(session->python_version, "3.%u", &minor) == 1 && minor < TELLS_BIRTHS)
        return "no birth of such an object was seen; this Python does not tell of births, and some are missed.";
    return "no birth of such an object was seen.";
}

void births_known_note(const struct births_known *known, struct session *session)
{
    const struct option_strings *specs = &recorder_options(session->recorder)->watch;
    uint32_t unseen = atomic_load_explicit(&session->shared->births_asked, memory_order_acquire) & ~known->seen;
    bool had_python = session->python_version != NULL;
    /* of a program without Python only FILE says so: one that runs a hundred others has none of their business */
    if (!had_python && (!session->process->root || session->ended == SESSION_EXEC))
        return;
    for (int i = 0; i < specs->count && i < (int)HS_WATCH_REQUESTS; i++)
        if (unseen >> i & 1)
            session_note(session, HSK_FIELD_BLIND_SPOT, "%.*s is not watched: %s", SPEC_BYTES, specs->values[i],
                         sentence(known, session));
}
