/* Look-ups of names that a listing has shown a while ago: their directory is listed again, or their
 * neighbours are asked for with them, where that is cheaper. See names_private.h; core/listed.h says
 * what is worth it.
 *
 * What a page says counts from when the directory was seen to be unmarked, which is before the page
 * was asked for; so no answer is older than the TTL, whatever it depends on.
 */
#include "core/names_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/engine.h"
#include "core/listing_ahead.h"
#include "core/listing_entry.h"
#include "core/listing_pages.h"
#include "core/marked.h"

#define MARK_AGE_PART 8 /* of the TTL: longer ago, it is looked whether a directory is marked */

/* The last look-up of this thread that was about a directory listed lately. */
static _Thread_local struct {
    uint64_t directory;
    int64_t ended_ns, waited_ns;
    uint64_t found; /* by then, without a request */
} last;

struct renewal {
    const struct names_question *question;
    struct listed *listed;
    struct listing_directory directory;
};

static uint64_t found_in(const struct names_question *question, const char *directory)
{
    return attr_cache_found(question->engine->attrs, directory);
}

/* Does the program wait for look-ups more than it does anything else between them? */
static bool is_pressing(const char *directory, uint64_t found, int64_t now_ns)
{
    int64_t look_ups = 1 + (int64_t)(found - last.found);

    return last.directory == attr_inode(directory) && found >= last.found &&
           (now_ns - last.ended_ns) / look_ups * 2 <= last.waited_ns;
}

static void note_end(const struct names_question *question, const char *directory)
{
    last.directory = attr_inode(directory);
    last.ended_ns = clock_now_ns();
    last.found = found_in(question, directory);
}

/* Is the directory of that name one that was listed lately? */
static enum listed_kind kind_of(const struct names_question *question, const struct uri *uri,
                                char directory[ATTR_URI_BYTES])
{
    struct listed *listed = question->engine->listed;
    char *slash;

    if (!uri->key[0] || listed_is_empty(listed))
        return LISTED_NOT;
    attr_uri_text(uri, directory);
    slash = strrchr(directory, '/');
    *slash = '\0';
    return listed_kind(listed, directory);
}

void names_renew_end(const struct names_question *question, const struct uri *uri, int64_t asked_ns)
{
    char directory[ATTR_URI_BYTES];

    if (kind_of(question, uri, directory) == LISTED_NOT)
        return;
    note_end(question, directory);
    last.waited_ns = last.ended_ns - asked_ns;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Not marked, as far as is known not long ago; when that was. */
static bool is_plain(struct renewal *renewal, int64_t *ret_unmarked_ns)
{
    struct engine *engine = renewal->question->engine;
    const char *text = renewal->directory.text;
    int64_t ttl_ns = option_int(&engine->options, META_TTL_MS) * NS_PER_MS;
    int64_t now_ns = clock_now_ns(), unmarked_ns = listed_unmarked_ns(renewal->listed, text);

    if (!unmarked_ns || now_ns - unmarked_ns > ttl_ns / MARK_AGE_PART ||
        attr_cache_changed_below(engine->attrs, text, unmarked_ns)) {
        if (marked_ask_again(engine, &renewal->directory.uri, renewal->question->limits)) {
            listed_note_marked(renewal->listed, text);
            return false;
        }
        listed_note_unmarked(renewal->listed, text, now_ns);
        unmarked_ns = now_ns;
    }
    *ret_unmarked_ns = unmarked_ns;
    return true;
}

/* One more page has come. */
static void take_page(struct renewal *renewal, const struct listing_pages *pages,
                      const struct store_page *page, int64_t asked_ns, int64_t unmarked_ns)
{
    struct listed_page shown = {.asked_ns = unmarked_ns};

    listing_entry_renew(renewal->question->engine->attrs, &renewal->directory, page, asked_ns,
                        unmarked_ns);
    listing_pages_shown(pages, &shown.from, &shown.last);
    listed_note(renewal->listed, renewal->directory.text, &shown);
}

static void read_pages(struct renewal *renewal, const struct listed_plan *plan, int64_t unmarked_ns)
{
    const struct names_question *question = renewal->question;
    struct listing_pages *pages =
        listing_pages_new(question->engine, &renewal->directory.uri, false);
    struct store_page *page;
    struct error ignored;
    int64_t asked_ns;

    if (!pages)
        return;
    if (listing_pages_begin_spans(pages, plan, &ignored) < 0)
        listing_pages_end(pages);
    while (!listing_pages_at_end(pages)) {
        listing_pages_ask(pages, question->limits);
        if (listing_pages_next(pages, question->limits, &page, &asked_ns, &ignored) < 0)
            break;
        take_page(renewal, pages, page, asked_ns, unmarked_ns);
        store_page_free(page);
    }
    listing_pages_free(pages);
}

static bool renew_pages(struct renewal *renewal, const struct uri *uri, enum attr_type past)
{
    const struct names_question *question = renewal->question;
    struct listed_miss miss = {.directory = renewal->directory.text, .now_ns = clock_now_ns()};
    struct listed_plan plan;
    struct error ignored;
    int64_t unmarked_ns;
    struct uri key = *uri;

    if (past == ATTR_DIRECTORY && names_marker_of(uri, &key, &ignored) < 0)
        return false;
    miss.key = key.key;
    miss.found = found_in(question, miss.directory);
    miss.is_pressing = is_pressing(miss.directory, miss.found, miss.now_ns);
    if (!listed_plan(renewal->listed, &miss, &plan))
        return false;
    if (is_plain(renewal, &unmarked_ns)) {
        read_pages(renewal, &plan, unmarked_ns);
        listed_note_took(renewal->listed, miss.directory, plan.count, clock_now_ns() - miss.now_ns);
    }
    listed_plan_fini(&plan);
    note_end(question, miss.directory);
    return true;
}

/* ---- entries of a marked directory ----------------------------------------------------------- */

/* What the object says, as of when it was asked for at the earliest. */
static void put_entry(struct renewal *renewal, const char *name, const struct attr *attr,
                      int64_t asked_ns)
{
    if (attr->type)
        attr_cache_renew(renewal->question->engine->attrs, name, attr, asked_ns, asked_ns);
}

/* Asks for the entries, as many at once as are worth while; how many have been put. Ends when half
 * the TTL has gone: those that came first are to be of use. */
static unsigned read_entries(struct renewal *renewal, char *const *names,
                             const struct store_page *page)
{
    const struct names_question *question = renewal->question;
    struct listing_ahead *ahead = listing_ahead_new(question->engine, &renewal->directory.uri);
    int64_t ttl_ns = option_int(&question->engine->options, META_TTL_MS) * NS_PER_MS;
    int64_t taken_ns[AHEAD_MAX], now_ns = clock_now_ns(), end_ns = now_ns + ttl_ns / 2;
    struct error ignored;
    unsigned i = 0;

    for (; ahead && i < page->count && now_ns < end_ns; i++, now_ns = clock_now_ns()) {
        struct attr attr = {.inode = attr_inode(names[i])};
        int64_t asked_ns = i < AHEAD_MAX ? end_ns - ttl_ns / 2 : taken_ns[i % AHEAD_MAX];

        taken_ns[i % AHEAD_MAX] = now_ns;
        if (listing_ahead_take(ahead, page, i, question->limits, &attr, &ignored) < 0)
            break;
        put_entry(renewal, names[i], &attr, asked_ns);
    }
    listing_ahead_free(ahead);
    return i;
}

/* The page that would show them: the entry's key is what follows its directory's name. Keys are the
 * caller's. */
static unsigned make_page(struct renewal *renewal, char *const *names, unsigned count,
                          struct store_entry *entries)
{
    const struct listing_directory *directory = &renewal->directory;
    size_t from = strlen(directory->text) + 1, prefix = strlen(directory->uri.key);

    for (unsigned i = 0; i < count; i++) {
        size_t length = strlen(names[i]) - from;
        char *key = malloc(prefix + length + 1);

        if (!key)
            return i;
        memcpy(key, directory->uri.key, prefix);
        memcpy(key + prefix, names[i] + from, length + 1);
        entries[i].key = key;
    }
    return count;
}

/* Asks for the first `wanted` of them; how many have been put. */
static unsigned read_names(struct renewal *renewal, char *const *names, unsigned wanted)
{
    struct store_page page = {.entries = calloc(wanted, sizeof *page.entries)};
    unsigned read = 0;

    if (page.entries) {
        page.count = make_page(renewal, names, wanted, page.entries);
        read = read_entries(renewal, names, &page);
    }
    for (size_t i = 0; i < page.count; i++)
        free((char *)page.entries[i].key);
    free(page.entries);
    return read;
}

static bool renew_entries(struct renewal *renewal, const char *name)
{
    const char *directory = renewal->directory.text;
    char *names[LISTED_ENTRIES_MAX + 1] = {0};
    unsigned wanted, count, read = 1;
    bool by_inode = false;

    wanted = listed_entries(renewal->listed, directory, name, attr_inode(name), &by_inode);
    names[0] = strdup(name);
    if (!names[0])
        return false;
    count = 1 + attr_cache_following(renewal->question->engine->attrs, name, by_inode, wanted,
                                     names + 1);
    if (wanted > 1)
        read = read_names(renewal, names, count < wanted ? count : wanted);
    listed_expect(renewal->listed, directory, read < count ? names[read] : NULL);
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    return wanted > 1;
}

/* ---- either ---------------------------------------------------------------------------------- */

static bool renew(const struct names_question *question, const struct uri *uri,
                  enum listed_kind kind, enum attr_type past)
{
    struct renewal renewal = {.question = question, .listed = question->engine->listed};
    char name[ATTR_URI_BYTES];
    struct error ignored;
    struct uri parent;

    if (!names_parent(uri, &parent) ||
        names_marker_of(&parent, &renewal.directory.uri, &ignored) < 0)
        return false;
    attr_uri_text(&parent, renewal.directory.text);
    if (kind == LISTED_PLAIN)
        return renew_pages(&renewal, uri, past);
    attr_uri_text(uri, name);
    return past != ATTR_DIRECTORY && !question->type_only && renew_entries(&renewal, name);
}

bool names_renew(const struct names_question *question, const struct uri *uri, enum attr_type past)
{
    char directory[ATTR_URI_BYTES];
    enum listed_kind kind = kind_of(question, uri, directory);

    return kind != LISTED_NOT && !names_ask_is_plain(question, uri) &&
           renew(question, uri, kind, past);
}
