/* What a store is asked about a name, in as few requests as can be. See names_private.h.
 *
 * One listing of what begins with the key, without the delimiter, tells everything: an object of
 * exactly that key comes first, then siblings that sort before the slash ("dir-1"), then the
 * marker, then the contents. Only when siblings fill the page a second listing begins at the slash.
 * A listing shows no metadata: files cost a HEAD besides, directories where their marker was seen.
 */
#include "core/names_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/call.h"
#include "core/engine.h"

static unsigned capabilities(const struct names_question *question, const struct uri *uri)
{
    struct error ignored;
    struct store *store;

    return engine_store(question->engine, uri->scheme, &store, &ignored) < 0 ? 0
                                                                             : store->capabilities;
}

bool names_ask_is_plain(const struct names_question *question, const struct uri *uri)
{
    unsigned has = capabilities(question, uri);

    return has & STORE_CAP_INLINE || !(has & STORE_CAP_LIST_ORDERED);
}

bool names_ask_is_own(const struct names_question *question, const struct uri *uri)
{
    return capabilities(question, uri) & STORE_CAP_ATTRIBUTES;
}

/* ---- objects --------------------------------------------------------------------------------- */

int names_ask_object(const struct names_question *question, const struct uri *uri,
                     struct names_answer *ret_answer, struct error *err)
{
    struct call *call = call_new(question->engine, STORE_HEAD, uri, question->limits, err);
    int r = call ? call_run(call, question->limits, err) : -error_errno(err);

    if (r == 0) {
        ret_answer->named = false;
        attr_from_object(&call->request.object, uri, &ret_answer->attr);
    }
    call_delete(call);
    return r;
}

void names_ask_marker(const struct names_question *question, const struct uri *uri,
                      struct attr *attr)
{
    struct names_answer answer;
    struct error ignored;
    struct uri marker;

    if (names_marker_of(uri, &marker, &ignored) < 0 ||
        names_ask_object(question, &marker, &answer, &ignored) < 0)
        return;
    names_set_hint(question->engine, uri, true);
    answer.attr.inode = attr->inode;
    *attr = answer.attr;
}

int names_ask_hinted(const struct names_question *question, const struct uri *uri,
                     struct names_answer *ret_answer)
{
    struct error error;
    struct uri marker;
    int r = names_marker_of(uri, &marker, &error);

    if (r == 0)
        r = names_ask_object(question, &marker, ret_answer, &error);
    if (r < 0 && error.class == ERROR_NOT_FOUND)
        names_set_hint(question->engine, uri, false);
    return r;
}

/* ---- listings -------------------------------------------------------------------------------- */

struct keys {
    struct uri prefix;
    const char *delimiter, *token;
    bool behind_prefix; /* the object of that very key is left out */
    unsigned max_keys;
    struct store_page *page; /* the answer */
    int64_t asked_ns;
};

static int list(const struct names_question *question, struct keys *keys, struct error *err)
{
    struct call *call =
        call_new(question->engine, STORE_LIST, &keys->prefix, question->limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.prefix = call->uri.key;
    call->request.delimiter = keys->delimiter;
    call->request.token = keys->token;
    call->request.start_after = keys->behind_prefix ? call->uri.key : NULL;
    call->request.max_keys = keys->max_keys;
    keys->asked_ns = clock_now_ns();
    r = call_run(call, question->limits, err);
    if (r == 0 && !call->request.page)
        r = error_set(err, ERROR_PROTOCOL, "a listing without a page");
    if (r == 0) {
        store_page_free(keys->page);
        keys->page = call->request.page;
        call->request.page = NULL;
    }
    call_delete(call);
    return r;
}

int names_ask_keys(const struct names_question *question, const struct uri *uri, unsigned max_keys,
                   struct store_page **ret_page, struct error *err)
{
    struct keys keys = {.max_keys = max_keys};
    int r = names_marker_of(uri, &keys.prefix, err);

    if (r == 0)
        r = list(question, &keys, err);
    if (r == 0)
        *ret_page = keys.page;
    return r;
}

/* Index of the first key that is not before `below`. */
static size_t first_below(const struct store_page *page, const char *below)
{
    size_t index = 0;

    while (index < page->count && strcmp(page->entries[index].key, below) < 0)
        index++;
    return index;
}

/* `first` is the first key in the directory. */
static void tell_directory(const struct names_question *question, const struct uri *uri,
                           const struct store_entry *first, struct names_answer *ret_answer)
{
    size_t length = strlen(uri->key);
    bool has_marker = first && first->key[length] == '/' && !first->key[length + 1];

    ret_answer->named = false;
    attr_directory(uri, &ret_answer->attr);
    if (!has_marker || !length)
        return;
    if (!(capabilities(question, uri) & STORE_CAP_METADATA)) {
        ret_answer->attr.mtime = first->mtime;
    } else if (question->type_only) {
        names_set_hint(question->engine, uri, true);
        ret_answer->named = true;
    } else {
        names_ask_marker(question, uri, &ret_answer->attr);
    }
}

/* The listing has shown the object. */
static int tell_file(const struct names_question *question, const struct uri *uri,
                     const struct store_entry *entry, struct names_answer *ret_answer,
                     struct error *err)
{
    struct store_object object = {.size_bytes = entry->size_bytes, .mtime = entry->mtime};

    if (!question->type_only && capabilities(question, uri) & STORE_CAP_METADATA)
        return names_ask_object(question, uri, ret_answer, err);
    memcpy(object.etag, entry->etag, sizeof object.etag);
    attr_from_object(&object, uri, &ret_answer->attr);
    ret_answer->named = question->type_only;
    return 0;
}

/* Takes the page over, and what can be learned from it into the cache. */
static void learn(const struct names_question *question, const struct uri *uri, struct keys *keys,
                  size_t index)
{
    struct engine *engine = question->engine;

    if (!keys->page->next_token)
        names_prime(engine, uri, keys->page, index, keys->asked_ns);
    attr_cache_keep_page(engine->attrs, &keys->prefix, keys->page, keys->delimiter != NULL,
                         keys->asked_ns);
    keys->page = NULL;
}

/* The page begins with what begins with the key. 0: a directory, told; -ENOENT. */
static int judge_directory(const struct names_question *question, const struct uri *uri,
                           struct keys *keys, struct names_answer *ret_answer, struct error *err)
{
    struct uri below;
    size_t index;
    int r = names_marker_of(uri, &below, err);

    if (r < 0)
        return r;
    index = first_below(keys->page, below.key);
    if (index == keys->page->count && keys->page->next_token) { /* siblings fill it */
        keys->prefix = below;
        r = list(question, keys, err);
        index = 0;
    }
    if (r < 0)
        return r;
    if (index == keys->page->count ||
        strncmp(keys->page->entries[index].key, below.key, strlen(below.key)) != 0)
        return error_set(err, ERROR_NOT_FOUND, "no such file or directory");
    tell_directory(question, uri, &keys->page->entries[index], ret_answer);
    learn(question, uri, keys, index);
    return 0;
}

int names_ask_listing(const struct names_question *question, const struct uri *uri,
                      struct names_answer *ret_answer, struct error *err)
{
    struct keys keys = {.prefix = *uri};
    int r;

    if (strlen(uri->key) == URI_KEY_MAX)
        return names_ask_object(question, uri, ret_answer, err);
    r = list(question, &keys, err);
    if (r < 0 && err->class == ERROR_ACCESS) { /* those who may not list may still read */
        struct error refused = *err;

        r = names_ask_object(question, uri, ret_answer, err);
        if (r < 0)
            *err = refused;
        return r < 0 ? -error_errno(err) : 0;
    }
    if (!keys.page)
        return r;
    if (keys.page->count && strcmp(keys.page->entries[0].key, uri->key) == 0) {
        r = tell_file(question, uri, &keys.page->entries[0], ret_answer, err);
        if (r == 0 || err->class != ERROR_NOT_FOUND) {
            store_page_free(keys.page);
            return r;
        }
    }
    r = judge_directory(question, uri, &keys, ret_answer, err);
    store_page_free(keys.page);
    return r;
}

int names_ask_directory(const struct names_question *question, const struct uri *uri,
                        struct names_answer *ret_answer, struct error *err)
{
    struct keys keys = {.delimiter = "/"};
    int r = names_marker_of(uri, &keys.prefix, err);

    if (r == 0)
        r = list(question, &keys, err);
    if (!keys.page)
        return r;
    if (keys.page->count == 0 && uri->key[0]) {
        store_page_free(keys.page);
        return names_ask_listing(question, uri, ret_answer, err);
    }
    tell_directory(question, uri, keys.page->count ? &keys.page->entries[0] : NULL, ret_answer);
    learn(question, uri, &keys, 0);
    return 0;
}

/* Directories are there by themselves: a file, or else one of them. */
static int ask_own(const struct names_question *question, const struct uri *uri,
                   struct names_answer *ret_answer, struct error *err)
{
    struct uri directory;
    int r = uri->key[0] ? names_ask_object(question, uri, ret_answer, err)
                        : error_set(err, ERROR_NOT_FOUND, "a bucket is no file");

    if (r == 0 || err->class != ERROR_NOT_FOUND || strlen(uri->key) == URI_KEY_MAX)
        return r;
    r = names_marker_of(uri, &directory, err);
    return r < 0 ? r : names_ask_object(question, &directory, ret_answer, err);
}

int names_ask_in_turn(const struct names_question *question, const struct uri *uri,
                      struct names_answer *ret_answer, struct error *err)
{
    struct store_page *page = NULL;
    int r;

    if (names_ask_is_own(question, uri))
        return ask_own(question, uri, ret_answer, err);
    r = uri->key[0] ? names_ask_object(question, uri, ret_answer, err)
                    : error_set(err, ERROR_NOT_FOUND, "a bucket is no object");

    if (r == 0 || err->class != ERROR_NOT_FOUND || strlen(uri->key) == URI_KEY_MAX)
        return r;
    r = names_ask_keys(question, uri, 1, &page, err);
    if (!page)
        return r;
    if (page->count || !uri->key[0])
        tell_directory(question, uri, page->count ? &page->entries[0] : NULL, ret_answer);
    else
        r = error_set(err, ERROR_NOT_FOUND, "no such file or directory");
    store_page_free(page);
    return r;
}

/* Puts the marker where a listing from the beginning would show it. */
static int add_marker(struct keys *keys, const struct attr *marker)
{
    struct store_page_builder *builder = store_page_builder_new();
    struct store_entry first = {.key = keys->prefix.key, .mtime = marker->mtime};
    struct store_page *page = NULL;
    int r = builder ? 0 : -ENOMEM;

    memcpy(first.etag, marker->etag, sizeof first.etag);
    if (r == 0)
        r = store_page_builder_add(builder, &first);
    for (size_t i = 0; r == 0 && i < keys->page->count; i++)
        r = store_page_builder_add(builder, &keys->page->entries[i]);
    if (r == 0)
        page = store_page_builder_finish(builder, keys->page->next_token);
    else
        store_page_builder_free(builder);
    store_page_free(keys->page);
    keys->page = page;
    return page ? 0 : -ENOMEM;
}

bool names_ask_owed(const struct names_question *question, const struct uri *uri)
{
    struct keys keys = {.behind_prefix = true};
    char text[ATTR_URI_BYTES];
    struct error ignored;
    struct attr marker;
    enum attr_owed owed;

    attr_uri_text(uri, text);
    owed = attr_cache_take_owed(question->engine->attrs, text, &marker);
    if (!owed || names_marker_of(uri, &keys.prefix, &ignored) < 0)
        return false;
    keys.delimiter = owed == ATTR_OWED_GROUPS ? "/" : NULL;
    if (list(question, &keys, &ignored) == 0 && add_marker(&keys, &marker) == 0)
        learn(question, uri, &keys, 0);
    return true;
}

void names_ask_contents(const struct names_question *question, const struct uri *uri,
                        unsigned pages)
{
    struct keys keys = {.delimiter = "/"};
    char text[ATTR_URI_BYTES];
    struct store_page *last = NULL; /* owns the token */
    struct error ignored;
    int64_t since_ns = 0;
    int r = names_marker_of(uri, &keys.prefix, &ignored);

    while (r == 0 && pages-- > 0) {
        r = list(question, &keys, &ignored);
        if (!keys.page)
            break;
        since_ns = since_ns ? since_ns : keys.asked_ns;
        names_prime(question->engine, uri, keys.page, 0, keys.asked_ns);
        store_page_free(last);
        last = keys.page;
        keys.page = NULL;
        keys.token = last->next_token;
        if (!keys.token) {
            attr_uri_text(uri, text);
            attr_cache_complete(question->engine->attrs, text, since_ns);
            break;
        }
    }
    store_page_free(last);
}
