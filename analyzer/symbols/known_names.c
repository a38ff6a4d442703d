/* known_names.c - see known_names.h */
#include "symbols/known_names.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map64.h"

/* A file's, in bytes of names and in functions: well over what most programs reach, far below the recorder's memory. */
#define MAX_NAME_BYTES (512u << 10)
#define MAX_FUNCTIONS (32u << 10)

struct answer {
    uint32_t first, count; /* its functions */
};

struct known_names {
    pthread_mutex_t lock;
    struct map64 by_address; /* return address -> number of the answer */
    struct answer *answers;
    uint32_t answer_count, answer_capacity;
    struct native_functions functions; /* with strings of `names` */
    struct name_table names;
};

struct known_names *known_names_new(void)
{
    struct known_names *known = calloc(1, sizeof *known);
    if (!known)
        return NULL;
    pthread_mutex_init(&known->lock, NULL);
    known->names.ceiling = MAX_NAME_BYTES;
    return known;
}

void known_names_free(struct known_names *known)
{
    if (!known)
        return;
    map64_free(&known->by_address);
    free(known->answers);
    free(known->functions.items);
    intern_free(&known->names.strings);
    pthread_mutex_destroy(&known->lock);
    free(known);
}

/* The same string in the other table: 0 when there is no room for it, `*whole` false then. */
static uint32_t carry(struct name_table *to, const struct name_table *from, uint32_t number, bool *whole)
{
    uint32_t carried = number ? name_table_add(to, intern_get(&from->strings, number, NULL)) : 0;
    *whole &= !number == !carried;
    return carried;
}

/* All or none of a run of functions, from one table to the other. */
static bool carry_run(struct native_functions *to, struct name_table *to_names, const struct native_functions *from,
                      const struct name_table *from_names, size_t first, size_t count)
{
    size_t before = to->count;
    bool whole = true;
    for (size_t i = 0; i < count && whole; i++) {
        const struct native_function *function = &from->items[first + i];
        struct native_function copy = {
            .function = carry(to_names, from_names, function->function, &whole),
            .file = carry(to_names, from_names, function->file, &whole),
            .line = function->line,
        };
        whole = whole && native_functions_add(to, &copy);
    }
    if (!whole)
        to->count = before;
    return whole;
}

bool known_names_get(struct known_names *known, struct native_query *query, struct name_table *names,
                     struct native_functions *functions)
{
    uint32_t number;
    if (!known)
        return false;
    pthread_mutex_lock(&known->lock);
    bool found = map64_get(&known->by_address, query->return_address, &number);
    if (found) {
        const struct answer *answer = &known->answers[number];
        query->first = functions->count;
        query->count = answer->count;
        found = carry_run(functions, names, &known->functions, &known->names, answer->first, answer->count);
    }
    pthread_mutex_unlock(&known->lock);
    return found;
}

static bool room_for_answer(struct known_names *known)
{
    if (known->answer_count < known->answer_capacity)
        return true;
    uint32_t capacity = known->answer_capacity ? 2 * known->answer_capacity : 64;
    struct answer *grown = reallocarray(known->answers, capacity, sizeof *grown);
    if (!grown)
        return false;
    known->answers = grown;
    known->answer_capacity = capacity;
    return true;
}

void known_names_put(struct known_names *known, const struct native_query *query, const struct name_table *names,
                     const struct native_functions *functions)
{
    uint32_t number;
    if (!known)
        return;
    pthread_mutex_lock(&known->lock);
    uint32_t first = (uint32_t)known->functions.count;
    if (known->answer_count < MAX_FUNCTIONS && query->count <= MAX_FUNCTIONS - first &&
        !map64_get(&known->by_address, query->return_address, &number) && room_for_answer(known) &&
        carry_run(&known->functions, &known->names, functions, names, query->first, query->count) &&
        map64_put(&known->by_address, query->return_address, known->answer_count))
        known->answers[known->answer_count++] = (struct answer){.first = first, .count = query->count};
    pthread_mutex_unlock(&known->lock);
}
