/* Bytes on their way into lazy maps: what is missing, who fetches it, and where it is put. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/lazy_private.h"

bool lazy_missing(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end)
{
    unsigned char there[LAZY_CHUNK_BYTES >> 12];
    size_t page = uffd_page_bytes();

    while (start < end) {
        size_t length = end - start < LAZY_CHUNK_BYTES ? end - start : LAZY_CHUNK_BYTES, i = 0;
        size_t pages = length / page;

        if (mincore((void *)start, length, there) < 0)
            return false;
        while (i < pages && there[i] & 1)
            i++;
        if (i < pages) {
            *ret_start = start + i * page;
            while (i < pages && !(there[i] & 1))
                i++;
            *ret_end = start + i * page;
            return true;
        }
        start += length;
    }
    return false;
}

/* ---- flights --------------------------------------------------------------------------------- */

bool lazy_is_coming(uintptr_t address)
{
    for (const struct lazy_flight *flight = lazy.flights; flight; flight = flight->next)
        if (flight->start <= address && address < flight->end)
            return true;
    return false;
}

void lazy_flight_list(struct lazy_flight *flight)
{
    flight->next = lazy.flights;
    lazy.flights = flight;
}

/* Is what is mapped from `start` on still what the flight was for, and how far? */
static uintptr_t still_until(const struct lazy_flight *flight)
{
    const struct lazy_range *range = lazy_find(flight->start, flight->start + 1);

    if (!range || range->source != flight->source ||
        range->offset + (flight->start - range->start) != flight->offset)
        return flight->start;
    return range->end < flight->end ? range->end : flight->end;
}

static void flight_remove(const struct lazy_flight *flight)
{
    struct lazy_flight **at = &lazy.flights;

    while (*at && *at != flight)
        at = &(*at)->next;
    if (*at)
        *at = flight->next;
    if (flight->stream)
        flight->stream->busy = false;
}

void lazy_flight_end(struct lazy_flight *flight, const char *buffer, int result, uintptr_t failed)
{
    uintptr_t end;

    lazy_lock();
    flight_remove(flight);
    end = still_until(flight);
    if (result == 0 && end > flight->start &&
        uffd_copy(lazy.uffd, flight->start, buffer, end - flight->start) == -ENOMEM)
        result = -ENOMEM;
    if (result < 0 && failed && failed < end)
        lazy_map_nothing(failed, failed + uffd_page_bytes());
    uffd_wake(lazy.uffd, flight->start, flight->end - flight->start);
    lazy_unlock();
    lazy_source_unref(flight->source);
}

/* ---- filling --------------------------------------------------------------------------------- */

struct filler {
    char *buffer;
    uintptr_t at, end;
    struct lazy_stream stream; /* of the source that is filled from */
    struct lazy_source *source; /* a reference; NULL: none yet */
    bool is_engines; /* its thread is: what begins ends, so others may wait for it */
};

static void change_source(struct filler *filler, struct lazy_source *source)
{
    reader_close(filler->stream.reader);
    lazy_source_unref(filler->source);
    filler->stream = (struct lazy_stream){.busy = true};
    filler->source = source;
}

/* The next pages that are missing. False: there are none. */
static bool filler_next(struct filler *filler, struct lazy_flight *ret_flight)
{
    struct lazy_flight flight = {.next = NULL};
    const struct lazy_range *range;
    bool found = false;

    lazy_lock();
    while (!found && filler->at < filler->end && (range = lazy_find(filler->at, filler->end))) {
        uintptr_t end = range->end < filler->end ? range->end : filler->end;

        filler->at = range->start > filler->at ? range->start : filler->at;
        found = lazy_missing(filler->at, end, &flight.start, &flight.end);
        filler->at = found ? flight.end : end;
        if (!found)
            continue;
        flight.offset = range->offset + (flight.start - range->start);
        flight.source = range->source;
        flight.reads_ahead = end - flight.start > LAZY_CHUNK_BYTES ||
                             filler->stream.next_offset == flight.offset;
        *ret_flight = flight;
        atomic_fetch_add(&flight.source->references, 2);
        if (filler->is_engines)
            lazy_flight_list(ret_flight);
    }
    lazy_unlock();
    return found;
}

static int fill(struct engine *engine, struct filler *filler, struct limits *limits,
                struct error *err)
{
    struct lazy_flight flight;
    int r = 0;

    while (r == 0 && filler_next(filler, &flight)) {
        if (flight.source != filler->source)
            change_source(filler, flight.source);
        else
            lazy_source_unref(flight.source);
        flight.stream = flight.reads_ahead ? &filler->stream : NULL;
        r = lazy_read(engine, &flight, filler->buffer, limits, err);
        filler->stream.next_offset = flight.offset + (flight.end - flight.start);
        lazy_flight_end(&flight, filler->buffer, r, 0);
    }
    return r;
}

static bool is_any_missing(uintptr_t start, uintptr_t end)
{
    uintptr_t missing_start, missing_end;
    bool any = false;

    if (!lazy_lock())
        return false;
    for (const struct lazy_range *range = lazy.ranges; range && !any; range = range->next) {
        uintptr_t from = range->start > start ? range->start : start;
        uintptr_t to = range->end < end ? range->end : end;

        any = from < to && lazy_missing(from, to, &missing_start, &missing_end);
    }
    lazy_unlock();
    return any;
}

int lazy_fill(struct engine *engine, const void *address, size_t length_bytes, bool is_engines,
              struct limits *limits, struct error *err)
{
    uintptr_t start = (uintptr_t)address, end = start + length_bytes;
    struct filler filler = {
        .at = start & ~(uffd_page_bytes() - 1),
        .end = lazy_page_up(end < start ? UINTPTR_MAX : end),
        .is_engines = is_engines,
    };
    int r;

    if (!is_any_missing(filler.at, filler.end))
        return 0;
    filler.buffer = malloc(LAZY_CHUNK_BYTES);
    if (!filler.buffer)
        return error_set(err, ERROR_NO_MEMORY, "filling a map");
    r = fill(engine, &filler, limits, err);
    change_source(&filler, NULL);
    free(filler.buffer);
    return r;
}

void lazy_fill_soon(const void *address, size_t length_bytes)
{
    struct lazy_job *job = malloc(sizeof *job);
    uintptr_t start = (uintptr_t)address;

    if (!job)
        return;
    *job = (struct lazy_job){.start = start, .end = start + length_bytes};
    lazy_serve_job(job);
}
