/*
 * leak_culprits.h - who took the references that nobody gives back: leaks of cause over-referenced, whose objects'
 * counts were recorded, get the line that took them.
 *
 * Of an object the snapshot knows how many of its references nothing explains, and its history which increments were
 * never undone (count_balance.h). As many of those as are unexplained are charged, an extension's before the
 * interpreter's, and the site that most objects charge is the culprit. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_LEAK_CULPRITS_H
#define HEAPSAKE_MODEL_LEAK_CULPRITS_H

#include "model/counts.h"
#include "model/leak_causes.h"
#include "model/leak_evidence.h"

/*
 * After leaks_find(). Sets `culprit`, the facts "watched" (objects of the leak whose counts were recorded) and
 * "charged" (of these, with a reference left from the culprit), and adds a sentence to the explanation. Where
 * objects of its type were watched, but nothing is to be charged, it is `missed`: the facts are "watched" and
 * "others_watched" (of its type), and the advice is what to do instead. 0 or -ENOMEM.
 */
int leaks_find_culprits(struct leaks *leaks, const struct evidence *evidence, const struct counts *counts);

#endif
