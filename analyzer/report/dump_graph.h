/* dump_graph.h - `heapsake dump --snapshot N`: all nodes of a snapshot with their edges, as text or JSON lines. */
#ifndef HEAPSAKE_REPORT_DUMP_GRAPH_H
#define HEAPSAKE_REPORT_DUMP_GRAPH_H

#include "report/report.h"

/* An enum exit_code. */
int dump_graph(struct report *report, int64_t snapshot_number, bool as_json);

#endif
