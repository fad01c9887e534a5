/* Parts of a draft that go up while it is written: what a program writes to the descriptor that it
 * got from its parent (a shell's redirection, a subprocess's output) is a stream all the same.
 *
 * A draft that began as a stream is one until it is mapped, cloned into, or written to behind its
 * end. Whoever writes sends the parts that are full, from memory of its own, so that what happens
 * to the spool meanwhile is no matter to them, and puts down in shared memory what the store has
 * acknowledged. One process at a time has parts on their way; it waits for them before it lets go
 * of the draft, and the next one goes on with the same upload. Publishing sends once more what was
 * changed since (draft_ahead_kept.c), then the rest, and completes. What was set too late to travel
 * with the upload follows it.
 *
 * Bytes of parts stay in the spool for a while. As long as all do, whatever is not as it should be
 * (another name, a part that the store has refused) ends in the upload being aborted, and
 * publishing sends everything. Once some are given up the upload is the only place that has them:
 * it is then gone on with, by whoever publishes, also after a failure. Parts that a process had on
 * their way and does not account for are sent again under their numbers.
 * */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc32c.h"
#include "core/draft_ahead.h"
#include "core/draft_plan.h"
#include "core/draft_private.h"
#include "core/metadata_change.h"
#include "core/part_memory.h"
#include "core/xattr.h"
#include "io/gate.h"

#define SINGLE_MAX_BYTES ((uint64_t)8 << 20) /* up to this, one request does at the end */

struct piece {
    struct engine *engine;
    void *data;
    uint64_t size_bytes;
};

static void piece_free(void *arg)
{
    struct piece *piece = arg;

    part_memory_give(piece->engine, piece->data, piece->size_bytes);
    free(piece);
}

/* ---- what there is --------------------------------------------------------------------------- */

uint64_t draft_ahead_end(const struct draft *draft, uint32_t parts)
{
    return parts ? draft_sent(draft)[parts - 1].end_bytes : 0;
}

bool draft_ahead_goes_on(const struct draft *draft)
{
    const struct draft_ahead *ahead = &draft->shared->ahead;
    const struct draft_facts *facts = draft_facts(draft);

    return ahead->is_stream && !ahead->is_void && !draft->is_publishing &&
           !draft->shared->map_count && !facts->base_exists && !facts->is_cloned &&
           !facts->is_unnamed;
}

void draft_ahead_begin(struct draft *draft)
{
    draft->shared->ahead.is_stream = true;
    draft->shared->ahead.is_stream = draft_ahead_goes_on(draft);
}

void draft_ahead_stop(struct draft *draft)
{
    draft->shared->ahead.is_stream = false;
}

/* May what was begun for one be completed for the other? */
static bool are_for_one(const struct draft_facts *a, const struct draft_facts *b)
{
    return !strcmp(a->uri.key, b->uri.key) && !strcmp(a->uri.bucket, b->uri.bucket) &&
           !strcmp(a->uri.scheme, b->uri.scheme) && !a->base_exists && !b->base_exists &&
           !a->is_cloned && !b->is_cloned && !b->is_unnamed &&
           !strcmp(a->content_type, b->content_type);
}

static bool have_same_metadata(const struct draft_facts *a, const struct draft_facts *b)
{
    return a->metadata_length == b->metadata_length &&
           !memcmp(a->metadata, b->metadata, a->metadata_length);
}

static bool have_same_attr(const struct draft_facts *a, const struct draft_facts *b)
{
    return a->attr.has == b->attr.has && a->attr.mode == b->attr.mode &&
           a->attr.uid == b->attr.uid && a->attr.gid == b->attr.gid &&
           a->attr.mtime.tv_sec == b->attr.mtime.tv_sec &&
           a->attr.mtime.tv_nsec == b->attr.mtime.tv_nsec &&
           a->attr.atime.tv_sec == b->attr.atime.tv_sec &&
           a->attr.atime.tv_nsec == b->attr.atime.tv_nsec;
}

/* ---- this process's share -------------------------------------------------------------------- */

void draft_ahead_free(struct draft *draft)
{
    if (draft->ahead && draft->ahead_generation != gate_generation())
        upload_forget(draft->ahead);
    else
        upload_leave(draft->ahead);
    draft->ahead = NULL;
}

/* Puts down what the store has acknowledged. */
static void harvest(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload_begun begun = upload_tell_begun(draft->ahead);

    for (uint32_t i = ahead->done; i < begun.part_count && i < ahead->sent; i++) {
        if (begun.parts[i].number != i + 1)
            break; /* one before it has failed */
        draft_sent(draft)[i].part = begun.parts[i];
        atomic_store(&ahead->done, i + 1);
    }
}

static struct upload *upload_as(struct draft *draft, const struct draft_facts *facts)
{
    struct store_metadata metadata;
    struct upload_options options;
    struct upload *upload = NULL;
    struct error ignored;

    draft_upload_options(draft, facts, &metadata, &options);
    return upload_new(draft->engine, &facts->uri, &options, &upload, &ignored) < 0 ? NULL : upload;
}

/* With all that the store has of it. */
static struct upload *resume(struct draft *draft, const struct draft_facts *facts)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload *upload = upload_as(draft, facts);
    struct store_part *parts = calloc(ahead->done + 1, sizeof *parts);
    struct upload_begun begun = {ahead->upload_id, ahead->write_id, parts, ahead->done};
    int r = upload && parts ? 0 : -1;

    ahead->upload_id[sizeof ahead->upload_id - 1] = '\0';
    ahead->write_id[sizeof ahead->write_id - 1] = '\0';
    for (uint32_t i = 0; r == 0 && i < begun.part_count; i++)
        parts[i] = draft_sent(draft)[i].part;
    if (r == 0)
        r = upload_resume(upload, &begun);
    free(parts);
    if (r == 0)
        return upload;
    upload_free(upload);
    return NULL;
}

/* Is it this process that sends parts? What it still has of an upload that another one goes on with
 * is let go. */
static bool is_ours(struct draft *draft)
{
    if (draft->ahead && draft->ahead_generation == gate_generation() &&
        draft->ahead_sender == draft->shared->ahead.sender)
        return true;
    draft_ahead_free(draft);
    return false;
}

static void own(struct draft *draft, struct upload *upload)
{
    draft->ahead = upload;
    draft->ahead_generation = gate_generation();
    draft->ahead_sender = atomic_fetch_add(&draft->shared->ahead.sender, 1) + 1;
}

/* From what is acknowledged on, whoever had more on the way. */
static bool take_over(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload *upload;

    draft_ahead_free(draft);
    atomic_store(&ahead->sent, ahead->done);
    if (!ahead->upload_id[0]) {
        ahead->facts = *draft_facts(draft);
        ahead->lacks_metadata = false;
    }
    upload = ahead->upload_id[0] ? resume(draft, &ahead->facts) : upload_as(draft, &ahead->facts);
    if (upload)
        own(draft, upload);
    return upload != NULL;
}

/* A part was refused for good, or the upload could not be begun. */
static void on_failure(struct draft *draft, const struct error *error)
{
    draft->ahead_failure = *error;
    if (draft_has_sent_off(draft)) {
        draft_ahead_free(draft);
        atomic_store(&draft->shared->ahead.sent, draft->shared->ahead.done);
    } else {
        draft->shared->ahead.is_void = true;
    }
}

/* Whether parts may be sent from here. False: another process has some on their way, or it
 * cannot be. */
static bool take_part(struct draft *draft)
{
    struct error error;

    if (!is_ours(draft))
        return draft->shared->ahead.sent == draft->shared->ahead.done && take_over(draft);
    harvest(draft);
    if (upload_check(draft->ahead, &error) == 0)
        return true;
    on_failure(draft, &error);
    return false;
}

void draft_ahead_inherit(struct draft *draft, struct upload *upload,
                         const struct draft_inherited *inherited)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload_begun begun = upload_tell_begun(upload);

    ahead->facts = *draft_facts(draft);
    ahead->facts.attr.has &= ~inherited->late_has;
    ahead->lacks_metadata = inherited->lacks_metadata;
    ahead->goes_back = inherited->goes_back;
    strcpy(ahead->write_id, begun.write_id);
    strcpy(ahead->upload_id, begun.upload_id);
    for (uint32_t i = 0; i < begun.part_count; i++)
        draft_sent(draft)[i].part = begun.parts[i];
    atomic_store(&ahead->done, begun.part_count);
    atomic_store(&ahead->sent, upload_part_count(upload));
    own(draft, upload);
}

/* ---- sending --------------------------------------------------------------------------------- */

static struct piece *read_piece(struct draft *draft, uint64_t start, uint64_t end, bool must)
{
    struct piece *piece = calloc(1, sizeof *piece);
    struct error ignored;
    int r;

    if (!piece)
        return NULL;
    piece->engine = draft->engine;
    piece->size_bytes = end - start;
    r = part_memory_take(piece->engine, piece->size_bytes, &piece->data);
    if (r == -EAGAIN && must)
        r = part_memory_force(piece->engine, piece->size_bytes, &piece->data);
    if (r < 0) {
        free(piece);
        return NULL;
    }
    if (draft_copy_out(draft, piece->data, start, end, NULL, &ignored) == 0)
        return piece;
    piece_free(piece);
    return NULL;
}

/* Makes the upload, if that is not done. */
static bool has_begun(struct draft *draft, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload_begun begun;
    struct error error;
    int r = upload_wait_place(draft->ahead, limits, &error);

    begun = upload_tell_begun(draft->ahead);
    if (r == 0 && strlen(begun.upload_id) >= sizeof ahead->upload_id)
        r = error_set(&error, ERROR_UNSUPPORTED, "an upload with so long an id");
    if (r < 0) {
        on_failure(draft, &error);
        return false;
    }
    strcpy(ahead->write_id, begun.write_id);
    strcpy(ahead->upload_id, begun.upload_id);
    return true;
}

/* False: not now, or never. */
static bool send_next(struct draft *draft, uint64_t bytes, bool must, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    uint32_t index = ahead->sent;
    uint64_t start = draft_ahead_end(draft, index);
    struct draft_sent *sent = &draft_sent(draft)[index];
    struct upload_memory memory;
    struct piece *piece;
    struct error ignored;

    if (index == draft->engine->plan.parts_max || draft_reserve_sent(draft, index) < 0 ||
        !upload_has_place(draft->ahead) || !has_begun(draft, limits))
        return false;
    piece = read_piece(draft, start, start + bytes, must && !upload_busy(draft->ahead));
    if (!piece)
        return false;
    memory = (struct upload_memory){
        .data = piece->data,
        .size_bytes = bytes,
        .crc32c = crc32c_update(0, piece->data, bytes),
        .release = piece_free,
        .arg = piece,
    };
    sent->end_bytes = start + bytes;
    sent->is_stale = false;
    atomic_store(&ahead->sent, index + 1);
    return upload_part(draft->ahead, &memory, &ignored) == 0;
}

static void send_full_parts(struct draft *draft, bool must, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    bool is_equal = draft->store->capabilities & STORE_CAP_EQUAL_PARTS;
    uint64_t length = draft->extents.length_bytes;

    if (length <= SINGLE_MAX_BYTES)
        return;
    while (draft_ahead_goes_on(draft)) {
        uint64_t bytes = range_plan_part_bytes(&draft->engine->plan, ahead->sent + 1, 0, is_equal);

        if (length - draft_ahead_end(draft, ahead->sent) <= bytes || !take_part(draft) ||
            !send_next(draft, bytes, must, limits))
            break;
    }
}

void draft_ahead_go_on(struct draft *draft, const struct limits *limits)
{
    send_full_parts(draft, false, limits);
    draft_ahead_trim(draft);
}

void draft_ahead_push(struct draft *draft, const struct limits *limits)
{
    send_full_parts(draft, true, limits);
}

/* ---- waiting --------------------------------------------------------------------------------- */

int draft_ahead_wait(struct draft *draft, const struct limits *limits, struct error *err)
{
    int r;

    if (draft->shared->ahead.sent == draft->shared->ahead.done)
        return 0;
    if (!is_ours(draft))
        return take_over(draft) ? 1 : error_set(err, ERROR_NO_MEMORY, "going on with an upload");
    r = upload_wait_part(draft->ahead, limits, err);
    harvest(draft);
    if (r == 0)
        return 1;
    if (upload_check(draft->ahead, err) < 0)
        on_failure(draft, err);
    return r;
}

void draft_ahead_settle(struct draft *draft, const struct limits *limits)
{
    struct error error;
    int r = 0;

    if (!draft->ahead || !is_ours(draft))
        return;
    while (r == 0 && upload_busy(draft->ahead))
        r = upload_wait_part(draft->ahead, limits, &error);
    harvest(draft);
    if (upload_check(draft->ahead, &error) < 0)
        on_failure(draft, &error);
}

/* ---- the end --------------------------------------------------------------------------------- */

void draft_ahead_clear(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;

    ahead->is_stream = ahead->is_void = false;
    ahead->upload_id[0] = '\0';
    atomic_store(&ahead->done, 0);
    atomic_store(&ahead->sent, 0);
    ahead->trimmed = 0;
    draft_ahead_free(draft);
}

void draft_ahead_discard(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload *upload = is_ours(draft) ? draft->ahead : NULL;

    draft->ahead = NULL;
    if (!upload && ahead->upload_id[0])
        upload = resume(draft, &ahead->facts);
    draft_ahead_clear(draft);
    if (upload)
        upload_abort(upload);
    upload_free(upload);
}

/* With every part that was handed over acknowledged, to be completed on the condition of `facts`. */
static int settle_all(struct draft *draft, const struct draft_facts *facts,
                      const struct limits *limits, struct error *err)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    bool is_alike =
        ahead->facts.exclusive == facts->exclusive && ahead->facts.appends == facts->appends;

    draft_ahead_settle(draft, limits);
    if (ahead->is_void)
        return 0;
    if (ahead->sent == ahead->done && is_ours(draft) && is_alike)
        return 0;
    ahead->facts.exclusive = facts->exclusive;
    ahead->facts.appends = facts->appends;
    return take_over(draft) ? 0 : error_set(err, ERROR_NO_MEMORY, "going on with an upload");
}

int draft_ahead_take(struct draft *draft, const struct draft_facts *facts,
                     const struct limits *limits, struct draft_ahead_taken *ret_taken,
                     struct error *err)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    int r = 0;

    *ret_taken = (struct draft_ahead_taken){0};
    if (ahead->sent && !ahead->is_void && are_for_one(facts, &ahead->facts))
        r = settle_all(draft, facts, limits, err);
    else if (draft_has_sent_off(draft))
        r = draft_sent_off(err);
    else
        ahead->is_void = true;
    if (r < 0)
        return r;
    if (ahead->is_void || !ahead->sent) {
        draft_ahead_discard(draft);
        return 0;
    }
    *ret_taken = (struct draft_ahead_taken){
        .upload = draft->ahead,
        .bytes = draft_ahead_end(draft, ahead->sent),
        .lacks_attr = !have_same_attr(facts, &ahead->facts),
        .has_old_mtime = ahead->facts.attr.has & ~facts->attr.has & ATTR_HAS_MTIME,
        .lacks_metadata = ahead->lacks_metadata || !have_same_metadata(facts, &ahead->facts),
    };
    return 0;
}

uint32_t draft_ahead_stale(const struct draft *draft, uint32_t number, struct draft_part *ret_part)
{
    const struct draft_sent *sent = draft_sent(draft);

    for (uint32_t i = number - 1; i < draft->shared->ahead.sent; i++) {
        if (!sent[i].is_stale)
            continue;
        ret_part->offset = draft_ahead_end(draft, i);
        ret_part->length = sent[i].end_bytes - ret_part->offset;
        ret_part->is_copy = false;
        return i + 1;
    }
    return 0;
}

void draft_ahead_leave(struct draft *draft)
{
    if (draft_has_sent_off(draft))
        draft_ahead_free(draft);
    else
        draft_ahead_discard(draft);
}

int draft_ahead_follow(struct draft *draft, const struct draft_facts *facts,
                       const struct draft_ahead_taken *taken, const struct limits *limits,
                       struct attr *attr, struct error *err)
{
    struct store_metadata metadata = draft_facts_metadata(facts);
    struct attr wanted = facts->attr;
    char text[ATTR_URI_BYTES];
    int r = 0;

    if (!attr_is_kept(draft->store))
        return 0;
    attr_uri_text(&facts->uri, text);
    attr_cache_forget(draft->engine->attrs, text); /* it is there now */
    if (taken->has_old_mtime) {
        clock_gettime(CLOCK_REALTIME, &wanted.mtime);
        wanted.has |= ATTR_HAS_MTIME;
    }
    if (taken->lacks_attr)
        r = metadata_set_attr(draft->engine, &facts->uri, &wanted, limits, attr, err);
    if (r == 0 && taken->lacks_metadata)
        r = xattr_store_all(draft->engine, &facts->uri, &metadata, limits, attr, err);
    return r;
}
