/* make_graph_main.c - `make_graph DESCRIPTION TRACE`: a trace from a text (make_graph.h), for tests that are not in C.
 */
#include <stdio.h>
#include <stdlib.h>

#include "make_graph.h"
#include "make_trace.h"

int main(int argc, char **argv)
{
    size_t length = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: make_graph DESCRIPTION TRACE\n");
        return 2;
    }
    char *text = (char *)made_trace_slurp(argv[1], &length);
    if (!text) {
        perror(argv[1]);
        return 2;
    }
    text[length] = '\0';
    int code = made_graph_write(argv[2], text);
    free(text);
    return code == 0 ? 0 : 1;
}
