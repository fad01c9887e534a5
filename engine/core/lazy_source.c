/* Where the bytes of a lazy map come from, and how many at once: one reader for exact reads, and one
 * with a window ahead for each place where the program goes straight on. All are of the version that
 * was open when the map was made, and say ESTALE when it is gone. */
#include <stdlib.h>
#include <string.h>

#include "core/lazy_private.h"
#include "core/stats.h"

static struct reader *reader_again(struct engine *engine, const struct reader *reader,
                                   struct error *err)
{
    struct reader *again = NULL;
    struct uri uri;
    struct attr attr;

    if (!reader_locate(reader, &uri, &attr))
        error_set(err, ERROR_UNSUPPORTED, "a version that the store does not have any more");
    else
        reader_open_version(engine, &uri, &attr, NULL, &again, err);
    return again;
}

struct lazy_source *lazy_source_new(struct engine *engine, struct reader *reader, struct error *err)
{
    struct lazy_source *source = calloc(1, sizeof *source);

    if (!source)
        return NULL;
    source->references = 1;
    source->origin = reader;
    source->size_bytes = reader_attr(reader)->size_bytes;
    source->random = reader_again(engine, reader, err);
    if (!source->random) {
        free(source);
        return NULL;
    }
    reader_advise(source->random, 0, 0, READER_RANDOM);
    return source;
}

void lazy_source_unref(struct lazy_source *source)
{
    if (!source || atomic_fetch_sub(&source->references, 1) > 1)
        return;
    for (unsigned i = 0; i < LAZY_STREAMS; i++)
        reader_close(source->streams[i].reader);
    reader_close(source->random);
    free(source);
}

/* ---- how much -------------------------------------------------------------------------------- */

/* The stream that a touch of the page at `offset` continues; NULL: none. */
static struct lazy_stream *continued(struct lazy_source *source, uint64_t offset)
{
    for (unsigned i = 0; i < LAZY_STREAMS; i++) {
        struct lazy_stream *stream = &source->streams[i];

        if (stream->next_offset > 0 && offset >= stream->next_offset &&
            offset - stream->next_offset < LAZY_BLOCK_BYTES)
            return stream;
    }
    return NULL;
}

/* The place of the stream that was not used for longest, to begin another; NULL: all are in use. */
static struct lazy_stream *place(struct lazy_source *source)
{
    struct lazy_stream *found = NULL;

    for (unsigned i = 0; i < LAZY_STREAMS; i++) {
        struct lazy_stream *stream = &source->streams[i];

        if (!stream->busy && (!found || stream->used < found->used))
            found = stream;
    }
    return found;
}

void lazy_plan(const struct lazy_range *range, uintptr_t address, struct lazy_flight *ret_flight)
{
    struct lazy_source *source = range->source;
    uint64_t offset = range->offset + (address - range->start), from = offset;
    struct lazy_stream *stream = NULL;
    size_t length = LAZY_BLOCK_BYTES;

    if (range->advice != READER_RANDOM)
        stream = continued(source, offset);
    if (stream && !stream->busy) {
        length = stream->chunk_bytes < LAZY_CHUNK_BYTES ? 2 * stream->chunk_bytes : LAZY_CHUNK_BYTES;
        from = stream->next_offset;
    } else {
        stream = stream || range->advice == READER_RANDOM ? NULL : place(source);
        from -= from % LAZY_BLOCK_BYTES;
        if (stream && range->advice == READER_SEQUENTIAL)
            length = LAZY_CHUNK_BYTES;
    }
    from = from > range->offset ? from : range->offset;
    length = offset + uffd_page_bytes() > from + length ? offset + uffd_page_bytes() - from : length;
    *ret_flight = (struct lazy_flight){.start = range->start + (from - range->offset),
                                       .offset = from,
                                       .source = source,
                                       .stream = stream};
    ret_flight->end =
        length < range->end - ret_flight->start ? ret_flight->start + length : range->end;
    if (stream) {
        ret_flight->reads_ahead = length == LAZY_CHUNK_BYTES;
        stream->busy = true;
        stream->chunk_bytes = length;
        stream->next_offset = from + (ret_flight->end - ret_flight->start);
        stream->used = ++source->uses;
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct reader *reader_for(struct engine *engine, const struct lazy_flight *flight)
{
    struct lazy_stream *stream = flight->stream;

    if (!stream || !flight->reads_ahead)
        return flight->source->random;
    if (!stream->reader) {
        stream->reader = reader_again(engine, flight->source->random, NULL);
        if (stream->reader)
            reader_advise(stream->reader, 0, 0, READER_SEQUENTIAL);
    }
    return stream->reader ? stream->reader : flight->source->random;
}

int lazy_read(struct engine *engine, const struct lazy_flight *flight, char *buffer,
              struct limits *limits, struct error *err)
{
    struct reader *reader = reader_for(engine, flight);
    struct reader_target target = {buffer, flight->end - flight->start, flight->offset};
    ssize_t got = reader_pread(reader, &target, limits, err);

    if (got < 0)
        return (int)got;
    memset(buffer + got, 0, target.length_bytes - (size_t)got);
    stats_add(engine_stats(engine), STATS_MAPS_FETCHED, (uint64_t)got);
    return 0;
}
