/* Edits of metadata as copies of an object onto itself. See metadata_change.h. */
#include "core/metadata_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/call.h"
#include "core/copy.h"
#include "core/engine.h"
#include "core/marked.h"
#include "core/names.h"

#define TRIES 4u

struct change {
    struct engine *engine;
    const struct uri *key;
    const struct metadata_edit *edit;
    const struct limits *limits;
    bool is_marker;
    struct call *head;
    const struct store_object *object; /* what was there; NULL: nothing */
    struct store_metadata metadata;    /* what shall be */
    struct store_object result;        /* its metadata belongs to the two above */
};

static void change_fini(struct change *change)
{
    call_delete(change->head);
    store_metadata_fini(&change->metadata);
    change->head = NULL;
    change->object = NULL;
}

static int look(struct change *change, struct error *err)
{
    int r;

    change->head = call_new(change->engine, STORE_HEAD, change->key, change->limits, err);
    if (!change->head)
        return -error_errno(err);
    r = call_run(change->head, change->limits, err);
    if (r == 0)
        change->object = &change->head->request.object;
    else if (err->class == ERROR_NOT_FOUND && change->is_marker)
        r = 0;
    return r;
}

/* The time that would be lost: directories show none but a stored one. */
static int keep_time(struct change *change)
{
    struct attr attr;

    if (!change->object || change->object->attributes.known || change->is_marker ||
        store_metadata_get(&change->metadata, "mtime"))
        return 0;
    attr_from_object(change->object, change->key, &attr);
    attr.has = ATTR_HAS_MTIME;
    attr.type = ATTR_FILE; /* nothing but the time */
    return attr.mtime.tv_sec ? attr_to_metadata(&attr, &change->metadata) : 0;
}

/* 1 with the new metadata, 0 when nothing has changed. */
static int edit_metadata(struct change *change, struct error *err)
{
    int r = change->object ? store_metadata_copy(&change->object->metadata, &change->metadata) : 0;

    if (r == 0)
        r = change->edit->edit(change->edit->arg, change->object, &change->metadata, err);
    else
        error_set_errno(err, -r, "changing metadata");
    if (r > 0 && keep_time(change) < 0)
        r = error_set(err, ERROR_NO_SPACE, "there is more metadata than an object can have");
    return r;
}

static int replace(struct change *change, struct error *err)
{
    struct copy copy = {.from = change->key,
                        .to = change->key,
                        .known = change->object,
                        .metadata = &change->metadata};
    int r = copy_version(change->engine, &copy, change->limits, err);

    if (r == 0) {
        change->result = *change->object;
        memcpy(change->result.etag, copy.target.etag, sizeof change->result.etag);
        if (copy.target.mtime.tv_sec)
            change->result.mtime = copy.target.mtime;
    }
    return r;
}

static int make_marker(struct change *change, struct error *err)
{
    struct call *call = call_new(change->engine, STORE_PUT, change->key, change->limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.metadata = &change->metadata;
    call->request.content_type = "application/x-directory";
    r = call_run_exclusive(call, change->limits, err);
    if (r == -EEXIST && err->class == ERROR_EXISTS)
        r = error_set(err, ERROR_CHANGED, "a marker was made meanwhile");
    if (r == 0)
        change->result = call->request.object;
    if (r == 0 && !change->result.mtime.tv_sec)
        clock_gettime(CLOCK_REALTIME, &change->result.mtime);
    call_delete(call);
    return r;
}

static void remember(const struct change *change, const struct store_object *object,
                     struct attr *ret_attr)
{
    char text[ATTR_URI_BYTES];
    struct attr attr;

    attr_from_object(object, change->key, &attr);
    attr_uri_text(change->key, text);
    attr_cache_put(change->engine->attrs, text, &attr);
    if (change->is_marker) /* known by that, as if it had been looked up */
        attr_cache_owe_page(change->engine->attrs, text, ATTR_OWED_TREE);
    if (ret_attr)
        *ret_attr = attr;
}

static int change_once(struct change *change, struct attr *ret_attr, struct error *err)
{
    struct store_object object;
    int r = look(change, err);

    if (r == 0)
        r = edit_metadata(change, err);
    if (r < 0)
        return r;
    if (r == 0) {
        if (change->object)
            remember(change, change->object, ret_attr);
        return 0;
    }
    if (!change->edit->is_mark)
        r = marked_require(change->engine, change->key, change->limits, err);
    if (r >= 0)
        r = change->object ? replace(change, err) : make_marker(change, err);
    if (r == 0) {
        object = change->result;
        object.metadata = change->metadata;
        remember(change, &object, ret_attr);
    }
    return r;
}

int metadata_change(struct engine *engine, const struct uri *key, const struct metadata_edit *edit,
                    const struct limits *limits, struct attr *ret_attr, struct error *err)
{
    size_t length = strlen(key->key);
    struct change change = {
        .engine = engine,
        .key = key,
        .edit = edit,
        .limits = limits,
        .is_marker = edit->is_mark || (length > 0 && key->key[length - 1] == '/'),
    };
    struct store *store;
    int r = engine_store(engine, key->scheme, &store, err);

    if (r < 0)
        return r;
    if (!attr_is_kept(store) ||
        !(store->capabilities & (STORE_CAP_COPY | STORE_CAP_PART_COPY)))
        return error_set_errno(err, EOPNOTSUPP, "the store keeps no metadata");
    for (unsigned tries = 0; tries < TRIES; tries++) {
        r = change_once(&change, ret_attr, err);
        change_fini(&change);
        if (r == 0 || err->class != ERROR_CHANGED)
            return r;
    }
    return error_set(err, ERROR_BUSY, "the object changes all the time");
}

/* ---- modes, owners, times -------------------------------------------------------------------- */

int metadata_permitted(struct engine *engine, struct error *err)
{
    enum { STORE, IGNORE, REFUSE };

    switch (option_int(&engine->options, METADATA)) {
    case IGNORE: return 0;
    case REFUSE:
        return error_set(err, ERROR_REFUSED, "S3DLIO_METADATA=refuse lets no metadata change");
    default: return 1;
    }
}

int metadata_key(const struct uri *uri, const struct attr *attr, struct uri *ret_key,
                 struct error *err)
{
    size_t length;

    *ret_key = *uri;
    length = strlen(ret_key->key);
    if (length > 0 && ret_key->key[length - 1] == '/')
        ret_key->key[--length] = '\0';
    if (length == 0 && !attr->is_own)
        return error_set(err, ERROR_REFUSED, "a bucket has no attributes of its own");
    if (attr->type != ATTR_DIRECTORY || length == 0)
        return 0;
    if (length == URI_KEY_MAX)
        return error_set(err, ERROR_TOO_LONG, "the key of the directory is too long");
    strcpy(ret_key->key + length, "/");
    return 0;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Is all of `wanted` known to be so? */
static bool has_all(const struct attr *attr, const struct attr *wanted)
{
    if (wanted->has & ~attr->has & ~(unsigned)ATTR_HAS_MTIME)
        return false;
    if (wanted->has & ATTR_HAS_ATIME && !is_same_time(&attr->atime, &wanted->atime))
        return false;
    return (!(wanted->has & ATTR_HAS_MODE) || attr->mode == (wanted->mode & 07777)) &&
           (!(wanted->has & ATTR_HAS_UID) || attr->uid == wanted->uid) &&
           (!(wanted->has & ATTR_HAS_GID) || attr->gid == wanted->gid) &&
           (!(wanted->has & ATTR_HAS_MTIME) || is_same_time(&attr->mtime, &wanted->mtime));
}

struct set_attr {
    const struct attr *wanted;
    enum attr_type type;
    const struct uri *key;
};

static int edit_attr(void *arg, const struct store_object *object, struct store_metadata *metadata,
                     struct error *err)
{
    static const struct {
        unsigned has;
        const char *name;
    } names[] = {{ATTR_HAS_MODE, "mode"},
                 {ATTR_HAS_UID, "uid"},
                 {ATTR_HAS_GID, "gid"},
                 {ATTR_HAS_MTIME, "mtime"},
                 {ATTR_HAS_ATIME, "atime"}};
    const struct set_attr *set = arg;
    struct attr attr = *set->wanted, there;
    int r = 0;

    if (object) {
        attr_from_object(object, set->key, &there);
        attr.marked = there.marked;
        attr.type = there.type;
        if (has_all(&there, &attr))
            return 0;
    } else {
        attr.type = set->type;
        attr.marked = false;
    }
    for (unsigned i = 0; i < sizeof names / sizeof names[0] && r == 0; i++)
        if (attr.has & names[i].has)
            r = store_metadata_set(metadata, names[i].name, NULL);
    if (r == 0)
        r = store_metadata_set(metadata, ATTR_MARKED, NULL);
    if (r == 0)
        r = attr_to_metadata(&attr, metadata);
    if (r < 0)
        return error_set(err, ERROR_NO_SPACE, "there is more metadata than an object can have");
    return 1;
}

int metadata_set_attr(struct engine *engine, const struct uri *uri, const struct attr *attr,
                      const struct limits *limits, struct attr *ret_attr, struct error *err)
{
    struct set_attr set = {.wanted = attr};
    struct metadata_edit edit = {.edit = edit_attr, .arg = &set};
    struct attr there;
    struct uri key;
    int r = names_lookup(engine, uri, limits, &there, err);

    if (r < 0)
        return r;
    r = has_all(&there, attr) ? 0 : metadata_permitted(engine, err);
    if (r > 0) {
        r = metadata_key(uri, &there, &key, err);
        set.type = there.type;
        set.key = &key;
        return r < 0 ? r : metadata_change(engine, &key, &edit, limits, ret_attr, err);
    }
    if (r == 0 && ret_attr)
        *ret_attr = there;
    return r;
}
