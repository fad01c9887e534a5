/* Parts of a draft that go up while it is written: what a program writes to the descriptor that it
 * got from its parent (a shell's redirection, a subprocess's output) is a stream all the same.
 *
 * A draft that began as a stream is one as long as nothing but its end is written to. Whoever
 * writes sends the parts that are full, from memory of its own, so that what happens to the spool
 * meanwhile is no matter to them, and puts down in shared memory what the store has acknowledged.
 * One process at a time has parts on their way; it waits for them before it lets go of the draft,
 * and the next one goes on with the same upload. Publishing sends the rest and completes.
 *
 * All of it is also in the spool. So whenever something is not as it should be (bytes or attributes
 * were changed, a process died with parts on their way, the store has refused one) the upload is
 * aborted and publishing sends everything. Nothing in here can make a call of the program fail.
 * */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "core/draft_private.h"
#include "core/part_memory.h"
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

static uint64_t end_of(const struct draft *draft, uint32_t parts)
{
    return parts ? draft_sent(draft)[parts - 1].end_bytes : 0;
}

static bool is_stream(const struct draft *draft)
{
    const struct draft_facts *facts = draft_facts(draft);

    return draft->shared->ahead.is_stream && !draft->shared->map_count && !facts->base_exists &&
           !facts->is_cloned && !facts->is_unnamed && !facts->appends;
}

void draft_ahead_begin(struct draft *draft)
{
    draft->shared->ahead.is_stream = true;
    draft->shared->ahead.is_stream = is_stream(draft);
}

void draft_ahead_stop(struct draft *draft)
{
    draft->shared->ahead.is_stream = false;
}

/* Would an upload for one be the same as for the other? */
static bool are_alike(const struct draft_facts *a, const struct draft_facts *b)
{
    return !strcmp(a->uri.key, b->uri.key) && !strcmp(a->uri.bucket, b->uri.bucket) &&
           !strcmp(a->uri.scheme, b->uri.scheme) && a->base_exists == b->base_exists &&
           a->exclusive == b->exclusive && a->metadata_length == b->metadata_length &&
           !memcmp(a->metadata, b->metadata, a->metadata_length) &&
           !strcmp(a->content_type, b->content_type) && a->attr.has == b->attr.has &&
           a->attr.mode == b->attr.mode && a->attr.uid == b->attr.uid &&
           a->attr.gid == b->attr.gid && a->attr.mtime.tv_sec == b->attr.mtime.tv_sec &&
           a->attr.mtime.tv_nsec == b->attr.mtime.tv_nsec;
}

/* ---- this process's share -------------------------------------------------------------------- */

void draft_ahead_free(struct draft *draft)
{
    if (draft->ahead && draft->ahead_generation != gate_generation())
        upload_forget(draft->ahead);
    else if (draft->ahead && upload_busy(draft->ahead)) /* given up: they are sent again */
        upload_forget(draft->ahead);
    else
        upload_free(draft->ahead);
    draft->ahead = NULL;
}

/* Puts down what the store has acknowledged. */
static void harvest(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload_begun begun = upload_tell_begun(draft->ahead);

    for (uint32_t i = ahead->done; i < begun.part_count && i < ahead->sent; i++) {
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

/* Is what this process has the upload as it is now? What another one has added since is in the
 * table. */
static bool is_ours(struct draft *draft)
{
    if (draft->ahead && draft->ahead_generation == gate_generation() &&
        upload_part_count(draft->ahead) == draft->shared->ahead.sent)
        return true;
    draft_ahead_free(draft);
    return false;
}

/* Whether parts may be sent from here. False: another process has some on their way, or it
 * cannot be. */
static bool take_part(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;

    if (is_ours(draft)) {
        harvest(draft);
        return true;
    }
    if (ahead->sent != ahead->done)
        return false;
    if (!ahead->upload_id[0])
        ahead->facts = *draft_facts(draft);
    draft->ahead =
        ahead->upload_id[0] ? resume(draft, &ahead->facts) : upload_as(draft, &ahead->facts);
    draft->ahead_generation = gate_generation();
    return draft->ahead != NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

static struct piece *read_piece(struct draft *draft, uint64_t start, uint64_t end)
{
    struct piece *piece = calloc(1, sizeof *piece);
    struct error ignored;

    if (!piece)
        return NULL;
    piece->engine = draft->engine;
    piece->size_bytes = end - start;
    if (part_memory_take(piece->engine, piece->size_bytes, &piece->data) < 0) {
        free(piece);
        return NULL;
    }
    if (draft_spool_read(draft, piece->data, start, end, &ignored) == 0)
        return piece;
    piece_free(piece);
    return NULL;
}

/* Makes the upload, if that is not done. */
static bool has_begun(struct draft *draft, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload_begun begun;
    struct error ignored;

    if (upload_wait_place(draft->ahead, limits, &ignored) < 0)
        return false;
    begun = upload_tell_begun(draft->ahead);
    if (strlen(begun.upload_id) >= sizeof ahead->upload_id)
        return false;
    strcpy(ahead->write_id, begun.write_id);
    strcpy(ahead->upload_id, begun.upload_id);
    return true;
}

/* False: not now, or never. */
static bool send_next(struct draft *draft, uint64_t bytes, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    uint32_t index = ahead->sent;
    uint64_t start = end_of(draft, index);
    struct upload_memory memory;
    struct piece *piece;
    struct error ignored;

    if (index == STORE_PARTS_MAX || draft_reserve_sent(draft, index) < 0 ||
        !upload_has_place(draft->ahead))
        return false;
    if (!has_begun(draft, limits)) {
        draft_ahead_stop(draft);
        return false;
    }
    piece = read_piece(draft, start, start + bytes);
    if (!piece)
        return false;
    memory = (struct upload_memory){
        .data = piece->data,
        .size_bytes = bytes,
        .crc32c = crc32c_update(0, piece->data, bytes),
        .release = piece_free,
        .arg = piece,
    };
    draft_sent(draft)[index].end_bytes = start + bytes;
    atomic_store(&ahead->sent, index + 1);
    return upload_part(draft->ahead, &memory, &ignored) == 0;
}

void draft_ahead_go_on(struct draft *draft, const struct limits *limits)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    bool is_equal = draft->store->capabilities & STORE_CAP_EQUAL_PARTS;
    uint64_t length = draft->extents.length_bytes;

    if (!is_stream(draft) || length <= SINGLE_MAX_BYTES)
        return;
    for (bool goes_on = true; goes_on;) {
        uint64_t bytes = range_plan_part_bytes(&draft->engine->plan, ahead->sent + 1, 0, is_equal);

        goes_on = length - end_of(draft, ahead->sent) > bytes && take_part(draft) &&
                  send_next(draft, bytes, limits);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void draft_ahead_settle(struct draft *draft, const struct limits *limits)
{
    struct error ignored;
    int r = 0;

    if (!draft->ahead || !is_ours(draft))
        return;
    while (r == 0 && upload_busy(draft->ahead))
        r = upload_wait_part(draft->ahead, limits, &ignored);
    harvest(draft);
}

static void clear(struct draft_ahead *ahead)
{
    ahead->is_stream = false;
    ahead->upload_id[0] = '\0';
    atomic_store(&ahead->done, 0);
    atomic_store(&ahead->sent, 0);
}

void draft_ahead_discard(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    struct upload *upload = is_ours(draft) ? draft->ahead : NULL;

    draft->ahead = NULL;
    if (!upload && ahead->upload_id[0])
        upload = resume(draft, &ahead->facts);
    clear(ahead);
    if (upload)
        upload_abort(upload);
    upload_free(upload);
}

struct upload *draft_ahead_take(struct draft *draft, const struct draft_facts *facts,
                                const struct limits *limits, uint64_t *ret_bytes)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    uint64_t bytes = end_of(draft, ahead->sent);
    struct upload *upload = NULL;
    struct error ignored;

    draft_ahead_settle(draft, limits);
    if (is_stream(draft) && ahead->sent && ahead->sent == ahead->done &&
        are_alike(facts, &ahead->facts) && take_part(draft) &&
        upload_check(draft->ahead, &ignored) == 0) {
        upload = draft->ahead;
        draft->ahead = NULL;
        clear(ahead);
        *ret_bytes = bytes;
    } else {
        draft_ahead_discard(draft);
    }
    return upload;
}
