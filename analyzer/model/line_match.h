/*
 * line_match.h - which of the lines of an older text is which of those of a newer one.
 *
 * What is known of the texts is a few lines of each: those where something was seen. Lines keep their order, and what
 * was inserted or deleted between them is unknown; so as many as can be find a partner, in order. Where one side has
 * more, the partners are those at which the same was seen, and then those that have moved as far as most.
 *
 *     old  12      30            10  14          12: 3 blocks
 *           |       |             |   |                   \
 *     new  15  24  33            12  19       12: 50 blocks  13: 3 blocks
 */
#ifndef HEAPSAKE_MODEL_LINE_MATCH_H
#define HEAPSAKE_MODEL_LINE_MATCH_H

#include <stdbool.h>
#include <stdint.h>

struct seen_line {
    uint32_t line;         /* counted from any beginning of the text */
    uint64_t count, bytes; /* of what was seen                       */
};

/*
 * Both lists are in the order of the texts. Sets partner[i] to the index in the new one of what has become of old line
 * i, LINE_MATCH_NONE where nothing has. False when memory runs out.
 */
bool lines_match(const struct seen_line *old_lines, uint32_t old_count, const struct seen_line *new_lines,
                 uint32_t new_count, uint32_t *partner);
#define LINE_MATCH_NONE UINT32_MAX

#endif
