/* mark_writer.c - see mark_writer.h */
#include "record/mark_writer.h"

#define MOST_NAMES 65536u
#define MOST_NAME_BYTES ((size_t)8 << 20)

void mark_writer_free(struct mark_writer *writer)
{
    intern_free(&writer->names);
    open_regions_free(&writer->open);
    buf_free(&writer->payload);
}

static void forget_names(struct mark_writer *writer)
{
    writer->names_before += writer->names.count;
    writer->name_bytes = 0;
    intern_free(&writer->names);
    writer->names = INTERN_INIT;
}

/* The number of a name, which is told when it is new; 0: memory ran out, and it has none. */
static uint64_t name_number(struct mark_writer *writer, const void *name, size_t length)
{
    if (writer->names.count >= MOST_NAMES || writer->name_bytes > MOST_NAME_BYTES)
        forget_names(writer);
    uint32_t before = writer->names.count, number = intern_bytes(&writer->names, name, length);
    if (number == 0)
        return 0;
    if (number > before) {
        writer->name_bytes += length;
        buf_append_varint(&writer->payload, 0);
        buf_append_varint(&writer->payload, writer->names_before + number);
        buf_append_string(&writer->payload, name, length);
    }
    return writer->names_before + number;
}

static void begin_region(struct mark_writer *writer, struct encoder *encoder, const struct hs_message_mark *message,
                         const void *name)
{
    uint64_t number = name_number(writer, name, message->name_length), occurrence = ++writer->last_occurrence;
    if (!open_regions_put(&writer->open, message->region, occurrence))
        writer->full = true;
    buf_append_varint(&writer->payload, 1);
    buf_append_varint(&writer->payload, occurrence);
    buf_append_varint(&writer->payload, number);
    buf_append_varint(&writer->payload, message->flags);
    encoder_mark(encoder, HSK_MARK_REGION_BEGIN, occurrence);
}

bool mark_writer_take(struct mark_writer *writer, struct encoder *encoder, const struct hs_message_mark *message,
                      const void *name)
{
    switch (message->kind) {
    case HSK_MARK_NAMED:
        encoder_mark(encoder, HSK_MARK_NAMED, name_number(writer, name, message->name_length));
        return true;
    case HSK_MARK_REGION_BEGIN:
        begin_region(writer, encoder, message, name);
        return true;
    case HSK_MARK_REGION_END: {
        uint64_t occurrence = open_regions_take(&writer->open, message->region);
        if (occurrence != 0)
            encoder_mark(encoder, HSK_MARK_REGION_END, occurrence);
        return true;
    }
    default:
        return false;
    }
}
