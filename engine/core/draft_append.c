/* A draft of which nothing but its end has changed, when the version before that is another by now:
 * its end goes behind that one. See draft.h.
 *
 * A writer appends it (core/writer.h), once: which version it comes behind is looked up for each
 * try, and a try that is overtaken is made again by the draft, which has all the bytes. After that
 * the draft is what is at the store, whole, and has none of it here.
 *
 * A process may die in the middle. What its last request stored is found by its write id, and how
 * far that went is written down before: bytes in front of tail_start are never sent again, even
 * when those before them are not known any more. Becoming the new version is one change of the
 * facts, which say that the rest is to follow (is_renewing), and the rest is done by whoever has
 * the next turn.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/append_turn.h"
#include "core/draft_private.h"
#include "core/writer.h"

#define PIECE_BYTES ((uint64_t)1 << 20)

void draft_stop_appending(struct draft *draft)
{
    struct draft_facts *facts;

    if (!draft_facts(draft)->appends)
        return;
    facts = draft_facts_begin(draft);
    facts->appends = facts->exclusive = false;
    draft_facts_commit(draft);
}

void draft_stay_out(struct draft *draft)
{
    draft_facts_begin(draft)->appends = false;
    draft_facts_commit(draft);
}

uint64_t draft_base_bytes(const struct draft_facts *facts)
{
    return facts->base_exists ? facts->base.size_bytes : 0;
}

/* ---- becoming another version ---------------------------------------------------------------- */

int draft_renew(struct draft *draft, struct error *err)
{
    uint64_t length = draft_facts(draft)->base.size_bytes;
    uint64_t before = draft->extents.length_bytes;
    struct draft_change all = {length, EXTENT_BASE, 0, length, EXTENT_BASE};
    struct draft_facts *facts;
    int r = draft_reserve_marks(draft, err);

    if (r < 0)
        return r;
    draft_change_extents(draft, &all);
    draft->shared->reserved_bytes = 0;
    draft_count_room(draft);
    r = draft_punch(draft, 0, before > length ? before : length, err);
    if (r < 0)
        return r;
    facts = draft_facts_begin(draft);
    facts->is_renewing = false;
    draft_facts_commit(draft);
    draft->shared->changed = false;
    return 0;
}

/* What was sent is there, in `attr`, and the rest is what the writer found. */
static void become(struct draft *draft, const struct writer *writer, const struct attr *attr)
{
    struct draft_facts *facts = draft_facts_begin(draft);
    struct error ignored;

    writer_tell_kept(writer, &facts->attr, facts->metadata, &facts->metadata_length);
    facts->base_exists = true;
    facts->base = *attr;
    facts->exclusive = false;
    facts->tail_start = attr->size_bytes;
    facts->source_serial++;
    facts->is_renewing = true;
    draft_facts_commit(draft);
    draft_renew(draft, &ignored);
}

void draft_note_sent(struct draft *draft)
{
    struct draft_facts *facts = draft_facts_begin(draft);

    facts->tail_start = facts->sent_end;
    facts->sent_end = 0;
    facts->write_id[0] = '\0';
    draft_facts_commit(draft);
}

/* ---- one try --------------------------------------------------------------------------------- */

struct appending {
    struct draft *draft;
    struct limits *limits;
    struct writer *writer;
    struct attr changes; /* of the attributes, since the base */
    uint64_t start, end; /* of the draft */
    uint64_t serial;
};

static int open_writer(struct appending *appending, struct error *err)
{
    const struct draft_facts *facts = draft_facts(appending->draft);
    const struct attr *base = facts->base_exists ? &facts->base : NULL;
    struct writer_options options = {
        .append = true,
        .once = true,
        .upload = {.attr = &appending->changes,
                   .content_type = !base && facts->content_type[0] ? facts->content_type : NULL},
    };
    struct uri uri = facts->uri;

    base_version_changes(base, &facts->attr, &appending->changes);
    return writer_open(appending->draft->engine, &uri, &options, appending->limits,
                       &appending->writer, err);
}

static int check_serial(const struct appending *appending, struct error *err)
{
    if (appending->serial == appending->draft->shared->serial)
        return 0;
    return error_set(err, ERROR_BUSY, "written to while being published");
}

static int send_tail(struct appending *appending, struct error *err)
{
    struct engine *engine = appending->draft->engine;
    unsigned char *piece = pool_get(&engine->pool, PIECE_BYTES);
    int r = piece ? 0 : error_set(err, ERROR_NO_MEMORY, "sending what was appended");

    for (uint64_t at = appending->start; r == 0 && at < appending->end;) {
        uint64_t stop = appending->end - at > PIECE_BYTES ? at + PIECE_BYTES : appending->end;

        r = draft_copy_out(appending->draft, piece, at, stop, appending->limits, err);
        if (r == 0)
            r = (int)writer_write(appending->writer, piece, stop - at, appending->limits, err);
        if (r >= 0)
            r = check_serial(appending, err);
        at = stop;
    }
    if (piece)
        pool_put(&engine->pool, piece, PIECE_BYTES);
    return r;
}

/* From here on the end is not known until it is told. */
static void note_write(struct appending *appending)
{
    struct draft_facts *facts = draft_facts_begin(appending->draft);

    memcpy(facts->write_id, writer_write_id(appending->writer),
           strlen(writer_write_id(appending->writer)) + 1);
    facts->sent_end = appending->end;
    draft_facts_commit(appending->draft);
}

static int try(struct appending *appending, struct error *err)
{
    struct draft *draft = appending->draft;
    struct attr attr;
    int r;

    appending->serial = draft->shared->serial;
    appending->start = draft_facts(draft)->tail_start;
    appending->end = draft->extents.length_bytes;
    r = open_writer(appending, err);
    if (r < 0)
        return r;
    r = send_tail(appending, err);
    if (r == 0 && appending->start == appending->end && appending->changes.has)
        r = writer_set_attr(appending->writer, &appending->changes, appending->limits, err);
    if (r < 0) {
        writer_abort(appending->writer, appending->limits);
        return r;
    }
    note_write(appending);
    r = writer_finish(appending->writer, appending->limits, &attr, err);
    if (r < 0 && writer_is_doubtful(appending->writer))
        draft_stay_out(draft);
    if (r < 0)
        return r;
    draft_note_sent(draft);
    if (appending->serial == draft->shared->serial)
        become(draft, appending->writer, &attr);
    return 0;
}

int draft_append_behind(struct draft *draft, struct limits *limits, struct error *err)
{
    struct appending appending = {.draft = draft, .limits = limits};
    struct error reason = {0};
    bool goes_on = true;
    int r = 0;

    if (draft->reader) { /* of a version that is gone: nothing of it can be kept */
        reader_close(draft->reader);
        draft->reader = NULL;
    }
    while (goes_on) {
        r = try(&appending, err);
        goes_on = r < 0 && appending.writer && writer_was_overtaken(appending.writer, err) &&
                  clock_now_ns() < limits->deadline_ns;
        if (goes_on)
            reason = *err;
        writer_free(appending.writer);
        appending.writer = NULL;
    }
    r = append_turn_judge(r, &reason, err);
    if (r < 0 && (err->class == ERROR_EXISTS || err->class == ERROR_NOT_FOUND)) {
        err->class = ERROR_CHANGED;
        err->errnum = 0;
        r = -error_errno(err);
    }
    return r;
}
