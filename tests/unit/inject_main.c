/*
 * inject_main.c - calls a function inside another process, and says as JSON how that went.
 *
 * usage: inject PID LIBRARY FUNCTION ARGUMENT [DEADLINE_MS [TIMES]]. Ends with 1 and a line when a call failed. With
 * TIMES calls one after the other, the line is of the last one, with the longest stop of all; "descriptors" is how many
 * this process has open then.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "record/injection.h"

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count - 3; /* the folder, and its own two entries */
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: inject PID LIBRARY FUNCTION ARGUMENT [DEADLINE_MS [TIMES]]\n");
        return 2;
    }
    unsigned deadline = argc > 5 ? (unsigned)atoi(argv[5]) : 5000;
    int times = argc > 6 ? atoi(argv[6]) : 1;
    const struct injection_order order = {
        .library = argv[2], .function = argv[3], .argument = argv[4], .deadline_ms = deadline};
    struct injection_report report = {0};
    uint64_t longest = 0;
    for (int i = 0; i < times; i++) {
        struct error error = {.text = ""};
        int result = injection_call((pid_t)atoi(argv[1]), &order, &report, &error);
        longest = report.longest_ns > longest ? report.longest_ns : longest;
        if (result != 0) {
            fprintf(stderr, "%d: %s\n", result, error.text);
            return 1;
        }
    }
    printf("{\"stopped\": %llu, \"longest\": %llu, \"attempts\": %u, \"tid\": %d, \"descriptors\": %u}\n",
           (unsigned long long)report.stopped_ns, (unsigned long long)longest, report.attempts, (int)report.tid,
           descriptors());
    return 0;
}
