/*
 * out_processes.h - the tree of a recording's processes, for `summary`; and how a process ended, in words.
 */
#ifndef HEAPSAKE_REPORT_OUT_PROCESSES_H
#define HEAPSAKE_REPORT_OUT_PROCESSES_H

#include "model/process_tree.h"
#include "report/out_json.h"

#define OUT_END_SIZE 160

/* "exit status 3", "killed by the kernel for lack of memory (cgroup limit 256 MiB)" ... in `text`,
 * which is returned. */
const char *out_ending(char text[OUT_END_SIZE], const struct trace_info *info);
/* The same under "exit": status, signal, out_of_memory, memory_limit. */
void out_ending_json(struct json *json, const struct trace_info *info);

/* Both write nothing when there is one trace alone. */
/* A heading, a row for each process, indented by parentage, and one for each earlier image; the sums. */
void out_processes_text(const struct process_tree *tree);
/* Under "processes" all of them, and "process_totals". */
void out_processes_json(struct json *json, const struct process_tree *tree);

#endif
