/* Renaming: what may take whose place, files, and what the attribute cache hears. See rename.h. */
#include "core/rename.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/call.h"
#include "core/copy.h"
#include "core/engine.h"
#include "core/marked.h"
#include "core/names.h"

#define TRIES       4u
#define KEEP_TIME_S 60 /* a younger file may take the time of its copy */

struct renaming {
    struct engine *engine;
    struct store *store;
    struct uri from, to;       /* without a slash at the end */
    bool from_slash, to_slash; /* there was one */
    bool no_replace;
    const struct limits *limits;
    struct attr source, target;
    bool target_exists;

    /* a file's */
    struct call *head;              /* of the source */
    struct store_metadata metadata; /* what the copy gets where it is not the source's */
    bool copied;                    /* the target is ours */
};

/* ---- what may take whose place --------------------------------------------------------------- */

static bool strip_slash(struct uri *uri)
{
    size_t length = strlen(uri->key);

    if (length == 0 || uri->key[length - 1] != '/')
        return false;
    uri->key[length - 1] = '\0';
    return true;
}

/* Is `inner` somewhere below the directory `outer`? */
static bool is_below(const struct uri *inner, const struct uri *outer)
{
    size_t length = strlen(outer->key);

    return strcmp(inner->bucket, outer->bucket) == 0 &&
           strncmp(inner->key, outer->key, length) == 0 &&
           (length == 0 || inner->key[length] == '/') && inner->key[length];
}

static int look_at_target(struct renaming *renaming, struct error *err)
{
    struct uri parent;
    struct attr attr;
    int r = names_lookup(renaming->engine, &renaming->to, renaming->limits, &renaming->target, err);

    renaming->target_exists = r == 0;
    if (r == 0 || err->class != ERROR_NOT_FOUND)
        return r;
    if (!names_parent(&renaming->to, &parent) || !parent.key[0])
        return 0;
    r = names_lookup(renaming->engine, &parent, renaming->limits, &attr, err);
    if (r == 0 && attr.type != ATTR_DIRECTORY)
        r = error_set(err, ERROR_NOT_DIRECTORY, "part of the new name's path is a file");
    return r;
}

static int check_kinds(const struct renaming *renaming, struct error *err)
{
    bool from_directory = renaming->source.type == ATTR_DIRECTORY;
    bool to_directory = renaming->target_exists && renaming->target.type == ATTR_DIRECTORY;

    if (renaming->no_replace && renaming->target_exists)
        return error_set(err, ERROR_EXISTS, "something of the new name exists");
    if (!from_directory && (renaming->from_slash || renaming->to_slash))
        return error_set(err, ERROR_NOT_DIRECTORY, "a file");
    if (from_directory && is_below(&renaming->to, &renaming->from))
        return error_set(err, ERROR_INVALID, "a directory cannot be moved into itself");
    if (is_below(&renaming->from, &renaming->to))
        return error_set(err, ERROR_NOT_EMPTY, "the new name's directory is not empty");
    if (from_directory && renaming->target_exists && !to_directory)
        return error_set(err, ERROR_NOT_DIRECTORY, "a file has the new name");
    if (!from_directory && to_directory)
        return error_set(err, ERROR_IS_DIRECTORY, "a directory has the new name");
    return 0;
}

static int check(struct renaming *renaming, struct error *err)
{
    int r =
        names_lookup(renaming->engine, &renaming->from, renaming->limits, &renaming->source, err);

    if (r < 0)
        return r;
    if (!renaming->from.key[0] || !renaming->to.key[0])
        return error_set(err, ERROR_BUSY, "buckets keep their names");
    r = look_at_target(renaming, err);
    return r < 0 ? r : check_kinds(renaming, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct call *start_head(const struct renaming *renaming, const struct uri *uri,
                               struct error *err)
{
    struct call *call = call_new(renaming->engine, STORE_HEAD, uri, renaming->limits, err);

    if (call)
        call_begin(call);
    return call;
}

static int end_head(const struct renaming *renaming, struct call *call, struct error *err)
{
    return call ? call_end(call, renaming->limits, err) : -error_errno(err);
}

/* What is stored with the copy: the metadata of the source, and its time if that would be lost. */
static int prepare(struct renaming *renaming, struct error *err)
{
    struct store_object *object = &renaming->head->request.object;
    struct timespec now;
    struct attr attr;
    int r = 0;

    attr_from_object(object, &renaming->from, &attr);
    clock_gettime(CLOCK_REALTIME, &now);
    if (!(attr.has & ATTR_HAS_MTIME) && attr.mtime.tv_sec &&
        now.tv_sec - attr.mtime.tv_sec > KEEP_TIME_S &&
        (renaming->store->capabilities & STORE_CAP_METADATA)) {
        struct attr time = {.type = ATTR_FILE, .has = ATTR_HAS_MTIME, .mtime = attr.mtime};

        r = store_metadata_copy(&object->metadata, &renaming->metadata);
        if (r == 0)
            r = attr_to_metadata(&time, &renaming->metadata);
        if (r < 0)
            return error_set_errno(err, -r, "keeping the file's time");
        attr.has |= ATTR_HAS_MTIME;
    }
    return attr.has ? marked_require(renaming->engine, &renaming->to, renaming->limits, err) : 0;
}

static int copy_file(struct renaming *renaming, struct copy *ret_copy, struct error *err)
{
    int r;

    renaming->head = start_head(renaming, &renaming->from, err);
    r = end_head(renaming, renaming->head, err);
    if (r == 0)
        r = prepare(renaming, err);
    if (r < 0)
        return r;
    *ret_copy = (struct copy){
        .from = &renaming->from,
        .to = &renaming->to,
        .known = &renaming->head->request.object,
        .metadata = renaming->metadata.length ? &renaming->metadata : NULL,
        .exclusive = renaming->no_replace && !renaming->copied,
    };
    r = copy_version(renaming->engine, ret_copy, renaming->limits, err);
    renaming->copied = renaming->copied || r == 0;
    return r;
}

/* What is at the new name, looked at with the result r, must be the copy. */
static int judge_target(const struct copy *copy, const struct store_object *made, int r,
                        struct error *err)
{
    if (r < 0 && err->class == ERROR_NOT_FOUND)
        return error_set(err, ERROR_PROTOCOL, "the store has said that it copied, but has not");
    if (r < 0)
        return r;
    if (made->size_bytes != copy->known->size_bytes ||
        (copy->target.etag[0] && strcmp(made->etag, copy->target.etag) != 0))
        return error_set(err, ERROR_PROTOCOL,
                         "the store has said that it copied, but something else is there");
    return 0;
}

/* What is at the old name must be what was copied; that it has gone is fine. */
static int judge_source(const struct copy *copy, const struct store_object *there, int r,
                        struct error *err)
{
    if (r < 0)
        return err->class == ERROR_NOT_FOUND ? 0 : r;
    if (strcmp(there->etag, copy->known->etag) != 0)
        return error_set(err, ERROR_CHANGED, "the file was changed while it was renamed");
    return 0;
}

/* Is the copy there, and the source still what was copied? ERROR_CHANGED when it is not. */
static int check_copy(struct renaming *renaming, const struct copy *copy, struct error *err)
{
    struct call *source = start_head(renaming, &renaming->from, err);
    struct call *target = source ? start_head(renaming, &renaming->to, err) : NULL;
    int r;

    if (source && target) {
        r = end_head(renaming, target, err);
        r = judge_target(copy, &target->request.object, r, err);
        if (r == 0) {
            attr_from_object(&target->request.object, &renaming->to, &renaming->target);
            r = end_head(renaming, source, err);
            r = judge_source(copy, &source->request.object, r, err);
        }
    } else {
        r = -error_errno(err);
    }
    call_delete(source);
    call_delete(target);
    return r;
}

static int delete_if(struct engine *engine, const struct uri *uri, const char *etag,
                     const struct limits *limits, struct error *err)
{
    struct call *call = call_new(engine, STORE_DELETE, uri, limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.if_match = etag;
    r = call_run(call, limits, err);
    call_delete(call);
    return r;
}

/* Where conditions on a deletion are unknown, the look a moment ago must do. */
int rename_delete(struct engine *engine, const struct uri *uri, const char *etag,
                  const struct limits *limits, struct error *err)
{
    int r = delete_if(engine, uri, etag[0] ? etag : NULL, limits, err);

    if (r < 0 && err->class == ERROR_UNSUPPORTED && etag[0])
        r = delete_if(engine, uri, NULL, limits, err);
    return r < 0 && err->class == ERROR_NOT_FOUND ? 0 : r;
}

/* Readers of the source go over to the copy before that is all there is. */
static int take_over(struct renaming *renaming, const struct copy *copy, struct error *err)
{
    struct reader_change_options options = {
        .names = {{.uri = &renaming->from}, {.uri = &renaming->to}}};
    struct reader_change *change;
    int r = reader_change_begin(renaming->engine, &options, renaming->limits, &change, err);

    if (r < 0)
        return r;
    r = check_copy(renaming, copy, err);
    if (r == 0) {
        reader_change_moved(change, &renaming->from, copy->known->etag, &renaming->to,
                            renaming->target.etag);
        r = rename_delete(renaming->engine, &renaming->from, copy->known->etag, renaming->limits,
                          err);
    }
    reader_change_end(change);
    return r;
}

static int rename_file_once(struct renaming *renaming, struct error *err)
{
    struct copy copy = {0};
    int r = copy_file(renaming, &copy, err);

    if (r == 0)
        r = take_over(renaming, &copy, err);
    if (r == 0)
        attr_from_object(copy.known, &renaming->from, &renaming->source);
    call_delete(renaming->head);
    store_metadata_fini(&renaming->metadata);
    renaming->head = NULL;
    return r;
}

static int rename_file(struct renaming *renaming, struct error *err)
{
    int r = -EBUSY;

    for (unsigned tries = 0; tries < TRIES; tries++) {
        r = rename_file_once(renaming, err);
        if (r == 0 || err->class != ERROR_CHANGED)
            return r;
    }
    return error_set(err, ERROR_BUSY, "the file changes all the time");
}

/* ---- afterwards ------------------------------------------------------------------------------ */

void rename_forget(struct engine *engine, const struct uri *uri)
{
    char text[ATTR_URI_BYTES];
    struct uri parent;

    attr_uri_text(uri, text);
    attr_cache_drop_below(engine->attrs, text);
    attr_cache_remove(engine->attrs, text);
    if (names_parent(uri, &parent) && parent.key[0]) {
        attr_uri_text(&parent, text);
        attr_cache_keep(engine->attrs, text);
    }
}

/* A failure may have left anything there. */
static void remember_target(struct renaming *renaming, int result)
{
    struct attr_cache *attrs = renaming->engine->attrs;
    char text[ATTR_URI_BYTES];

    attr_uri_text(&renaming->to, text);
    attr_cache_drop_below(attrs, text);
    if (renaming->source.type == ATTR_DIRECTORY && (result == 0 || renaming->target_exists))
        attr_cache_put_named(attrs, text, ATTR_DIRECTORY, clock_now_ns());
    else if (result == 0 && renaming->target.etag[0])
        attr_cache_put(attrs, text, &renaming->target);
    else
        attr_cache_forget(attrs, text);
}

static void doubt_source(const struct renaming *renaming)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(&renaming->from, text);
    attr_cache_drop_below(renaming->engine->attrs, text);
    attr_cache_forget(renaming->engine->attrs, text);
}

/* ---- stores that can ------------------------------------------------------------------------- */

static int run_native(const struct renaming *renaming, struct call *call, struct error *err)
{
    struct reader_change_options options = {
        .names = {{.uri = &renaming->from, .below = true},
                  {.uri = &renaming->to, .keeps = !uri_is_same(&renaming->from, &renaming->to)}},
    };
    struct reader_move move = {.from = &renaming->from, .to = &renaming->to};
    struct error ignored;
    int r = reader_change_begin(renaming->engine, &options, renaming->limits, &move.change, err);

    if (r < 0)
        return r;
    r = call_run(call, renaming->limits, err);
    if (r == 0)
        reader_change_move_all(&move, renaming->limits, &ignored);
    reader_change_end(move.change);
    return r;
}

static int rename_native(struct renaming *renaming, const struct uri *from, const struct uri *to,
                         struct error *err)
{
    struct call *call = call_new(renaming->engine, STORE_RENAME, to, renaming->limits, err);
    char text[ATTR_URI_BYTES];
    int r;

    if (!call)
        return -error_errno(err);
    call->no_retry = true;
    call->request.source_bucket = from->bucket;
    call->request.source_key = from->key;
    call->request.if_none_match = renaming->no_replace;
    r = run_native(renaming, call, err);
    call_delete(call);
    if (r == 0 && !uri_is_same(&renaming->from, &renaming->to)) {
        rename_forget(renaming->engine, &renaming->from);
        attr_uri_text(&renaming->to, text);
        attr_cache_drop_below(renaming->engine->attrs, text);
        attr_cache_remove(renaming->engine->attrs, text);
        attr_cache_forget(renaming->engine->attrs, text);
    }
    return r;
}

static int rename_by_copy(struct renaming *renaming, struct error *err)
{
    int r = check(renaming, err);

    if (r == -ENOENT && renaming->from.key[0] && renaming->to.key[0]) {
        struct error ignored;
        int ended = rename_tree_end(renaming->engine, &renaming->from, &renaming->to,
                                    renaming->limits, &ignored);

        if (ended > 0) {
            renaming->source.type = ATTR_DIRECTORY;
            rename_forget(renaming->engine, &renaming->from);
            remember_target(renaming, 0);
            return 0;
        }
    }
    if (r < 0 || uri_is_same(&renaming->from, &renaming->to))
        return r;
    if (renaming->source.type == ATTR_DIRECTORY)
        r = rename_tree(renaming->engine, &renaming->from, &renaming->to, renaming->limits, err);
    else
        r = rename_file(renaming, err);
    remember_target(renaming, r);
    if (r == 0)
        rename_forget(renaming->engine, &renaming->from);
    else
        doubt_source(renaming);
    return r;
}

static int run(struct renaming *renaming, const struct rename *rename, struct error *err)
{
    int r;

    if (strcmp(rename->from->scheme, rename->to->scheme) != 0)
        return error_set_errno(err, EXDEV, "the names are in different stores");
    if (renaming->store->capabilities & STORE_CAP_RENAME)
        return rename_native(renaming, rename->from, rename->to, err);
    r = rename_by_copy(renaming, err);
    if (r < 0 && err->class == ERROR_UNSUPPORTED &&
        !(renaming->store->capabilities & STORE_CAP_COPY))
        r = error_set_errno(err, EXDEV, "the store cannot copy");
    return r;
}

static int begin(struct renaming *renaming, const struct rename *rename, struct error *err)
{
    renaming->from = *rename->from;
    renaming->to = *rename->to;
    renaming->no_replace = rename->no_replace;
    renaming->from_slash = strip_slash(&renaming->from);
    renaming->to_slash = strip_slash(&renaming->to);
    return engine_store(renaming->engine, rename->from->scheme, &renaming->store, err);
}

static int end(const struct rename *rename, int r, struct error *err)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(rename->from, text);
    error_set_context(r < 0 ? err : NULL, "rename", text);
    return r;
}

int rename_name(struct engine *engine, struct rename *rename, const struct limits *limits,
                struct error *err)
{
    struct renaming renaming = {.engine = engine, .limits = limits};
    int r = begin(&renaming, rename, err);

    if (r == 0)
        r = run(&renaming, rename, err);
    if (r == 0 && renaming.copied) {
        rename->before = renaming.source;
        rename->after = renaming.target;
    }
    return end(rename, r, err);
}

int rename_check_target(struct engine *engine, const struct rename *rename,
                        const struct limits *limits, struct error *err)
{
    struct renaming renaming = {.engine = engine, .limits = limits, .source = {.type = ATTR_FILE}};
    int r = begin(&renaming, rename, err);

    if (r == 0 && strcmp(rename->from->scheme, rename->to->scheme) != 0)
        r = error_set_errno(err, EXDEV, "the names are in different stores");
    else if (r == 0 && !renaming.to.key[0])
        r = error_set(err, ERROR_BUSY, "buckets keep their names");
    else if (r == 0 && is_below(&renaming.to, &renaming.from))
        r = error_set(err, ERROR_NOT_DIRECTORY, "below the file itself");
    if (r == 0)
        r = look_at_target(&renaming, err);
    if (r == 0)
        r = check_kinds(&renaming, err);
    return end(rename, r, err);
}
