/*
 * out_snapshots.h - which snapshots a trace has, for `summary` and `verify`.
 */
#ifndef HEAPSAKE_REPORT_OUT_SNAPSHOTS_H
#define HEAPSAKE_REPORT_OUT_SNAPSHOTS_H

#include "model/ref_graph.h"
#include "report/out_json.h"

/* Under "snapshots", an array of all of them. */
void out_snapshots_json(struct json *json, const struct graph_snapshots *snapshots);

/* A heading and a row for each, what is wrong with it below; nothing when there are none. */
void out_snapshots_text(const struct graph_snapshots *snapshots);

/* A line for each that is not whole, and why. */
void out_snapshots_problems(const struct graph_snapshots *snapshots);

#endif
