/* decode.c - see decode.h */
#include "trace/decode.h"

#include <string.h>

/* How many varints end in these bytes. */
static size_t count_varints(const uint8_t *bytes, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += bytes[i] < 0x80;
    return count;
}

/* Bits 0..2 and 7 kind, 3..5 domain or source, 6 a flag: which ops may be. */
static bool op_valid(unsigned op)
{
    unsigned kind = HSK_OP_KIND(op), domain = HSK_OP_DOMAIN(op);
    switch (kind) {
    case HSK_OP_FREE:
        return domain == 0;
    case HSK_OP_ALLOC:
        return domain < HSK_DOMAINS;
    case HSK_OP_FREE_UNKNOWN:
        return (op & 0x40) == 0 && domain < HSK_DOMAINS;
    case HSK_OP_TICK:
    case HSK_OP_THREAD:
    case HSK_OP_MARK:
        return op == kind;
    case HSK_OP_OBJECT:
        return (op & ~(unsigned)(HSK_OP_SAME_STACK | HSK_OP_LAST_BLOCK)) == kind;
    case HSK_OP_OBJECT_END:
        return op == kind;
    case HSK_OP_COUNT:
        return HSK_OP_SOURCE(op) < HSK_COUNT_SOURCES && (HSK_OP_SOURCE(op) != HSK_COUNT_WATCH || !(op & HSK_OP_LOOSE));
    default:
        return false;
    }
}

/* How many varints an op takes from each column. */
static void count_op(size_t *columns, unsigned op, size_t times)
{
    switch (HSK_OP_KIND(op)) {
    case HSK_OP_FREE:
        columns[HSK_COLUMN_ENDED] += times;
        break;
    case HSK_OP_ALLOC:
        columns[HSK_COLUMN_ADDRESS] += times;
        columns[HSK_COLUMN_NODE] += times;
        columns[HSK_COLUMN_SIZE] += times;
        break;
    case HSK_OP_OBJECT:
        columns[HSK_COLUMN_TYPE] += times;
        columns[HSK_COLUMN_BLOCK] += op & HSK_OP_LAST_BLOCK ? 0 : times;
        columns[HSK_COLUMN_NODE] += op & HSK_OP_SAME_STACK ? 0 : times;
        break;
    case HSK_OP_OBJECT_END:
        columns[HSK_COLUMN_BLOCK] += times;
        break;
    case HSK_OP_COUNT:
        columns[HSK_COLUMN_COUNTED] += times;
        columns[HSK_COLUMN_COUNT] += times;
        columns[HSK_COLUMN_NODE] += times;
        columns[HSK_COLUMN_TYPE] += op & HSK_OP_LOOSE ? times : 0;
        break;
    default:
        columns[HSK_COLUMN_EXTRA] += times;
    }
}

bool events_begin(struct events *events, const struct hsk_chunk_header *header, const uint8_t *raw, size_t length,
                  const char **wrong)
{
    struct hsk_events head;
    if (length < sizeof head) {
        *wrong = "it is too short for events";
        return false;
    }
    memcpy(&head, raw, sizeof head);
    const uint8_t *at = raw + sizeof head;
    size_t left = length - sizeof head;
    for (int column = 0; column < HSK_COLUMNS; column++) {
        if (head.column_bytes[column] > left) {
            *wrong = "its columns are longer than the chunk";
            return false;
        }
        events->at[column] = at;
        at += head.column_bytes[column];
        left -= head.column_bytes[column];
    }
    if (left != 0 || head.op_count != head.column_bytes[HSK_COLUMN_OPS] || head.op_count > HSK_MAX_EVENTS_OPS) {
        *wrong = "its columns do not fill the chunk";
        return false;
    }

    uint32_t ops[256] = {0}, kinds[16] = {0};
    size_t expected[HSK_COLUMNS] = {0};
    const uint8_t *op = events->at[HSK_COLUMN_OPS];
    for (size_t i = 0; i < head.op_count; i++)
        ops[op[i]]++;
    for (unsigned value = 0; value < 256; value++) {
        if (ops[value] && !op_valid(value)) {
            *wrong = "it has an op that does not exist";
            return false;
        }
        kinds[HSK_OP_KIND(value)] += ops[value];
        count_op(expected, value, ops[value]);
    }
    for (int column = HSK_COLUMN_ENDED; column < HSK_COLUMNS; column++) {
        size_t bytes = head.column_bytes[column];
        const uint8_t *begin = events->at[column];
        if (count_varints(begin, bytes) != expected[column] || (bytes > 0 && begin[bytes - 1] >= 0x80)) {
            *wrong = "a column has not as many numbers as the ops need";
            return false;
        }
    }
    if (header->ordinal_count != kinds[HSK_OP_ALLOC] ||
        header->event_count != kinds[HSK_OP_ALLOC] + kinds[HSK_OP_FREE] + kinds[HSK_OP_FREE_UNKNOWN]) {
        *wrong = "its header counts other events";
        return false;
    }
    events->ops_end = events->at[HSK_COLUMN_OPS] + head.op_count;
    events->next_ordinal = events->last_ended = events->last_object = events->last_counted = header->ordinal_first;
    events->time_ns = header->time_first_ns;
    events->thread = head.thread;
    events->last_node = 0;
    memset(events->last_address, 0, sizeof events->last_address);
    return true;
}
