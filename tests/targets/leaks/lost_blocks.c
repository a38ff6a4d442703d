/*
 * lost_blocks.c - blocks of every class that a reachability scan knows. Prints blocks and bytes of each class:
 *
 *   definitely  the heads of lists whose last pointer is gone
 *   indirectly  what only those heads lead to
 *   possibly    blocks with a pointer into their midst alone
 *   reachable   a list that a global holds, and what it holds
 *
 * lost_blocks all | list | interior | global | ring | none. `ring`: lists closed to rings, where no head is special.
 */
#include "../truth.h"

enum { LISTS = 25, LENGTH = 4, NAME = 40, INTERIORS = 12, INTERIOR = 1000, TABLE = 30 };

struct node {
    struct node *next;
    char *name;
    long padding[3];
};

/* Not static: then the compiler keeps what is only written. */
struct node *volatile last_list; /* the only pointer to the newest list */
char *midst[INTERIORS];
struct node *table;

/* Not inlined: their registers and stack must not outlive them. */
__attribute__((noinline)) static struct node *make_node(struct node *next)
{
    struct node *node = calloc(1, sizeof *node);
    CHECK(node);
    node->next = next;
    node->name = malloc(NAME);
    CHECK(node->name);
    memset(node->name, 'n', NAME);
    return node;
}

__attribute__((noinline)) static struct node *make_list(int length)
{
    struct node *list = NULL;
    while (length-- > 0)
        list = make_node(list);
    return list;
}

__attribute__((noinline)) static void lose_lists(int closed)
{
    for (int i = 0; i < LISTS; i++) {
        last_list = make_list(LENGTH);
        if (closed)
            last_list->next->next->next->next = last_list;
        last_list = NULL;
    }
}

__attribute__((noinline)) static void keep_interiors(void)
{
    for (int i = 0; i < INTERIORS; i++) {
        char *block = malloc(INTERIOR);
        CHECK(block);
        memset(block, 'b', INTERIOR);
        midst[i] = block + 64 + i;
    }
}

/* Overwrites what the calls before have left below the stack pointer. */
__attribute__((noinline)) static void wipe_stack(void)
{
    volatile char space[64 << 10];
    for (size_t i = 0; i < sizeof space; i++)
        space[i] = 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int all = !strcmp(what, "all"), rings = !strcmp(what, "ring");
    int lists = all || rings || !strcmp(what, "list"), interiors = all || !strcmp(what, "interior");
    int globals = all || !strcmp(what, "global");
    CHECK(lists || interiors || globals || !strcmp(what, "none"));
    if (lists)
        lose_lists(rings);
    if (interiors)
        keep_interiors();
    if (globals)
        table = make_list(TABLE);
    wipe_stack();

    long long node = sizeof(struct node);
    print_line("{\"cause\": %s, \"function\": \"make_node\", \"file\": \"lost_blocks.c\", "
               "\"definitely\": {\"blocks\": %lld, \"bytes\": %lld}, \"indirectly\": {\"blocks\": %lld, \"bytes\": %lld}, "
               "\"possibly\": {\"blocks\": %lld, \"bytes\": %lld}, \"reachable\": {\"blocks\": %lld, \"bytes\": %lld}}",
               lists ? "\"lost\"" : "null", lists ? (long long)LISTS : 0, lists ? LISTS * node : 0,
               lists ? LISTS * (2 * LENGTH - 1LL) : 0, lists ? LISTS * ((LENGTH - 1) * node + LENGTH * NAME) : 0,
               interiors ? (long long)INTERIORS : 0, interiors ? (long long)INTERIORS * INTERIOR : 0,
               globals ? 2LL * TABLE : 0, globals ? TABLE * (node + NAME) : 0);
    return 0;
}
