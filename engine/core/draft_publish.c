/* Making a draft the object: one request, or an upload of copied and of sent parts. See draft.h.
 *
 * The draft changes only after the store has said yes: then what was published is the base, and
 * what is in the spool is clean. A signal handler's call that changes the draft meanwhile makes the
 * publication start over.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/append_turn.h"
#include "core/draft_ahead.h"
#include "core/draft_plan.h"
#include "core/draft_private.h"
#include "core/upload.h"

#define TRIES            3
#define SINGLE_MAX_BYTES ((uint64_t)8 << 20)

struct publication {
    struct draft *draft;
    struct draft_facts facts; /* as they were when it began */
    struct upload *upload;
    struct draft_ahead_taken ahead; /* or of a new one, where there is none */
    struct draft_plan plan;
    struct limits *limits;
    uint64_t serial;
    bool sends_all; /* the store has refused to copy */
    struct append_turn turn;
    bool is_doubtful; /* see upload_is_doubtful */
};

/* ---- one attempt ----------------------------------------------------------------------------- */

static int make_plan(struct publication *publication, struct error *err)
{
    struct draft *draft = publication->draft;
    bool has_source = draft_facts_have_source(&publication->facts);
    const struct range_plan *sizes = &draft->engine->plan;
    uint64_t length = draft->extents.length_bytes;
    struct draft_plan_limits limits = {
        .part_min_bytes = STORE_PART_MIN,
        .part_max_bytes = STORE_PART_MAX,
        .parts_max = sizes->parts_max,
        .upload_bytes = range_plan_part_bytes(sizes, 1, length, true),
        .copy_bytes = range_plan_copy_part_bytes(length),
        .single_max_bytes = SINGLE_MAX_BYTES,
        .can_copy = has_source && !publication->sends_all &&
                    (draft->store->capabilities & STORE_CAP_PART_COPY),
        .equal_parts = draft->store->capabilities & STORE_CAP_EQUAL_PARTS,
    };
    int r = draft_plan_make(&publication->plan, &draft->extents, &limits);

    if (has_source && !limits.can_copy && !publication->sends_all && length > SINGLE_MAX_BYTES)
        store_tell_lack(STORE_CAP_PART_COPY);
    if (r == -EFBIG)
        return error_set(err, ERROR_TOO_LARGE, "more than %u parts", limits.parts_max);
    return r < 0 ? error_set_errno(err, -r, "planning an upload") : 0;
}

/* What is not in the upload yet: parts as they have been so far. */
static int plan_rest(struct publication *publication, uint64_t start, struct error *err)
{
    const struct draft *draft = publication->draft;
    bool is_equal = draft->store->capabilities & STORE_CAP_EQUAL_PARTS;
    uint64_t end = draft->extents.length_bytes;
    unsigned number = upload_part_count(publication->upload);

    publication->plan.count = 0;
    publication->plan.is_single = false;
    while (start < end) {
        uint64_t bytes = range_plan_part_bytes(&draft->engine->plan, ++number, 0, is_equal);

        bytes = bytes < end - start ? bytes : end - start;
        if (draft_plan_add(&publication->plan, start, bytes, false) < 0)
            return error_set(err, ERROR_NO_MEMORY, "planning an upload");
        start += bytes;
    }
    return 0;
}

static int check_serial(const struct publication *publication, struct error *err)
{
    if (publication->serial == publication->draft->shared->serial)
        return 0;
    return error_set(err, ERROR_BUSY, "written to while being published");
}

static int make_body(const struct publication *publication, const struct draft_part *part,
                     struct upload_memory *ret_body, struct error *err)
{
    struct draft_body_source source = {publication->draft, publication->upload, part};

    return draft_body(&source, publication->limits, ret_body, err);
}

static int send_whole(struct publication *publication, struct error *err)
{
    struct upload_memory body = {.data = ""};
    int r = 0;

    if (publication->plan.count)
        r = make_body(publication, &publication->plan.parts[0], &body, err);
    if (r == 0)
        r = check_serial(publication, err);
    if (r < 0) {
        if (body.release)
            body.release(body.arg);
        return r;
    }
    return upload_put(publication->upload, &body, publication->limits, err);
}

static int send_part(struct publication *publication, const struct draft_part *part,
                     struct error *err)
{
    struct upload_memory body;
    int r = upload_wait_place(publication->upload, publication->limits, err);

    if (r == 0 && part->is_copy)
        return upload_part_copy(publication->upload, part->offset, part->length, err);
    if (r == 0)
        r = make_body(publication, part, &body, err);
    return r < 0 ? r : upload_part(publication->upload, &body, err);
}

/* What went up ahead and was changed since. */
static int send_again(struct publication *publication, struct error *err)
{
    struct upload_memory body;
    struct draft_part part;
    uint32_t number = 0;
    int r = 0;

    while (r == 0 && publication->ahead.upload &&
           (number = draft_ahead_stale(publication->draft, number + 1, &part)) > 0) {
        r = upload_wait_place(publication->upload, publication->limits, err);
        if (r == 0)
            r = make_body(publication, &part, &body, err);
        if (r == 0)
            r = upload_part_again(publication->upload, number, &body, err);
        if (r == 0)
            r = check_serial(publication, err);
    }
    return r;
}

static int send_parts(struct publication *publication, struct error *err)
{
    int r = send_again(publication, err);

    for (size_t i = 0; r == 0 && i < publication->plan.count; i++) {
        r = send_part(publication, &publication->plan.parts[i], err);
        if (r == 0)
            r = check_serial(publication, err);
    }
    return r < 0 ? r : upload_complete(publication->upload, publication->limits, err);
}

static bool has_copies(const struct draft_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->parts[i].is_copy)
            return true;
    return false;
}

/* What is copied or replaced is gone: that is a change, too. */
static int judge(const struct publication *publication, int r, struct error *err)
{
    if (err->class == ERROR_NOT_FOUND && draft_facts_have_source(&publication->facts) &&
        strcmp(err->code, "NoSuchUpload") != 0) {
        err->class = ERROR_CHANGED;
        err->errnum = 0;
        r = -error_errno(err);
    }
    return r;
}

/* What was published is the base now: that first, for all that is not in it is still marked. What
 * was changed since the publication began stays changed, and everything else with it. */
static void adopt(const struct publication *publication, const struct attr *attr)
{
    struct draft *draft = publication->draft;
    struct draft_facts *facts = draft_facts_begin(draft);

    if (draft->reader)
        reader_registry_remove(draft->reader); /* of what was replaced */
    facts->base_exists = true;
    facts->base = *attr;
    facts->is_cloned = facts->exclusive = false;
    facts->tail_start = attr->size_bytes;
    facts->write_id[0] = '\0';
    facts->source_serial++;
    draft_facts_commit(draft);
    draft_ahead_publish(draft);
    if (publication->serial != draft->shared->serial)
        return;
    draft_rebase_extents(draft);
    draft->shared->changed = false;
}

/* From here on the end is not known until it is told. */
static void note_write(struct draft *draft, const char *write_id)
{
    struct draft_facts *facts = draft_facts_begin(draft);

    snprintf(facts->write_id, sizeof facts->write_id, "%s", write_id);
    facts->sent_end = 0;
    draft_facts_commit(draft);
}

int draft_settle(struct draft *draft, const struct limits *limits)
{
    struct draft_facts *facts;
    struct error ignored;
    struct attr attr;
    char write_id[DRAFT_WRITE_ID_MAX];
    struct uri uri = draft_facts(draft)->uri;

    snprintf(write_id, sizeof write_id, "%.*s", (int)sizeof write_id - 1,
             draft_facts(draft)->write_id);
    if (!write_id[0] || upload_find(draft->engine, &uri, write_id, limits, &attr, &ignored) <= 0)
        return 0;
    if (draft_facts(draft)->sent_end) {
        draft_note_sent(draft);
        return 1;
    }
    facts = draft_facts_begin(draft); /* what was changed since is marked; a clone has its source */
    facts->base_exists = true;
    facts->base = attr;
    facts->tail_start = attr.size_bytes;
    facts->exclusive = false;
    facts->write_id[0] = '\0';
    facts->source_serial++;
    draft_facts_commit(draft);
    draft_ahead_publish(draft);
    return 1;
}

/* Is it the base with something behind it? */
static bool begins_as_base(const struct draft *draft, const struct draft_facts *facts)
{
    uint64_t base_bytes = facts->base.size_bytes;
    unsigned same = 1u << EXTENT_BASE | 1u << EXTENT_CLEAN;

    return facts->base_exists && !facts->is_cloned && facts->base.etag[0] && base_bytes > 0 &&
           draft->extents.length_bytes >= base_bytes &&
           extents_sum(&draft->extents, 0, base_bytes, same) == base_bytes;
}

/* What went up ahead goes on, or all of it is sent. */
static int begin(struct publication *publication, const struct upload_options *options,
                 struct error *err)
{
    struct draft *draft = publication->draft;
    int r =
        draft_ahead_take(draft, &publication->facts, publication->limits, &publication->ahead, err);

    publication->upload = publication->ahead.upload;
    if (r == 0 && publication->upload)
        r = plan_rest(publication, publication->ahead.bytes, err);
    else if (r == 0)
        r = upload_new(draft->engine, &publication->facts.uri, options, &publication->upload, err);
    if (r == 0)
        upload_set_begins_as_base(publication->upload, begins_as_base(draft, &publication->facts));
    return r;
}

/* Of an upload that went up ahead the parts are the draft's still. */
static void give_up(struct publication *publication)
{
    if (publication->ahead.upload)
        draft_ahead_leave(publication->draft);
    else
        upload_abort(publication->upload);
}

static int send(struct publication *publication, const struct upload_options *options,
                struct attr *ret_attr, struct error *err)
{
    int r = begin(publication, options, err);

    if (r < 0)
        return r;
    note_write(publication->draft, upload_write_id(publication->upload));
    r = publication->plan.is_single ? send_whole(publication, err) : send_parts(publication, err);
    publication->is_doubtful = upload_is_doubtful(publication->upload);
    if (r == 0)
        upload_tell_attr(publication->upload, ret_attr);
    else
        give_up(publication);
    if (!publication->ahead.upload)
        upload_free(publication->upload);
    return r;
}

void draft_upload_options(struct draft *draft, const struct draft_facts *facts,
                          struct store_metadata *metadata, struct upload_options *ret_options)
{
    *metadata = draft_facts_metadata(facts);
    *ret_options = (struct upload_options){
        .exclusive = facts->exclusive,
        .content_type = facts->content_type[0] ? facts->content_type : NULL,
        .attr = &facts->attr,
        .metadata = metadata,
        .base_etag = facts->base_exists ? facts->base.etag : NULL,
        .copy_uri = facts->is_cloned ? &facts->source.uri : NULL,
        .copy_etag = facts->is_cloned ? facts->source.attr.etag : NULL,
        .owner = draft,
        .appends = facts->appends,
    };
}

static int upload(struct publication *publication, struct attr *ret_attr, struct error *err)
{
    struct store_metadata metadata;
    struct upload_options options;
    int r = make_plan(publication, err); /* as if nothing had gone up ahead */

    if (r < 0)
        return r;
    draft_upload_options(publication->draft, &publication->facts, &metadata, &options);
    options.has_copies = has_copies(&publication->plan);
    r = send(publication, &options, ret_attr, err);
    draft_plan_fini(&publication->plan);
    return r;
}

static int copy_or_upload(struct publication *publication, struct attr *ret_attr, struct error *err)
{
    if (!publication->sends_all && draft_is_whole_clone(publication->draft, &publication->facts))
        return draft_copy_whole(publication->draft, &publication->facts, publication->limits,
                                ret_attr, err);
    return upload(publication, ret_attr, err);
}

/* Has the store said that it does not copy parts (core/call.h)? */
static bool is_without_part_copies(const struct publication *publication, const struct error *err)
{
    return strcmp(err->operation, store_operation_name(STORE_UPLOAD_PART_COPY)) == 0 &&
           !(publication->draft->store->capabilities & STORE_CAP_PART_COPY);
}

static bool is_of_copy(const struct error *err)
{
    return strcmp(err->operation, store_operation_name(STORE_COPY)) == 0 ||
           strcmp(err->operation, store_operation_name(STORE_UPLOAD_PART_COPY)) == 0;
}

/* Who may read and write need not be allowed to copy, and not every server that has the request
 * takes it for every object. What was cloned can be read and sent. */
static bool is_refused_copy(const struct publication *publication, const struct error *err)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;

    if (!publication->sends_all && is_without_part_copies(publication, err))
        return true;
    if (publication->sends_all || !publication->facts.is_cloned || !is_of_copy(err) ||
        (err->class != ERROR_ACCESS && err->class != ERROR_UNSUPPORTED &&
         err->class != ERROR_INVALID && err->class != ERROR_TOO_LARGE))
        return false;
    if (!atomic_flag_test_and_set(&said))
        log_warn("the store refuses a copy (%s): the bytes are read and sent",
                 err->code[0] ? err->code : err->message);
    return true;
}

/* Is only what it comes behind another one than it was? */
static bool is_overtaken(const struct publication *publication, const struct error *err)
{
    const struct draft_facts *facts = &publication->facts;

    return draft_facts(publication->draft)->appends && !publication->is_doubtful &&
           (err->class == ERROR_CHANGED || (err->class == ERROR_EXISTS && facts->exclusive) ||
            (err->class == ERROR_BUSY && err->code[0]));
}

static int append_behind(struct publication *publication, struct error *err)
{
    struct draft *draft = publication->draft;
    int r = append_turn_take(&publication->turn, draft->store, &publication->facts.uri,
                             publication->limits, err);

    if (r == 0 && !draft_has_sent_off(draft)) /* an upload cannot be moved behind another version */
        draft_ahead_discard(draft);
    return r < 0 ? r : draft_append_behind(draft, publication->limits, err);
}

/* What came too late to travel with what went up ahead. Unless it is stored the next publication
 * does it. */
static int follow(const struct publication *publication, struct attr *attr, struct error *err)
{
    struct draft *draft = publication->draft;
    struct draft_facts *facts;
    int r = draft_ahead_follow(draft, &publication->facts, &publication->ahead, publication->limits,
                               attr, err);

    if (r < 0) {
        draft->shared->changed = true;
        return r;
    }
    facts = draft_facts_begin(draft);
    facts->base = *attr;
    facts->source_serial++;
    draft_facts_commit(draft);
    return 0;
}

static int attempt(struct publication *publication, struct error *err)
{
    struct draft *draft = publication->draft;
    struct attr attr = {0};
    int r;

    draft_settle(draft, publication->limits);
    r = draft_follow_source(draft, publication->limits, err);
    if (r < 0)
        return r;
    publication->serial = draft->shared->serial;
    publication->facts = *draft_facts(draft);
    publication->ahead.upload = NULL;
    if (draft_facts(draft)->appends &&
        draft_facts(draft)->tail_start != draft_base_bytes(draft_facts(draft)))
        return append_behind(publication, err);
    r = copy_or_upload(publication, &attr, err);
    if (r < 0 && is_refused_copy(publication, err)) {
        publication->sends_all = true;
        r = upload(publication, &attr, err);
    }
    if (r < 0)
        r = judge(publication, r, err);
    if (r < 0 && publication->is_doubtful)
        draft_stay_out(draft);
    if (r < 0)
        return is_overtaken(publication, err) ? append_behind(publication, err) : r;
    adopt(publication, &attr);
    return publication->ahead.upload ? follow(publication, &attr, err) : 0;
}

/* After r, with time left for one try more? */
static bool goes_on(const struct publication *publication, unsigned tries, int r)
{
    if (tries > 0 && clock_now_ns() >= publication->limits->deadline_ns)
        return false;
    return r == -EBUSY || (r == -ESTALE && draft_source_moved(publication->draft));
}

int draft_publish_now(struct draft *draft, struct limits *limits, struct error *err)
{
    struct publication *publication = calloc(1, sizeof *publication);
    char text[ATTR_URI_BYTES];
    int r = -EBUSY, taken = 0;

    if (!publication)
        return error_set(err, ERROR_NO_MEMORY, "publishing");
    publication->draft = draft;
    publication->limits = limits;
    publication->turn = APPEND_TURN_NONE;
    if (draft_facts(draft)->appends && append_turn_is_needed(draft->store))
        taken = append_turn_take(&publication->turn, draft->store, &draft_facts(draft)->uri, limits,
                                 err);
    if (taken < 0) {
        free(publication);
        return taken;
    }
    draft->is_publishing = true;
    for (unsigned tries = 0; tries < TRIES && goes_on(publication, tries, r); tries++)
        r = attempt(publication, err);
    draft->is_publishing = false;
    append_turn_give(&publication->turn);
    attr_uri_text(&publication->facts.uri, text);
    attr_cache_forget(draft->engine->attrs, text);
    free(publication);
    return r;
}

int draft_publish(struct draft *draft, struct limits *limits, struct attr *ret_attr,
                  struct error *err)
{
    const struct draft_facts *facts;
    int r = draft_enter(draft, false, limits, err);

    if (r < 0)
        return r;
    r = draft_note_mapped(draft, err);
    if (r == 0 && draft_is_bare(draft))
        r = draft_look(draft, limits, err);
    if (r > 0)
        r = 0;
    if (r == 0 && draft->shared->changed && !draft_facts(draft)->is_unnamed)
        r = draft_publish_now(draft, limits, err);
    facts = draft_facts(draft);
    if (r == 0 && ret_attr) {
        *ret_attr = facts->is_unnamed ? facts->attr : facts->base;
        if (facts->is_unnamed)
            ret_attr->size_bytes = draft->extents.length_bytes;
    }
    draft_leave(draft);
    return r;
}
