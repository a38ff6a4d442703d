/* out_regions.h - marks and regions, for `heapsake summary`. */
#ifndef HEAPSAKE_REPORT_OUT_REGIONS_H
#define HEAPSAKE_REPORT_OUT_REGIONS_H

#include "model/regions.h"
#include "report/out_json.h"

/* Keys "regions" and "marks", by name in the order in which the trace names them. */
void out_regions_json(struct json *json, const struct regions *regions);
/* Those with the highest peak of their own, and the most frequent marks; nothing when there are none. */
void out_regions_text(const struct regions *regions);

#endif
