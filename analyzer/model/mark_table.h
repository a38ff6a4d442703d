/*
 * mark_table.h - what the marks and regions of a trace are called.
 *
 * The trace numbers names and occurrences; here the same text is one name, however many numbers it has. Names may be
 * any bytes. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_MARK_TABLE_H
#define HEAPSAKE_MODEL_MARK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "base/map64.h"
#include "trace/trace_reader.h"

struct mark_occurrence {
    uint32_t name;  /* 0: not described        */
    uint32_t flags; /* enum hsk_region_flag     */
};

struct mark_table {
    struct intern names;        /* counts from 1; 0 is the name of what is not described */
    struct map64 by_number;     /* the trace's number: number of the name               */
    struct map64 by_occurrence; /* the trace's occurrence: its index below               */
    struct mark_occurrence *occurrences;
    uint32_t occurrence_count;
    size_t occurrence_capacity;
    bool any; /* there is a MARKS chunk, whole or not */
};

#define MARK_TABLE_INIT ((struct mark_table){0})

/* Reads the MARKS chunks; the reader knows damaged ones then. 0 or -ENOMEM, with the table freed. */
int mark_table_load(struct mark_table *table, struct trace_reader *reader, struct error *error);
void mark_table_free(struct mark_table *table);

/* The number of a mark's name (NAMED); 0 when it is not described. */
uint32_t mark_table_name(const struct mark_table *table, uint64_t mark_number);

/* What an occurrence is of, NULL when it is not described. Valid as long as the table. */
const struct mark_occurrence *mark_table_occurrence(const struct mark_table *table, uint64_t occurrence);

/* The bytes of a name, terminated; "(unknown name)" for 0. `length` may be NULL. Valid as long as the table. */
const char *mark_table_text(const struct mark_table *table, uint32_t name, size_t *length);

#endif
