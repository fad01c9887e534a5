/* Pieces of a directory, each a request or its page. See listing_pages.h.
 *
 * A piece holds the keys behind `from`, up to the next piece's `from`. When its page does not reach so
 * far, another piece is put behind it that goes on by the page's token; when the page reaches farther,
 * it is cut. The last piece is open, and guesses are made behind it. Where only some pages are wanted,
 * what lies between them are holes, which are never asked for.
 */
#include "core/listing_pages.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/key_space.h"
#include "io/gate.h"

#define LARGE_PAGES      4u /* read: then it pays to guess */
#define WASTED_PAGES_MIN 2u /* that are forgiven, and a third of those that were of use */

struct piece {
    struct piece *next;
    char *from;              /* NULL: from the beginning */
    char *token;             /* of the page before; NULL: `from` is where it begins */
    struct call *call;       /* NULL: not asked for, or answered */
    struct store_page *page; /* the answer */
    int64_t asked_ns;
    bool is_hole;
};

struct listing_pages {
    struct engine *engine;
    struct uri uri;
    bool recursive;
    bool is_part;                  /* only some pages are wanted */
    struct piece *first;           /* to be read next, no hole; NULL: at the end */
    char *shown_from, *shown_last; /* of the page that was read last */
    unsigned read;                 /* pages, in this pass */
    unsigned wasted;               /* pages that were asked for and hold nothing */
    struct key_space space;
};

struct listing_pages *listing_pages_new(struct engine *engine, const struct uri *uri,
                                        bool recursive)
{
    struct listing_pages *pages = calloc(1, sizeof *pages);

    if (!pages)
        return NULL;
    pages->engine = engine;
    pages->uri = *uri;
    pages->recursive = recursive;
    return pages;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Behind *link. -ENOMEM. */
static int insert(struct piece **link, const char *from, const char *token, struct error *err)
{
    struct piece *piece = calloc(1, sizeof *piece);

    if (piece && from)
        piece->from = strdup(from);
    if (piece && token)
        piece->token = strdup(token);
    if (!piece || (from && !piece->from) || (token && !piece->token)) {
        if (piece)
            free(piece->from);
        free(piece);
        return error_set(err, ERROR_NO_MEMORY, "listing a directory");
    }
    piece->next = *link;
    *link = piece;
    return 0;
}

static void withdraw(struct piece *piece)
{
    call_delete(piece->call);
    piece->call = NULL;
}

static void remove_first(struct piece **link)
{
    struct piece *piece = *link;

    *link = piece->next;
    withdraw(piece);
    store_page_free(piece->page);
    free(piece->token);
    free(piece->from);
    free(piece);
}

static void remove_all(struct piece **link)
{
    while (*link)
        remove_first(link);
}

static void remove_holes(struct listing_pages *pages)
{
    while (pages->first && pages->first->is_hole)
        remove_first(&pages->first);
}

/* Takes `from` over. What comes next begins where the page ends. */
static void note_shown(struct listing_pages *pages, char *from, const struct piece *next)
{
    free(pages->shown_from);
    free(pages->shown_last);
    pages->shown_from = from;
    pages->shown_last = next && next->from ? strdup(next->from) : NULL;
}

static struct piece *last_of(const struct listing_pages *pages)
{
    struct piece *piece = pages->first;

    while (piece && piece->next)
        piece = piece->next;
    return piece;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* False with *err. */
static bool ask(struct listing_pages *pages, struct piece *piece, const struct limits *limits,
                struct error *err)
{
    bool root = !pages->uri.bucket[0];
    struct call *call =
        call_new(pages->engine, root ? STORE_LIST_BUCKETS : STORE_LIST, &pages->uri, limits, err);

    if (!call)
        return false;
    call->request.prefix = call->uri.key;
    call->request.delimiter = pages->recursive ? NULL : "/";
    call->request.token = piece->token;
    call->request.start_after =
        piece->token || !piece->from || !piece->from[0] ? NULL : piece->from;
    piece->call = call;
    piece->asked_ns = clock_now_ns();
    call_begin(call);
    return true;
}

static bool can_guess(const struct listing_pages *pages, const struct call *call)
{
    unsigned capabilities = call ? atomic_load(&call->request.store->capabilities) : 0;

    return pages->uri.bucket[0] && (capabilities & STORE_CAP_LIST_ORDERED) &&
           !(capabilities & STORE_CAP_INLINE) &&
           pages->wasted <= WASTED_PAGES_MIN + pages->read / 3;
}

/* Where the next page began the last time (the caller's; NULL: there was none). False: it was not
 * listed so far. */
static bool recall(const struct listing_pages *pages, const char *from, char **ret_from)
{
    char text[ATTR_URI_BYTES];

    if (pages->recursive)
        return false;
    attr_uri_text(&pages->uri, text);
    return listed_next(pages->engine->listed, text, from, ret_from);
}

/* One more piece behind the last one, which has not come yet: false where none can be guessed. */
static bool guess(struct listing_pages *pages)
{
    struct piece *last = last_of(pages);
    char from[URI_KEY_MAX + 1];
    struct error ignored;
    char *known = from;
    bool guessed;

    if (pages->is_part || !last || !last->from || !can_guess(pages, last->call))
        return false;
    if (!recall(pages, last->from, &known) && !key_space_next(&pages->space, last->from, from))
        return false;
    guessed = known && insert(&last->next, known, NULL, &ignored) == 0;
    if (known != from)
        free(known);
    return guessed;
}

/* What the limiter has room for, 1 at least. */
static unsigned target(const struct listing_pages *pages)
{
    struct store *store;
    struct error ignored;

    if (engine_store(pages->engine, pages->uri.scheme, &store, &ignored) < 0)
        return 1;
    return endpoint_target(engine_endpoint(pages->engine, store), ENDPOINT_GETS, LIMITER_SHORT);
}

/* As many as are read ahead of the reader at most: the one that it needs next, to begin with. */
static unsigned width(const struct listing_pages *pages)
{
    unsigned width = pages->read < LARGE_PAGES ? 1 : pages->read / 2 + 1;
    unsigned most = target(pages);

    if (width > most)
        width = most;
    return width < LISTING_PAGES_MAX ? width : LISTING_PAGES_MAX;
}

/* How many pieces of those that are wanted may be under way. */
static unsigned room(const struct listing_pages *pages)
{
    unsigned most = pages->is_part ? target(pages) : UINT_MAX;

    return !pages->is_part || most < LISTING_SPANS_MAX ? most : LISTING_SPANS_MAX;
}

void listing_pages_ask(struct listing_pages *pages, const struct limits *limits)
{
    unsigned count = 0, most = room(pages);
    struct error ignored;

    for (struct piece *piece = pages->first; piece && count < most; piece = piece->next) {
        if (piece->is_hole)
            continue;
        if (!piece->call && !piece->page && !ask(pages, piece, limits, &ignored))
            return;
        count++;
        if (!piece->next && count < width(pages))
            guess(pages);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What lies behind the next piece's beginning is that one's. */
static void cut(struct store_page *page, const char *end)
{
    while (page->count > 0 && strcmp(page->entries[page->count - 1].key, end) > 0)
        page->count--;
}

/* Does a page with that last entry (NULL: none) show all up to the key? A group shows all that is in
 * it. */
static bool reaches(const struct store_entry *last, const char *key)
{
    return last && (strcmp(last->key, key) >= 0 ||
                    (last->is_prefix && strncmp(key, last->key, strlen(last->key)) == 0));
}

/* The page has come: whatever is still missing of the piece becomes one behind it. */
static int settle(struct listing_pages *pages, struct piece *piece, struct error *err)
{
    struct store_page *page = piece->page;
    size_t count = page->count;
    const struct store_entry *last = count ? &page->entries[count - 1] : NULL;
    int r = 0;

    if (page->next_token)
        key_space_learn(&pages->space, page, strlen(pages->uri.key));
    if (!page->next_token) {
        for (struct piece *beyond = piece->next; beyond; beyond = beyond->next)
            pages->wasted++;
        remove_all(&piece->next);
    } else if (!piece->next || !reaches(last, piece->next->from)) {
        bool is_beyond = pages->is_part && !piece->next;

        r = insert(&piece->next, last ? last->key : piece->from, page->next_token, err);
        if (r == 0)
            piece->next->is_hole = is_beyond;
    } else {
        cut(page, piece->next->from);
        pages->wasted += page->count < count / 2;
    }
    return r;
}

/* The answer is there, or is waited for. */
static int take(struct listing_pages *pages, struct piece *piece, const struct limits *limits,
                struct error *err)
{
    struct call *call = piece->call;
    int r = call_end(call, limits, err);

    if (r == 0 && !call->request.page)
        r = error_set(err, ERROR_PROTOCOL, "a listing without a page");
    if (r == 0) {
        piece->page = call->request.page;
        call->request.page = NULL;
        r = settle(pages, piece, err);
    }
    if (r < 0) {
        store_page_free(piece->page);
        piece->page = NULL;
    }
    withdraw(piece);
    return r;
}

/* Those that have come before they are needed: what they lack is asked for now. Of one that failed
 * the reader is told when it comes to it, by asking again. */
static void take_early(struct listing_pages *pages, const struct limits *limits)
{
    struct error ignored;

    for (struct piece *piece = pages->first; piece; piece = piece->next)
        if (piece->call && call_is_done(piece->call))
            take(pages, piece, limits, &ignored);
}

/* ---- the reader ------------------------------------------------------------------------------ */

static void forget(struct listing_pages *pages)
{
    remove_all(&pages->first);
    note_shown(pages, NULL, NULL);
    pages->is_part = false;
    pages->read = pages->wasted = 0;
    pages->space.step = 0;
}

int listing_pages_begin(struct listing_pages *pages, struct error *err)
{
    forget(pages);
    return insert(&pages->first, NULL, NULL, err);
}

int listing_pages_begin_behind(struct listing_pages *pages, const struct store_page *page,
                               const char *after, struct error *err)
{
    const char *last = page->count ? page->entries[page->count - 1].key : NULL;

    forget(pages);
    pages->read = 1;
    if (!page->next_token && !after)
        return 0;
    if (insert(&pages->first, after ? after : last, page->next_token, err) < 0)
        return -error_errno(err);
    note_shown(pages, NULL, pages->first);
    return 0;
}

/* A piece at **end, which moves behind it. */
static int append(struct piece ***end, const char *from, bool is_hole, struct error *err)
{
    int r = insert(*end, from, NULL, err);

    if (r == 0) {
        (**end)->is_hole = is_hole;
        *end = &(**end)->next;
    }
    return r;
}

int listing_pages_begin_spans(struct listing_pages *pages, const struct listed_plan *plan,
                              struct error *err)
{
    struct piece **end = &pages->first;
    int r = 0;

    forget(pages);
    pages->is_part = true;
    for (unsigned i = 0; r == 0 && i < plan->count; i++) {
        const struct listed_span *span = &plan->spans[i];
        bool is_followed =
            i + 1 < plan->count && span->until && strcmp(span->until, plan->spans[i + 1].from) == 0;

        r = append(&end, span->from, false, err);
        if (r == 0 && span->until && !is_followed)
            r = append(&end, span->until, true, err);
    }
    return r;
}

static void withdraw_parents(struct listing_pages *pages)
{
    for (struct piece *piece = pages->first; piece; piece = piece->next)
        if (piece->call && piece->call->generation != gate_generation())
            withdraw(piece);
}

int listing_pages_next(struct listing_pages *pages, const struct limits *limits,
                       struct store_page **ret_page, int64_t *ret_asked_ns, struct error *err)
{
    struct piece *piece = pages->first;
    int r = 0;

    withdraw_parents(pages);
    if (!piece->page && !piece->call && !ask(pages, piece, limits, err))
        return -error_errno(err);
    if (!piece->page)
        r = take(pages, piece, limits, err);
    if (r < 0)
        return r;
    *ret_page = piece->page;
    *ret_asked_ns = piece->asked_ns;
    piece->page = NULL;
    note_shown(pages, piece->from, piece->next);
    piece->from = NULL;
    remove_first(&pages->first);
    remove_holes(pages);
    pages->read++;
    take_early(pages, limits);
    return 0;
}

void listing_pages_shown(const struct listing_pages *pages, const char **ret_from,
                         const char **ret_last)
{
    *ret_from = pages->shown_from ? pages->shown_from : "";
    *ret_last = pages->shown_last;
}

void listing_pages_end(struct listing_pages *pages)
{
    remove_all(&pages->first);
}

bool listing_pages_at_end(const struct listing_pages *pages)
{
    return !pages->first;
}

void listing_pages_free(struct listing_pages *pages)
{
    if (!pages)
        return;
    forget(pages);
    free(pages);
}
