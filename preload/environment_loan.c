/*
 * environment_loan.c - see environment_loan.h
 *
 * Other threads may read and change the environment meanwhile, as they may during libc's own system(). So the copy is
 * never given back: somebody may be reading in it. It serves again as long as the
 * environment is the same. libc's setenv and unsetenv write into the copy when it replaces or removes a variable; that
 * is carried over. When it adds one it makes an array of its own, from which our variables are taken.
 */
#include "environment_loan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "environment.h"
#include "internal/session.h"
#include "sys.h"

static struct {
    _Atomic uint32_t lock;
    unsigned borrowers;
    char **users;  /* environ as it was                                  */
    char *preload; /* the program's own entry of LD_PRELOAD, or NULL       */
    char **lent;   /* its completed copy, NULL: none                      */
    char *ours[2]; /* our entries in it                                   */
} loan;

static void lock_loan(void)
{
    while (atomic_exchange_explicit(&loan.lock, 1, memory_order_acquire))
        sys_yield();
}

static void unlock_loan(void)
{
    atomic_store_explicit(&loan.lock, 0, memory_order_release);
}

static bool sets(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/* The entry that environment_restore() takes the program's LD_PRELOAD from: the last one. */
static char *preload_of(char **entries)
{
    char *found = NULL;
    for (; entries && *entries; entries++)
        if (sets(*entries, HS_ENV_PRELOAD))
            found = *entries;
    return found;
}

/* Is `lent` what environment_restore() makes of `users`? */
static bool belongs_to(char **lent, char **users)
{
    if (!lent || preload_of(users) != loan.preload)
        return false;
    for (; users && *users; users++) {
        if (sets(*users, HS_ENV_PRELOAD) || sets(*users, HS_ENV_SESSION))
            continue;
        if (*lent != *users)
            return false;
        lent++;
    }
    return lent[0] == loan.ours[0] && lent[0] && lent[1] == loan.ours[1] && lent[1] && !lent[2];
}

static char **complete(char **users)
{
    struct environment_room room = environment_measure(users);
    if (!room.pointers)
        return NULL;
    char **memory = arena_map(room.pointers * sizeof(char *) + room.bytes);
    if (!memory)
        return NULL;
    loan.preload = preload_of(users);
    environment_restore(users, memory, (char *)(memory + room.pointers));
    size_t count = 0;
    while (memory[count])
        count++;
    loan.ours[0] = memory[count - 2];
    loan.ours[1] = memory[count - 1];
    return memory;
}

void environment_lend(void)
{
    lock_loan();
    if (loan.borrowers++ == 0) {
        loan.users = environ;
        if (!belongs_to(loan.lent, environ))
            loan.lent = complete(environ);
        if (loan.lent)
            environ = loan.lent;
    }
    unlock_loan();
}

/* libc has replaced or removed entries of the copy, never added one: they fit into the place they came from. */
static void carry_over(void)
{
    char **out = loan.users;
    for (char **entry = loan.lent; *entry; entry++) {
        if (*entry == loan.ours[0] || (*entry == loan.ours[1] && !loan.preload))
            continue;
        *out++ = *entry == loan.ours[1] ? loan.preload : *entry;
    }
    *out = NULL;
    loan.lent = NULL;
}

static void end_loan(void)
{
    if (!loan.lent)
        return;
    if (environ == loan.lent) {
        if (!belongs_to(loan.lent, loan.users))
            carry_over();
        environ = loan.users;
    } else if (environ) {
        environment_take(environ); /* libc's own array, which may lie where the program's was */
        loan.lent = NULL;          /* its strings may be in use there */
    }
}

void environment_take_back(void)
{
    lock_loan();
    if (loan.borrowers && --loan.borrowers == 0)
        end_loan();
    unlock_loan();
}

void environment_loan_forked(void)
{
    if (loan.borrowers) {
        loan.borrowers = 0;
        end_loan();
    }
    unlock_loan();
}
