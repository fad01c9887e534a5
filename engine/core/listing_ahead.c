/* HEADs for the entries of a page, a window of them at a time. See listing_ahead.h.
 *
 * The window is a ring over the page's indices: [first, end) are asked for. Entries that the reader
 * leaves out are dropped when it has passed them.
 */
#include "core/listing_ahead.h"

#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"
#include "io/gate.h"

struct listing_ahead {
    struct engine *engine;
    struct endpoint *endpoint; /* NULL: nothing was asked yet */
    struct uri directory;
    size_t first, end;
    uint64_t generation;
    struct call *calls[AHEAD_MAX]; /* of entry i at i % AHEAD_MAX; NULL: none */
};

struct listing_ahead *listing_ahead_new(struct engine *engine, const struct uri *directory)
{
    struct listing_ahead *ahead = calloc(1, sizeof *ahead);

    if (!ahead)
        return NULL;
    ahead->engine = engine;
    ahead->directory = *directory;
    ahead->generation = gate_generation();
    return ahead;
}

static void drop_before(struct listing_ahead *ahead, size_t index)
{
    for (; ahead->first < ahead->end && ahead->first < index; ahead->first++) {
        call_delete(ahead->calls[ahead->first % AHEAD_MAX]);
        ahead->calls[ahead->first % AHEAD_MAX] = NULL;
    }
    if (ahead->first < index)
        ahead->first = ahead->end = index;
}

void listing_ahead_reset(struct listing_ahead *ahead)
{
    if (!ahead)
        return;
    drop_before(ahead, ahead->end);
    ahead->first = ahead->end = 0;
    ahead->generation = gate_generation();
}

void listing_ahead_free(struct listing_ahead *ahead)
{
    listing_ahead_reset(ahead);
    free(ahead);
}

/* Keys that are too long to be names, and the directory's own marker, are not asked for. */
static int ask(struct listing_ahead *ahead, const struct store_entry *entry,
               const struct limits *limits, struct error *err)
{
    struct uri uri = ahead->directory;
    struct call *call;

    if (strlen(entry->key) > URI_KEY_MAX || strcmp(entry->key, ahead->directory.key) == 0) {
        ahead->calls[ahead->end++ % AHEAD_MAX] = NULL;
        return 0;
    }
    strcpy(uri.key, entry->key);
    call = call_new(ahead->engine, STORE_HEAD, &uri, limits, err);
    if (!call)
        return -error_errno(err);
    ahead->endpoint = call->endpoint;
    ahead->calls[ahead->end++ % AHEAD_MAX] = call;
    call_begin(call);
    return 0;
}

static bool has_room(const struct listing_ahead *ahead)
{
    size_t own = ahead->end - ahead->first;

    return own < AHEAD_MAX && (!ahead->endpoint ||
                               endpoint_has_room(ahead->endpoint, ENDPOINT_GETS, LIMITER_SHORT,
                                                 (unsigned)own));
}

static int fill(struct listing_ahead *ahead, const struct store_page *page,
                const struct limits *limits, struct error *err)
{
    int r = 0;

    while (r == 0 && ahead->end < page->count && has_room(ahead))
        r = ask(ahead, &page->entries[ahead->end], limits, err);
    return r;
}

/* What the object says in place of what the listing says; of a prefix, what its marker says. */
static void apply(const struct call *call, struct attr *attr)
{
    uint64_t inode = attr->inode;
    bool is_directory = attr->type == ATTR_DIRECTORY;

    attr_from_object(&call->request.object, &call->uri, attr);
    attr->inode = inode;
    if (is_directory)
        attr->size_bytes = 0;
}

bool listing_ahead_has(const struct listing_ahead *ahead, size_t index)
{
    struct call *call;

    if (ahead->generation != gate_generation() || index < ahead->first || index >= ahead->end)
        return false;
    call = ahead->calls[index % AHEAD_MAX];
    return !call || call_is_done(call);
}

int listing_ahead_take(struct listing_ahead *ahead, const struct store_page *page, size_t index,
                       const struct limits *limits, struct attr *attr, struct error *err)
{
    struct call *call;
    int r;

    if (ahead->generation != gate_generation())
        listing_ahead_reset(ahead);
    drop_before(ahead, index);
    r = fill(ahead, page, limits, err);
    call = r == 0 ? ahead->calls[index % AHEAD_MAX] : NULL;
    if (!call)
        return r;
    r = call_end(call, limits, err);
    if (r == 0)
        apply(call, attr);
    else if (err->class == ERROR_NOT_FOUND)
        r = 0;
    if (r < 0)
        listing_ahead_reset(ahead); /* the same entry may be asked for again */
    else
        drop_before(ahead, index + 1);
    return r;
}
