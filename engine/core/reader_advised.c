/* What the program has said that it is going to need (posix_fadvise, readahead): ranges apart from
 * the window of the stream, held until they are read.
 *
 * Advice is cut into pieces, as a stream of that length would be. Those for which there is room are
 * asked for at once, the others when one has come, or at the next call; no request of a read waits
 * for that: they count as guesses, and a quarter of what is worth having under way stays free. A
 * read that comes to a piece takes its bytes from there, any number of threads at once; one that
 * comes to a piece not asked for yet asks for it. What has been read to its end is let go, as is what
 * the program gives up. Where more is advised than half the budget, or in too many pieces, those
 * go that were not used for longest; a piece that fails is forgotten, and its read asks for itself.
 *
 * A stream leaves out what is held here (advised_end, advised_begin), so its window may have gaps; it
 * takes from advice what is not asked for yet (advised_cut). All under the reader's shard's lock.
 */
#include <stdlib.h>
#include <utlist.h>

#include "core/reader_private.h"

#define PIECES_MAX      256u
#define PIECE_BYTES_MIN (UINT64_C(1) << 20) /* but on a near store, where the plan says */
#define PIECES_AT_ONCE  32u                 /* of one advice */
#define ADVICE_SHARE    2u                  /* of the budget: the most that one reader holds */
#define FREE_SHARE      4u                  /* of what is worth having under way */
#define READ_BITS       64u

/* [offset, end) of the object. */
struct advised {
    struct advised *prev, *next; /* the one used longest ago first */
    uint64_t offset, end;
    uint64_t advice;     /* the number of the one that last named it */
    struct range *range; /* NULL: not asked for yet */
    uint64_t read;       /* a bit for each 64th whose end was read, or that was given up */
    uint64_t used_bytes; /* that were read */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_held(const struct advised *piece)
{
    return piece->range && !range_failed(piece->range);
}

static bool is_waited_for(const struct advised *piece)
{
    return piece->range && piece->range->users > 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static struct advised *find(const struct reader *reader, uint64_t position)
{
    struct advised *piece;

    for (piece = reader->advised; piece; piece = piece->next)
        if (position >= piece->offset && position < piece->end)
            return piece;
    return NULL;
}

uint64_t advised_end(const struct reader *reader, uint64_t position)
{
    const struct advised *piece;

    while ((piece = find(reader, position)) && is_held(piece))
        position = piece->end;
    return position;
}

uint64_t advised_begin(const struct reader *reader, uint64_t from, uint64_t to)
{
    const struct advised *piece;

    for (piece = reader->advised; piece; piece = piece->next)
        if (is_held(piece) && piece->offset > from)
            to = smaller(to, piece->offset);
    return to;
}

unsigned advised_in_flight(const struct reader *reader)
{
    const struct advised *piece;
    unsigned count = 0;

    for (piece = reader->advised; piece; piece = piece->next)
        count += piece->range && !range_done(piece->range);
    return count;
}

struct range *advised_next(const struct reader *reader, const struct range *range)
{
    const struct advised *piece = reader->advised;

    if (range) {
        while (piece && piece->range != range)
            piece = piece->next;
        piece = piece ? piece->next : NULL;
    }
    while (piece && !piece->range)
        piece = piece->next;
    return piece ? piece->range : NULL;
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void let_go(struct reader *reader, struct advised *piece)
{
    struct range *range = piece->range;

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a piece is in the list */
    DL_DELETE(reader->advised, piece);
    reader->advised_count--;
    reader->advised_bytes -= piece->end - piece->offset;
    if (range) {
        uint64_t came_bytes = range->arrived - range->offset;

        stats_add(engine_stats(reader->engine), STATS_AHEAD_USED, piece->used_bytes);
        range_drop_unread(range, STATS_AHEAD_WASTED,
                          came_bytes > piece->used_bytes ? came_bytes - piece->used_bytes : 0);
    }
    free(piece);
}

void advised_drop(struct reader *reader, bool all)
{
    struct advised *piece, *next;

    for (piece = reader->advised; piece; piece = next) {
        next = piece->next;
        if (all || !is_waited_for(piece))
            let_go(reader, piece);
    }
    stream_settle(reader);
}

void advised_adopt(struct reader *reader)
{
    struct advised *piece, *next;

    for (piece = reader->advised; piece; piece = next) {
        next = piece->next;
        if (piece->range)
            piece->range->users = 0;
        if (!piece->range || !range_done(piece->range))
            let_go(reader, piece);
    }
}

/* [from, to) has been read, or is not needed. True when that is so of all of the piece. */
static bool note_read(struct advised *piece, uint64_t from, uint64_t to)
{
    uint64_t length = piece->end - piece->offset;
    uint64_t bit_bytes = (length + READ_BITS - 1) / READ_BITS;
    unsigned bits = (unsigned)((length + bit_bytes - 1) / bit_bytes);
    unsigned first = (unsigned)((from - piece->offset) / bit_bytes);
    unsigned end = to == piece->end ? bits : (unsigned)((to - piece->offset) / bit_bytes);

    for (unsigned bit = first; bit < end; bit++)
        piece->read |= UINT64_C(1) << bit;
    return piece->read == UINT64_MAX >> (READ_BITS - bits);
}

void advised_give_up(struct reader *reader, uint64_t start, uint64_t end)
{
    struct advised *piece, *next;

    for (piece = reader->advised; piece; piece = next) {
        uint64_t from = larger(start, piece->offset), to = smaller(end, piece->end);

        next = piece->next;
        if (from < to && note_read(piece, from, to) && !is_waited_for(piece))
            let_go(reader, piece);
    }
    stream_settle(reader);
}

void advised_cut(struct reader *reader, uint64_t from, uint64_t to)
{
    struct advised *piece, *next;

    for (piece = reader->advised; piece; piece = next) {
        uint64_t before = piece->end - piece->offset;

        next = piece->next;
        if (piece->range || piece->offset >= to || piece->end <= from)
            continue;
        if (piece->offset < from)
            piece->end = from;
        else
            piece->offset = smaller(to, piece->end);
        reader->advised_bytes -= before - (piece->end - piece->offset);
        if (piece->offset == piece->end)
            let_go(reader, piece);
    }
}

/* The one not used for longest, of those that advice before this has named. */
static bool evict(struct reader *reader, uint64_t advice)
{
    struct advised *piece;

    for (piece = reader->advised; piece; piece = piece->next)
        if (piece->advice < advice && !is_waited_for(piece)) {
            let_go(reader, piece);
            return true;
        }
    return false;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_done(struct range *range)
{
    struct reader *reader = (struct reader *)range->owner;

    if (!range_failed(range))
        advised_go_on(reader);
    stream_settle(reader);
}

/* False without memory. The range may have come when this returns, and others have been asked for. */
static bool ask(struct reader *reader, struct advised *piece, bool evicts)
{
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, reader->shard);
    uint64_t bytes = piece->end - piece->offset;
    bool reserved;

    if (!range)
        return false;
    while (!(reserved = range_reserve(range, BUDGET_READ_AHEAD, bytes)) && evicts &&
           evict(reader, piece->advice))
        continue;
    if (!reserved) {
        range_drop(range);
        return false;
    }
    range->owner = reader;
    range->on_done = on_done;
    range->buffered_only = true; /* whichever thread reads it, and more than once */
    range->fetch.call.account.is_guess = true;
    piece->range = range;
    stats_add(engine_stats(reader->engine), STATS_AHEAD_ASKED, bytes);
    range_start(range, piece->offset, piece->end, reader->stored_bytes, reader->etag);
    fetch_want(&range->fetch, FETCH_SOON);
    return true;
}

static bool has_room(const struct reader *reader)
{
    unsigned target = endpoint_target(reader->endpoint, ENDPOINT_GETS, LIMITER_LONG);
    unsigned own = advised_in_flight(reader);

    return own == 0 || (own + stream_in_flight(reader) < target - (target + 3) / FREE_SHARE &&
                        endpoint_has_room_for_guess(reader->endpoint, LIMITER_LONG));
}

static struct advised *find_waiting(const struct reader *reader)
{
    struct advised *piece;

    for (piece = reader->advised; piece && piece->range;)
        piece = piece->next;
    return piece;
}

static void ask_on(struct reader *reader, bool evicts)
{
    struct advised *piece;

    while ((piece = find_waiting(reader)) && has_room(reader) && ask(reader, piece, evicts))
        continue;
    stream_settle(reader);
}

void advised_go_on(struct reader *reader)
{
    ask_on(reader, false);
}

/* ---- advice ---------------------------------------------------------------------------------- */

static uint64_t piece_bytes(const struct reader *reader, uint64_t length)
{
    uint64_t block_bytes = reader->engine->plan.block_bytes;
    unsigned count = endpoint_target(reader->endpoint, ENDPOINT_GETS, LIMITER_LONG);
    bool near = endpoint_is_near(reader->endpoint);
    uint64_t part_bytes =
        range_plan_get_bytes(&reader->engine->plan, reader->attr.size_bytes, near);
    uint64_t share = larger(PIECE_BYTES_MIN, length / smaller(larger(count, 1), PIECES_AT_ONCE));

    return near ? part_bytes
                : smaller(part_bytes, (share + block_bytes - 1) / block_bytes * block_bytes);
}

/* Where that ends which is there at `at` already, or going to be. */
static uint64_t known_end(struct reader *reader, uint64_t at)
{
    const struct range *range = stream_find(reader, at);
    struct advised *piece = find(reader, at);

    if (range && range_offers(range, at))
        return range->end;
    if (!piece)
        return block_held_end(reader, at);
    piece->advice = reader->advice;
    DL_DELETE(reader->advised, piece);
    DL_APPEND(reader->advised, piece);
    return piece->end;
}

/* The nearest end of a piece from `at` on: there, or where something begins that is known. */
static uint64_t next_known(const struct reader *reader, uint64_t at, uint64_t end)
{
    const struct advised *piece;
    const struct range *range;

    for (piece = reader->advised; piece; piece = piece->next)
        if (piece->offset > at)
            end = smaller(end, piece->offset);
    for (range = reader->window; range; range = range->next)
        if (range->offset > at)
            end = smaller(end, range->offset);
    return end;
}

static bool add_piece(struct reader *reader, uint64_t offset, uint64_t end)
{
    uint64_t bytes_max = budget_share(&reader->engine->budget) / ADVICE_SHARE;
    struct advised *piece;

    while (reader->advised_count >= PIECES_MAX ||
           reader->advised_bytes + (end - offset) > bytes_max)
        if (!evict(reader, reader->advice))
            return false;
    piece = calloc(1, sizeof *piece);
    if (!piece)
        return false;
    piece->offset = offset;
    piece->end = end;
    piece->advice = reader->advice;
    DL_APPEND(reader->advised, piece);
    reader->advised_count++;
    reader->advised_bytes += end - offset;
    return true;
}

void advised_add(struct reader *reader, uint64_t start, uint64_t end)
{
    uint64_t block_bytes = reader->engine->plan.block_bytes;
    uint64_t bytes, at = start - start % block_bytes;

    end = smaller((end + block_bytes - 1) / block_bytes * block_bytes, reader->attr.size_bytes);
    bytes = piece_bytes(reader, end - at);
    reader->advice++;
    while (at < end) {
        uint64_t known = known_end(reader, at);
        uint64_t to = at + bytes + block_bytes < end ? at + bytes : end;

        if (known == at) {
            known = next_known(reader, at, to);
            if (!add_piece(reader, at, known))
                break;
        }
        at = known;
    }
    ask_on(reader, true);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool advised_is_apart(const struct reader *reader, uint64_t start, uint64_t end)
{
    const struct advised *piece;

    if (!reader->advised || reader->jumps > 0 || reader->window_bytes == 0 ||
        start == reader->next_offset || stream_find(reader, start))
        return false;
    while (start < end && (piece = find(reader, start)))
        start = piece->end;
    return start >= end;
}

int advised_take(struct reader *reader, struct range_read *read, const struct limits *limits,
                 struct error *err)
{
    struct advised *piece = find(reader, read->position);
    uint64_t before = read->position;
    bool is_over, failed;
    int r;

    if (!piece)
        return 0;
    DL_DELETE(reader->advised, piece);
    DL_APPEND(reader->advised, piece);
    if (!piece->range && !ask(reader, piece, false)) {
        let_go(reader, piece);
        return 0;
    }
    piece->range->users++;
    r = range_take(piece->range, read, limits, err);
    piece->range->users--;
    failed = range_failed(piece->range);
    if (r < 0 && !failed)
        return r;
    is_over = note_read(piece, before, read->position) || failed;
    piece->used_bytes =
        smaller(piece->used_bytes + read->position - before, piece->end - piece->offset);
    if (is_over && !is_waited_for(piece))
        let_go(reader, piece);
    advised_go_on(reader);
    return read->position > before;
}
