/* Looking names up and changing them. See names.h.
 *
 * A look-up that the cache cannot answer sends HEAD for the key and a listing of one entry below it
 * at the same time, so that files and directories both cost one round trip. Parents are examined only
 * after a miss, upwards until one of them is known to be something.
 */
#include "core/names.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/call.h"
#include "core/engine.h"

bool names_parent(const struct uri *uri, struct uri *ret_parent)
{
    size_t length = strlen(uri->key);

    if (!uri->bucket[0])
        return false;
    if (ret_parent != uri)
        *ret_parent = *uri;
    if (length == 0) {
        ret_parent->bucket[0] = '\0';
        return true;
    }
    if (uri->key[length - 1] == '/')
        length--;
    while (length > 0 && uri->key[length - 1] != '/')
        length--;
    ret_parent->key[length > 0 ? length - 1 : 0] = '\0';
    return true;
}

/* The name without the slash that says directory; true when there was one. */
static bool strip_slash(struct uri *uri)
{
    size_t length = strlen(uri->key);

    if (length == 0 || uri->key[length - 1] != '/')
        return false;
    uri->key[length - 1] = '\0';
    return true;
}

/* "key/": where a directory's marker is, and what everything in it begins with. */
static int marker_of(const struct uri *uri, struct uri *ret_marker, struct error *err)
{
    size_t length = strlen(uri->key);

    *ret_marker = *uri;
    if (length == 0 || uri->key[length - 1] == '/')
        return 0;
    if (length + 1 > URI_KEY_MAX)
        return error_set(err, ERROR_TOO_LONG, "the key of the directory is too long");
    ret_marker->key[length] = '/';
    ret_marker->key[length + 1] = '\0';
    return 0;
}

static void name_error(const struct uri *uri, struct error *err)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    error_set_context(err, NULL, text);
}

/* ---- what the store says ------------------------------------------------------------------------ */

/* A listing of what is in the directory `uri`, with or without its slash. */
static struct call *list_below(struct engine *engine, const struct uri *uri, unsigned max_keys,
                               const struct limits *limits, struct error *err)
{
    struct call *call = call_new(engine, STORE_LIST, uri, limits, err);

    if (call && marker_of(uri, &call->uri, err) < 0) {
        call_delete(call);
        return NULL;
    }
    if (call) {
        call->request.prefix = call->uri.key;
        call->request.max_keys = max_keys;
    }
    return call;
}

/* Starts both, then waits for both: cutting one short would cost its connection. */
static int run_both(struct call *head, struct call *list, const struct limits *limits,
                    struct error *err)
{
    struct shard *shard = head->request.shard;
    struct error ignored;
    int r;

    list->request.shard = shard;
    shard_lock(shard);
    call_start(head);
    call_start(list);
    r = call_wait(head, limits, err);
    call_wait(list, limits, r < 0 ? &ignored : err);
    shard_unlock(shard);
    return r;
}

/* The attributes of a directory's marker; what is missing there is missing. */
static void apply_marker(struct engine *engine, const struct uri *marker,
                         const struct limits *limits, struct attr *attr)
{
    struct error ignored;
    struct call *call = call_new(engine, STORE_HEAD, marker, limits, &ignored);
    uint64_t inode = attr->inode;

    if (call && call_run(call, limits, &ignored) == 0) {
        attr_from_object(&call->request.object, marker, attr);
        attr->inode = inode;
        attr->size_bytes = 0;
    }
    call_delete(call);
}

/* The listing of one entry below a name has ended well: a directory or nothing. */
static int judge_listing(struct engine *engine, struct call *list, const struct uri *uri,
                         const struct limits *limits, struct attr *ret_attr, struct error *err)
{
    const struct store_page *page = list->request.page;

    if (!page || page->count == 0) {
        if (uri->key[0])
            return error_set(err, ERROR_NOT_FOUND, "no such file or directory");
        attr_directory(uri, ret_attr); /* an empty bucket */
        return 0;
    }
    attr_directory(uri, ret_attr);
    if (strcmp(page->entries[0].key, list->uri.key) == 0 &&
        (list->request.store->capabilities & STORE_CAP_METADATA))
        apply_marker(engine, &list->uri, limits, ret_attr);
    else if (strcmp(page->entries[0].key, list->uri.key) == 0)
        ret_attr->mtime = page->entries[0].mtime;
    return 0;
}

static int ask_directory(struct engine *engine, const struct uri *uri, const struct limits *limits,
                         struct attr *ret_attr, struct error *err)
{
    struct call *list = list_below(engine, uri, 1, limits, err);
    int r;

    if (!list)
        return -error_errno(err);
    r = call_run(list, limits, err);
    if (r == 0)
        r = judge_listing(engine, list, uri, limits, ret_attr, err);
    call_delete(list);
    return r;
}

/* File or directory, both asked for at once. */
static int ask_both(struct engine *engine, const struct uri *uri, const struct limits *limits,
                    struct attr *ret_attr, struct error *err)
{
    struct call *head = call_new(engine, STORE_HEAD, uri, limits, err);
    struct call *list = head ? list_below(engine, uri, 1, limits, err) : NULL;
    int r = list ? run_both(head, list, limits, err) : -error_errno(err);

    if (list && r == 0) {
        attr_from_object(&head->request.object, uri, ret_attr);
    } else if (list && err->class == ERROR_NOT_FOUND) {
        r = -error_errno(&list->request.error);
        if (r < 0)
            *err = list->request.error;
        else
            r = judge_listing(engine, list, uri, limits, ret_attr, err);
    }
    call_delete(list);
    call_delete(head);
    return r;
}

static int ask_file(struct engine *engine, const struct uri *uri, const struct limits *limits,
                    struct attr *ret_attr, struct error *err)
{
    struct call *head = call_new(engine, STORE_HEAD, uri, limits, err);
    int r = head ? call_run(head, limits, err) : -error_errno(err);

    if (r == 0)
        attr_from_object(&head->request.object, uri, ret_attr);
    call_delete(head);
    return r;
}

/* One after the other, where asking costs nothing. */
static int ask_in_turn(struct engine *engine, const struct uri *uri, const struct limits *limits,
                       struct attr *ret_attr, struct error *err)
{
    int r = ask_file(engine, uri, limits, ret_attr, err);

    if (r < 0 && err->class == ERROR_NOT_FOUND)
        r = ask_directory(engine, uri, limits, ret_attr, err);
    return r;
}

/* Asks the store, not the cache and not about parents. The key has no slash at its end. */
static int ask_store(struct engine *engine, const struct uri *uri, const struct limits *limits,
                     struct attr *ret_attr, struct error *err)
{
    struct store *store;
    int r = engine_store(engine, uri->scheme, &store, err);

    if (r < 0)
        return r;
    if (!uri->key[0])
        return ask_directory(engine, uri, limits, ret_attr, err);
    if (strlen(uri->key) == URI_KEY_MAX) /* nothing can be below it */
        return ask_file(engine, uri, limits, ret_attr, err);
    if (store->capabilities & STORE_CAP_INLINE)
        return ask_in_turn(engine, uri, limits, ret_attr, err);
    return ask_both(engine, uri, limits, ret_attr, err);
}

/* From the cache or the store, parents apart. */
static int look_up(struct engine *engine, const struct uri *uri, const struct limits *limits,
                   struct attr *ret_attr, struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r;

    if (!uri->bucket[0]) {
        attr_directory(uri, ret_attr);
        return 0;
    }
    attr_uri_text(uri, text);
    switch (attr_cache_get(engine->attrs, text, ret_attr)) {
    case ATTR_CACHE_FOUND: return 0;
    case ATTR_CACHE_ABSENT:
        return error_set(err, ERROR_NOT_FOUND, "not in the listing of its directory");
    case ATTR_CACHE_UNKNOWN: break;
    }
    r = ask_store(engine, uri, limits, ret_attr, err);
    if (r == 0)
        attr_cache_put(engine->attrs, text, ret_attr);
    return r;
}

/* Nothing is at `uri`: -ENOTDIR when that is because something above it is a file, else -ENOENT with
 * the error that is there. Uses *uri up. */
static int blame_parents(struct engine *engine, struct uri *uri, const struct limits *limits,
                         struct error *err)
{
    struct error asked;
    struct attr attr;

    while (uri->key[0] && names_parent(uri, uri) && uri->key[0]) {
        int r = look_up(engine, uri, limits, &attr, &asked);

        if (r == 0 && attr.type != ATTR_DIRECTORY)
            return error_set(err, ERROR_NOT_DIRECTORY, "part of its path is a file");
        if (r == 0)
            break;
        if (asked.class != ERROR_NOT_FOUND) {
            *err = asked;
            return r;
        }
    }
    return -error_errno(err);
}

int names_lookup(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct attr *ret_attr, struct error *err)
{
    struct uri name = *uri;
    bool wants_directory = strip_slash(&name);
    struct attr attr;
    int r = look_up(engine, &name, limits, &attr, err);

    if (r < 0 && err->class == ERROR_NOT_FOUND)
        r = blame_parents(engine, &name, limits, err);
    else if (r == 0 && wants_directory && attr.type == ATTR_FILE)
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
    if (r == 0)
        *ret_attr = attr;
    else
        name_error(uri, err);
    return r;
}

int names_explain_missing(struct engine *engine, const struct uri *uri, const struct limits *limits,
                          struct error *err)
{
    char text[ATTR_URI_BYTES];
    struct uri name = *uri;
    struct attr attr;
    int r;

    if (strip_slash(&name) || !name.key[0]) {
        r = names_lookup(engine, uri, limits, &attr, err);
        if (r < 0)
            return r;
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
        name_error(uri, err);
        return r;
    }
    if (strlen(name.key) == URI_KEY_MAX)
        r = error_set(err, ERROR_NOT_FOUND, "no such file");
    else
        r = ask_directory(engine, uri, limits, &attr, err);
    if (r == 0) {
        attr_uri_text(uri, text);
        attr_cache_put(engine->attrs, text, &attr);
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
    } else if (err->class == ERROR_NOT_FOUND) {
        r = blame_parents(engine, &name, limits, err);
    }
    name_error(uri, err);
    return r;
}

/* ---- changes ------------------------------------------------------------------------------------ */

static int require_directory(struct engine *engine, const struct uri *uri,
                             const struct limits *limits, struct error *err)
{
    struct attr attr;
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r == 0 && attr.type != ATTR_DIRECTORY) {
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
        name_error(uri, err);
    }
    return r;
}

static int simple_call(struct engine *engine, enum store_operation operation, const struct uri *uri,
                       const struct limits *limits, struct error *err)
{
    struct call *call = call_new(engine, operation, uri, limits, err);
    int r = call ? call_run(call, limits, err) : -error_errno(err);

    call_delete(call);
    return r;
}

static int put_marker(struct engine *engine, const struct uri *marker, const struct attr *attr,
                      const struct limits *limits, struct error *err)
{
    struct store_metadata metadata = {0};
    struct call *call = call_new(engine, STORE_PUT, marker, limits, err);
    unsigned capabilities;
    int r = 0;

    if (!call)
        return -error_errno(err);
    capabilities = call->request.store->capabilities;
    if (attr && (capabilities & STORE_CAP_METADATA))
        r = attr_to_metadata(attr, &metadata);
    if (r < 0) {
        error_set_errno(err, -r, "storing the directory's attributes");
    } else {
        call->request.metadata = &metadata;
        call->request.content_type = "application/x-directory";
        call->request.if_none_match = capabilities & STORE_CAP_IF_NONE_MATCH;
        r = call_run(call, limits, err);
        /* A repeat that finds the marker of a first attempt whose answer was lost has worked. */
        if (r == -EEXIST && call->ambiguous)
            r = 0;
    }
    call_delete(call);
    store_metadata_fini(&metadata);
    return r;
}

int names_mkdir(struct engine *engine, const struct uri *uri, const struct attr *attr,
                const struct limits *limits, struct error *err)
{
    char text[ATTR_URI_BYTES];
    struct uri name = *uri;
    int64_t made_ns = clock_now_ns();
    struct attr there;
    int r;

    strip_slash(&name);
    attr_uri_text(&name, text);
    r = look_up(engine, &name, limits, &there, err);
    if (r == 0) {
        r = error_set(err, ERROR_EXISTS, "something of that name exists");
        name_error(uri, err);
        return r;
    }
    if (err->class != ERROR_NOT_FOUND && (err->class != ERROR_NO_BUCKET || name.key[0]))
        return r;
    if (!name.key[0]) {
        r = simple_call(engine, STORE_CREATE_BUCKET, &name, limits, err);
    } else {
        names_parent(&name, &name);
        r = require_directory(engine, &name, limits, err);
        if (r == 0)
            r = marker_of(uri, &name, err);
        if (r == 0)
            r = put_marker(engine, &name, attr, limits, err);
    }
    if (r < 0)
        return r;
    attr_directory(&name, &there);
    if (attr) {
        there.has = attr->has;
        there.mode = attr->mode;
        there.uid = attr->uid;
        there.gid = attr->gid;
    }
    attr_cache_put(engine->attrs, text, &there);
    attr_cache_complete(engine->attrs, text, made_ns);
    return 0;
}

/* Something in the directory of `uri` has gone: it stays a directory for this process. */
static void keep_parent(struct engine *engine, const struct uri *uri)
{
    char text[ATTR_URI_BYTES];
    struct uri parent;

    if (!names_parent(uri, &parent) || !parent.key[0])
        return;
    attr_uri_text(&parent, text);
    attr_cache_keep(engine->attrs, text);
}

/* 1: a marker and nothing else, or (0) nothing at all; -ENOTEMPTY. */
static int check_empty(struct engine *engine, const struct uri *marker, const struct limits *limits,
                       struct error *err)
{
    struct call *list = list_below(engine, marker, 2, limits, err);
    int markers = 0;
    int r;

    if (!list)
        return -error_errno(err);
    r = call_run(list, limits, err);
    for (size_t i = 0; r == 0 && list->request.page && i < list->request.page->count; i++) {
        if (strcmp(list->request.page->entries[i].key, marker->key) == 0)
            markers = 1;
        else
            r = error_set(err, ERROR_NOT_EMPTY, "the directory is not empty");
    }
    call_delete(list);
    name_error(marker, r < 0 ? err : NULL);
    return r < 0 ? r : markers;
}

int names_rmdir(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct error *err)
{
    char text[ATTR_URI_BYTES];
    struct uri name;
    int r = require_directory(engine, uri, limits, err);

    if (r < 0)
        return r;
    if (!uri->bucket[0])
        return error_set(err, ERROR_BUSY, "the list of buckets stays");
    r = marker_of(uri, &name, err);
    if (r < 0)
        return r;
    attr_uri_text(uri, text);
    if (!name.key[0]) {
        r = simple_call(engine, STORE_DELETE_BUCKET, &name, limits, err);
    } else {
        r = check_empty(engine, &name, limits, err);
        if (r == 0 && !attr_cache_is_kept(engine->attrs, text)) {
            r = error_set(err, ERROR_NOT_FOUND, "no such directory");
            name_error(uri, err);
        } else if (r > 0) {
            r = simple_call(engine, STORE_DELETE, &name, limits, err);
        }
    }
    if (r < 0 && err->class != ERROR_NOT_FOUND)
        return r;
    attr_cache_remove(engine->attrs, text);
    if (r == 0)
        keep_parent(engine, &name);
    return r;
}

int names_delete(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r = simple_call(engine, STORE_DELETE, uri, limits, err);

    if (r < 0)
        return r;
    attr_uri_text(uri, text);
    attr_cache_remove(engine->attrs, text);
    keep_parent(engine, uri);
    return 0;
}

int names_unlink(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err)
{
    struct attr attr = {0};
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r < 0)
        return r;
    if (attr.type == ATTR_DIRECTORY) {
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
        name_error(uri, err);
        return r;
    }
    return names_delete(engine, uri, limits, err);
}
