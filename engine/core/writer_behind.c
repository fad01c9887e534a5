/* An appending writer that finds another version than the one it came behind: what it was given
 * goes behind that one. See writer.h. The same when the store turns out not to copy what it comes
 * behind, or to take no conditions.
 *
 * An upload cannot be moved behind another base, nor completed on the side: it is given up, and
 * what was written is sent once more, behind the new base in a new upload, as if it were written
 * now. The bytes are in kept parts (writer_keep.c); when some are gone there is nothing to send,
 * and the error stays: the object is whole, and ours is not in it.
 *
 * Each try is conditional on the version that it comes behind, so of those that append at once one
 * gets ahead at every moment, whatever machine it runs on. Those of one user and machine form a
 * queue (append_turn.h) once they have met.
 *
 * What cannot be decided is whether bytes are there whose answer was lost, when somebody else has
 * come behind them since: then the error stays, too, for nothing may be there twice.
 */
#include <string.h>

#include "base/clock.h"
#include "core/append_turn.h"
#include "core/writer_private.h"

/* What was written, apart from the writer that is filled with it again. */
struct own {
    struct writer_parts parts;
    struct buffer_block *block;
    uint64_t block_offset, start; /* the first byte that is not of the old base */
};

bool writer_was_overtaken(const struct writer *writer, const struct error *err)
{
    if (upload_is_doubtful(writer->upload))
        return false;
    switch (err->class) {
    case ERROR_CHANGED: return true;
    case ERROR_EXISTS: return writer->exclusive;
    case ERROR_NOT_FOUND: return writer->base.exists && strcmp(err->code, "NoSuchUpload") != 0;
    case ERROR_BUSY: return err->code[0]; /* the store's own: another one's put is at work */
    case ERROR_UNSUPPORTED:
    case ERROR_INVALID: /* it turns out that the base cannot be copied: it is fetched */
        return writer->copies_base && !(writer->store->capabilities & STORE_CAP_PART_COPY);
    default: return false;
    }
}

bool writer_is_overtaken(const struct writer *writer, const struct error *err)
{
    return writer->appends && writer_was_overtaken(writer, err);
}

bool writer_is_doubtful(const struct writer *writer)
{
    return upload_is_doubtful(writer->upload);
}

const char *writer_write_id(const struct writer *writer)
{
    return upload_write_id(writer->upload);
}

void writer_tell_kept(const struct writer *writer, struct attr *ret_attr, char *ret_metadata,
                      uint32_t *ret_metadata_length)
{
    const struct store_metadata *metadata = &writer->base.metadata;

    *ret_attr = writer->attr;
    *ret_metadata_length = (uint32_t)metadata->length;
    if (metadata->length)
        memcpy(ret_metadata, metadata->data, metadata->length);
}

/* ---- what was written ------------------------------------------------------------------------ */

/* Nothing is in flight. */
static void take_own(struct writer *writer, struct own *ret_own)
{
    *ret_own = (struct own){
        .block = writer->block,
        .block_offset = writer_block_offset(writer),
        .start = writer->base.exists ? writer->base.attr.size_bytes : 0,
        .parts = writer_take_parts(writer),
    };
    writer->block = NULL;
    writer->block_serial++;
}

static void free_own(struct own *own)
{
    writer_parts_free(&own->parts);
    writer_block_free(own->block);
}

static int put_own(struct writer *writer, const struct own *own, const struct limits *limits,
                   struct error *err)
{
    const struct buffer_block *block = own->block;
    uint64_t skipped = own->block_offset < own->start ? own->start - own->block_offset : 0;
    int r = writer_put_parts(writer, &own->parts, own->start, limits, err);

    if (r == 0 && block && skipped < block->used_bytes)
        r = writer_put(writer, block->data + skipped, block->used_bytes - skipped, limits, err);
    return r;
}

/* ---- another base ---------------------------------------------------------------------------- */

static void take_base(struct writer *writer, struct base_version *base)
{
    const struct attr *before = writer->base.exists ? &writer->base.attr : NULL;
    struct attr changes;

    base_version_changes(before, &writer->attr, &changes);
    base_version_fini(&writer->base);
    writer->base = *base;
    writer->attr = base->attr;
    writer->attr.type = ATTR_FILE;
    writer->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
    attr_merge(&writer->attr, &changes);
    writer->late.has = 0; /* travels with the new upload */
    writer->exclusive = !base->exists;
    writer->base_bytes = base->attr.size_bytes;
    writer->length_bytes = 0;
}

static int begin_behind(struct writer *writer, const struct own *own, struct limits *limits,
                        struct error *err)
{
    struct base_version base = {0};
    int r = base_version_look(writer->engine, &writer->uri, limits, &base, err);

    if (r < 0 && err->class != ERROR_NOT_FOUND)
        return r;
    if (r == 0 && base.attr.type == ATTR_SYMLINK) {
        base_version_fini(&base);
        return error_set(err, ERROR_UNSUPPORTED, "a symbolic link is in its place now");
    }
    writer_block_free(writer->block);
    writer->block = NULL;
    writer->block_serial++;
    writer_forget_parts(writer);
    take_base(writer, &base);
    r = writer_new_upload(writer, err);
    if (r == 0)
        r = writer_fetch_base(writer, limits, err);
    return r < 0 ? r : put_own(writer, own, limits, err);
}

static bool is_time_left(const struct limits *limits)
{
    return clock_now_ns() < limits->deadline_ns;
}

enum goal { GOAL_WRITE_ON, GOAL_PUBLISH };

static int put_behind(struct writer *writer, enum goal goal, struct limits *limits,
                      struct error *err)
{
    struct error reason = *err;
    struct own own;
    int r;

    upload_abort(writer->upload);
    r = writer_parts_are_here(writer, err);
    if (r < 0)
        return error_set(err, ERROR_CHANGED,
                         "another version is there now, and bytes that were sent are not kept any "
                         "more: S3DLIO_KEEP_PARTS=spool keeps them");
    take_own(writer, &own);
    for (;;) {
        upload_abort(writer->upload);
        r = begin_behind(writer, &own, limits, err);
        if (r == 0 && goal == GOAL_PUBLISH)
            r = writer_send_rest(writer, true, limits, err);
        if (r >= 0 || !writer_is_overtaken(writer, err) || !is_time_left(limits))
            break;
        reason = *err;
    }
    free_own(&own);
    return append_turn_judge(r, &reason, err);
}

/* For good: a second try would not have all the bytes. */
static int fail(struct writer *writer, struct error *err)
{
    if (err->class == ERROR_EXISTS || err->class == ERROR_NOT_FOUND)
        err->class = ERROR_CHANGED;
    writer->appends = false;
    upload_fail(writer->upload, err);
    return -error_errno(err);
}

int writer_go_behind(struct writer *writer, struct limits *limits, struct error *err)
{
    int r;

    writer->finishing = true; /* a signal handler's call finds it so while this one sleeps */
    r = put_behind(writer, GOAL_WRITE_ON, limits, err);
    writer->finishing = false;
    if (r == 0)
        return 0;
    upload_abort(writer->upload);
    return fail(writer, err);
}

int writer_finish_behind(struct writer *writer, struct append_turn *turn, struct limits *limits,
                         struct error *err)
{
    int r = append_turn_take(turn, writer->store, &writer->uri, limits, err);

    if (r == 0)
        r = put_behind(writer, GOAL_PUBLISH, limits, err);
    return r < 0 ? fail(writer, err) : 0;
}
