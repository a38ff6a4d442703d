/*
 * session_table.c - a table of sessions that forgets to free what a session holds:
 * closing one frees the struct and leaks the name inside it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    char *name;
    unsigned char buffer[512];
};

static struct session *session_open(int number)
{
    char name[64];
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    snprintf(name, sizeof name, "session number %d of the demonstration", number);
    session->name = strdup(name);
    return session;
}

static void session_close(struct session *session)
{
    free(session); /* and session->name? */
}

int main(void)
{
    enum { TABLE = 64, ROUNDS = 20000 };
    struct session *table[TABLE] = {0};

    for (int i = 0; i < ROUNDS; i++) {
        struct session **slot = &table[i % TABLE];
        if (*slot)
            session_close(*slot);
        *slot = session_open(i);
    }
    for (int i = 0; i < TABLE; i++)
        if (table[i])
            session_close(table[i]);
    printf("opened and closed %d sessions\n", ROUNDS);
    return 0;
}
