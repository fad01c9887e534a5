/* Streaming a directory page by page. See listing.h.
 *
 * The next ones are asked for when a page is taken up. The first page may be one that a look-up has
 * read (attr_cache_start): then the next one begins behind the last key that was on it, and may show
 * the last group once more.
 * Entries prime the attribute cache when their page is taken up. Whether a prefix has the name of
 * an object seen before is known from `open_text`: the objects among the last names whose names
 * the current one begins with, each a prefix of the next, kept as one text.
 */
#include "core/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/engine.h"
#include "core/listed.h"
#include "core/listing_ahead.h"
#include "core/listing_entry.h"
#include "core/listing_pages.h"
#include "core/marked.h"
#include "core/names.h"
#include "core/prefetch.h"
#include "core/turn.h"
#include "io/gate.h"

#define OPEN_NAMES_MAX 64u

struct listing {
    struct engine *engine;
    struct listing_directory directory;
    bool recursive;

    struct turn turn;
    struct listing_pages *pages; /* those that are still to come */
    struct store_page *page;     /* being read */
    size_t index;
    bool asked;             /* whether it is marked; `exact`: then entries are asked for */
    bool exact, saw_marker; /* saw_marker: below it in a recursive listing entries may be, too */
    struct listing_ahead *ahead; /* NULL until it is exact */
    int64_t since_ns;            /* when this pass over the directory began */
    struct {
        char from[URI_KEY_MAX + 1]; /* behind this key, ... */
        size_t keys, keys_max;      /* ... so many so far; a page has no more */
        int64_t asked_ns;
    } noted;

    char open_text[URI_KEY_MAX + 1];
    size_t open_lengths[OPEN_NAMES_MAX];
    unsigned open_count;
};

/* ---- pages ----------------------------------------------------------------------------------- */

static void prime(struct listing *listing, int64_t asked_ns, int64_t seen_ns);
static void note_page(struct listing *listing, int64_t asked_ns);

/* The group that the page before ended with may go on: it was shown. */
static void skip_shown_group(struct listing *listing, const struct store_page *before)
{
    const struct store_entry *shown =
        before && before->count ? &before->entries[before->count - 1] : NULL;
    const struct store_page *page = listing->page;

    if (shown && shown->is_prefix && page && page->count && page->entries[0].is_prefix &&
        strcmp(page->entries[0].key, shown->key) == 0)
        listing->index = 1;
}

/* A page is there: do its entries have more to tell than it shows? */
static int ask_once(struct listing *listing, const struct limits *limits, struct error *err)
{
    listing_ahead_reset(listing->ahead);
    if (!listing->asked)
        listing->exact =
            marked_ask(listing->engine, &listing->directory.uri, listing->page, limits);
    listing->asked = true;
    if (listing->exact && !listing->ahead)
        listing->ahead = listing_ahead_new(listing->engine, &listing->directory.uri);
    return listing->exact && !listing->ahead
               ? error_set(err, ERROR_NO_MEMORY, "listing a directory")
               : 0;
}

/* The page is taken up: its entries are known, and the next ones are asked for. */
static int begin_page(struct listing *listing, int64_t asked_ns, int64_t seen_ns,
                      const struct limits *limits, struct error *err)
{
    int r = ask_once(listing, limits, err);

    if (r < 0)
        return r;
    prime(listing, asked_ns, seen_ns);
    note_page(listing, asked_ns);
    listing_pages_ask(listing->pages, limits);
    return 0;
}

/* Waits for the next page, takes it up and asks for those after it. */
static int next_page(struct listing *listing, const struct limits *limits, struct error *err)
{
    struct store_page *page, *before = listing->page;
    int64_t asked_ns;
    int r = listing_pages_next(listing->pages, limits, &page, &asked_ns, err);

    if (r < 0)
        return r;
    listing->page = page;
    listing->index = 0;
    skip_shown_group(listing, before);
    store_page_free(before);
    return begin_page(listing, asked_ns, clock_now_ns(), limits, err);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* True when an object of exactly this name came before: it hides the prefix. Objects are noted. */
static bool is_hidden(struct listing *listing, bool is_prefix)
{
    size_t length = strlen(listing->directory.name);

    while (listing->open_count > 0) {
        size_t open = listing->open_lengths[listing->open_count - 1];

        if (open <= length && memcmp(listing->open_text, listing->directory.name, open) == 0)
            break;
        listing->open_count--;
    }
    if (is_prefix)
        return listing->open_count > 0 && listing->open_lengths[listing->open_count - 1] == length;
    if (listing->open_count < OPEN_NAMES_MAX) {
        memcpy(listing->open_text, listing->directory.name, length + 1);
        listing->open_lengths[listing->open_count++] = length;
    }
    return false;
}

/* The whole page goes into the cache at once, so that it is as fresh there as it was. */
static void prime(struct listing *listing, int64_t asked_ns, int64_t seen_ns)
{
    struct listing_directory *directory = &listing->directory;
    struct attr_cache *cache = listing->engine->attrs;
    char text[ATTR_URI_BYTES];
    struct attr attr;

    for (size_t i = 0; i < listing->page->count; i++) {
        const struct store_entry *entry = &listing->page->entries[i];

        if (entry->key[0] && entry->key[strlen(entry->key) - 1] == '/' && !entry->is_prefix)
            listing->saw_marker = true;
        if (!listing_entry_name(directory, entry) || !listing_entry_text(directory, text))
            continue;
        listing_entry_attr(entry, text, &attr);
        if (!entry->is_prefix)
            prefetch_note_listed(listing->engine, directory->text, directory->name, &attr);
        if (listing->exact || (listing->recursive && listing->saw_marker))
            attr_cache_put_named(cache, text, attr.type, asked_ns);
        else if (listing->recursive || !listing_entry_is_hidden(cache, text, &attr))
            attr_cache_put_listed(cache, text, &attr, asked_ns, seen_ns);
    }
}

/* What lies behind the last key noted, up to this one (NULL: the end), is one page to ask for. */
static void note_until(struct listing *listing, const char *last)
{
    struct listed_page page = {listing->noted.from, last, listing->noted.asked_ns};

    listed_note(listing->engine->listed, listing->directory.text, &page);
    listing->noted.keys = 0;
    if (last)
        strcpy(listing->noted.from, last);
}

/* Where pages begin is of use when they are asked for again (names_renew.c): not those that have come,
 * which are cut where another one began, but as the store would show them one after the other. */
static void note_page(struct listing *listing, int64_t asked_ns)
{
    const struct store_page *page = listing->page;
    bool is_last = listing_pages_at_end(listing->pages);

    if (listing->recursive || !listing->directory.uri.bucket[0])
        return;
    if (listing->exact) {
        listed_note_marked(listing->engine->listed, listing->directory.text);
        return;
    }
    if (page->count > listing->noted.keys_max)
        listing->noted.keys_max = page->count;
    for (size_t i = listing->index; i < page->count; i++) {
        if (listing->noted.keys++ == 0)
            listing->noted.asked_ns = asked_ns;
        if (listing->noted.keys >= listing->noted.keys_max && !(is_last && i + 1 == page->count) &&
            strlen(page->entries[i].key) <= URI_KEY_MAX)
            note_until(listing, page->entries[i].key);
    }
    if (is_last && listing->noted.keys == 0)
        listing->noted.asked_ns = asked_ns;
    if (is_last)
        note_until(listing, NULL);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The first page shows nothing: an empty directory, or none. */
static int explain_empty(struct listing *listing, const struct limits *limits, struct error *err)
{
    struct attr attr;
    int r;

    if (!listing->directory.uri.key[0] ||
        attr_cache_is_kept(listing->engine->attrs, listing->directory.text))
        return 0;
    attr_cache_doubt(listing->engine->attrs, listing->directory.text, false);
    r = names_lookup(listing->engine, &listing->directory.uri, limits, &attr, err);
    if (r == 0 && attr.type != ATTR_DIRECTORY) {
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
        error_set_context(err, NULL, listing->directory.text);
    }
    return r;
}

static int refuse_file(struct listing *listing, struct error *err)
{
    struct attr attr;
    int r;

    if (attr_cache_get(listing->engine->attrs, listing->directory.text, &attr) !=
            ATTR_CACHE_FOUND ||
        attr.type == ATTR_DIRECTORY)
        return 0;
    r = error_set(err, ERROR_NOT_DIRECTORY, "a file");
    error_set_context(err, NULL, listing->directory.text);
    return r;
}

static void restart(struct listing *listing)
{
    store_page_free(listing->page);
    listing->page = NULL;
    listing->index = 0;
    listing->open_count = 0;
    listing->asked = listing->exact = listing->saw_marker = false;
    listing_ahead_reset(listing->ahead);
    listing->since_ns = clock_now_ns();
    listing->noted.from[0] = '\0';
    listing->noted.keys = 0;
    prefetch_begin_listing(listing->engine, listing->directory.text);
}

static int listing_begin(struct listing *listing, const struct limits *limits, struct error *err)
{
    int r;

    restart(listing);
    r = listing_pages_begin(listing->pages, err);
    if (r == 0)
        r = next_page(listing, limits, err);
    if (r == 0 && listing_pages_at_end(listing->pages) && listing->page->count == 0)
        r = explain_empty(listing, limits, err);
    return r;
}

/* Begins with a page that a look-up has read: 1, 0 without one, -errno. */
static int begin_from_cache(struct listing *listing, const struct limits *limits, struct error *err)
{
    struct attr_cache_start start;
    int r;

    restart(listing);
    if (listing->recursive || !listing->directory.uri.bucket[0])
        return 0;
    names_list_owed(listing->engine, &listing->directory.uri, limits);
    if (!attr_cache_start(listing->engine->attrs, &listing->directory.uri, &start))
        return 0;
    if (start.page->count == 0 && listing->directory.uri.key[0]) { /* it has gone, or never was */
        store_page_free(start.page);
        free(start.after);
        return 0;
    }
    listing->page = start.page;
    listing->since_ns = start.asked_ns;
    r = listing_pages_begin_behind(listing->pages, start.page, start.after, err);
    free(start.after);
    if (r == 0)
        r = begin_page(listing, start.asked_ns, start.seen_ns, limits, err);
    return r < 0 ? r : 1;
}

int listing_open(struct engine *engine, const struct uri *uri, bool recursive,
                 const struct limits *limits, struct listing **ret_listing, struct error *err)
{
    struct listing *listing = calloc(1, sizeof *listing);
    size_t length = strlen(uri->key);
    int r = 0;

    if (!listing)
        return error_set(err, ERROR_NO_MEMORY, "opening a directory");
    listing->engine = engine;
    listing->directory.uri = *uri;
    listing->recursive = recursive && uri->bucket[0];
    turn_init(&listing->turn, engine->shards[0]);
    attr_uri_text(uri, listing->directory.text);
    if (length > 0 && uri->key[length - 1] != '/') {
        if (length == URI_KEY_MAX)
            r = error_set(err, ERROR_TOO_LONG, "the key of the directory is too long");
        else
            strcpy(listing->directory.uri.key + length, "/");
    }
    listing->pages = listing_pages_new(engine, &listing->directory.uri, listing->recursive);
    if (r == 0 && !listing->pages)
        r = error_set(err, ERROR_NO_MEMORY, "opening a directory");
    if (r == 0)
        r = refuse_file(listing, err);
    if (r == 0)
        r = begin_from_cache(listing, limits, err);
    if (r == 0)
        r = listing_begin(listing, limits, err);
    if (r < 0) {
        listing_close(listing);
        return r;
    }
    *ret_listing = listing;
    return 0;
}

static void finish_pass(struct listing *listing)
{
    if (!listing->recursive && listing->since_ns) {
        attr_cache_complete(listing->engine->attrs, listing->directory.text, listing->since_ns);
        listing->since_ns = 0;
    }
}

static int next_entry(struct listing *listing, const struct limits *limits,
                      struct listing_entry *ret_entry, struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r;

    for (;;) {
        const struct store_entry *entry;

        if (!listing->page || listing->index == listing->page->count) {
            if (listing_pages_at_end(listing->pages)) {
                finish_pass(listing);
                return 0;
            }
            r = next_page(listing, limits, err);
            if (r < 0)
                return r;
            continue;
        }
        entry = &listing->page->entries[listing->index++];
        if (!listing_entry_name(&listing->directory, entry) ||
            !listing_entry_text(&listing->directory, text))
            continue;
        if (!listing->recursive && is_hidden(listing, entry->is_prefix))
            continue;
        ret_entry->name = listing->directory.name;
        listing_entry_attr(entry, text, &ret_entry->attr);
        if (listing->exact) {
            r = listing_ahead_take(listing->ahead, listing->page, listing->index - 1, limits,
                                   &ret_entry->attr, err);
            if (r < 0) {
                listing->index--; /* to be asked for again */
                return r;
            }
            attr_cache_put(listing->engine->attrs, text, &ret_entry->attr);
        }
        return 1;
    }
}

static bool is_ready(const struct listing *listing)
{
    if (listing->index == listing->page->count)
        return listing_pages_at_end(listing->pages);
    return !listing->exact || listing_ahead_has(listing->ahead, listing->index);
}

int listing_next(struct listing *listing, const struct limits *limits,
                 struct listing_entry *ret_entry, struct error *err)
{
    int r = turn_take(&listing->turn, false, limits, err);

    if (r < 0)
        return r;
    r = next_entry(listing, limits, ret_entry, err);
    if (r > 0)
        ret_entry->next_is_ready = is_ready(listing);
    turn_give(&listing->turn);
    return r;
}

int listing_rewind(struct listing *listing, const struct limits *limits, struct error *err)
{
    int r = turn_take(&listing->turn, false, limits, err);

    if (r < 0)
        return r;
    r = listing_begin(listing, limits, err);
    /* A directory that has gone in the meantime is empty to whoever has it open. */
    if (r < 0 && (err->class == ERROR_NOT_FOUND || err->class == ERROR_NOT_DIRECTORY)) {
        listing_pages_end(listing->pages);
        listing->since_ns = 0;
        r = 0;
    }
    turn_give(&listing->turn);
    return r;
}

void listing_close(struct listing *listing)
{
    if (!listing)
        return;
    listing_pages_free(listing->pages);
    listing_ahead_free(listing->ahead);
    store_page_free(listing->page);
    free(listing);
}
