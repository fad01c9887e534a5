/* What changes names: mkdir, rmdir, unlink, and the deletion of an object. See names.h. */
#include "core/names_private.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/attr_cache_shared.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/marked.h"

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
    struct attr made;
    struct call *call = call_new(engine, STORE_PUT, marker, limits, err);
    int r = 0;

    if (!call)
        return -error_errno(err);
    if (attr && attr_is_kept(call->request.store)) {
        made = attr_of_new(call->request.store, attr);
        made.type = ATTR_DIRECTORY;
        r = attr_to_metadata(&made, &metadata);
    }
    if (r < 0) {
        error_set_errno(err, -r, "storing the directory's attributes");
    } else {
        call->request.metadata = &metadata;
        call->request.content_type = "application/x-directory";
        r = call_run_exclusive(call, limits, err);
        /* A repeat that finds the marker of a first attempt whose answer was lost has worked. */
        if (r == -EEXIST && call->ambiguous)
            r = 0;
    }
    call_delete(call);
    store_metadata_fini(&metadata);
    return r;
}

static int make_directory(const struct names_question *question, const struct uri *uri,
                          const struct attr *attr, struct error *err)
{
    const struct limits *limits = question->limits;
    struct uri at;
    int r;

    if (!uri->key[0] && names_ask_is_own(question, uri)) /* a directory like any other */
        return put_marker(question->engine, uri, attr, limits, err);
    if (!uri->key[0])
        return simple_call(question->engine, STORE_CREATE_BUCKET, uri, limits, err);
    names_parent(uri, &at);
    r = names_require_directory(question, &at, err);
    if (r == 0)
        r = names_marker_of(uri, &at, err);
    if (r == 0 && attr && attr->has)
        r = marked_require(question->engine, &at, limits, err);
    return r < 0 ? r : put_marker(question->engine, &at, attr, limits, err);
}

int names_mkdir(struct engine *engine, const struct uri *uri, const struct attr *attr,
                const struct limits *limits, struct error *err)
{
    struct names_question question = {.engine = engine, .limits = limits, .type_only = true};
    char text[ATTR_URI_BYTES];
    struct uri name = *uri;
    int64_t made_ns = clock_now_ns();
    struct names_answer answer = {0};
    struct attr made;
    int r;

    names_strip_slash(&name);
    r = names_find(&question, &name, true, &answer, err);
    if (r == 0) {
        r = error_set(err, ERROR_EXISTS, "something of that name exists");
        names_error(uri, err);
        return r;
    }
    if (err->class != ERROR_NOT_FOUND && (err->class != ERROR_NO_BUCKET || name.key[0]))
        return r;
    attr_uri_text(&name, text);
    r = make_directory(&question, &name, attr, err);
    if (r < 0) {
        attr_cache_forget(engine->attrs, text); /* somebody else may have made it */
        return r;
    }
    attr_directory(&name, &made);
    if (attr) {
        made.has = attr->has;
        made.mode = attr->mode;
        made.uid = attr->uid;
        made.gid = attr->gid;
    }
    if (name.key[0])
        names_set_hint(engine, &name, true);
    attr_cache_forget(engine->attrs, text);
    attr_cache_put(engine->attrs, text, &made);
    attr_cache_complete(engine->attrs, text, made_ns);
    attr_shared_note_time(attr_cache_shared(engine->attrs), text, strlen(text));
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
static int check_empty(const struct names_question *question, const struct uri *marker,
                       struct error *err)
{
    struct store_page *page = NULL;
    int markers = 0;
    int r = names_ask_keys(question, marker, 2, &page, err);

    if (!page)
        return r;
    for (size_t i = 0; r == 0 && i < page->count; i++) {
        if (strcmp(page->entries[i].key, marker->key) == 0)
            markers = 1;
        else
            r = error_set(err, ERROR_NOT_EMPTY, "the directory is not empty");
    }
    store_page_free(page);
    if (r < 0)
        names_error(marker, err);
    return r < 0 ? r : markers;
}

int names_rmdir(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct error *err)
{
    struct names_question question = {.engine = engine, .limits = limits, .type_only = true};
    char text[ATTR_URI_BYTES];
    struct uri name;
    int r = removals_failure(engine, uri, err);

    if (r == 0)
        r = names_require_directory(&question, uri, err);
    if (r < 0)
        return r;
    if (!uri->bucket[0])
        return error_set(err, ERROR_BUSY, "the list of buckets stays");
    r = names_marker_of(uri, &name, err);
    if (r < 0)
        return r;
    attr_uri_text(uri, text);
    if (!name.key[0]) {
        r = simple_call(engine, STORE_DELETE_BUCKET, &name, limits, err);
    } else {
        r = check_empty(&question, &name, err);
        if (r == 0 && !attr_cache_is_kept(engine->attrs, text)) {
            r = error_set(err, ERROR_NOT_FOUND, "no such directory");
            names_error(uri, err);
        } else if (r > 0) {
            r = simple_call(engine, STORE_DELETE, &name, limits, err);
            if (r < 0) /* which may have worked all the same */
                attr_cache_forget(engine->attrs, text);
        }
    }
    if (r < 0 && err->class != ERROR_NOT_FOUND)
        return r;
    names_set_hint(engine, &name, false);
    attr_cache_remove(engine->attrs, text);
    if (r == 0)
        keep_parent(engine, &name);
    return r;
}

int names_delete(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err)
{
    struct reader_change_options options = {.names[0] = {.uri = uri, .keeps = true}};
    char text[ATTR_URI_BYTES];
    struct reader_change *change;
    int r = reader_change_begin(engine, &options, limits, &change, err);

    if (r < 0)
        return r;
    r = simple_call(engine, STORE_DELETE, uri, limits, err);
    reader_change_end(change);
    attr_uri_text(uri, text);
    if (r < 0) { /* which may have worked all the same */
        attr_cache_forget(engine->attrs, text);
        return r;
    }
    attr_cache_remove(engine->attrs, text);
    keep_parent(engine, uri);
    return 0;
}

int names_unlink(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err)
{
    struct names_question question = {.engine = engine, .limits = limits, .type_only = true};
    struct names_answer answer = {0};
    int r = names_find(&question, uri, false, &answer, err);

    if (r < 0)
        return r;
    if (answer.attr.type == ATTR_DIRECTORY) {
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
        names_error(uri, err);
        return r;
    }
    return names_delete(engine, uri, limits, err);
}

/* Is it known to be a file, so that nothing has to be asked before it is deleted? Or was it lately: if it
 * is gone by now, or another one, then that is what was wanted. */
static bool is_known_file(struct engine *engine, const char *text)
{
    struct attr attr = {0};
    enum attr_cache_answer known = attr_cache_get(engine->attrs, text, &attr);

    switch (known) {
    case ATTR_CACHE_FOUND:
    case ATTR_CACHE_NAMED:
    case ATTR_CACHE_PAST: return attr.type == ATTR_FILE || attr.type == ATTR_SYMLINK;
    default: return false;
    }
}

int names_unlink_soon(struct engine *engine, const struct uri *uri, const struct limits *limits,
                      struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r;

    attr_uri_text(uri, text);
    if (is_known_file(engine, text) && removals_add(engine, uri, limits)) {
        attr_cache_remove(engine->attrs, text);
        keep_parent(engine, uri);
        return 0;
    }
    removals_wait(engine, limits);
    r = names_unlink(engine, uri, limits, err);
    if (r == 0)
        removals_begin(engine, uri);
    return r;
}
