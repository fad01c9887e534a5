/* Looking names up: the cache first, then as few requests as can be, parents after a miss. See
 * names.h.
 *
 * A name with a dot is most likely a file: HEAD. Any other, and one whose HEAD or GET found
 * nothing, is looked for in a listing (names_ask.c). Where nothing is known of the directory that a
 * missing name should be in, that directory is listed instead: the answer also tells whether it is
 * a file, and where it fits a page, the name and its neighbours are answered by it too. Names that a
 * listing has shown are asked for together where that pays (names_renew.c).
 */
#include "core/names_private.h"
#include "core/prefetch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
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

bool names_strip_slash(struct uri *uri)
{
    size_t length = strlen(uri->key);

    if (length == 0 || uri->key[length - 1] != '/')
        return false;
    uri->key[length - 1] = '\0';
    return true;
}

int names_marker_of(const struct uri *uri, struct uri *ret_marker, struct error *err)
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

void names_error(const struct uri *uri, struct error *err)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    error_set_context(err, NULL, text);
}

/* ---- one name -------------------------------------------------------------------------------- */

static int is_absent(struct error *err)
{
    return error_set(err, ERROR_NOT_FOUND, "not in the listing of its directory");
}

/* A dot behind the first character of the last component: "data.csv", not ".git". */
static bool looks_like_file(const struct uri *uri)
{
    const char *slash = strrchr(uri->key, '/');
    const char *name = slash ? slash + 1 : uri->key;

    return name[0] && strchr(name + 1, '.');
}

/* What the cache says: 1 and the answer, 0: nothing for sure, -ENOENT. */
static int recall(const struct names_question *question, const struct uri *uri,
                  struct names_answer *ret_answer, enum attr_type *ret_past, struct error *err)
{
    char text[ATTR_URI_BYTES];
    struct attr attr = {0};
    enum attr_cache_answer known;

    attr_uri_text(uri, text);
    known = attr_cache_get(question->engine->attrs, text, &attr);
    *ret_past = known == ATTR_CACHE_UNKNOWN ? 0 : attr.type;
    stats_add(engine_stats(question->engine),
              known == ATTR_CACHE_UNKNOWN || known == ATTR_CACHE_PAST ? STATS_ATTRIBUTES_ASKED
                                                                      : STATS_ATTRIBUTES_FOUND,
              1);
    if (known == ATTR_CACHE_ABSENT)
        return is_absent(err);
    if (known != ATTR_CACHE_FOUND && known != ATTR_CACHE_NAMED)
        return 0;
    ret_answer->attr = attr;
    ret_answer->named = known == ATTR_CACHE_NAMED;
    return 1;
}

/* The store has been asked. */
static void note_end(const struct names_question *question, const struct uri *uri, int r,
                     const struct names_answer *answer, int64_t asked_ns)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    if (r == -ENOENT)
        attr_cache_note_missing(question->engine->attrs, text);
    else if (r == 0 && answer->named)
        attr_cache_put_named(question->engine->attrs, text, answer->attr.type, asked_ns);
    else if (r == 0)
        attr_cache_put(question->engine->attrs, text, &answer->attr);
    if (r == 0 && answer->owed)
        attr_cache_owe_page(question->engine->attrs, text, answer->owed);
}

/* Its type is known, its metadata asked for. Who opens a directory is going to list it: its first page
 * tells whether there is a marker. -ENOENT: gone meanwhile. */
static int complete_answer(const struct names_question *question, const struct uri *uri,
                           bool wants_directory, struct names_answer *answer, struct error *err)
{
    if (!answer->named || question->type_only)
        return 0;
    answer->named = false;
    if (answer->attr.type != ATTR_DIRECTORY)
        return names_ask_object(question, uri, answer, err);
    if (wants_directory && !names_has_hint(question->engine, uri))
        return names_ask_directory(question, uri, answer, err);
    names_ask_marker(question, uri, &answer->attr);
    return 0;
}

/* Reads the page that is owed of a name's directory, or makes that complete again where it pays.
 * True when it was tried. */
static bool renew_parent(const struct names_question *question, const struct uri *uri, bool known)
{
    char text[ATTR_URI_BYTES];
    struct uri parent;
    unsigned pages;

    if (!names_parent(uri, &parent) || !parent.bucket[0])
        return false;
    if (names_ask_owed(question, &parent))
        return true;
    attr_uri_text(&parent, text);
    pages = attr_cache_worth_pages(question->engine->attrs, text, known);
    if (!pages)
        return false;
    names_ask_contents(question, &parent, pages);
    return true;
}

static int find_type(const struct names_question *question, const struct uri *uri,
                     enum attr_type *ret_type, struct error *err);

/* No object has the key: a directory, or nothing. Asks about the parent first where that is not
 * known to be a directory. */
static int look_beyond(const struct names_question *question, const struct uri *uri,
                       struct names_answer *ret_answer, struct error *err)
{
    struct uri parent;
    enum attr_type type = ATTR_DIRECTORY, past;
    int r;

    if (uri->key[0] && names_parent(uri, &parent) && parent.key[0]) {
        names_ask_owed(question, &parent);
        r = recall(question, &parent, ret_answer, &past, err);
        if (r == 1)
            type = ret_answer->attr.type;
        else
            r = find_type(question, &parent, &type, err);
        ret_answer->parents_judged = true;
        if (r < 0)
            return r;
        if (type != ATTR_DIRECTORY)
            return error_set(err, ERROR_NOT_DIRECTORY, "part of its path is a file");
        r = recall(question, uri, ret_answer, &past, err);
        if (r < 0)
            return r;
        if (r == 1 && complete_answer(question, uri, false, ret_answer, err) == 0)
            return 0;
    }
    return names_ask_listing(question, uri, ret_answer, err);
}

/* Programs that create a file look for its name several times: a listing that shows nothing again
 * is one request, HEAD and listing are two. */
static bool is_missed_again(const struct names_question *question, const struct uri *uri)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    return attr_cache_was_missing(question->engine->attrs, text);
}

/* Is HEAD of the marker the first question? Not where only the type counts: then it would come on
 * top of the listing that other names of the directory need. */
static bool is_hinted(const struct names_question *question, const struct uri *uri,
                      enum attr_type past)
{
    return uri->key[0] && strlen(uri->key) < URI_KEY_MAX && !question->type_only &&
           (!past || past == ATTR_DIRECTORY) && names_has_hint(question->engine, uri);
}

/* Asks the store. `past` is the type that it had lately, 0 when that is not known. */
static int ask(const struct names_question *question, const struct uri *uri, bool wants_directory,
               enum attr_type past, struct names_answer *ret_answer, struct error *err)
{
    int r;

    if (names_ask_is_plain(question, uri))
        return names_ask_in_turn(question, uri, ret_answer, err);
    if (is_hinted(question, uri, past) && names_ask_hinted(question, uri, ret_answer) == 0) {
        ret_answer->owed = past == ATTR_DIRECTORY ? ATTR_OWED_GROUPS : ATTR_OWED_TREE;
        return 0;
    }
    if (!uri->key[0] || past == ATTR_DIRECTORY)
        return names_ask_directory(question, uri, ret_answer, err);
    if (wants_directory || (!past && (!looks_like_file(uri) || is_missed_again(question, uri))))
        return names_ask_listing(question, uri, ret_answer, err);
    r = names_ask_object(question, uri, ret_answer, err);
    if (r < 0 && err->class == ERROR_NOT_FOUND)
        r = look_beyond(question, uri, ret_answer, err);
    return r;
}

/* Programs look at a file before they open it. */
static bool was_prefetched(const struct names_question *question, const struct uri *uri,
                           struct names_answer *ret_answer)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    if (!prefetch_look(question->engine, text, question->limits, &ret_answer->attr))
        return false;
    ret_answer->named = false;
    return true;
}

/* From the cache or the store, parents apart. */
static int look_up(const struct names_question *question, const struct uri *uri,
                   bool wants_directory, struct names_answer *ret_answer, struct error *err)
{
    int64_t asked_ns = clock_now_ns();
    enum attr_type past;
    int r;

    if (names_ask_is_own(question, uri))
        return names_ask_in_turn(question, uri, ret_answer, err);
    if (!uri->bucket[0]) {
        ret_answer->named = false;
        attr_directory(uri, &ret_answer->attr);
        return 0;
    }
    r = recall(question, uri, ret_answer, &past, err);
    if ((r == 0 || (r == 1 && ret_answer->named && !question->type_only)) &&
        was_prefetched(question, uri, ret_answer))
        return 0;
    /* A listing says what exists, so it is no help where metadata of a known file is asked for. */
    if (r == 0 && (!past || (past == ATTR_FILE && question->type_only)) &&
        renew_parent(question, uri, past == ATTR_FILE))
        r = recall(question, uri, ret_answer, &past, err);
    if (r == 0 && past && names_renew(question, uri, past))
        r = recall(question, uri, ret_answer, &past, err);
    if (r < 0)
        return r;
    if (r == 1 && (!ret_answer->named || question->type_only))
        return 0;
    if (r == 0)
        r = ask(question, uri, wants_directory, past, ret_answer, err);
    else if ((r = complete_answer(question, uri, wants_directory, ret_answer, err)) ==
             -ENOENT)
        r = look_beyond(question, uri, ret_answer, err);
    note_end(question, uri, r, ret_answer, asked_ns);
    if (past)
        names_renew_end(question, uri, asked_ns);
    return r;
}

/* ---- a name and those above it --------------------------------------------------------------- */

/* Nothing is at `uri`: -ENOTDIR when that is because something above it is a file, else -ENOENT
 * with the error that is there. Uses *uri up. */
static int blame_parents(const struct names_question *question, struct uri *uri, struct error *err)
{
    struct names_question type_only = *question;
    struct names_answer answer = {0};
    struct error asked;

    type_only.type_only = true;
    answer.parents_judged = false;
    while (uri->key[0] && names_parent(uri, uri) && uri->key[0]) {
        int r = look_up(&type_only, uri, true, &answer, &asked);

        if (r == 0 && answer.attr.type != ATTR_DIRECTORY)
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

int names_find(const struct names_question *question, const struct uri *uri, bool wants_directory,
               struct names_answer *ret_answer, struct error *err)
{
    struct uri name = *uri;
    bool has_slash = names_strip_slash(&name);
    struct names_answer answer = {0};
    int r = look_up(question, &name, wants_directory || has_slash, &answer, err);

    if (r < 0 && err->class == ERROR_NOT_FOUND && !answer.parents_judged)
        r = blame_parents(question, &name, err);
    else if (r == 0 && has_slash && answer.attr.type == ATTR_FILE)
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
    if (r == 0)
        *ret_answer = answer;
    else
        names_error(uri, err);
    return r;
}

static int find_type(const struct names_question *question, const struct uri *uri,
                     enum attr_type *ret_type, struct error *err)
{
    struct names_question type_only = *question;
    struct names_answer answer = {0};
    int r;

    type_only.type_only = true;
    r = names_find(&type_only, uri, true, &answer, err);
    if (r == 0)
        *ret_type = answer.attr.type;
    return r;
}

int names_require_directory(const struct names_question *question, const struct uri *uri,
                            struct error *err)
{
    enum attr_type type;
    int r = find_type(question, uri, &type, err);

    if (r == 0 && type != ATTR_DIRECTORY) {
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
        names_error(uri, err);
    }
    return r;
}

int names_require_absent(struct engine *engine, const struct uri *uri, const struct limits *limits,
                         struct error *err)
{
    struct attr attr;
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r < 0)
        return err->class == ERROR_NOT_FOUND ? 0 : r;
    r = error_set(err, ERROR_EXISTS, "something of that name exists");
    names_error(uri, err);
    return r;
}

int names_lookup(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct attr *ret_attr, struct error *err)
{
    struct names_question question = {.engine = engine, .limits = limits};
    struct names_answer answer = {0};
    int r = names_find(&question, uri, false, &answer, err);

    if (r == 0)
        *ret_attr = answer.attr;
    return r;
}

void names_list_owed(struct engine *engine, const struct uri *uri, const struct limits *limits)
{
    struct names_question question = {.engine = engine, .limits = limits};
    struct uri name = *uri;

    names_strip_slash(&name);
    names_ask_owed(&question, &name);
}

int names_explain_missing(struct engine *engine, const struct uri *uri, const struct limits *limits,
                          struct error *err)
{
    struct names_question question = {.engine = engine, .limits = limits};
    struct uri name = *uri;
    struct names_answer answer = {0};
    bool has_slash = names_strip_slash(&name);
    int r;

    if (has_slash || !name.key[0]) {
        r = names_find(&question, uri, true, &answer, err);
    } else if (names_ask_is_plain(&question, &name)) {
        r = names_ask_in_turn(&question, &name, &answer, err);
        if (r < 0 && err->class == ERROR_NOT_FOUND)
            r = blame_parents(&question, &name, err);
    } else {
        int64_t asked_ns = clock_now_ns();

        r = look_beyond(&question, &name, &answer, err);
        note_end(&question, &name, r, &answer, asked_ns);
    }
    if (r == 0 && answer.attr.type == ATTR_DIRECTORY)
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
    else if (r == 0 && has_slash)
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
    else if (r == 0)
        r = error_set(err, ERROR_NOT_FOUND, "it came a moment ago");
    names_error(uri, err);
    return r;
}
