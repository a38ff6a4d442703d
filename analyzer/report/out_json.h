/*
 * out_json.h - writes JSON as it comes, without holding the document in memory.
 *
 * Objects and arrays are opened and closed in pairs; a key is given inside
 * objects and NULL inside arrays. Strings may be any bytes: what is no UTF-8
 * becomes U+FFFD, so that the output is always valid. Writing to a stdio stream
 * that the caller owns and whose errors the caller looks at.
 */
#ifndef HEAPSAKE_REPORT_OUT_JSON_H
#define HEAPSAKE_REPORT_OUT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/stacks.h"

struct json {
    FILE *out;
    bool compact; /* all on one line */
    int depth;
    bool filled; /* something was written at this depth */
};

#define JSON_INIT(stream) ((struct json){.out = (stream)})

void open_object(struct json *json, const char *key);
void close_object(struct json *json);
void open_array(struct json *json, const char *key);
void close_array(struct json *json);

void put_null(struct json *json, const char *key);
void put_bool(struct json *json, const char *key, bool value);
void put_unsigned(struct json *json, const char *key, uint64_t value);
void put_signed(struct json *json, const char *key, int64_t value);
void put_number(struct json *json, const char *key, double value);
/* Seconds as a number, to the nanosecond. */
void put_seconds(struct json *json, const char *key, uint64_t nanoseconds);
/* "0x..." */
void put_address(struct json *json, const char *key, uint64_t address);
void put_bytes(struct json *json, const char *key, const char *bytes, size_t length);
/* A terminated string; NULL gives null. */
void put_string(struct json *json, const char *key, const char *string);

/* A value that is JSON already. */
void put_raw(struct json *json, const char *key, const char *value, size_t length);

/* A frame {"function", "file", "line", "module", "language"}, and an array of them, innermost first. */
void put_frame(struct json *json, const char *key, const struct frame *frame);
void put_stack(struct json *json, const char *key, const struct stacks *stacks, uint32_t stack);
/* An array of domains' names, from a set of bits. */
void put_domains(struct json *json, const char *key, uint32_t domains);
/* An array of strings. */
struct text_list;
void put_texts(struct json *json, const char *key, const struct text_list *list);

/* A newline behind the document. */
void put_end(struct json *json);

#endif
