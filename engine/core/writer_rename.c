/* What is being streamed takes another name. See writer.h.
 *
 * The version that is appended to, or was published, moves with it. An upload belongs to the key
 * that it was begun for. Before its first part it is only made anew; after that its parts have to
 * come into another one. A few that are still in memory are sent once more. Otherwise what was
 * written so far is completed under the old name for the moment that the store needs to copy its
 * parts, and deleted there: from then on the old name is free for others, and nothing is seen under
 * the new one before it is published.
 *
 * When that fails, the writer has its old name and goes on there: with its upload, or behind what
 * was completed, which is the object of that name then.
 */
#include <errno.h>
#include <string.h>

#include "core/rename.h"
#include "core/writer_private.h"

struct moving {
    struct writer *writer;
    struct uri from;
    struct upload *old;          /* that was begun under the old name */
    struct writer_staged staged; /* what it was completed to */
    bool is_staged;
    const struct limits *limits;
};

static int wait_for_parts(struct upload *upload, const struct limits *limits, struct error *err)
{
    int r = upload_check(upload, err);

    while (r == 0 && upload_busy(upload))
        r = upload_wait_part(upload, limits, err);
    return r;
}

/* ---- parts that were sent -------------------------------------------------------------------- */

/* Completes what was sent, where it was sent to. */
static int stage(struct moving *moving, struct error *err)
{
    struct writer *writer = moving->writer;
    int r = writer_send_patches(writer, moving->limits, err);

    if (r == 0)
        r = upload_complete(moving->old, moving->limits, err);
    if (r < 0)
        return r;
    upload_tell_attr(moving->old, &moving->staged.attr);
    moving->staged.uri = moving->from;
    moving->is_staged = true;
    return 0;
}

/* Who has opened meanwhile what was staged keeps it. */
static int unstage(struct moving *moving, struct error *err)
{
    struct reader_change_options options = {.names[0] = {.uri = &moving->from, .keeps = true}};
    struct engine *engine = moving->writer->engine;
    struct reader_change *change;
    int r = reader_change_begin(engine, &options, moving->limits, &change, err);

    if (r < 0)
        return r;
    r = rename_delete(engine, &moving->from, moving->staged.attr.etag, moving->limits, err);
    reader_change_end(change);
    return r;
}

static bool sends_again(const struct writer *writer)
{
    return !writer->copies_base && writer_can_send_again(writer);
}

static int fill(struct moving *moving, struct error *err)
{
    struct writer *writer = moving->writer;
    int r;

    writer->base_sent = false;
    r = writer_send_base(writer, moving->limits, err);
    if (r == 0)
        r = writer_send_parts(writer, moving->is_staged, moving->limits, err);
    if (r == 0)
        r = wait_for_parts(writer->upload, moving->limits, err);
    if (r == 0 && moving->is_staged)
        r = unstage(moving, err);
    return r;
}

/* What was staged is the object of the old name, and what is in the block comes behind it. */
static int go_on_behind(struct moving *moving, struct error *err)
{
    struct writer *writer = moving->writer;

    writer_forget_parts(writer);
    writer->base.exists = true;
    writer->base.attr = moving->staged.attr;
    writer->base_bytes = moving->staged.attr.size_bytes;
    writer->length_bytes = writer->block ? writer->block->used_bytes : 0;
    writer->exclusive = false;
    return writer_new_upload(writer, err);
}

/* Whatever `next` has become, it is of no use. r, or what has made things worse. */
static int go_back(struct moving *moving, struct upload *next, int r)
{
    struct writer *writer = moving->writer;
    struct error worse;

    if (next)
        upload_abort(next);
    upload_free(next);
    writer->upload = moving->old;
    writer->uri = moving->from;
    if (!moving->is_staged)
        writer->base.exists = false; /* it has moved */
    else if (go_on_behind(moving, &worse) < 0)
        upload_fail(moving->old, &worse);
    return r;
}

/* The writer has its new name; its parts follow. */
static int move_upload(struct moving *moving, struct error *err)
{
    struct writer *writer = moving->writer;
    struct upload *next = NULL;
    int r = 0;

    moving->old = writer->upload;
    upload_expect_nothing(moving->old);
    if (!sends_again(writer))
        r = stage(moving, err);
    if (r == 0)
        r = writer_make_upload(writer, moving->is_staged ? &moving->staged : NULL, &next, err);
    if (r == 0) {
        writer->upload = next;
        r = fill(moving, err);
    }
    if (r < 0)
        return go_back(moving, next, r);
    if (!moving->is_staged)
        upload_abort(moving->old);
    upload_free(moving->old);
    rename_forget(writer->engine, &moving->from);
    writer->late.has = 0; /* travels with the new one */
    return 0;
}

/* ---- the name -------------------------------------------------------------------------------- */

static int take_other_name(struct writer *writer, const struct uri *to, unsigned flags,
                           const struct limits *limits, struct error *err)
{
    struct moving moving = {.writer = writer, .from = writer->uri, .limits = limits};
    struct rename_open open = {
        .rename = {.from = &moving.from, .to = to, .no_replace = flags & RENAME_NO_REPLACE},
        .is_absent = writer->exclusive,
        .base = writer->base.exists ? &writer->base.attr : NULL,
        .follows = flags & RENAME_FOLLOW,
    };
    int r = rename_open_file(writer->engine, &open, limits, err);

    if (r == 0 && writer->base.exists && !open.moved)
        r = error_set(err, ERROR_NOT_FOUND, "the file was removed");
    if (r < 0)
        return r;
    if (writer->base.exists && strcmp(writer->base.attr.etag, open.rename.before.etag) == 0)
        writer->base.attr = open.rename.after;
    if (!open.follows) {
        writer->exclusive = open.rename.no_replace && !open.moved;
        writer->appends = writer->appends && open.moved; /* what else has the name is replaced */
    }
    writer->uri = *to;
    if (upload_has_begun(writer->upload))
        return move_upload(&moving, err);
    r = writer_new_upload(writer, err);
    if (r < 0)
        writer->uri = moving.from;
    return r;
}

static int check(const struct writer *writer, struct error *err)
{
    if (!upload_has_begun(writer->upload) || sends_again(writer) ||
        writer->store->capabilities & STORE_CAP_PART_COPY)
        return 0;
    return error_set(err, ERROR_UNSUPPORTED,
                     "parts were sent under the old name, and the store cannot copy them: rename the "
                     "file when it is closed");
}

int writer_rename(struct writer *writer, const struct uri *to, unsigned flags,
                  const struct limits *limits, struct error *err)
{
    int r = writer_enter(writer, false, limits, err);

    if (r < 0)
        return r;
    writer->finishing = true; /* a signal handler's call finds it so while this one sleeps */
    r = wait_for_parts(writer->upload, limits, err);
    if (r == 0 && !uri_is_same(&writer->uri, to)) {
        r = check(writer, err);
        if (r == 0)
            r = take_other_name(writer, to, flags, limits, err);
        if (r == -EOPNOTSUPP || r == -EINVAL) /* it may have turned out just now */
            r = check(writer, err) < 0 ? -EOPNOTSUPP : r;
    }
    writer->finishing = false;
    writer_leave(writer);
    return r;
}
