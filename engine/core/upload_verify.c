/* Asking the store what is there: before a write that it cannot make conditional, after one whose
 * answer was lost, and after one made of copies. See upload_private.h.
 *
 * A copied part may be the wrong bytes if a server ignores the range that it was asked for: the
 * size of the whole tells. Another ETag than the one that was answered means that somebody has
 * replaced the object since, which says nothing about ours.
 */
#include <string.h>

#include "core/marked.h"
#include "core/upload_private.h"

void upload_keep_object(struct upload *upload, const struct store_object *object)
{
    upload->object = *object;
    upload->object.metadata = (struct store_metadata){0};
    upload->object.size_bytes = upload->size_bytes;
}

/* HEAD of what is there. NULL when it cannot be had. */
static struct call *look(struct upload *upload, const struct limits *limits, struct error *err)
{
    struct call *head = call_new(upload->engine, STORE_HEAD, &upload->uri, limits, err);

    if (head && call_run(head, limits, err) < 0) {
        call_delete(head);
        return NULL;
    }
    return head;
}

/* ---- lost answers ---------------------------------------------------------------------------- */

static bool is_refused(const struct call *call)
{
    return call->request.error.class == ERROR_EXISTS ||
           call->request.error.class == ERROR_CHANGED ||
           call->request.error.class == ERROR_NOT_FOUND;
}

static bool is_doubtful(const struct call *call)
{
    switch (call->request.error.class) {
    case ERROR_EXISTS:
    case ERROR_CHANGED:
    case ERROR_NOT_FOUND: return call->ambiguous;
    case ERROR_NETWORK:
    case ERROR_TIMEOUT:
    case ERROR_SERVER:
    case ERROR_PROTOCOL: return true;
    default: return false;
    }
}

bool upload_put_may_have_worked(const struct upload *upload, const struct call *call)
{
    return upload->write_id[0] && is_doubtful(call);
}

bool upload_is_of(const struct upload *upload, const struct store_object *object)
{
    const char *found = store_metadata_get(&object->metadata, UPLOAD_ID_NAME);

    return found && strcmp(found, upload->write_id) == 0;
}

int upload_settle(struct upload *upload, const struct call *call, int r,
                  const struct limits *limits)
{
    struct error ignored;
    struct call *head;

    if (r >= 0 || !is_doubtful(call))
        return r;
    upload->doubtful = is_refused(call);
    if (!upload->write_id[0])
        return r;
    head = look(upload, limits, &ignored);
    if (head && upload_is_of(upload, &head->request.object)) {
        upload_keep_object(upload, &head->request.object);
        upload->doubtful = false;
        r = 0;
    }
    call_delete(head);
    return r;
}

const char *upload_write_id(const struct upload *upload)
{
    return upload->write_id;
}

int upload_find(struct engine *engine, const struct uri *uri, const char *write_id,
                const struct limits *limits, struct attr *ret_attr, struct error *err)
{
    struct call *head = call_new(engine, STORE_HEAD, uri, limits, err);
    int r = head ? call_run(head, limits, err) : -error_errno(err);
    const char *found;

    if (r < 0) {
        call_delete(head);
        return r;
    }
    found = store_metadata_get(&head->request.object.metadata, UPLOAD_ID_NAME);
    r = found && strcmp(found, write_id) == 0;
    if (r)
        attr_from_object(&head->request.object, uri, ret_attr);
    call_delete(head);
    return r;
}

/* ---- the base -------------------------------------------------------------------------------- */

const char *upload_if_match(const struct upload *upload)
{
    bool can = upload->store->capabilities & STORE_CAP_IF_MATCH_PUT;

    return can && upload->base_etag[0] ? upload->base_etag : NULL;
}

/* Is there a condition that the store does not take? */
static bool is_to_be_looked_at(const struct upload *upload)
{
    return upload->absent ? !upload->exclusive : upload->base_etag[0] && !upload_if_match(upload);
}

static int look_at_base(struct upload *upload, const struct limits *limits, struct error *err)
{
    struct call *head = look(upload, limits, err);
    int r = 0;

    if (!head && upload->absent)
        return err->class == ERROR_NOT_FOUND ? 0 : -error_errno(err);
    if (!head)
        return err->class == ERROR_NOT_FOUND
                   ? error_set(err, ERROR_CHANGED, "the object was removed meanwhile")
                   : -error_errno(err);
    if (upload->absent)
        r = error_set(err, ERROR_EXISTS, "something of that name exists");
    else if (strcmp(head->request.object.etag, upload->base_etag) != 0)
        r = error_set(err, ERROR_CHANGED, "another version is there now");
    if (r < 0)
        call_name_error(head, err);
    call_delete(head);
    return r;
}

int upload_check_base(struct upload *upload, const struct limits *limits, struct error *err)
{
    int r = 0;

    if (upload->attr.has && (upload->store->capabilities & STORE_CAP_METADATA))
        r = marked_require(upload->engine, &upload->uri, limits, err);
    return r == 0 && is_to_be_looked_at(upload) ? look_at_base(upload, limits, err) : r;
}

int upload_run_without_condition(struct upload *upload, struct call *call,
                                 const struct limits *limits, struct error *err)
{
    int r;

    if (upload->appends) {
        store_lose(upload->store, STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT);
        return error_set(err, ERROR_CHANGED, "the store takes no conditions");
    }
    r = look_at_base(upload, limits, err);
    return r < 0 ? r : call_run_without_condition(call, limits, err);
}

/* ---- copies ---------------------------------------------------------------------------------- */

int upload_check_copies(struct upload *upload, const struct limits *limits, struct error *err)
{
    const struct store_object *object;
    struct error ignored;
    struct call *head;
    int r = 0;

    if (!upload->has_copies)
        return 0;
    head = look(upload, limits, &ignored);
    if (!head)
        return 0; /* the store has said yes; it only does not say it again */
    object = &head->request.object;
    if (strcmp(object->etag, upload->object.etag) == 0 &&
        object->size_bytes != upload->size_bytes) {
        r = error_set(err, ERROR_INTEGRITY, "the store made %llu bytes of %llu",
                      (unsigned long long)object->size_bytes,
                      (unsigned long long)upload->size_bytes);
        call_name_error(head, err);
        upload->failure = *err;
    }
    call_delete(head);
    return r;
}
